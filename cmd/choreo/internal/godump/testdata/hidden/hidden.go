// Package hidden exports nothing.
package hidden

import "github.com/choreo-go/choreo/choreo"

var step = choreo.NewStep[struct{}, struct{}]("do-it")

var order = choreo.MustDefine[struct{}]("order", 1, step.OwnedBy("doers"))

// Name keeps it in use.
func Name() string { return order.Name() }
