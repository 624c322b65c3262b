// Package prints disturbs.
package prints

import (
	"fmt"

	"github.com/choreo-go/choreo/choreo"
)

var step = choreo.NewStep[struct{}, struct{}]("do-it")

// Order is a definition.
var Order = choreo.MustDefine[struct{}]("order", 1, step.OwnedBy("doers"))

func init() { fmt.Println("hello") }
