package jsonschema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/choreo-go/choreo/schema"
)

// Draft is the "$schema" of what [For] returns.
const Draft = "https://json-schema.org/draft/2020-12/schema"

// For returns the schema of a type, with the name of the type in Go. The text is the same for the
// same type, always. The error names the field that JSON has no form for.
func For(t reflect.Type) (schema.Schema, error) {
	if t == nil {
		return schema.Schema{}, fmt.Errorf("jsonschema: no type: hand in one, such as reflect.TypeFor[Order]()")
	}
	for t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	d := &deriver{names: map[reflect.Type]string{}, defs: map[string]*jsonschema.Schema{}, root: t}
	root, err := d.body(t, t.String())
	if err != nil {
		return schema.Schema{}, fmt.Errorf("jsonschema: type %s: %w", t, err)
	}
	root.Schema, root.Title = Draft, plainName(t)
	if len(d.defs) > 0 {
		root.Defs = d.defs
	}
	text, err := json.Marshal(root)
	if err != nil {
		return schema.Schema{}, fmt.Errorf("jsonschema: type %s: %w", t, err)
	}
	return schema.Schema{Kind: schema.JSONType, Name: plainName(t), Text: string(text)}, nil
}

// deriver walks a type. A named type that holds others is a definition, or the root.
type deriver struct {
	root  reflect.Type
	names map[reflect.Type]string
	defs  map[string]*jsonschema.Schema
}

// schemaOf returns the schema of a part, by reference where it has a name. path says where it is.
func (d *deriver) schemaOf(t reflect.Type, path string) (*jsonschema.Schema, error) {
	if t.Name() == "" || !holdsOthers(t) || ownJSON(t) != nil {
		return d.body(t, path)
	}
	if t == d.root {
		return &jsonschema.Schema{Ref: "#"}, nil
	}
	name, known := d.names[t]
	if !known {
		name = d.newName(t)
		d.names[t] = name
		d.defs[name] = &jsonschema.Schema{} // the name is taken while the body is derived
		body, err := d.body(t, path)
		if err != nil {
			return nil, err
		}
		d.defs[name] = body
	}
	return &jsonschema.Schema{Ref: "#/$defs/" + name}, nil
}

func holdsOthers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Array, reflect.Map, reflect.Pointer:
		return true
	}
	return false
}

// newName is the name of the type, with its package where another type has that name.
func (d *deriver) newName(t reflect.Type) string {
	name := plainName(t)
	if _, taken := d.defs[name]; !taken {
		return name
	}
	name = plain(t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]) + "." + name
	for unique, i := name, 2; ; unique, i = fmt.Sprintf("%s_%d", name, i), i+1 {
		if _, taken := d.defs[unique]; !taken {
			return unique
		}
	}
}

// plainName is the name of a type as a word: "Page[github.com/shop.Order]" is "Page_Order".
func plainName(t reflect.Type) string {
	name, arguments, generic := strings.Cut(t.Name(), "[")
	if !generic {
		return plain(name)
	}
	for _, argument := range strings.Split(strings.TrimSuffix(arguments, "]"), ",") {
		argument = argument[strings.LastIndexByte(argument, '/')+1:]
		name += "_" + argument[strings.LastIndexByte(argument, '.')+1:]
	}
	return plain(name)
}

func plain(name string) string {
	letters := []rune(name)
	for i, r := range letters {
		if r > 127 || !strings.ContainsRune("_.-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", r) {
			letters[i] = '_'
		}
	}
	return string(letters)
}

// ownJSON returns the schema of a type that encoding/json does not look into, else nil.
func ownJSON(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[time.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[json.Number]():
		return &jsonschema.Schema{Type: "number"}
	case reflect.TypeFor[big.Int]():
		return &jsonschema.Schema{Type: "integer"}
	case reflect.TypeFor[json.RawMessage]():
		return &jsonschema.Schema{}
	}
	pointer := reflect.PointerTo(t)
	marshaler, textMarshaler := reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface:
		// A nil one is null, not what its method says.
		if t.Implements(marshaler) || t.Implements(textMarshaler) {
			return &jsonschema.Schema{}
		}
	case pointer.Implements(marshaler):
		return &jsonschema.Schema{}
	case t.Implements(textMarshaler):
		return &jsonschema.Schema{Type: "string"}
	case pointer.Implements(textMarshaler):
		return &jsonschema.Schema{} // the method is called only where the value has an address
	}
	return nil
}

// body returns what a type looks like, its own name aside.
func (d *deriver) body(t reflect.Type, path string) (*jsonschema.Schema, error) {
	if t.Kind() == reflect.Pointer {
		elem, err := d.schemaOf(t.Elem(), path)
		if err != nil {
			return nil, err
		}
		return nullable(elem), nil
	}
	if own := ownJSON(t); own != nil {
		return own, nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return integer(t), nil
	case reflect.Float32, reflect.Float64:
		return &jsonschema.Schema{Type: "number"}, nil
	case reflect.String:
		return &jsonschema.Schema{Type: "string"}, nil
	case reflect.Interface:
		return &jsonschema.Schema{}, nil
	case reflect.Slice, reflect.Array:
		return d.list(t, path)
	case reflect.Map:
		return d.dictionary(t, path)
	case reflect.Struct:
		return d.object(t, path)
	default:
		return nil, fmt.Errorf("%s is a %s, which JSON has no form for: tag the field `json:\"-\"`, or give its type a MarshalJSON", path, t)
	}
}

// integer has bounds where the type is so small that a wider one could not be read.
func integer(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "integer"}
	bits := t.Bits()
	switch unsigned := t.Kind() >= reflect.Uint; {
	case unsigned && bits <= 32:
		s.Minimum, s.Maximum = new(0.0), new(math.Exp2(float64(bits))-1)
	case unsigned:
		s.Minimum = new(0.0)
	case bits <= 32:
		s.Minimum, s.Maximum = new(-math.Exp2(float64(bits-1))), new(math.Exp2(float64(bits-1))-1)
	}
	return s
}

func nullable(s *jsonschema.Schema) *jsonschema.Schema {
	switch {
	case s.Type != "":
		s.Types, s.Type = []string{s.Type, "null"}, ""
	case s.Ref != "":
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "null"}}}
	}
	return s // it takes null already
}

func (d *deriver) list(t reflect.Type, path string) (*jsonschema.Schema, error) {
	elem := t.Elem()
	if t.Kind() == reflect.Slice && elem.Kind() == reflect.Uint8 && ownJSON(elem) == nil {
		return &jsonschema.Schema{Types: []string{"string", "null"}, ContentEncoding: "base64"}, nil
	}
	items, err := d.schemaOf(elem, path+"[]")
	if err != nil {
		return nil, err
	}
	if t.Kind() == reflect.Array {
		return &jsonschema.Schema{Type: "array", Items: items, MinItems: new(t.Len()), MaxItems: new(t.Len())}, nil
	}
	return &jsonschema.Schema{Types: []string{"array", "null"}, Items: items}, nil
}

func (d *deriver) dictionary(t reflect.Type, path string) (*jsonschema.Schema, error) {
	s := &jsonschema.Schema{Types: []string{"object", "null"}}
	switch kind := t.Key().Kind(); {
	case kind == reflect.String || t.Key().Implements(reflect.TypeFor[encoding.TextMarshaler]()):
	case kind >= reflect.Int && kind <= reflect.Int64:
		s.PropertyNames = &jsonschema.Schema{Pattern: "^-?[0-9]+$"}
	case kind >= reflect.Uint && kind <= reflect.Uintptr:
		s.PropertyNames = &jsonschema.Schema{Pattern: "^[0-9]+$"}
	default:
		return nil, fmt.Errorf("%s is a %s, whose keys JSON has no form for: use strings or integers, or give the key type a MarshalText", path, t)
	}
	values, err := d.schemaOf(t.Elem(), path+"{}")
	if err != nil {
		return nil, err
	}
	s.AdditionalProperties = values
	return s, nil
}

func (d *deriver) object(t reflect.Type, path string) (*jsonschema.Schema, error) {
	s := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}}
	for _, field := range fieldsOf(t) {
		at := path + "." + field.goName
		property, err := d.schemaOf(field.typ, at)
		if err != nil {
			return nil, err
		}
		if field.quoted {
			property = quoted(field.typ)
		}
		s.Properties[field.name] = property
		s.PropertyOrder = append(s.PropertyOrder, field.name)
		if !field.optional {
			s.Required = append(s.Required, field.name)
		}
	}
	return s, nil
}

// quoted is a value within a string, by the option of that name.
func quoted(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	if t.Kind() == reflect.Pointer {
		return nullable(s)
	}
	return s
}
