package avro

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// options are what a field's tag says of its type.
type options struct {
	logical  logical // empty: by the Go type
	decimals         // of the logical type decimal
	fixed    bool    // a UUID as 16 bytes
	optional bool    // nil is null, for types that have a nil and are no pointers for it
	symbols  []string
	fallback string   // an enum's default symbol
	aliases  []string // of the field
	initial  *string  // the default's text
}

// member is a field of a Go struct, or of one embedded in it, that takes part.
type member struct {
	name  string // Avro's
	path  string // Go's, for messages
	index []int
	typ   reflect.Type
	options
}

// recordTag is the tag of the field named _, which speaks of the struct as a whole.
type recordTag struct {
	name    string
	aliases []string
}

// members returns the fields of a struct by the rules of encoding/json: the name comes from the
// tag, fields that are not exported are left out, and those of embedded structs count as if
// they stood in the outer one, where the outermost of one name wins.
func members(t reflect.Type) ([]member, recordTag, faults) {
	var w memberWalk
	w.walk(t, nil, "")
	all, clashes := outermost(w.found)
	return all, w.tag, append(w.faults, clashes...)
}

type memberWalk struct {
	found  []member
	tag    recordTag
	faults faults
	outer  []reflect.Type
}

func (w *memberWalk) walk(t reflect.Type, index []int, path string) {
	w.outer = append(w.outer, t)
	for i := range t.NumField() {
		f := t.Field(i)
		m, use, faults := memberOf(f)
		w.faults = w.faults.and(faults.under(f.Name))
		m.index = append(slices.Clone(index), i)
		m.path = strings.TrimPrefix(path+"."+f.Name, ".")
		switch {
		case f.Name == "_":
			if len(index) == 0 && f.Tag.Get("avro") != "" {
				w.tag = recordTag{m.name, m.aliases}
			}
		case !use:
		case !f.Anonymous || named(f) || !isPlainStruct(f.Type):
			if f.IsExported() {
				w.found = append(w.found, m)
			}
		default:
			w.walk(f.Type, m.index, m.path)
		}
		if use && f.Anonymous && !named(f) && f.Type.Kind() == reflect.Pointer && isPlainStruct(f.Type.Elem()) {
			w.faults = append(w.faults, fault{m.path, "an embedded pointer has no place for nil: embed the struct itself, or give the field a name"})
		}
	}
}

func named(f reflect.StructField) bool {
	name, _, _ := strings.Cut(f.Tag.Get("avro"), ",")
	if name == "" {
		name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
	}
	return name != ""
}

// outermost leaves one member of each name.
func outermost(found []member) ([]member, faults) {
	var out []member
	var clashes faults
	at := map[string]int{}
	for _, m := range found {
		i, taken := at[m.name]
		switch {
		case !taken:
			at[m.name] = len(out)
			out = append(out, m)
		case len(m.index) < len(out[i].index):
			out[i] = m
		case len(m.index) == len(out[i].index):
			clashes = append(clashes, fault{m.path, "is named " + m.name + ", as " + out[i].path + " is: give one of them another name"})
		}
	}
	return out, clashes
}

func memberOf(f reflect.StructField) (m member, use bool, found faults) {
	tag := f.Tag.Get("avro")
	name, rest, _ := strings.Cut(tag, ",")
	if name == "" {
		name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
		if f.Tag.Get("json") == "-" {
			name = "-"
		}
	}
	if name == "-" {
		return m, false, nil
	}
	m = member{name: name, typ: f.Type}
	if m.name == "" {
		m.name = f.Name
	}
	for rest != "" {
		var option string
		if strings.HasPrefix(rest, "default=") {
			option, rest = rest, ""
		} else {
			option, rest, _ = strings.Cut(rest, ",")
		}
		if f := m.set(option); f != nil {
			found = found.and(f)
		}
	}
	if m.fallback != "" && len(m.symbols) == 0 {
		found = append(found, faultf("tag has enum-default without enum")...)
	}
	return m, true, found
}

func (o *options) set(option string) faults {
	key, value, _ := strings.Cut(option, "=")
	switch key {
	case "alias":
		o.aliases = strings.Split(value, "|")
	case "default":
		o.initial = &value
	case "enum":
		o.symbols = strings.Split(value, "|")
	case "enum-default":
		o.fallback = value
	case "decimal":
		return o.setDecimal(value)
	case "optional":
		o.optional = true
	case "uuid":
		o.logical, o.fixed = uuidText, value == "fixed"
	case string(date), string(timeMillis), string(timeMicros),
		string(timestampMillis), string(timestampMicros), string(timestampNanos),
		string(localTimestampMillis), string(localTimestampMicros), string(localTimestampNanos):
		o.logical = logical(key)
	default:
		return faultf("tag has the unknown option %q: the package's documentation lists them", option)
	}
	return nil
}

func (o *options) setDecimal(value string) faults {
	precision, scale, _ := strings.Cut(value, ".")
	p, err := strconv.Atoi(precision)
	s := 0
	if err == nil && scale != "" {
		s, err = strconv.Atoi(scale)
	}
	if err != nil || p < 1 || p > maxPrecision || s < 0 || s > p {
		return faultf("tag has decimal=%s: write the number of digits, a point, and how many of them stand after the decimal point, as in decimal=12.2", value)
	}
	o.logical, o.decimals = decimal, decimals{p, s}
	return nil
}
