package compat

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// jsonAll is what the writer keeps to: every part of it at once. A $ref and an allOf are further
// parts, so that none is looked at alone.
type jsonAll struct {
	parts []jsonPart
	types jsonTypes            // narrowed further where types are looked at one by one
	none  []*jsonschema.Schema // of a oneOf: the alternatives that were not taken
	over  bool                 // there are more parts than maxParts
}

// jsonPart is one schema object without its $ref and allOf.
type jsonPart struct {
	*jsonschema.Schema
	anyTaken, oneTaken bool // its alternatives are parts already
}

func allOf(schemas ...*jsonschema.Schema) jsonAll {
	all := jsonAll{types: typeAny}
	for _, s := range schemas {
		all.take(s)
	}
	return all
}

// take adds a schema and what it refers to. What is there already is not added again, which
// ends a cycle of references.
func (a *jsonAll) take(s *jsonschema.Schema) {
	if s == nil || a.over || slices.ContainsFunc(a.parts, func(p jsonPart) bool { return p.Schema == s }) {
		return
	}
	if len(a.parts) == maxParts {
		a.over = true
		return
	}
	a.parts = append(a.parts, jsonPart{Schema: s})
	a.types &= typesOf(s)
	a.take(s.Ref)
	for _, sub := range s.AllOf {
		a.take(sub)
	}
	if a.types&typeNumber != 0 && s.MultipleOf != nil && s.MultipleOf.IsInt() {
		a.types &^= typeFraction
	}
}

// with returns the same and more, where one alternative of part i was taken.
func (a jsonAll) with(i int, taken jsonPart, alternative *jsonschema.Schema) jsonAll {
	more := jsonAll{parts: slices.Clone(a.parts), types: a.types, none: slices.Clone(a.none), over: a.over}
	more.parts[i] = taken
	more.take(alternative)
	return more
}

func (a jsonAll) only(types jsonTypes) jsonAll {
	a.types &= types
	return a
}

// key is equal for what is equal.
func (a jsonAll) key() string {
	var b strings.Builder
	fmt.Fprint(&b, a.types)
	parts := make([]string, len(a.parts))
	for i, p := range a.parts {
		parts[i] = fmt.Sprintf("%p%t%t", p.Schema, p.anyTaken, p.oneTaken)
	}
	slices.Sort(parts)
	for _, p := range slices.Compact(parts) {
		fmt.Fprint(&b, p, ",")
	}
	for _, s := range a.none {
		fmt.Fprintf(&b, "-%p", s)
	}
	return b.String()
}

// split returns one case for each alternative of an anyOf or oneOf, if there is any left.
func (a jsonAll) split() []jsonAll {
	for i, p := range a.parts {
		var cases []jsonAll
		switch {
		case len(p.AnyOf) > 0 && !p.anyTaken:
			p.anyTaken = true
			for _, alternative := range p.AnyOf {
				cases = append(cases, a.with(i, p, alternative))
			}
		case len(p.OneOf) > 0 && !p.oneTaken:
			p.oneTaken = true
			for j, alternative := range p.OneOf {
				taken := a.with(i, p, alternative)
				taken.none = slices.Concat(taken.none, p.OneOf[:j], p.OneOf[j+1:])
				cases = append(cases, taken)
			}
		default:
			continue
		}
		return cases
	}
	return nil
}

// finite returns all values that may be written, where they are listed.
func (a jsonAll) finite() ([]any, bool) {
	var values []any
	found := false
	for _, p := range a.parts {
		switch {
		case p.Const != nil:
			values, found = []any{*p.Const}, true
		case p.Enum != nil && !found:
			values, found = p.Enum.Values, true
		}
	}
	if !found {
		if a.types&^(typeNull|typeBoolean) != 0 {
			return nil, false
		}
		if a.types&typeNull != 0 {
			values = append(values, nil)
		}
		if a.types&typeBoolean != 0 {
			values = append(values, false, true)
		}
	}
	return slices.DeleteFunc(slices.Clone(values), func(v any) bool { return !a.has(v) }), true
}

func (a jsonAll) has(v any) bool {
	if valueType(v)&a.types == 0 {
		return false
	}
	for _, p := range a.parts {
		if p.Validate(v) != nil {
			return false
		}
	}
	for _, s := range a.none {
		if s.Validate(v) == nil {
			return false
		}
	}
	return true
}

func valueType(v any) jsonTypes {
	switch v := v.(type) {
	case nil:
		return typeNull
	case bool:
		return typeBoolean
	case string:
		return typeString
	case []any:
		return typeArray
	case map[string]any:
		return typeObject
	default:
		if n, ok := new(big.Rat).SetString(fmt.Sprint(v)); ok && n.IsInt() {
			return typeInteger
		}
		return typeFraction
	}
}

// most returns the greatest of a count over the parts, such as minLength, or least the smallest.
func (a jsonAll) most(count func(*jsonschema.Schema) *int) int {
	most := 0
	for _, p := range a.parts {
		if n := count(p.Schema); n != nil {
			most = max(most, *n)
		}
	}
	return most
}

func (a jsonAll) least(count func(*jsonschema.Schema) *int) (int, bool) {
	least, found := 0, false
	for _, p := range a.parts {
		if n := count(p.Schema); n != nil && (!found || *n < least) {
			least, found = *n, true
		}
	}
	return least, found
}

func (a jsonAll) required(name string) bool {
	return slices.ContainsFunc(a.parts, func(p jsonPart) bool { return slices.Contains(p.Required, name) })
}

// property returns what one property must keep to; declared says whether any part knows it.
func (a jsonAll) property(name string) (all jsonAll, declared bool) {
	var schemas []*jsonschema.Schema
	for _, p := range a.parts {
		subs, known := propertyOf(p.Schema, name)
		schemas = append(schemas, subs...)
		declared = declared || known
	}
	return allOf(schemas...), declared || len(schemas) > 0
}

// propertyOf returns the schemas of one schema object for a property; known says that it is
// described by name or pattern.
func propertyOf(s *jsonschema.Schema, name string) (schemas []*jsonschema.Schema, known bool) {
	if sub := s.Properties[name]; sub != nil {
		schemas, known = append(schemas, sub), true
	}
	for pattern, sub := range s.PatternProperties {
		if pattern.MatchString(name) {
			schemas, known = append(schemas, sub), true
		}
	}
	if !known {
		if sub := boolOrSchema(s.AdditionalProperties); sub != nil {
			schemas = append(schemas, sub)
		}
	}
	return schemas, known
}

// others returns what properties must keep to that no part knows.
func (a jsonAll) others() jsonAll {
	var schemas []*jsonschema.Schema
	for _, p := range a.parts {
		schemas = append(schemas, boolOrSchema(p.AdditionalProperties))
	}
	return allOf(schemas...)
}

// boolOrSchema is a schema where false is written as one; nil stands for anything.
func boolOrSchema(v any) *jsonschema.Schema {
	switch v := v.(type) {
	case *jsonschema.Schema:
		return v
	case bool:
		if !v {
			return &jsonschema.Schema{Bool: &v}
		}
	}
	return nil
}

// itemOf returns the schema of the item at a position, nil for anything.
func itemOf(s *jsonschema.Schema, i int) *jsonschema.Schema {
	if i < len(s.PrefixItems) {
		return s.PrefixItems[i]
	}
	if s.Items2020 != nil {
		return s.Items2020
	}
	switch items := s.Items.(type) {
	case *jsonschema.Schema:
		return items
	case []*jsonschema.Schema:
		if i < len(items) {
			return items[i]
		}
		return boolOrSchema(s.AdditionalItems)
	}
	return nil
}

func prefixLength(s *jsonschema.Schema) int {
	items, _ := s.Items.([]*jsonschema.Schema)
	return max(len(s.PrefixItems), len(items))
}

func (a jsonAll) item(i int) jsonAll {
	var schemas []*jsonschema.Schema
	for _, p := range a.parts {
		schemas = append(schemas, itemOf(p.Schema, i))
	}
	return allOf(schemas...)
}
