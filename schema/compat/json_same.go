package compat

import (
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// same says whether two schemas demand the same, word for word; annotations such as titles do
// not count. Schemas that refer to themselves are compared under the assumption that they are
// the same, which holds unless a difference is found; then all assumptions are dropped.
func (f *jsonFinder) same(a, b *jsonschema.Schema) bool {
	if a == nil || b == nil {
		return a == b
	}
	t := &jsonTwins{known: f.twins, assumed: map[[2]*jsonschema.Schema]bool{}}
	same := t.same(a, b)
	f.steps += t.steps
	if same {
		maps.Copy(f.twins, t.assumed)
	} else {
		f.twins[[2]*jsonschema.Schema{a, b}] = false
	}
	return same
}

type jsonTwins struct {
	known   map[[2]*jsonschema.Schema]bool
	assumed map[[2]*jsonschema.Schema]bool
	steps   int
}

func (t *jsonTwins) same(a, b *jsonschema.Schema) bool {
	if a == nil || b == nil {
		return a == b
	}
	pair := [2]*jsonschema.Schema{a, b}
	if t.assumed[pair] {
		return true
	}
	if same, ok := t.known[pair]; ok {
		return same
	}
	t.assumed[pair] = true
	t.steps++
	return t.sameValues(a, b) && t.sameObjects(a, b) && t.sameArrays(a, b) &&
		t.same(a.Ref, b.Ref) && t.same(a.RecursiveRef, b.RecursiveRef) && a.RecursiveAnchor == b.RecursiveAnchor &&
		t.sameDynamic(a, b) && t.same(a.Not, b.Not) && t.sameList(a.AllOf, b.AllOf) && t.sameList(a.AnyOf, b.AnyOf) &&
		t.sameList(a.OneOf, b.OneOf) && t.same(a.If, b.If) && t.same(a.Then, b.Then) && t.same(a.Else, b.Else)
}

func (t *jsonTwins) sameDynamic(a, b *jsonschema.Schema) bool {
	if a.DynamicAnchor != b.DynamicAnchor || (a.DynamicRef == nil) != (b.DynamicRef == nil) {
		return false
	}
	return a.DynamicRef == nil || a.DynamicRef.Anchor == b.DynamicRef.Anchor && t.same(a.DynamicRef.Ref, b.DynamicRef.Ref)
}

func (t *jsonTwins) sameValues(a, b *jsonschema.Schema) bool {
	if (a.Bool == nil) != (b.Bool == nil) || a.Bool != nil && *a.Bool != *b.Bool || typesOf(a) != typesOf(b) {
		return false
	}
	if (a.Enum == nil) != (b.Enum == nil) || (a.Const == nil) != (b.Const == nil) {
		return false
	}
	if a.Enum != nil && !reflect.DeepEqual(a.Enum.Values, b.Enum.Values) || a.Const != nil && !reflect.DeepEqual(*a.Const, *b.Const) {
		return false
	}
	return formatName(a) == formatName(b) && patternText(a.Pattern) == patternText(b.Pattern) &&
		sameInt(a.MinLength, b.MinLength) && sameInt(a.MaxLength, b.MaxLength) && encodingName(a) == encodingName(b) &&
		t.same(a.ContentSchema, b.ContentSchema) &&
		sameRat(a.Minimum, b.Minimum) && sameRat(a.Maximum, b.Maximum) && sameRat(a.MultipleOf, b.MultipleOf) &&
		sameRat(a.ExclusiveMinimum, b.ExclusiveMinimum) && sameRat(a.ExclusiveMaximum, b.ExclusiveMaximum)
}

func (t *jsonTwins) sameObjects(a, b *jsonschema.Schema) bool {
	if !sameInt(a.MinProperties, b.MinProperties) || !sameInt(a.MaxProperties, b.MaxProperties) || !sameSet(a.Required, b.Required) {
		return false
	}
	if !t.same(a.PropertyNames, b.PropertyNames) || !t.same(a.UnevaluatedProperties, b.UnevaluatedProperties) ||
		!t.sameAny(a.AdditionalProperties, b.AdditionalProperties) {
		return false
	}
	if len(a.DependentRequired) != len(b.DependentRequired) || len(a.Dependencies) != len(b.Dependencies) {
		return false
	}
	for name, needs := range a.DependentRequired {
		if others, ok := b.DependentRequired[name]; !ok || !sameSet(needs, others) {
			return false
		}
	}
	for name, dependency := range a.Dependencies {
		if other, ok := b.Dependencies[name]; !ok || !t.sameAny(dependency, other) {
			return false
		}
	}
	return t.sameMap(a.Properties, b.Properties) && t.sameMap(a.DependentSchemas, b.DependentSchemas) &&
		t.sameMap(byText(a.PatternProperties), byText(b.PatternProperties))
}

func (t *jsonTwins) sameArrays(a, b *jsonschema.Schema) bool {
	return sameInt(a.MinItems, b.MinItems) && sameInt(a.MaxItems, b.MaxItems) && a.UniqueItems == b.UniqueItems &&
		t.same(a.Contains, b.Contains) && sameInt(a.MinContains, b.MinContains) && sameInt(a.MaxContains, b.MaxContains) &&
		t.sameAny(a.Items, b.Items) && t.sameAny(a.AdditionalItems, b.AdditionalItems) && t.sameList(a.PrefixItems, b.PrefixItems) &&
		t.same(a.Items2020, b.Items2020) && t.same(a.UnevaluatedItems, b.UnevaluatedItems)
}

// sameAny compares what the library keeps without a type: a schema, several, names, or a bool.
func (t *jsonTwins) sameAny(a, b any) bool {
	switch a := a.(type) {
	case *jsonschema.Schema:
		other, ok := b.(*jsonschema.Schema)
		return ok && t.same(a, other)
	case []*jsonschema.Schema:
		other, ok := b.([]*jsonschema.Schema)
		return ok && t.sameList(a, other)
	default:
		return reflect.DeepEqual(a, b)
	}
}

func (t *jsonTwins) sameList(a, b []*jsonschema.Schema) bool {
	return slices.EqualFunc(a, b, t.same)
}

func (t *jsonTwins) sameMap(a, b map[string]*jsonschema.Schema) bool {
	if len(a) != len(b) {
		return false
	}
	for name, sub := range a {
		if other := b[name]; other == nil || !t.same(sub, other) {
			return false
		}
	}
	return true
}

func byText(patterns map[jsonschema.Regexp]*jsonschema.Schema) map[string]*jsonschema.Schema {
	named := make(map[string]*jsonschema.Schema, len(patterns))
	for pattern, sub := range patterns {
		named[pattern.String()] = sub
	}
	return named
}

func formatName(s *jsonschema.Schema) string {
	if s.Format == nil {
		return ""
	}
	return s.Format.Name
}

func patternText(pattern jsonschema.Regexp) string {
	if pattern == nil {
		return ""
	}
	return fmt.Sprintf("/%s", pattern)
}

func sameInt(a, b *int) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

func sameRat(a, b *big.Rat) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Cmp(b) == 0
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
