package schema

import (
	"context"
	"reflect"
)

// Codec encodes the payloads of events. A Codec is safe for concurrent use.
type Codec interface {
	// ContentType is the media type that events carry, such as "application/json".
	ContentType() string
	// Encode returns the bytes of v, never nil.
	Encode(v any) ([]byte, error)
	// Decode reads data into the pointer. It never panics on hostile input.
	Decode(data []byte, into any) error
}

// Describer is a [Codec] that can tell the schema of a Go type.
type Describer interface {
	// Schema returns the schema by which values of the type are written and read.
	Schema(t reflect.Type) (Schema, error)
}

// Preparer is a [Codec] that asks others, such as a registry, before it can encode. Who embeds
// it prepares it once, before the first payload: later it needs nobody to encode
// what it was prepared for.
type Preparer interface {
	// Prepare makes ready to write values of the types to the topic. The error names every
	// type at fault.
	Prepare(ctx context.Context, topic string, types []reflect.Type) error
}
