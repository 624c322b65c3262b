package compat
import "github.com/choreo-go/choreo/schema"
type jsonSchema struct{}
func parseJSON(s schema.Schema) (*jsonSchema, error) { return nil, nil }
func (f *finder) json(r, w *jsonSchema) error { return nil }
