package choreo

import (
	"errors"
	"reflect"
	"slices"
	"time"
)

// Step names one local transaction of one service and the types of its input and
// output. The owner's handler is bound to these types at compile time.
//
// The input of a step is the saga's input where the step waits for nothing, the
// output of the step that it waits for, or [Join] where it waits for several.
type Step[In, Out any] struct{ name string }

// NewStep names a step. The name is part of the wire format: lower-case words
// joined by '-'.
func NewStep[In, Out any](name string) Step[In, Out] { return Step[In, Out]{name: name} }

// Name returns the step's name.
func (s Step[In, Out]) Name() string { return s.name }

// StepRef is a [Step] of any types.
type StepRef interface{ Name() string }

// OwnedBy says which service runs the step, and opens the rest of its definition.
func (s Step[In, Out]) OwnedBy(service string) *StepOf[In, Out] {
	return &StepOf[In, Out]{def: StepDef{
		Name:   s.name,
		Owner:  service,
		Output: payloadName(reflect.TypeFor[Out]()),
		In:     reflect.TypeFor[In](),
		Out:    reflect.TypeFor[Out](),
	}}
}

// StepDef is one step of a [Definition].
type StepDef struct {
	Name          string
	Owner         string        // the service that runs it
	After         []string      // steps it waits for
	Uses          []string      // earlier steps whose outputs it also reads
	UndoUses      []string      // earlier steps whose outputs its compensation reads besides
	UndoAfter     []string      // custom order: steps that settle before it is undone
	Timeout       time.Duration // of one attempt of Execute or Compensate; 0 means none
	Retry         RetryPolicy   // of Execute
	UndoRetry     RetryPolicy   // of Compensate
	Pivot         bool          // past its completion the saga only goes forward
	Optional      bool          // a failure bypasses it and the saga goes on
	Condition     string        // name of the condition on which it runs; empty: always
	NoCompensate  bool          // there is nothing to undo
	CompensateIf  string        // name of the filter that decides at its failure; empty: always undo
	Refusals      []string      // codes with which it may refuse, as far as they were told
	Encoding      MediaType     // of its output; empty: that of the definition
	Output        string        // name of its output's payload; empty: it has no data
	In, Out       reflect.Type  // nil where a definition was not made from Go types
	when          func(in any) bool
	whenIn        reflect.Type
	compensateErr func(*Failure) bool
}

// RunsOn evaluates the step's condition on its decoded input. A step without a
// condition always runs.
func (s *StepDef) RunsOn(in any) bool { return s.when == nil || s.when(in) }

// StepOf is the definition of one step while it is written. Its methods change it
// and return it.
type StepOf[In, Out any] struct{ def StepDef }

// After names the steps whose completion this one waits for.
func (s *StepOf[In, Out]) After(steps ...StepRef) *StepOf[In, Out] {
	s.def.After = appendNames(s.def.After, steps)
	return s
}

// Uses names earlier steps whose outputs this one reads besides its input. Exactly
// these outputs are carried along in the events between the two.
func (s *StepOf[In, Out]) Uses(steps ...StepRef) *StepOf[In, Out] {
	s.def.Uses = appendNames(s.def.Uses, steps)
	return s
}

// UndoUses names earlier steps whose outputs the compensation reads besides those of After
// and Uses. They are carried along as those of Uses are.
func (s *StepOf[In, Out]) UndoUses(steps ...StepRef) *StepOf[In, Out] {
	s.def.UndoUses = appendNames(s.def.UndoUses, steps)
	return s
}

// UndoAfter names the steps that must be settled before this one is compensated.
// It needs [CustomOrder].
func (s *StepOf[In, Out]) UndoAfter(steps ...StepRef) *StepOf[In, Out] {
	s.def.UndoAfter = appendNames(s.def.UndoAfter, steps)
	return s
}

// Timeout bounds one attempt of Execute and of Compensate. Default: none.
func (s *StepOf[In, Out]) Timeout(d time.Duration) *StepOf[In, Out] {
	s.def.Timeout = d
	return s
}

// Retry sets the policy of Execute. Default: [DefaultRetry].
func (s *StepOf[In, Out]) Retry(p RetryPolicy) *StepOf[In, Out] {
	s.def.Retry = p
	return s
}

// UndoRetry sets the policy of Compensate. Default: that of Execute, with at
// least 10 attempts, since a compensation that gives up needs an operator.
func (s *StepOf[In, Out]) UndoRetry(p RetryPolicy) *StepOf[In, Out] {
	s.def.UndoRetry = p
	return s
}

// Pivot marks the step as the point of no return: once it has completed, the saga
// can only go forward. Every other step must come before or after it.
func (s *StepOf[In, Out]) Pivot() *StepOf[In, Out] {
	s.def.Pivot = true
	return s
}

// Optional lets the saga go on when the step fails: it then counts as bypassed.
func (s *StepOf[In, Out]) Optional() *StepOf[In, Out] {
	s.def.Optional = true
	return s
}

// When runs the step only where the condition holds for its input; else it is
// bypassed. The name stands for the condition in exports and pictures.
func (s *StepOf[In, Out]) When(name string, holds func(In) bool) *StepOf[In, Out] {
	s.def.Condition = name
	s.def.when, s.def.whenIn = nil, nil
	if holds != nil {
		b := BindWhen(name, holds)
		s.def.when, s.def.whenIn = b.when, b.in
	}
	return s
}

// NoCompensation says that there is nothing to undo. A step past the pivot never
// has a compensation and needs not say so.
func (s *StepOf[In, Out]) NoCompensation() *StepOf[In, Out] {
	s.def.NoCompensate = true
	return s
}

// CompensateWhen decides at this step's failure whether the saga is undone. Where
// undo answers false the completed steps stay as they are and the saga ends as
// failed. The decision travels in the event. The name stands for it in exports.
func (s *StepOf[In, Out]) CompensateWhen(name string, undo func(*Failure) bool) *StepOf[In, Out] {
	s.def.CompensateIf = name
	s.def.compensateErr = undo
	return s
}

// Refuses tells the codes with which the step may refuse, see [Refuse]. They stand in
// exports for people and for checks: a step past the pivot has none.
func (s *StepOf[In, Out]) Refuses(codes ...string) *StepOf[In, Out] {
	s.def.Refusals = append(s.def.Refusals, codes...)
	return s
}

// Encoding says how the step's output is encoded. Default: as the definition's [Encoding].
func (s *StepOf[In, Out]) Encoding(m MediaType) *StepOf[In, Out] {
	s.def.Encoding = m
	return s
}

// OutputName says how the output is called in files and exports. Default: the name
// of its Go type.
func (s *StepOf[In, Out]) OutputName(name string) *StepOf[In, Out] {
	s.def.Output = name
	return s
}

func (s *StepOf[In, Out]) apply(d *Definition) { d.steps = append(d.steps, s.def.clone()) }

// mayBeBypassed reports whether the step can complete without an output.
func (s *StepDef) mayBeBypassed() bool { return s.Optional || s.Condition != "" }

// Reads returns the steps whose outputs are carried to this one: Uses and UndoUses. The
// caller must not change them.
func (s *StepDef) Reads() []string {
	reads := slices.Clip(s.Uses)
	for _, name := range s.UndoUses {
		if !slices.Contains(reads, name) {
			reads = append(reads, name)
		}
	}
	return reads
}

func appendNames(names []string, steps []StepRef) []string {
	for _, s := range steps {
		names = append(names, s.Name())
	}
	return names
}

// Join is the input of a step that waits for several steps, or for one that may
// have been bypassed: it reads their outputs with [OutputOf].
type Join struct{ Outputs Outputs }

// Outputs decodes the outputs that came with a step's triggers.
type Outputs interface {
	// Decode decodes the output of a step into the pointer. It reports false where
	// that step was bypassed, and an error wrapping [ErrNotCarried] where the
	// output was never asked for.
	Decode(step string, into any) (bool, error)
}

// ErrNotCarried is wrapped by [OutputOf] for a step that the caller neither waits
// for nor names in Uses.
var ErrNotCarried = errors.New("output is not carried to this step: name it in After or Uses")

// OutputOf returns the output of a step that the caller waits for or names in
// Uses. It reports false where that step was bypassed.
func OutputOf[In, Out any](from Outputs, step Step[In, Out]) (Out, bool, error) {
	var out Out
	ok, err := from.Decode(step.name, &out)
	return out, ok, err
}
