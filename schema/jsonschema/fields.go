package jsonschema

import (
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// field is one property of a struct, as encoding/json sees it.
type field struct {
	name, goName string
	typ          reflect.Type
	index        []int
	tagged       bool // the name comes from a tag, which wins over one that does not
	quoted       bool
	optional     bool
}

// embedded is a struct whose fields are promoted.
type embedded struct {
	typ      reflect.Type
	index    []int
	optional bool // it is behind a pointer, which may be nil
}

// fieldsOf returns the properties of a struct in the order in which they are written: all that
// can be reached through embedded structs, where of several with one name the least deep wins,
// then the one with a tag; if that leaves several, there is none
// (https://pkg.go.dev/encoding/json#Marshal).
func fieldsOf(t reflect.Type) []field {
	var all []field
	seen := map[reflect.Type]bool{}
	for level := []embedded{{typ: t}}; len(level) > 0; {
		var next []embedded
		times := map[reflect.Type]int{}
		for _, e := range level {
			times[e.typ]++
		}
		for _, e := range level {
			if seen[e.typ] {
				continue
			}
			seen[e.typ] = true
			fields, inner := e.fields()
			all = append(all, fields...)
			if times[e.typ] > 1 {
				all = append(all, fields...) // they take each other out
			}
			next = append(next, inner...)
		}
		level = next
	}
	byName := map[string][]field{}
	for _, f := range all {
		byName[f.name] = append(byName[f.name], f)
	}
	var kept []field
	for _, same := range byName {
		slices.SortStableFunc(same, func(a, b field) int {
			return cmp.Or(cmp.Compare(len(a.index), len(b.index)), -compareBool(a.tagged, b.tagged))
		})
		if len(same) == 1 || len(same[0].index) != len(same[1].index) || same[0].tagged != same[1].tagged {
			kept = append(kept, same[0])
		}
	}
	slices.SortFunc(kept, func(a, b field) int { return slices.Compare(a.index, b.index) })
	return kept
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// fields returns the properties of one struct and the structs that it embeds.
func (e embedded) fields() (fields []field, inner []embedded) {
	for i := range e.typ.NumField() {
		sf := e.typ.Field(i)
		under := sf.Type
		if under.Kind() == reflect.Pointer && under.Name() == "" {
			under = under.Elem()
		}
		if !sf.IsExported() && (!sf.Anonymous || under.Kind() != reflect.Struct) {
			continue
		}
		tag := sf.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, rest, _ := strings.Cut(tag, ",")
		options := strings.Split(rest, ",")
		if !validName(name) {
			name = ""
		}
		index := append(slices.Clone(e.index), i)
		pointer := sf.Type.Kind() == reflect.Pointer
		if name == "" && sf.Anonymous && under.Kind() == reflect.Struct {
			inner = append(inner, embedded{typ: under, index: index, optional: e.optional || pointer})
			continue
		}
		fields = append(fields, field{
			name: cmp.Or(name, sf.Name), goName: sf.Name, typ: sf.Type, index: index, tagged: name != "",
			quoted:   slices.Contains(options, "string") && quotable(under),
			optional: e.optional || pointer || slices.Contains(options, "omitempty") || slices.Contains(options, "omitzero"),
		})
	}
	return fields, inner
}

func quotable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return ownJSON(t) == nil || t == reflect.TypeFor[json.Number]()
	}
	return false
}

func validName(name string) bool {
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) {
			return false
		}
	}
	return true
}
