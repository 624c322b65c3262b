package avro

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/avro"

	"github.com/choreo-go/choreo/schema"
)

// kind is a type of Avro.
type kind string

const (
	kindNull    kind = "null"
	kindBoolean kind = "boolean"
	kindInt     kind = "int"
	kindLong    kind = "long"
	kindFloat   kind = "float"
	kindDouble  kind = "double"
	kindBytes   kind = "bytes"
	kindString  kind = "string"
	kindRecord  kind = "record"
	kindEnum    kind = "enum"
	kindFixed   kind = "fixed"
	kindArray   kind = "array"
	kindMap     kind = "map"
	kindUnion   kind = "union"
)

// typ is a schema as the codec works with it: names are resolved and references followed, so
// that a recursive schema is a graph with a cycle. It does not change once built.
type typ struct {
	kind     kind
	logical  logical
	name     string   // full name of a record, enum or fixed
	aliases  []string // as written: with a dot a full name, else a name of any namespace
	fields   []*field
	symbols  []string
	fallback string // symbol of an enum for those that it does not know; empty: none
	size     int    // of a fixed
	decimals        // of the logical type decimal
	items    *typ   // of an array; the values of a map
	branches []*typ // of a union
	physical string // the name that goavro knows a union's branch by
}

type decimals struct{ precision, scale int }

type field struct {
	name       string
	aliases    []string
	typ        *typ
	hasDefault bool
	ready      bool
	value      any // the default, in goavro's native form, once ready
}

// String names the type in messages.
func (t *typ) String() string {
	switch {
	case t.name != "":
		return fmt.Sprintf("%s %s", t.kind, t.name)
	case t.kind == kindUnion:
		const most = 16
		names := make([]string, min(len(t.branches), most), most+1)
		for i := range names {
			names[i] = t.branches[i].String()
		}
		if len(t.branches) > most {
			names = append(names, "…")
		}
		return fmt.Sprintf("union of %s", strings.Join(names, ", "))
	case t.logical == decimal:
		return fmt.Sprintf("%s (decimal, precision %d, scale %d)", t.kind, t.precision, t.scale)
	case t.logical != "":
		return fmt.Sprintf("%s (%s)", t.kind, t.logical)
	default:
		return string(t.kind)
	}
}

// branch returns the branch of the kind, or nil.
func (t *typ) branch(k kind) *typ {
	for _, b := range t.branches {
		if b.kind == k {
			return b
		}
	}
	return nil
}

func (t *typ) field(name string) *field {
	for _, f := range t.fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

// parse builds the graph of a schema and of what it references.
func parse(s schema.Schema) (*typ, error) {
	if s.Kind != schema.Avro && s.Kind != "" {
		return nil, fmt.Errorf("avro: schema %s is %s, not Avro: read it by the codec of its kind", s.Name, s.Kind)
	}
	cache := avro.SchemaCache{}
	b := builder{named: map[string]*typ{}}
	for _, ref := range s.References {
		if _, err := b.parse(&cache, ref.Text); err != nil {
			return nil, fmt.Errorf("%w (referenced as %s)", err, ref.Name)
		}
	}
	return b.parse(&cache, s.Text)
}

type builder struct {
	named map[string]*typ
	late  []func() error // defaults, whose types may not be complete when they are read
}

func (b *builder) parse(cache *avro.SchemaCache, text string) (*typ, error) {
	if err := checkSize(text); err != nil {
		return nil, err
	}
	parsed, err := cache.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("avro: schema is not valid: %w", err)
	}
	t, err := b.build(parsed.Root(), "")
	if err != nil {
		return nil, err
	}
	for _, complete := range b.late {
		if err := complete(); err != nil {
			return nil, err
		}
	}
	b.late = nil
	return t, nil
}

// build takes the namespace that stands around the node: a name without a dot is of that one.
func (b *builder) build(n *avro.SchemaNode, around string) (*typ, error) {
	t := &typ{kind: kind(n.Type), physical: n.Type}
	switch n.Type {
	case "record", "error", "enum", "fixed":
		return t, b.define(t, n)
	case "array":
		return t, b.child(&t.items, n.Items, around)
	case "map":
		return t, b.child(&t.items, n.Values, around)
	case "union":
		t.branches = make([]*typ, len(n.Branches))
		for i := range n.Branches {
			if err := b.child(&t.branches[i], &n.Branches[i], around); err != nil {
				return nil, err
			}
		}
		return t, nil
	case "null", "boolean", "int", "long", "float", "double", "bytes", "string":
		t.setLogical(n)
		return t, nil
	}
	for _, full := range []string{dotted(around, n.Type), n.Type} {
		if known := b.named[full]; known != nil {
			return known, nil
		}
	}
	return nil, fmt.Errorf("avro: schema names the type %s, which neither it nor its references define", n.Type)
}

func (b *builder) child(into **typ, n *avro.SchemaNode, around string) (err error) {
	*into, err = b.build(n, around)
	return err
}

func (b *builder) define(t *typ, n *avro.SchemaNode) error {
	t.name = fullName(n)
	t.aliases = n.Aliases
	t.symbols = n.Symbols
	t.size = n.Size
	if n.HasEnumDefault {
		t.fallback = n.EnumDefault
	}
	// The dot keeps goavro from putting the namespace of an enclosing type in front, and the
	// number keeps apart what has one name in two namespaces.
	t.physical = fmt.Sprintf("t%d.%s", len(b.named), shortName(t.name))
	b.named[t.name] = t
	if n.Type == "error" {
		t.kind = kindRecord
	}
	t.setLogical(n)
	for i := range n.Fields {
		from := &n.Fields[i]
		f := &field{name: from.Name, aliases: from.Aliases, hasDefault: from.HasDefault}
		if err := b.child(&f.typ, &from.Type, namespaceOf(t.name)); err != nil {
			return err
		}
		if f.hasDefault {
			b.late = append(b.late, func() (err error) {
				f.value, err = nativeDefault(f.typ, from.Default)
				if err != nil {
					return fmt.Errorf("avro: default of field %s of %s: %w", f.name, t.name, err)
				}
				f.ready = true
				return nil
			})
		}
		t.fields = append(t.fields, f)
	}
	return nil
}

// setLogical keeps the logical types that mean something here. As the specification asks,
// others, and those on a type that they do not belong to, leave the type as it is.
func (t *typ) setLogical(n *avro.SchemaNode) {
	l := logical(n.LogicalType)
	switch {
	case !l.belongsTo(t.kind):
		return
	case l == decimal && n.Precision <= 0:
		return
	case l == uuidText && t.kind == kindFixed && t.size != 16:
		return
	}
	t.logical = l
	t.decimals = decimals{n.Precision, n.Scale}
}

// nativeDefault turns a parsed default into goavro's native form.
func nativeDefault(t *typ, value any) (any, error) {
	switch t.kind {
	case kindUnion:
		for _, b := range t.branches {
			if native, err := nativeDefault(b, value); err == nil {
				return inUnion(b, native), nil
			}
		}
	case kindArray:
		if items, ok := value.([]any); ok {
			return nativeItems(t.items, items)
		}
	case kindMap:
		if values, ok := value.(map[string]any); ok {
			return nativeValues(t.items, values)
		}
	case kindRecord:
		if values, ok := value.(map[string]any); ok {
			return nativeFields(t, values)
		}
	default:
		if t.holds(value) {
			return value, nil
		}
	}
	return nil, fmt.Errorf("%v (%T) is no value of %s", value, value, t)
}

// inUnion wraps a value of the branch as goavro wants it.
func inUnion(branch *typ, native any) any {
	if branch.kind == kindNull {
		return nil
	}
	return map[string]any{branch.physical: native}
}

func nativeItems(t *typ, items []any) (any, error) {
	out := make([]any, len(items))
	for i, item := range items {
		var err error
		if out[i], err = nativeDefault(t, item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func nativeValues(t *typ, values map[string]any) (any, error) {
	out := make(map[string]any, len(values))
	for key, value := range values {
		var err error
		if out[key], err = nativeDefault(t, value); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func nativeFields(t *typ, values map[string]any) (any, error) {
	out := make(map[string]any, len(t.fields))
	for _, f := range t.fields {
		value, ok := values[f.name]
		switch {
		case ok:
			var err error
			if out[f.name], err = nativeDefault(f.typ, value); err != nil {
				return nil, err
			}
		case f.ready:
			out[f.name] = f.value
		case f.hasDefault:
			return nil, fmt.Errorf("it leaves out field %s of %s, whose default comes later: write it out", f.name, t.name)
		default:
			return nil, fmt.Errorf("field %s of %s is missing", f.name, t.name)
		}
	}
	for name := range values {
		if t.field(name) == nil {
			return nil, fmt.Errorf("%s has no field %s", t.name, name)
		}
	}
	return out, nil
}

// holds says whether the value is one of the simple type, in native form.
func (t *typ) holds(value any) bool {
	switch v := value.(type) {
	case nil:
		return t.kind == kindNull
	case bool:
		return t.kind == kindBoolean
	case int32:
		return t.kind == kindInt
	case int64:
		return t.kind == kindLong
	case float32:
		return t.kind == kindFloat
	case float64:
		return t.kind == kindDouble
	case string:
		return t.kind == kindString || t.kind == kindEnum && slices.Contains(t.symbols, v)
	case []byte:
		return t.kind == kindBytes || t.kind == kindFixed && len(v) == t.size
	default:
		return false
	}
}

func shortName(full string) string { return full[strings.LastIndexByte(full, '.')+1:] }

func namespaceOf(full string) string { return full[:max(strings.LastIndexByte(full, '.'), 0)] }
