// Package jsonschema tells the JSON Schema (2020-12) of Go types: what encoding/json writes of a
// type is valid by it.
//
// The model of a schema and its form as text are those of github.com/google/jsonschema-go. What a
// type looks like is derived here, by the rules of encoding/json, which no library follows that
// was looked at: nil slices, maps and pointers are null, fields of embedded structs are promoted
// or shadow each other, the "string" option quotes, []byte is base64, and types may refer to
// themselves.
//
// Objects are open: a reader drops what it does not know, as [schema.JSON] does, so a writer may
// add properties. A property is required unless it may be left out: by omitempty or omitzero, or
// because it is a pointer. A type that writes its own JSON is known as far as its text is: one with
// MarshalText is a string, one with MarshalJSON may be anything.
//
// [Codec] is [schema.JSON] that describes its types.
package jsonschema
