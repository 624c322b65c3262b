package avro

import (
	"encoding/json"
	"fmt"

	"github.com/linkedin/goavro/v2"
)

// lowered returns the goavro codec of the bytes that a schema describes and of nothing more.
// Logical types, defaults, aliases and namespaces are worked out here, by the model, for goavro
// takes some of them otherwise than the specification: a decimal of a union, a NaN default, a name
// in the null namespace within another.
func lowered(t *typ) (*goavro.Codec, error) {
	text, err := json.Marshal(physicalOf(t, map[*typ]bool{}))
	if err != nil {
		return nil, fmt.Errorf("avro: write %s for goavro: %w", t, err)
	}
	codec, err := goavro.NewCodecWithOptions(string(text), &goavro.CodecOption{})
	if err != nil {
		return nil, fmt.Errorf("avro: %s: goavro cannot encode it: %w", t, err)
	}
	return codec, nil
}

// physicalSchema is a schema, or the name of one, as JSON has it.
type physicalSchema struct {
	name  string
	union []physicalSchema
	named *physicalType
}

type physicalType struct {
	Type    kind             `json:"type"`
	Name    string           `json:"name,omitempty"`
	Fields  *[]physicalField `json:"fields,omitempty"`
	Symbols []string         `json:"symbols,omitempty"`
	Size    int              `json:"size,omitempty"`
	Items   *physicalSchema  `json:"items,omitempty"`
	Values  *physicalSchema  `json:"values,omitempty"`
}

type physicalField struct {
	Name string         `json:"name"`
	Type physicalSchema `json:"type"`
}

// MarshalJSON writes whichever form is set.
func (p physicalSchema) MarshalJSON() ([]byte, error) {
	switch {
	case p.named != nil:
		return json.Marshal(p.named)
	case p.union != nil:
		return json.Marshal(p.union)
	default:
		return json.Marshal(p.name)
	}
}

func physicalOf(t *typ, seen map[*typ]bool) physicalSchema {
	if seen[t] {
		return physicalSchema{name: t.physical}
	}
	out := &physicalType{Type: t.kind}
	if t.name != "" {
		seen[t] = true
		out.Name = t.physical
	}
	switch t.kind {
	case kindUnion:
		union := make([]physicalSchema, len(t.branches))
		for i, b := range t.branches {
			union[i] = physicalOf(b, seen)
		}
		return physicalSchema{union: union}
	case kindRecord:
		fields := make([]physicalField, len(t.fields))
		for i, f := range t.fields {
			fields[i] = physicalField{f.name, physicalOf(f.typ, seen)}
		}
		out.Fields = &fields
	case kindEnum:
		out.Symbols = t.symbols
	case kindFixed:
		out.Size = t.size
		if t.size == 0 { // goavro wants at least one byte; a record without fields has none either
			out.Type, out.Fields = kindRecord, &[]physicalField{}
		}
	case kindArray:
		items := physicalOf(t.items, seen)
		out.Items = &items
	case kindMap:
		values := physicalOf(t.items, seen)
		out.Values = &values
	default:
		return physicalSchema{name: string(t.kind)}
	}
	return physicalSchema{named: out}
}
