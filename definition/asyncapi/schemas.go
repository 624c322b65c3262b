package asyncapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
)

// payload is what a message hands on.
type payload struct {
	schema json.RawMessage  // a reference to a component, or a schema
	media  choreo.MediaType // that of the schema's kind; empty without a schema
}

// payloads adds the schemas of a saga to the components.
func (b *builder) payloads(s Saga) (map[string]payload, error) {
	d := s.Definition.Def()
	names := []string{d.InputName()}
	for _, step := range d.Steps() {
		names = append(names, step.Output)
	}
	for _, name := range sorted(s.Schemas) {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("a schema is given for the payload %q, which no step has: check its spelling", name)
		}
	}
	all := map[string]payload{"": {schema: raw(headerSchema{Description: "The step hands on no data."})}}
	for _, name := range names {
		if _, ok := all[name]; ok {
			continue
		}
		sc, ok := s.Schemas[name]
		if !ok {
			all[name] = payload{schema: raw(headerSchema{Description: "The payload " + name + ", whose schema is not known here."})}
			continue
		}
		key, err := b.component(name, sc)
		if err != nil {
			return nil, fmt.Errorf("payload %q: %w", name, err)
		}
		all[name] = payload{schema: raw(headerSchema{Ref: schemaRef(key)}), media: mediaOf(sc.Kind)}
	}
	return all, nil
}

func sorted(schemas map[string]schema.Schema) []string {
	names := make([]string, 0, len(schemas))
	for name := range schemas {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func mediaOf(k schema.Kind) choreo.MediaType {
	switch k {
	case schema.Avro:
		return choreo.Avro
	case schema.Protobuf:
		return choreo.Protobuf
	case schema.JSONType:
	}
	return choreo.JSON
}

// component adds a schema and returns its key. Two versions of a saga share a schema where
// they have the same, and have two where they differ.
func (b *builder) component(name string, s schema.Schema) (string, error) {
	identity := fmt.Sprintf("%q", []string{string(s.Kind), name, s.Text})
	for _, r := range s.References {
		identity += fmt.Sprintf("%q", []string{r.Name, r.Text})
	}
	if key, ok := b.schemas[identity]; ok {
		return key, nil
	}
	key := b.free(componentKey(name))
	b.doc.Components.Schemas[key] = nil // taken
	data, err := b.multiFormat(key, s)
	if err != nil {
		return "", err
	}
	b.schemas[identity] = key
	b.doc.Components.Schemas[key] = data
	return key, nil
}

// free returns a key that no other schema has.
func (b *builder) free(key string) string {
	for n := 1; ; n++ {
		candidate := key
		if n > 1 {
			candidate = fmt.Sprintf("%s-%d", key, n)
		}
		if _, taken := b.doc.Components.Schemas[candidate]; !taken {
			return candidate
		}
	}
}

// multiFormat writes a schema in its own language, by the table of formats in the
// specification (https://www.asyncapi.com/docs/reference/specification/v3.0.0#multiFormatSchemaObject).
func (b *builder) multiFormat(key string, s schema.Schema) (json.RawMessage, error) {
	m := multiFormat{}
	var err error
	switch s.Kind {
	case schema.Avro:
		m.Format = "application/vnd.apache.avro;version=1.9.0"
		m.Schema, err = avroSchema(s)
	case schema.Protobuf:
		m.Format = "application/vnd.google.protobuf;version=3"
		m.Schema, err = protoSchema(s)
	case schema.JSONType:
		m.Format, m.Schema, err = b.jsonSchema(key, s)
	default:
		err = fmt.Errorf("a schema of the kind %q: use %s, %s or %s", s.Kind, schema.Avro, schema.Protobuf, schema.JSONType)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// protoSchema is the source of a .proto file as a text. Files that it imports cannot stand in
// a document, but those of Google's that every compiler has.
func protoSchema(s schema.Schema) (json.RawMessage, error) {
	for _, r := range s.References {
		if !strings.HasPrefix(r.Name, "google/protobuf/") {
			return nil, fmt.Errorf("its .proto file imports %q, which cannot stand in a document: put the messages into one file", r.Name)
		}
	}
	return json.Marshal(s.Text)
}

// avroSchema is an Avro schema that stands by itself: what it refers to is put in where it is
// first named.
func avroSchema(s schema.Schema) (json.RawMessage, error) {
	if len(s.References) == 0 {
		if !json.Valid([]byte(s.Text)) {
			return nil, errNoJSON("its Avro schema")
		}
		return json.RawMessage(s.Text), nil
	}
	x := &inliner{types: map[string]json.RawMessage{}}
	for _, r := range s.References {
		if !json.Valid([]byte(r.Text)) {
			return nil, errNoJSON("the Avro schema " + r.Name)
		}
		x.types[r.Name] = json.RawMessage(r.Text)
	}
	return x.inline(json.RawMessage(s.Text), 0)
}

func errNoJSON(what string) error {
	return fmt.Errorf("%s is no JSON: give the text of the schema as the registry or the file has it", what)
}

// inliner puts Avro types in the place of their names.
type inliner struct{ types map[string]json.RawMessage }

// maxDepth bounds how deep a schema may nest.
const maxDepth = 200

func (x *inliner) inline(data json.RawMessage, depth int) (json.RawMessage, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("its schema nests more than %d deep: flatten it", maxDepth)
	}
	var name string
	if json.Unmarshal(data, &name) == nil {
		if text, ok := x.types[name]; ok {
			delete(x.types, name) // from here on the name is known
			return x.inline(text, depth+1)
		}
		return data, nil
	}
	var union []json.RawMessage
	if json.Unmarshal(data, &union) == nil {
		for i := range union {
			var err error
			if union[i], err = x.inline(union[i], depth+1); err != nil {
				return nil, err
			}
		}
		return json.Marshal(union)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		return nil, errNoJSON("its Avro schema")
	}
	for _, part := range []string{"type", "items", "values"} {
		if err := x.part(object, part, depth); err != nil {
			return nil, err
		}
	}
	var fields []map[string]json.RawMessage
	if json.Unmarshal(object["fields"], &fields) == nil {
		for _, f := range fields {
			if err := x.part(f, "type", depth); err != nil {
				return nil, err
			}
		}
		var err error
		if object["fields"], err = json.Marshal(fields); err != nil {
			return nil, err
		}
	}
	return json.Marshal(object)
}

func (x *inliner) part(object map[string]json.RawMessage, key string, depth int) (err error) {
	if part, ok := object[key]; ok {
		object[key], err = x.inline(part, depth+1)
	}
	return err
}

// The dialects of JSON Schema.
const (
	draft07   = "application/schema+json;version=draft-07"
	draft2020 = "application/schema+json;version=draft-2020-12"
)

// jsonSchema is a JSON Schema whose references lead to where its parts stand in the document.
func (b *builder) jsonSchema(key string, s schema.Schema) (string, json.RawMessage, error) {
	places := map[string]string{}
	for _, r := range s.References {
		component, err := b.component(r.Name, schema.Schema{Kind: schema.JSONType, Name: r.Name, Text: r.Text})
		if err != nil {
			return "", nil, fmt.Errorf("reference %q: %w", r.Name, err)
		}
		places[r.Name] = schemaRef(component) + "/schema"
	}
	var head struct {
		Schema string `json:"$schema"`
	}
	if !json.Valid([]byte(s.Text)) {
		return "", nil, errNoJSON("its JSON Schema")
	}
	format := draft2020
	if json.Unmarshal([]byte(s.Text), &head) == nil && strings.Contains(head.Schema, "draft-07") {
		format = draft07
	}
	places[""] = schemaRef(key) + "/schema"
	data, err := moveRefs(json.RawMessage(s.Text), places, 0)
	return format, data, err
}

// moveRefs rewrites what $ref names: a part of the schema itself, or one of its references.
func moveRefs(data json.RawMessage, places map[string]string, depth int) (json.RawMessage, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("its schema nests more than %d deep: flatten it", maxDepth)
	}
	var list []json.RawMessage
	if json.Unmarshal(data, &list) == nil && list != nil {
		for i := range list {
			var err error
			if list[i], err = moveRefs(list[i], places, depth+1); err != nil {
				return nil, err
			}
		}
		return json.Marshal(list)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil || object == nil {
		return data, nil // a text, a number, true, false or null
	}
	for key, value := range object {
		var target string
		var err error
		if key == "$ref" && json.Unmarshal(value, &target) == nil {
			name, fragment, _ := strings.Cut(target, "#")
			place, ok := places[name]
			if !ok || fragment != "" && !strings.HasPrefix(fragment, "/") {
				return nil, fmt.Errorf("its $ref %q leads out of the schema: give what it names among the references", target)
			}
			object[key], err = json.Marshal(place + fragment)
		} else {
			object[key], err = moveRefs(value, places, depth+1)
		}
		if err != nil {
			return nil, err
		}
	}
	return json.Marshal(object)
}
