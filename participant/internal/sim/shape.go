package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant"
)

// shape describes a saga in the simulator's own words. The definition is made of it, and so
// is what the auditor demands, which never asks the definition.
type shape struct {
	name     string
	version  int
	strategy choreo.Strategy
	deadline time.Duration
	steps    []step // each after those that it waits for
	saga     *choreo.Saga[payload]
}

type step struct {
	name, owner string
	after       []int // the steps that it waits for
	uses        []int
	undoAfter   []int
	pivot       bool
	past        bool // after the pivot
	optional    bool
	conditional bool
	noUndo      bool // there is nothing to undo
	keeps       bool // CompensateWhen: its refusals undo nothing
	async       bool // Execute begins it, a client ends it
	timeout     time.Duration
	retry       choreo.RetryPolicy
	undoRetry   choreo.RetryPolicy
}

// payload is the input of every saga and the output of every step.
type payload struct {
	N     int    // a number of the saga, on which conditions depend
	From  string // the step that made it; empty: the input
	Newer bool   // a build that is older cannot decode it
}

// newShape draws a saga of up to 12 steps.
func newShape(rng *rand.Rand, name string, version int, services []string) *shape {
	s := &shape{name: name, version: version}
	s.strategy = pick(rng, choreo.ReverseOrder, choreo.ReverseOrder, choreo.ParallelOrder, choreo.BestEffort, choreo.CustomOrder)
	if rng.IntN(2) == 0 {
		s.deadline = time.Duration(20+rng.IntN(600)) * time.Second
	}
	n := 1 + rng.IntN(12)
	pivot := -1
	if n > 1 && rng.IntN(2) == 0 {
		pivot = rng.IntN(n)
	}
	for i := range n {
		s.steps = append(s.steps, s.newStep(rng, i, pivot, pick(rng, services...)))
	}
	for i := range s.steps {
		s.relate(rng, i)
	}
	s.saga = s.define()
	return s
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

func chance(rng *rand.Rand, percent int) bool { return rng.IntN(100) < percent }

// newStep draws step i of a saga whose pivot is at a place, or -1.
func (s *shape) newStep(rng *rand.Rand, i, pivot int, owner string) step {
	st := step{
		name: s.stepName(i), owner: owner,
		pivot: i == pivot, past: pivot >= 0 && i > pivot,
		retry: drawRetry(rng, 4), undoRetry: drawRetry(rng, 6),
	}
	switch {
	case st.pivot: // all that have no follower yet
		for k := range i {
			if !slices.ContainsFunc(s.steps, func(o step) bool { return slices.Contains(o.after, k) }) {
				st.after = append(st.after, k)
			}
		}
	case st.past:
		st.after = someOf(rng, pivot, i, 1+rng.IntN(2))
	case i > 0 && !chance(rng, 15):
		st.after = someOf(rng, 0, i, 1+rng.IntN(3))
	}
	if !st.pivot {
		st.optional = chance(rng, 12)
		st.conditional = chance(rng, 12)
	}
	if !st.pivot && !st.past {
		st.noUndo = chance(rng, 12)
		st.keeps = !st.optional && chance(rng, 8)
	}
	st.async = !st.optional && chance(rng, 12)
	if chance(rng, 40) {
		st.timeout = time.Duration(1+rng.IntN(20)) * time.Second
	}
	return st
}

// relate draws which outputs of others step i reads, and after whom it is undone.
func (s *shape) relate(rng *rand.Rand, i int) {
	st := &s.steps[i]
	for k := range i {
		if s.follows(i, k) && !slices.Contains(st.after, k) && chance(rng, 15) {
			st.uses = append(st.uses, k)
		}
	}
	if s.strategy != choreo.CustomOrder || st.noUndo || st.pivot || st.past {
		return
	}
	for k := i + 1; k < len(s.steps); k++ {
		if !s.steps[k].past && chance(rng, 30) {
			st.undoAfter = append(st.undoAfter, k)
		}
	}
}

// follows reports whether step i comes, directly or not, after step k.
func (s *shape) follows(i, k int) bool {
	return slices.ContainsFunc(s.steps[i].after, func(d int) bool { return d == k || s.follows(d, k) })
}

func drawRetry(rng *rand.Rand, most int) choreo.RetryPolicy {
	attempts := 1 + rng.IntN(most)
	switch rng.IntN(3) {
	case 0:
		return choreo.FixedRetry(attempts, time.Duration(1+rng.IntN(40))*time.Millisecond) // in place
	case 1:
		return choreo.ExponentialRetry(attempts, 20*time.Millisecond, 20*time.Second)
	}
	return choreo.LinearRetry(attempts, time.Duration(1+rng.IntN(10))*time.Second, time.Minute)
}

// someOf draws up to n different numbers in [from, to), sorted.
func someOf(rng *rand.Rand, from, to, n int) []int {
	var some []int
	for range n {
		some = append(some, from+rng.IntN(to-from))
	}
	slices.Sort(some)
	return slices.Compact(some)
}

// stepName is unique over all sagas: a handler is bound by the step's name alone.
func (s *shape) stepName(i int) string { return fmt.Sprintf("%s-%d", s.name, i) }

// next returns a further version: the same saga with one more step at its end.
func (s *shape) next(rng *rand.Rand, services []string) *shape {
	n := &shape{name: s.name, version: s.version + 1, strategy: s.strategy, deadline: s.deadline}
	n.steps = slices.Clone(s.steps)
	last := len(n.steps)
	pivot := slices.IndexFunc(n.steps, func(st step) bool { return st.pivot })
	st := step{
		name: n.stepName(last), owner: pick(rng, services...), after: someOf(rng, max(pivot, 0), last, 2),
		past: pivot >= 0, retry: drawRetry(rng, 4), undoRetry: drawRetry(rng, 6),
	}
	n.steps = append(n.steps, st)
	n.saga = n.define()
	return n
}

func (s *shape) define() *choreo.Saga[payload] {
	options := []choreo.Option{choreo.Compensation(s.strategy), choreo.Deadline(s.deadline)}
	for i := range s.steps {
		if s.joins(i) {
			options = append(options, defineStep(s, i, s.joined(i)))
		} else {
			options = append(options, defineStep(s, i, func(p payload) (int, bool) { return p.N, true }))
		}
	}
	return choreo.MustDefine[payload](s.name, s.version, options...)
}

// joins reports whether step i gets a choreo.Join.
func (s *shape) joins(i int) bool {
	after := s.steps[i].after
	if len(after) != 1 {
		return len(after) > 1
	}
	return s.steps[after[0]].optional || s.steps[after[0]].conditional
}

// joined reads the saga's number from any output that a step waits for.
func (s *shape) joined(i int) func(choreo.Join) (int, bool) {
	return func(j choreo.Join) (int, bool) {
		for _, k := range s.steps[i].after {
			out, ok, err := choreo.OutputOf(j.Outputs, choreo.NewStep[payload, payload](s.steps[k].name))
			if ok && err == nil {
				return out.N, true
			}
		}
		return 0, false
	}
}

func defineStep[In any](s *shape, i int, number func(In) (int, bool)) choreo.Option {
	st := &s.steps[i]
	d := choreo.NewStep[In, payload](st.name).OwnedBy(st.owner).
		After(s.refs(st.after)...).Uses(s.refs(st.uses)...).UndoAfter(s.refs(st.undoAfter)...).
		Timeout(st.timeout).Retry(st.retry).UndoRetry(st.undoRetry)
	if st.pivot {
		d.Pivot()
	}
	if st.optional {
		d.Optional()
	}
	if st.noUndo {
		d.NoCompensation()
	}
	if st.keeps {
		d.CompensateWhen("unless-refused", func(f *choreo.Failure) bool { return f.Class != choreo.ClassRefused })
	}
	if st.conditional {
		d.When("by-number", func(in In) bool {
			n, ok := number(in)
			return ok && (n+i)%3 != 0
		})
	}
	return d
}

func (s *shape) refs(steps []int) []choreo.StepRef {
	var refs []choreo.StepRef
	for _, i := range steps {
		refs = append(refs, choreo.NewStep[payload, payload](s.steps[i].name))
	}
	return refs
}

// register registers the handlers of a service's steps that are not in done, and notes them there.
func (s *shape) register(p *process, part *participant.Participant[*tx], done map[string]bool) {
	for i := range s.steps {
		st := &s.steps[i]
		if st.owner != p.svc.name || done[st.name] || p.w.unhandled(p.build, st) {
			continue
		}
		done[st.name] = true
		if s.joins(i) {
			registerStep(part, st, &handler[choreo.Join]{p: p, s: s, i: i})
		} else {
			registerStep(part, st, &handler[payload]{p: p, s: s, i: i})
		}
	}
}

func registerStep[In any](part *participant.Participant[*tx], st *step, h *handler[In]) {
	ref := choreo.NewStep[In, payload](st.name)
	var options []participant.HandleOption
	// In a third of the worlds none shares: handlers that do come to their bounds more rarely.
	if h.p.w.roll(3, "none is local") > 0 && h.p.w.roll(10, "local", st.name) < 7 {
		options = append(options, participant.Local())
	}
	if st.undoable() {
		participant.Handle(part, ref, h, options...)
	} else {
		participant.HandleForward(part, ref, h, options...)
	}
}

// unhandled reports whether a build lacks the handler of a step.
func (w *world) unhandled(build int, st *step) bool {
	return build < newestBuild && w.roll(25, "unhandled", st.name) == 0
}

// undoable reports whether the step has a compensation.
func (st *step) undoable() bool { return !st.noUndo && !st.pivot && !st.past }
