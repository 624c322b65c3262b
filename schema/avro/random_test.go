package avro

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/schema"
)

// node is a random schema, as JSON has it.
type node struct {
	Type      any         `json:"type"`
	Logical   logical     `json:"logicalType,omitempty"`
	Precision int         `json:"precision,omitempty"`
	Scale     int         `json:"scale,omitempty"`
	Name      string      `json:"name,omitempty"`
	Namespace *string     `json:"namespace,omitempty"`
	Aliases   []string    `json:"aliases,omitempty"`
	Fields    []nodeField `json:"fields,omitzero"`
	Symbols   []string    `json:"symbols,omitempty"`
	Default   string      `json:"default,omitempty"`
	Size      int         `json:"size,omitempty"`
	Items     any         `json:"items,omitempty"`
	Values    any         `json:"values,omitempty"`

	kind  kind
	inner *node
	union []*node
	named *node  // what a node is that only names one
	full  string // name with its namespace
}

type nodeField struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"`
	Type    any      `json:"type"`
	Default any      `json:"default,omitempty"` // a json.RawMessage, or nothing

	node *node
}

func (n *node) text() string {
	b, err := json.Marshal(n.form())
	if err != nil {
		panic(err)
	}
	return string(b)
}

// form is the node as it stands within another.
func (n *node) form() any {
	if n.named != nil {
		return n.full
	}
	if n.kind == kindUnion {
		forms := make([]any, len(n.union))
		for i, b := range n.union {
			forms[i] = b.form()
		}
		return forms
	}
	out := *n
	out.Type = n.kind
	switch n.kind {
	case kindArray:
		out.Items = n.inner.form()
	case kindMap:
		out.Values = n.inner.form()
	case kindRecord:
		out.Fields = make([]nodeField, len(n.Fields))
		for i, f := range n.Fields {
			f.Type = f.node.form()
			out.Fields[i] = f
		}
	}
	return out
}

// drawer draws schemas, changes of them, and values.
type drawer struct {
	t      *rapid.T
	names  int
	around string  // the namespace
	known  []*node // that can be named from anywhere
}

func (d *drawer) pick(label string, n int) int { return rapid.IntRange(0, n-1).Draw(d.t, label) }
func (d *drawer) chance(label string) bool     { return rapid.Bool().Draw(d.t, label) }

var simple = []kind{kindNull, kindBoolean, kindInt, kindLong, kindFloat, kindDouble, kindBytes, kindString}

func (d *drawer) schema(depth int) *node {
	nested := 3
	if depth <= 0 {
		nested = 0
	}
	switch d.pick("type", 7+nested) {
	case 0, 1, 2:
		return d.simple()
	case 3:
		return d.annotated()
	case 4:
		return d.define(&node{kind: kindEnum, Name: d.name("E"), Namespace: d.namespace(), Symbols: []string{"A", "B", "C"}[:1+d.pick("symbols", 3)]})
	case 5:
		return d.define(&node{kind: kindFixed, Name: d.name("F"), Namespace: d.namespace(), Size: 1 + d.pick("size", 3)})
	case 6:
		if len(d.known) == 0 {
			return d.simple()
		}
		of := d.known[d.pick("known", len(d.known))]
		out := *of
		out.named = of
		if d.around != "" && d.around == namespaceOf(of.full) && d.chance("short") {
			out.full = shortName(of.full)
		}
		return &out
	case 7:
		return d.record(depth)
	case 8:
		k := kindArray
		if d.chance("map") {
			k = kindMap
		}
		return &node{kind: k, inner: d.schema(depth - 1)}
	default:
		return d.unionOf(depth)
	}
}

func (d *drawer) simple() *node { return &node{kind: simple[d.pick("simple", len(simple))]} }

func (d *drawer) annotated() *node {
	switch d.pick("logical", 6) {
	case 0:
		return &node{kind: kindInt, Logical: date}
	case 1:
		return &node{kind: kindLong, Logical: timestampMillis}
	case 2:
		return &node{kind: kindLong, Logical: timestampMicros}
	case 3:
		return &node{kind: kindFixed, Name: d.name("D"), Size: 4, Logical: decimal, Precision: 6, Scale: 2}
	case 4:
		return &node{kind: kindString, Logical: "made-up"}
	default:
		return &node{kind: kindBytes, Logical: decimal, Precision: 6, Scale: 2}
	}
}

func (d *drawer) name(prefix string) string {
	d.names++
	return fmt.Sprintf("%s%d", prefix, d.names)
}

// namespace is none, that of the null namespace, or one.
func (d *drawer) namespace() *string {
	return []*string{nil, new(""), new("x"), new("x.y")}[d.pick("namespace", 4)]
}

func (d *drawer) record(depth int) *node {
	n := &node{kind: kindRecord, Name: d.name("R"), Namespace: d.namespace(), Fields: []nodeField{}}
	outer := d.around
	if n.Namespace != nil {
		d.around = *n.Namespace
	}
	for i := range d.pick("fields", 4) {
		n.Fields = append(n.Fields, nodeField{Name: fmt.Sprintf("f%d", i), node: d.schema(depth - 1)})
	}
	d.around = outer
	return d.define(n)
}

// define makes a type known, unless it is of the null namespace: that cannot be named from another.
func (d *drawer) define(n *node) *node {
	namespace := d.around
	if n.Namespace != nil {
		namespace = *n.Namespace
	}
	if n.full = dotted(namespace, n.Name); namespace != "" {
		d.known = append(d.known, n)
	}
	return n
}

func (d *drawer) unionOf(depth int) *node {
	n := &node{kind: kindUnion}
	var kinds []kind
	for range 1 + d.pick("branches", 3) {
		known := len(d.known)
		b := d.schema(depth - 1)
		unnamed := b.Name == ""
		again := func(other *node) bool { return b.full != "" && shortName(other.full) == shortName(b.full) }
		if b.kind == kindUnion || unnamed && slices.Contains(kinds, b.kind) || slices.ContainsFunc(n.union, again) {
			d.known = d.known[:known]
			continue
		}
		kinds = append(kinds, b.kind)
		n.union = append(n.union, b)
	}
	if len(n.union) == 0 {
		n.union = append(n.union, d.simple())
	}
	return n
}

// changed draws how a reader may see a schema: much of it can be read, some cannot.
func (d *drawer) changed(n *node) *node {
	if n.named != nil {
		return n
	}
	out := *n
	out.Aliases = nil
	if n.Name != "" && d.pick("rename", 8) == 0 {
		out.Name = d.name("N")
		if d.pick("alias", 4) > 0 {
			out.Aliases = []string{n.Name}
		}
	}
	switch n.kind {
	case kindInt, kindLong, kindFloat, kindString, kindBytes:
		if n.Logical == "" && d.pick("promote", 3) == 0 {
			return d.simple()
		}
	case kindEnum:
		out.Symbols = []string{"A", "C", "X"}[:1+d.pick("symbols", 3)]
		if d.chance("default symbol") {
			out.Default = "A"
		}
	case kindFixed:
		if n.Logical == "" && d.pick("size", 8) == 0 {
			out.Size++
		}
	case kindArray, kindMap:
		out.inner = d.changed(n.inner)
	case kindUnion:
		out.union = d.changedBranches(n.union)
	case kindRecord:
		out.Fields = d.changedFields(n.Fields)
	}
	if out.kind != kindUnion && d.pick("optional", 6) == 0 {
		branches := []*node{{kind: kindNull}, &out}
		if out.kind == kindNull {
			branches = branches[1:]
		}
		return &node{kind: kindUnion, union: branches}
	}
	return &out
}

func (d *drawer) changedBranches(from []*node) []*node {
	var out []*node
	for _, b := range from {
		if d.pick("drop branch", 6) == 0 {
			continue
		}
		c := d.changed(b)
		same := func(other *node) bool { return c.Name == "" && other.kind == c.kind }
		if c.kind != kindUnion && !slices.ContainsFunc(out, same) {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		out = append(out, d.simple())
	}
	return out
}

func (d *drawer) changedFields(from []nodeField) []nodeField {
	out := []nodeField{}
	for _, f := range from {
		if d.pick("drop field", 5) == 0 {
			continue
		}
		f.node = d.changed(f.node)
		if d.pick("rename field", 5) == 0 {
			f.Aliases = []string{f.Name}
			f.Name = "g" + f.Name
		}
		out = append(out, f)
	}
	if d.chance("add field") {
		f := nodeField{Name: "added", node: d.schema(1)}
		// The other implementation takes null for the default of a union that begins with it; the
		// specification does not.
		if f.node.kind == kindUnion && f.node.union[0].kind == kindNull || d.pick("default", 5) > 0 {
			f.Default = json.RawMessage(d.initial(f.node))
		}
		out = append(out, f)
	}
	return out
}

// initial draws the JSON of a default.
func (d *drawer) initial(n *node) string {
	switch n.kind {
	case kindNull:
		return "null"
	case kindBoolean:
		return "true"
	case kindInt, kindLong:
		return "7"
	case kindFloat, kindDouble:
		return "1.5"
	case kindBytes:
		return `"\u0001\u00ff"`
	case kindString:
		return `"text"`
	case kindEnum:
		return `"A"`
	case kindFixed:
		text := "\\u0000"
		for range n.Size - 1 {
			text += "\\u0002"
		}
		if n.Logical == decimal {
			text = "\\u0000\\u0000\\u0002\\u0002"
		}
		return `"` + text + `"`
	case kindArray:
		return "[" + d.initial(n.inner) + "]"
	case kindMap:
		return `{"k":` + d.initial(n.inner) + "}"
	case kindUnion:
		return d.initial(n.union[0])
	default:
		text := ""
		for i, f := range n.Fields {
			if i > 0 {
				text += ","
			}
			text += fmt.Sprintf("%q:%s", f.Name, d.initial(f.node))
		}
		return "{" + text + "}"
	}
}

// value draws a value in the form in which an interface gets it.
func (d *drawer) value(n *node) any {
	switch n.kind {
	case kindNull:
		return nil
	case kindBoolean:
		return d.chance("boolean")
	case kindInt:
		v := rapid.Int32().Draw(d.t, "int")
		if n.Logical == date {
			return date.toTime(int64(v))
		}
		return v
	case kindLong:
		v := rapid.Int64().Draw(d.t, "long")
		if n.Logical != "" {
			return n.Logical.toTime(v / 1_000_000)
		}
		return v
	case kindFloat:
		return rapid.Float32().Draw(d.t, "float")
	case kindDouble:
		return rapid.Float64().Draw(d.t, "double")
	case kindString:
		return rapid.String().Draw(d.t, "string")
	case kindEnum:
		return n.Symbols[d.pick("symbol", len(n.Symbols))]
	case kindBytes, kindFixed:
		if n.Logical == decimal {
			return big.NewRat(int64(d.pick("decimal", 1_999_999)-999_999), 100)
		}
		size := n.Size
		if n.kind == kindBytes {
			size = d.pick("length", 5)
		}
		return rapid.SliceOfN(rapid.Byte(), size, size).Draw(d.t, "bytes")
	case kindArray:
		out := make([]any, d.pick("items", 4))
		for i := range out {
			out[i] = d.value(n.inner)
		}
		return out
	case kindMap:
		out := map[string]any{}
		for range d.pick("entries", 3) {
			out[rapid.String().Draw(d.t, "key")] = d.value(n.inner)
		}
		return out
	case kindUnion:
		return d.value(n.union[d.pick("branch", len(n.union))])
	default:
		out := map[string]any{}
		for _, f := range n.Fields {
			out[f.Name] = d.value(f.node)
		}
		return out
	}
}

// encodeAny writes a value of which only the schema is known.
func encodeAny(text string, value any) ([]byte, error) {
	root, err := parse(schema.Schema{Kind: schema.Avro, Text: text})
	if err != nil {
		return nil, err
	}
	native, err := lowered(root)
	if err != nil {
		return nil, err
	}
	encode, found := newEncoders(&dynamicEncoders{}).compile(root, reflect.TypeFor[any]())
	if found != nil {
		return nil, found
	}
	in, found := encode(&writing{maxDepth: DefaultMaxDepth}, reflect.ValueOf(&value).Elem())
	if found != nil {
		return nil, found
	}
	return native.BinaryFromNative([]byte{}, in)
}

// decodeAny reads what was written by the one schema by the other.
func decodeAny(writerText, readerText string, body []byte) (out any, certain bool, err error) {
	writer, err := parse(schema.Schema{Kind: schema.Avro, Text: writerText})
	if err != nil {
		return nil, true, err
	}
	reader, err := parse(schema.Schema{Kind: schema.Avro, Text: readerText})
	if err != nil {
		return nil, true, err
	}
	decode, found := compileDecoder(writer, reader, reflect.TypeFor[any]())
	if found != nil {
		return nil, true, found
	}
	if found := scan(writer, body, DefaultMaxDepth); found != nil {
		return nil, false, found
	}
	native, err := lowered(writer)
	if err != nil {
		return nil, true, err
	}
	in, _, err := native.NativeFromBinary(body)
	if err != nil {
		return nil, false, err
	}
	found = decode(in, reflect.ValueOf(&out).Elem())
	return out, false, found.err()
}

// alike turns values of two implementations into one form.
func alike(v any) any {
	switch v := v.(type) {
	case float32:
		if math.IsNaN(float64(v)) {
			return "NaN"
		}
	case float64:
		if math.IsNaN(v) {
			return "NaN"
		}
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case *big.Rat:
		return v.RatString()
	case big.Rat:
		return v.RatString()
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = alike(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[key] = alike(value)
		}
		return out
	}
	return v
}

func schemaOf(text string) schema.Schema { return schema.Schema{Kind: schema.Avro, Text: text} }
func typeOf[T any]() reflect.Type        { return reflect.TypeFor[T]() }
func valueOf[T any](v *T) reflect.Value  { return reflect.ValueOf(v).Elem() }
