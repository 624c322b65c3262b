package avro

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// derive writes the schema of a Go type. The same type gives the same text.
func derive(t reflect.Type, namespace string) (string, faults) {
	d := deriver{namespace: namespace, named: map[string]definition{}}
	text, found := d.typ(t, place{})
	return string(text), found
}

type deriver struct {
	namespace string
	named     map[string]definition
}

// definition is what has a name already. One Go type may not have it for two.
type definition struct {
	typ  reflect.Type
	text string // of what is no record
}

// place is where a type stands: types without a name get one by it.
type place struct {
	options
	record, namespace, field string
}

// schemaJSON and fieldJSON have the order in which schemas are mostly written.
type schemaJSON struct {
	Type        json.RawMessage `json:"type"`
	LogicalType logical         `json:"logicalType,omitempty"`
	Precision   int             `json:"precision,omitempty"`
	Scale       int             `json:"scale,omitempty"`
	Name        string          `json:"name,omitempty"`
	Namespace   string          `json:"namespace,omitempty"`
	Aliases     []string        `json:"aliases,omitempty"`
	Symbols     []string        `json:"symbols,omitempty"`
	Default     string          `json:"default,omitempty"`
	Size        int             `json:"size,omitempty"`
	Items       json.RawMessage `json:"items,omitempty"`
	Values      json.RawMessage `json:"values,omitempty"`
	Fields      *[]fieldJSON    `json:"fields,omitempty"`
}

type fieldJSON struct {
	Name    string          `json:"name"`
	Aliases []string        `json:"aliases,omitempty"`
	Type    json.RawMessage `json:"type"`
	Default json.RawMessage `json:"default,omitempty"`
}

func quoted(text string) json.RawMessage { return json.RawMessage(strconv.Quote(text)) }

// definition cannot fail to marshal: all raw parts were written here.
func (d *deriver) definition(s schemaJSON) json.RawMessage {
	text, err := json.Marshal(s)
	if err != nil {
		return quoted(err.Error())
	}
	return text
}

func (d *deriver) typ(t reflect.Type, at place) (json.RawMessage, faults) {
	if isOptional(t) {
		if isOptional(t.Elem()) {
			return nil, faultf("%s is a pointer to a pointer, and a union cannot hold a union: leave one out", t)
		}
		if at.field == "" {
			return d.typ(t.Elem(), at)
		}
		inner, found := d.typ(t.Elem(), at)
		if at.initial != nil && *at.initial != "null" {
			return fmt.Appendf(nil, `[%s,"null"]`, inner), found
		}
		return fmt.Appendf(nil, `["null",%s]`, inner), found
	}
	if at.optional {
		if !hasNil(t) {
			return nil, faultf("tag says optional, and %s has no nil for it: make it a pointer", t)
		}
		at.optional = false
		inner, found := d.typ(t, at)
		return fmt.Appendf(nil, `["null",%s]`, inner), found
	}
	if text, found, ok := d.special(t, at); ok {
		return text, found
	}
	if at.logical != "" {
		return nil, faultf("tag says %s, which %s cannot be", at.logical, t)
	}
	switch t.Kind() {
	case reflect.Bool:
		return quoted("boolean"), nil
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Uint8, reflect.Uint16:
		return quoted("int"), nil
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint, reflect.Uint64:
		return quoted("long"), nil
	case reflect.Float32:
		return quoted("float"), nil
	case reflect.Float64:
		return quoted("double"), nil
	case reflect.String:
		return quoted("string"), nil
	case reflect.Slice, reflect.Array:
		items, found := d.typ(t.Elem(), at.within())
		return d.definition(schemaJSON{Type: quoted("array"), Items: items}), found.under("[]")
	case reflect.Map:
		if t.Key().Kind() != reflect.String || isText(t.Key()) {
			return nil, faultf("the keys of %s are no plain strings, as those of an Avro map have to be", t)
		}
		values, found := d.typ(t.Elem(), at.within())
		return d.definition(schemaJSON{Type: quoted("map"), Values: values}), found.under("[]")
	case reflect.Struct:
		return d.record(t, at)
	case reflect.Interface:
		return nil, faultf("%s says nothing of what it holds: give the type's schema in Config.Schemas", t)
	default:
		return nil, faultf("%s cannot be written in Avro: leave the field out by the tag `avro:\"-\"`", t)
	}
}

// within is the place of what a slice or a map holds: its pointers are optional as those of
// fields are, and the default is not its own.
func (p place) within() place {
	p.initial, p.optional = nil, false
	if p.field == "" {
		p.field = "Item"
	}
	return p
}

// special writes types that are not what their kind says.
func (d *deriver) special(t reflect.Type, at place) (json.RawMessage, faults, bool) {
	symbols, fallback := symbolsOf(t)
	if t.Kind() == reflect.String && len(at.symbols) > 0 {
		symbols, fallback = at.symbols, at.fallback
	}
	switch {
	case isRat(t):
		if at.logical != decimal {
			return nil, faultf("%s needs its digits: say them in the tag, as in `avro:\"price,decimal=12.2\"`", t), true
		}
		text := d.definition(schemaJSON{Type: quoted("bytes"), LogicalType: decimal, Precision: at.precision, Scale: at.scale})
		return text, nil, true
	case isTime(t):
		l := at.logical
		if l == "" {
			l = timestampMicros
		}
		return d.counted(t, l, l.isInstant())
	case isDuration(t) && at.logical != "":
		return d.counted(t, at.logical, at.logical.isTimeOfDay())
	case isUUID(t) && (at.logical == uuidText || t == reflect.TypeFor[uuid.UUID]()):
		if at.fixed {
			text, found := d.define(t, at, schemaJSON{Type: quoted("fixed"), LogicalType: uuidText, Size: t.Len()})
			return text, found, true
		}
		return d.definition(schemaJSON{Type: quoted("string"), LogicalType: uuidText}), nil, true
	case t.Kind() == reflect.String && at.logical == uuidText:
		return d.definition(schemaJSON{Type: quoted("string"), LogicalType: uuidText}), nil, true
	case len(symbols) > 0:
		text, found := d.define(t, at, schemaJSON{Type: quoted("enum"), Symbols: symbols, Default: fallback})
		return text, found, true
	case isText(t):
		return quoted("string"), nil, true
	case isBytes(t):
		return quoted("bytes"), nil, true
	case isByteArray(t):
		text, found := d.define(t, at, schemaJSON{Type: quoted("fixed"), Size: t.Len()})
		return text, found, true
	}
	return nil, nil, false
}

func (d *deriver) counted(t reflect.Type, l logical, fits bool) (json.RawMessage, faults, bool) {
	if !fits {
		return nil, faultf("tag says %s, which %s cannot be", l, t), true
	}
	number := kindLong
	if l.belongsTo(kindInt) {
		number = kindInt
	}
	return d.definition(schemaJSON{Type: quoted(string(number)), LogicalType: l}), nil, true
}

// names gives a named type its name: that of the Go type, or else one of its place.
func (d *deriver) names(t reflect.Type, at place) (name, namespace string, found faults) {
	namespace = d.namespace
	if t.Name() == "" || t.PkgPath() == "" { // also a plain string that a tag makes an enum
		switch {
		case at.record != "":
			return at.record + "_" + at.field, at.namespace, nil
		case t == reflect.TypeFor[struct{}](): // of a step without data
			return "Empty", namespace, nil
		default:
			return "", "", faultf("%s has no name, as an Avro type needs: define it as a type of its own", t)
		}
	}
	if namespace == "" {
		namespace = packageName(t.PkgPath())
	}
	return recordName(t), namespace, nil
}

// define writes an enum or a fixed, or its name where it was written before.
func (d *deriver) define(t reflect.Type, at place, s schemaJSON) (json.RawMessage, faults) {
	name, namespace, found := d.names(t, at)
	if found != nil {
		return nil, found
	}
	s.Name, s.Namespace = name, namespace
	text := d.definition(s)
	full := dotted(namespace, name)
	if known, ok := d.named[full]; ok {
		if known.typ != t || known.text != string(text) {
			return nil, faultf("%s and %s would both be named %s: give one of them another name", known.typ, t, full)
		}
		return quoted(full), nil
	}
	d.named[full] = definition{t, string(text)}
	return text, nil
}

func dotted(namespace, name string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func (d *deriver) record(t reflect.Type, at place) (json.RawMessage, faults) {
	all, tag, found := members(t)
	if len(found) > 0 {
		return nil, found
	}
	if len(all) == 0 && hasFields(t) {
		return nil, faultf("%s has no exported field that could be written: give it methods MarshalText and UnmarshalText, or leave it out by the tag `avro:\"-\"`", t)
	}
	name, namespace, found := d.names(t, at)
	if tag.name != "" && tag.name != "_" {
		name, found = tag.name, nil
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			namespace, name = name[:i], name[i+1:]
		}
	}
	if found != nil {
		return nil, found
	}
	full := dotted(namespace, name)
	if known, ok := d.named[full]; ok {
		if known.typ != t {
			return nil, faultf("%s and %s would both be named %s: give one of them another by the field _ struct{} `avro:\"Name\"`", known.typ, t, full)
		}
		return quoted(full), nil
	}
	d.named[full] = definition{typ: t}
	fields := make([]fieldJSON, 0, len(all))
	for _, m := range all {
		f, faults := d.field(m, place{m.options, name, namespace, m.name})
		found = found.and(faults.under(m.path))
		fields = append(fields, f)
	}
	return d.definition(schemaJSON{
		Type: quoted("record"), Name: name, Namespace: namespace, Aliases: tag.aliases, Fields: &fields,
	}), found
}

func hasFields(t reflect.Type) bool {
	for i := range t.NumField() {
		if t.Field(i).Name != "_" {
			return true
		}
	}
	return false
}

func (d *deriver) field(m member, at place) (fieldJSON, faults) {
	if !isName(m.name) {
		return fieldJSON{}, faultf("%q is no name for Avro, which takes letters, digits and _: give it one by the tag `avro:\"…\"`", m.name)
	}
	text, found := d.typ(m.typ, at)
	f := fieldJSON{Name: m.name, Aliases: m.aliases, Type: text}
	switch {
	case m.initial != nil:
		value, faults := defaultJSON(m)
		f.Default = value
		found = found.and(faults)
	case isOptional(m.typ) || m.optional:
		f.Default = json.RawMessage("null")
	}
	return f, found
}

// defaultJSON writes what a tag says as a default: text as it is, all else as JSON.
func defaultJSON(m member) (json.RawMessage, faults) {
	t := m.typ
	if isOptional(t) {
		t = t.Elem()
		if *m.initial == "null" {
			return json.RawMessage("null"), nil
		}
	}
	switch {
	case isRat(t):
		return defaultDecimal(m)
	case t.Kind() == reflect.String || isBytes(t) || isByteArray(t) || isText(t) && !isTime(t):
		text, err := json.Marshal(*m.initial)
		if err != nil {
			return nil, faultf("default %q: %s", *m.initial, err)
		}
		return text, nil
	case json.Valid([]byte(*m.initial)):
		return json.RawMessage(*m.initial), nil
	default:
		return nil, faultf("default %q is no JSON, which a default of %s has to be", *m.initial, m.typ)
	}
}

// defaultDecimal writes the bytes of the number as JSON has bytes: each as the character of its
// number.
func defaultDecimal(m member) (json.RawMessage, faults) {
	r, ok := new(big.Rat).SetString(*m.initial)
	if !ok || len(*m.initial) > maxPrecision {
		return nil, faultf("default %q is no number", *m.initial)
	}
	b, err := m.bytesOf(r)
	if err != nil {
		return nil, faultf("default: %s", err)
	}
	characters := make([]rune, len(b))
	for i, c := range b {
		characters[i] = rune(c)
	}
	text, err := json.Marshal(string(characters))
	if err != nil {
		return nil, faultf("default %q: %s", *m.initial, err)
	}
	return text, nil
}
