// Package none has an empty variable.
package none

import "github.com/choreo-go/choreo/choreo"

// Order is nil.
var Order *choreo.Definition
