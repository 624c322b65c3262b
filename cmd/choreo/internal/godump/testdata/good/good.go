// Package good has definitions in each form.
package good

import (
	"github.com/choreo-go/choreo/choreo"
)

// Wanted is an input.
type Wanted struct {
	ID string `json:"id" avro:"id"`
}

// Done is an output.
type Done struct {
	Cents int64 `json:"cents" avro:"cents"`
}

var step = choreo.NewStep[Wanted, Done]("do-it")

// One is in JSON, as nothing else is said.
var One = choreo.MustDefine[Wanted]("one", 1, step.OwnedBy("doers"))

// Two is a definition without its input's type, in Avro.
var Two = choreo.MustDefine[Wanted]("two", 3, step.OwnedBy("doers"), choreo.Encoding(choreo.Avro)).Def()

// Alias is another name of the type.
type Alias = *choreo.Saga[Wanted]

// Three is of it.
var Three Alias = choreo.MustDefine[Wanted]("three", 1, step.OwnedBy("doers"))

// other is nobody's business.
var other = choreo.MustDefine[Wanted]("other", 1, step.OwnedBy("doers"))

// NotOne is no definition.
var NotOne = other.Name()
