// Package broken does not compile.
package broken

var Order *Nothing
