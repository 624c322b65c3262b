// Package panics has a definition that is none.
package panics

import "github.com/choreo-go/choreo/choreo"

// Order has no steps.
var Order = choreo.MustDefine[struct{}]("order", 1)
