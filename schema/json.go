package schema

import (
	"encoding/json"
	"fmt"
)

// JSON is the codec of encoding/json, with media type application/json. Fields that
// the reader does not know are dropped, so that a writer may add some.
type JSON struct{}

// ContentType returns "application/json".
func (JSON) ContentType() string { return "application/json" }

// Encode returns v as compact JSON.
func (JSON) Encode(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("schema: encode %T as JSON: %w", v, err)
	}
	return data, nil
}

// Decode reads exactly one JSON value.
func (JSON) Decode(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("schema: decode JSON into %T: %w", into, err)
	}
	return nil
}
