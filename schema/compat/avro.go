package compat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/avro"

	"github.com/choreo-go/choreo/schema"
)

// avroSchema is a schema whose names are resolved: a reference is the node that it means, so
// that a recursive schema is a graph with a cycle.
type avroSchema struct{ root *avroNode }

type avroNode struct {
	kind             string   // as Avro names it; an error is a record
	name             string   // full, of a record, enum or fixed
	aliases          []string // full too: one without a namespace is of the namespace of name
	logical          string
	precision, scale int64
	size             int
	fields           []avroField
	item             *avroNode // of an array or map
	branches         []*avroNode
	symbols          []string
	symbolDefault    bool
}

type avroField struct {
	name       string
	aliases    []string
	node       *avroNode
	hasDefault bool
}

func parseAvro(s schema.Schema) (*avroSchema, error) {
	var cache avro.SchemaCache
	defs := &avroNames{known: map[string]*avroNode{}}
	// References come in the order in which they need each other, but not every registry
	// keeps to it: go round as long as that helps.
	left := slices.Clone(s.References)
	for len(left) > 0 {
		var again []schema.Reference
		var failed error
		for _, ref := range left {
			parsed, err := cache.Parse(ref.Text)
			if err != nil {
				again, failed = append(again, ref), fmt.Errorf("reference %q: %w", ref.Name, err)
				continue
			}
			if _, err := defs.convert(parsed.Root(), ""); err != nil {
				return nil, fmt.Errorf("reference %q: %w", ref.Name, err)
			}
		}
		if len(again) == len(left) {
			return nil, failed
		}
		left = again
	}
	parsed, err := cache.Parse(s.Text)
	if err != nil {
		return nil, fmt.Errorf("correct its text: %w", err)
	}
	root, err := defs.convert(parsed.Root(), "")
	if err != nil {
		return nil, err
	}
	return &avroSchema{root: root}, defs.resolve()
}

// avroNames turns the parser's tree into a graph.
type avroNames struct {
	known map[string]*avroNode
	open  []avroOpen // references, resolved at the end: a name may be used before it is defined
}

type avroOpen struct {
	set       func(*avroNode)
	name      string
	namespace string
}

// child converts a node, and sets it at once or, where it is a reference, when all names
// are known.
func (d *avroNames) child(n *avro.SchemaNode, namespace string, set func(*avroNode)) error {
	if isAvroKind(n.Type) {
		node, err := d.convert(n, namespace)
		set(node)
		return err
	}
	d.open = append(d.open, avroOpen{set: set, name: n.Type, namespace: namespace})
	return nil
}

func (d *avroNames) resolve() error {
	for _, open := range d.open {
		node := d.known[qualify(open.name, open.namespace)]
		if node == nil {
			node = d.known[open.name]
		}
		if node == nil {
			return fmt.Errorf("name %q is not defined: add the schema that defines it to its references", open.name)
		}
		open.set(node)
	}
	d.open = nil
	return nil
}

func isAvroKind(kind string) bool {
	switch kind {
	case "null", "boolean", "int", "long", "float", "double", "bytes", "string",
		"record", "error", "enum", "fixed", "array", "map", "union":
		return true
	}
	return false
}

func qualify(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func shortName(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func (d *avroNames) convert(n *avro.SchemaNode, namespace string) (*avroNode, error) {
	node := &avroNode{
		kind: n.Type, logical: n.LogicalType, precision: int64(n.Precision), scale: int64(n.Scale),
		size: n.Size, symbols: n.Symbols, symbolDefault: n.HasEnumDefault,
	}
	if node.kind == "error" {
		node.kind = "record"
	}
	if node.named() {
		node.name = qualify(n.Name, n.Namespace)
		namespace = strings.TrimSuffix(strings.TrimSuffix(node.name, shortName(node.name)), ".")
		for _, alias := range n.Aliases {
			node.aliases = append(node.aliases, qualify(alias, namespace))
		}
		d.known[node.name] = node
	}
	// Slots are made first: those who fill them later hold their places.
	node.fields = make([]avroField, len(n.Fields))
	for i := range n.Fields {
		from, to := &n.Fields[i], &node.fields[i]
		to.name, to.aliases, to.hasDefault = from.Name, from.Aliases, from.HasDefault
		if err := d.child(&from.Type, namespace, func(c *avroNode) { to.node = c }); err != nil {
			return nil, err
		}
		to.lift(from.Props)
	}
	node.branches = make([]*avroNode, len(n.Branches))
	for i := range n.Branches {
		if err := d.child(&n.Branches[i], namespace, func(c *avroNode) { node.branches[i] = c }); err != nil {
			return nil, err
		}
	}
	item := n.Items
	if node.kind == "map" {
		item = n.Values
	}
	if item != nil && (node.kind == "array" || node.kind == "map") {
		if err := d.child(item, namespace, func(c *avroNode) { node.item = c }); err != nil {
			return nil, err
		}
	}
	return node, nil
}

// lift takes a logical type that was written beside a primitive type, not within it.
func (f *avroField) lift(props map[string]any) {
	logical, ok := props["logicalType"].(string)
	if !ok || f.node == nil || f.node.logical != "" || f.node.named() {
		return
	}
	f.node.logical = logical
	f.node.precision, _ = props["precision"].(int64)
	f.node.scale, _ = props["scale"].(int64)
}

func (n *avroNode) named() bool {
	return n.kind == "record" || n.kind == "enum" || n.kind == "fixed"
}

// String names the node for people.
func (n *avroNode) String() string {
	switch {
	case n.kind == "union":
		parts := make([]string, len(n.branches))
		for i, branch := range n.branches {
			parts[i] = branch.String()
		}
		return "union of " + strings.Join(parts, ", ")
	case n.named():
		return n.kind + " " + n.name
	default:
		return n.kind
	}
}
