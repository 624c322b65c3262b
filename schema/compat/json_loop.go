package compat

import (
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// jsonLoops looks for a schema that demands itself of the same value: what such a one accepts is
// undefined (https://json-schema.org/draft/2020-12/json-schema-core#section-9.4.1).
type jsonLoops struct {
	state map[*jsonschema.Schema]loopState
	later []*jsonschema.Schema // of properties and items: a smaller value
}

type loopState uint8

const (
	loopOpen loopState = iota + 1
	loopDone
)

func checkLoops(root *jsonschema.Schema) error {
	l := &jsonLoops{state: map[*jsonschema.Schema]loopState{}, later: []*jsonschema.Schema{root}}
	for len(l.later) > 0 {
		next := l.later[len(l.later)-1]
		l.later = l.later[:len(l.later)-1]
		if at := l.visit(next); at != nil {
			return fmt.Errorf("%s refers to itself without going into a property or an item: end the loop", at.Location)
		}
	}
	return nil
}

// visit returns a schema at fault.
func (l *jsonLoops) visit(s *jsonschema.Schema) *jsonschema.Schema {
	switch {
	case s == nil || l.state[s] == loopDone:
		return nil
	case l.state[s] == loopOpen:
		return s
	}
	l.state[s] = loopOpen
	here := []*jsonschema.Schema{s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else}
	if s.DynamicRef != nil {
		here = append(here, s.DynamicRef.Ref)
	}
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf} {
		here = append(here, list...)
	}
	for _, sub := range s.DependentSchemas {
		here = append(here, sub)
	}
	for _, sub := range s.Dependencies {
		here = append(here, boolOrSchema(sub))
	}
	for _, sub := range here {
		if at := l.visit(sub); at != nil {
			return at
		}
	}
	l.state[s] = loopDone
	l.inner(s)
	return nil
}

func (l *jsonLoops) inner(s *jsonschema.Schema) {
	l.later = append(l.later, s.PropertyNames, s.UnevaluatedProperties, s.UnevaluatedItems, s.Contains, s.Items2020, s.ContentSchema)
	l.later = append(l.later, s.PrefixItems...)
	for _, sub := range s.Properties {
		l.later = append(l.later, sub)
	}
	for _, sub := range s.PatternProperties {
		l.later = append(l.later, sub)
	}
	if items, ok := s.Items.([]*jsonschema.Schema); ok {
		l.later = append(l.later, items...)
	}
	l.later = append(l.later, boolOrSchema(s.Items), boolOrSchema(s.AdditionalItems), boolOrSchema(s.AdditionalProperties))
}
