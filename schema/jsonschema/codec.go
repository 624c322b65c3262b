package jsonschema

import (
	"reflect"

	"github.com/choreo-go/choreo/schema"
)

// Codec is [schema.JSON], which can also tell the schema of a type; apart from it so that who
// needs no schemas does not depend on a library for them.
type Codec struct{ schema.JSON }

// Schema returns what [For] does.
func (Codec) Schema(t reflect.Type) (schema.Schema, error) { return For(t) }

var (
	_ schema.Codec     = Codec{}
	_ schema.Describer = Codec{}
)
