package schema

// Codec encodes the payloads of events. A Codec is safe for concurrent use.
type Codec interface {
	// ContentType is the media type that events carry, such as "application/json".
	ContentType() string
	// Encode returns the bytes of v, never nil.
	Encode(v any) ([]byte, error)
	// Decode reads data into the pointer. It never panics on hostile input.
	Decode(data []byte, into any) error
}
