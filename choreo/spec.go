package choreo

import (
	"reflect"
	"slices"
	"time"
)

// MediaType says how a payload is encoded: it is the content-type that events carry.
type MediaType string

// The encodings that Choreo brings codecs for. Others are for who has a codec of their own.
const (
	JSON     MediaType = "application/json"
	Avro     MediaType = "application/vnd.apache.avro"
	Protobuf MediaType = "application/protobuf"
)

// Spec is a [Definition] as data, without functions: what stands in a file.
type Spec struct {
	Name     string
	Version  int
	Strategy Strategy // empty: ReverseOrder
	Deadline time.Duration
	Encoding MediaType // of all payloads; empty: left to each service
	Input    string    // name of the input's payload; empty: there are no data
	Steps    []StepDef
}

// Spec returns the definition as data. Its steps are in topological order, with every
// default filled in.
func (d *Definition) Spec() Spec {
	spec := Spec{
		Name: d.name, Version: d.version, Strategy: d.strategy, Deadline: d.deadline,
		Encoding: d.encoding, Input: d.inputName, Steps: make([]StepDef, len(d.steps)),
	}
	for i := range d.steps {
		spec.Steps[i] = d.steps[i].clone()
	}
	return spec
}

// Binding gives a function to the name of a condition, or of a filter of failures, in a
// definition that was made from a [Spec]: functions do not stand in files.
type Binding struct {
	condition, filter string
	in                reflect.Type
	when              func(in any) bool
	undo              func(*Failure) bool
}

// BindWhen gives a condition its function. In is the input of the steps that name it.
func BindWhen[In any](name string, holds func(In) bool) Binding {
	return Binding{condition: name, in: reflect.TypeFor[In](), when: func(in any) bool { return holds(in.(In)) }}
}

// BindCompensateWhen gives a filter of failures its function.
func BindCompensateWhen(name string, undo func(*Failure) bool) Binding {
	return Binding{filter: name, undo: undo}
}

// FromSpec checks a saga that is given as data and returns it. The error is a
// [*DefinitionError] that names every fault. Who owns a step with a condition or a
// filter has to bind it; to others the name says enough.
func FromSpec(spec Spec, bindings ...Binding) (*Definition, error) {
	d := &Definition{
		name: spec.Name, version: spec.Version, strategy: spec.Strategy, deadline: spec.Deadline,
		encoding: spec.Encoding, inputName: spec.Input,
	}
	if d.strategy == "" {
		d.strategy = ReverseOrder
	}
	for i := range spec.Steps {
		step := spec.Steps[i].clone()
		for _, b := range bindings {
			step.bind(b)
		}
		d.steps = append(d.steps, step)
	}
	if err := d.finish(bindings...); err != nil {
		return nil, err
	}
	return d, nil
}

// bind takes a function that is meant for the step.
func (s *StepDef) bind(b Binding) {
	if s.Condition != "" && b.condition == s.Condition {
		s.when, s.whenIn = b.when, b.in
	}
	if s.CompensateIf != "" && b.filter == s.CompensateIf {
		s.compensateErr = b.undo
	}
}

// bindings checks that each function found a step.
func (c *checker) bindings(all []Binding) {
	for _, b := range all {
		what, name := "condition", b.condition
		if b.undo != nil {
			what, name = "filter", b.filter
		}
		used := slices.ContainsFunc(c.d.steps, func(s StepDef) bool {
			return b.undo == nil && s.Condition == name || b.undo != nil && s.CompensateIf == name
		})
		if !used {
			c.fault("binding", "", "no step names the %s %q that a function is given for: check its spelling", what, name)
		}
	}
}

// Unbound returns the names of the step's condition and filter that have no function: a
// service that owns the step cannot run it. See [FromSpec].
func (s *StepDef) Unbound() []string {
	var names []string
	if s.Condition != "" && s.when == nil {
		names = append(names, s.Condition)
	}
	if s.CompensateIf != "" && s.compensateErr == nil {
		names = append(names, s.CompensateIf)
	}
	return names
}

// ConditionInput returns the Go type of the input that the step's condition decides
// on, nil where the step has none or it has no function.
func (s *StepDef) ConditionInput() reflect.Type { return s.whenIn }

func (s *StepDef) clone() StepDef {
	c := *s
	c.After, c.Uses = slices.Clone(s.After), slices.Clone(s.Uses)
	c.UndoUses, c.UndoAfter = slices.Clone(s.UndoUses), slices.Clone(s.UndoAfter)
	c.Refusals = slices.Clone(s.Refusals)
	return c
}

// payloadName is how a Go type is called as a payload.
func payloadName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct && t.NumField() == 0 {
		return "" // no data
	}
	if t.Name() == "" {
		return t.String()
	}
	return t.Name()
}
