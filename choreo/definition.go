package choreo

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Strategy says in which order completed steps are undone.
type Strategy string

// The compensation strategies.
const (
	// ReverseOrder undoes a step once all steps that depend on it are settled.
	ReverseOrder Strategy = "reverse"
	// ParallelOrder undoes every completed step at once.
	ParallelOrder Strategy = "parallel"
	// BestEffort is ReverseOrder in which a failed compensation counts as settled.
	BestEffort Strategy = "best-effort"
	// CustomOrder undoes a step once the steps of its UndoAfter are settled.
	CustomOrder Strategy = "custom"
)

// Definition is a named, versioned saga. It is immutable and safe for concurrent
// use.
type Definition struct {
	name     string
	version  int
	strategy Strategy
	deadline time.Duration
	encoding MediaType
	input    reflect.Type
	// inputName is how the input is called in files and exports.
	inputName string
	steps     []StepDef // in topological order once checked

	index map[string]int
	graph graph
}

// Saga is a [Definition] together with the type of its input.
type Saga[In any] struct{ *Definition }

// Option is a part of a definition: a step ([StepOf]), [Deadline], [Compensation],
// [Encoding] or [InputName].
type Option interface{ apply(*Definition) }

type optionFunc func(*Definition)

func (f optionFunc) apply(d *Definition) { f(d) }

// Deadline bounds a saga's life: when it is still open that long after its start,
// the initiator's service asks for an abort. Default: none.
func Deadline(d time.Duration) Option {
	return optionFunc(func(def *Definition) { def.deadline = d })
}

// Compensation sets the order in which steps are undone. Default: [ReverseOrder].
func Compensation(s Strategy) Option {
	return optionFunc(func(def *Definition) { def.strategy = s })
}

// Encoding says how the payloads of the saga are encoded, where a step does not say it
// differently. Default: each service's own choice, participant's Config.Codec.
func Encoding(m MediaType) Option {
	return optionFunc(func(def *Definition) { def.encoding = m })
}

// InputName says how the saga's input is called in files and exports. Default: the name of
// its Go type.
func InputName(name string) Option {
	return optionFunc(func(def *Definition) { def.inputName = name })
}

// Define checks a saga and returns it. The error is a [*DefinitionError] that
// names every fault, not only the first.
func Define[In any](name string, version int, options ...Option) (*Saga[In], error) {
	d := &Definition{
		name: name, version: version, strategy: ReverseOrder,
		input: reflect.TypeFor[In](), inputName: payloadName(reflect.TypeFor[In]()),
	}
	for _, o := range options {
		o.apply(d)
	}
	if err := d.finish(); err != nil {
		return nil, err
	}
	return &Saga[In]{Definition: d}, nil
}

// MustDefine is [Define] for package variables: it panics on a fault.
func MustDefine[In any](name string, version int, options ...Option) *Saga[In] {
	s, err := Define[In](name, version, options...)
	if err != nil {
		panic(err)
	}
	return s
}

// AnySaga is a [Saga] of any input, or a [*Definition].
type AnySaga interface{ Def() *Definition }

// Def returns d: it makes definitions and sagas of any input one type.
func (d *Definition) Def() *Definition { return d }

// Name returns the saga's name.
func (d *Definition) Name() string { return d.name }

// Version returns the definition's version, from 1.
func (d *Definition) Version() int { return d.version }

// Strategy returns the order of compensation.
func (d *Definition) Strategy() Strategy { return d.strategy }

// Deadline returns how long an instance may stay open; 0 means without end.
func (d *Definition) Deadline() time.Duration { return d.deadline }

// Input returns the Go type of the saga's input, nil where it was not made from Go.
func (d *Definition) Input() reflect.Type { return d.input }

// InputName returns how the saga's input is called, "" where it has no data.
func (d *Definition) InputName() string { return d.inputName }

// EncodingOf returns how the output of a step is encoded, that of the saga's input for
// the step "". It is empty where the definition leaves it to the services.
func (d *Definition) EncodingOf(step string) MediaType {
	if s := d.Step(step); s != nil && s.Encoding != "" {
		return s.Encoding
	}
	return d.encoding
}

// InputFrom returns the step whose output is the whole input of a step, "" for the saga's
// input. It reports false for a step that gets a [Join]: it waits for several, or for one
// that may be bypassed.
func (d *Definition) InputFrom(step string) (from string, whole bool) {
	switch s := d.Step(step); {
	case s == nil:
		return "", false
	case len(s.After) == 0:
		return "", true
	case len(s.After) == 1:
		from := d.Step(s.After[0])
		return from.Name, !from.mayBeBypassed()
	}
	return "", false
}

// String returns "name/version".
func (d *Definition) String() string { return fmt.Sprintf("%s/%d", d.name, d.version) }

// Steps returns the steps in an order in which each comes after those it waits for.
// The caller must not change them.
func (d *Definition) Steps() []StepDef { return d.steps }

// Step returns the step of that name, or nil.
func (d *Definition) Step(name string) *StepDef {
	i, ok := d.index[name]
	if !ok {
		return nil
	}
	return &d.steps[i]
}

// StepsOf returns the names of the steps that a service owns, in order.
func (d *Definition) StepsOf(service string) []string {
	var names []string
	for i := range d.steps {
		if d.steps[i].Owner == service {
			names = append(names, d.steps[i].Name)
		}
	}
	return names
}

// Services returns the owners of the steps, sorted.
func (d *Definition) Services() []string {
	var names []string
	for i := range d.steps {
		names = append(names, d.steps[i].Owner)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Pivot returns the name of the pivot, or "".
func (d *Definition) Pivot() string {
	if d.graph.pivot < 0 {
		return ""
	}
	return d.steps[d.graph.pivot].Name
}

// Sinks returns the steps that no other waits for.
func (d *Definition) Sinks() []string { return d.names(d.graph.sinks) }

// Dependents returns the steps that wait for the named one.
func (d *Definition) Dependents(step string) []string {
	i, ok := d.index[step]
	if !ok {
		return nil
	}
	return d.names(d.graph.dependents[i])
}

// Reacts reports whether an event of this type and step can change the rows of any
// step in owned. It needs no row, so that a participant skips what does not concern
// it without asking its database.
func (d *Definition) Reacts(owned []string, t EventType, step string) bool {
	switch t {
	case Started:
		return slices.ContainsFunc(owned, func(s string) bool { return len(d.Step(s).After) == 0 })
	case StepCompleted:
		return slices.ContainsFunc(owned, func(s string) bool { return slices.Contains(d.Step(s).After, step) })
	case StepFailed, Aborted:
		return len(owned) > 0
	case StepSkipped:
		return slices.ContainsFunc(owned, func(s string) bool { return d.settles(s, d.followers(step)) })
	case StepCompensated:
		return slices.ContainsFunc(owned, func(s string) bool { return d.settles(s, []string{step}) })
	case CompensationFailed:
		return d.strategy == BestEffort &&
			slices.ContainsFunc(owned, func(s string) bool { return d.settles(s, []string{step}) })
	case AbortRequested:
		return d.graph.pivot >= 0 && slices.Contains(owned, d.Pivot())
	case RetryRequested, ResolveRequested:
		return slices.Contains(owned, step)
	case AbortRejected, StepStuck, CommandRejected,
		SagaParked, SagaReleased, ReleaseRequested, ReleaseRejected, // those of parking are nothing to a row
		StartRequested, StartRejected: // nor what comes before it
	}
	return false
}

// settles reports whether one of the steps is among those that s waits for when it
// is undone.
func (d *Definition) settles(s string, steps []string) bool {
	waits := d.undoWaits(s)
	return slices.ContainsFunc(steps, func(k string) bool { return slices.Contains(waits, k) })
}

// undoWaits returns the steps that must be settled before s is undone.
func (d *Definition) undoWaits(s string) []string {
	switch d.strategy {
	case ParallelOrder:
		return nil
	case CustomOrder:
		return d.Step(s).UndoAfter
	case ReverseOrder, BestEffort:
	}
	return d.Dependents(s)
}

// followers returns k and all steps that follow from it.
func (d *Definition) followers(k string) []string {
	i, ok := d.index[k]
	if !ok {
		return nil
	}
	return append([]string{k}, d.names(d.graph.descendants[i])...)
}

// carries returns the steps whose outputs Completed(s) passes on to later readers.
func (d *Definition) carries(s string) []string { return d.names(d.graph.carried[d.index[s]]) }

// pastPivot reports whether s comes after the pivot.
func (d *Definition) pastPivot(s string) bool {
	p := d.graph.pivot
	return p >= 0 && slices.Contains(d.graph.descendants[p], d.index[s])
}

// mayKeep reports whether a step's failure may decide that nothing is undone.
func (d *Definition) mayKeep() bool {
	return slices.ContainsFunc(d.steps, func(s StepDef) bool { return s.CompensateIf != "" })
}

// Compensates reports whether the step has a compensation to run.
func (d *Definition) Compensates(step string) bool {
	s := d.Step(step)
	return s != nil && !s.NoCompensate && !d.pastPivot(step) && !s.Pivot
}

func (d *Definition) names(indices []int) []string {
	names := make([]string, len(indices))
	for i, n := range indices {
		names[i] = d.steps[n].Name
	}
	return names
}
