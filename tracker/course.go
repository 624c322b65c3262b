package tracker

import (
	"slices"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// course is what of a definition tells what is to come.
type course struct {
	def   *choreo.Definition
	steps []courseStep
}

type courseStep struct {
	after     []int // must have completed before it runs
	undoWaits []int // must be settled before it is undone
	ancestors []int // all that it follows from
}

func newCourse(d *choreo.Definition) *course {
	c := &course{def: d, steps: make([]courseStep, len(d.Steps()))}
	index := make(map[string]int, len(c.steps))
	for i := range d.Steps() {
		index[d.Steps()[i].Name] = i
	}
	indices := func(names []string) []int {
		list := make([]int, 0, len(names))
		for _, n := range names {
			list = append(list, index[n])
		}
		return list
	}
	for i := range d.Steps() {
		s := &d.Steps()[i]
		step := &c.steps[i]
		step.after = indices(s.After)
		for _, k := range step.after { // they stand before it
			step.ancestors = append(append(step.ancestors, k), c.steps[k].ancestors...)
		}
		slices.Sort(step.ancestors)
		step.ancestors = slices.Compact(step.ancestors)
		switch d.Strategy() {
		case choreo.ParallelOrder:
		case choreo.CustomOrder:
			step.undoWaits = indices(s.UndoAfter)
		case choreo.ReverseOrder, choreo.BestEffort:
			step.undoWaits = indices(d.Dependents(s.Name))
		}
	}
	return c
}

// next returns what is still to come, that which is ready first.
func (c *course) next(steps []choreo.StepInstance, turned, kept, ended bool) []Next {
	if ended || len(steps) != len(c.steps) {
		return nil
	}
	var ready, later []Next
	add := func(i int, run choreo.Run, waits []int, over func(int) bool) {
		n := Next{Step: steps[i].Name, Service: steps[i].Owner, Run: run}
		for _, k := range waits {
			if !over(k) {
				n.WaitsFor = append(n.WaitsFor, steps[k].Name)
			}
		}
		if n.Ready = n.WaitsFor == nil; n.Ready {
			ready = append(ready, n)
		} else {
			later = append(later, n)
		}
	}
	settled := func(k int) bool { return c.settled(steps, k) }
	done := func(k int) bool { return hasCompleted(steps[k].Status) }
	for i := range steps {
		switch steps[i].Status {
		case choreo.StepIdle:
			if !turned {
				add(i, choreo.RunExecute, c.steps[i].after, done)
			}
		case choreo.StepReady:
			// After a failure elsewhere its owner still has to say that it skips the step, or
			// that it had completed: nobody but the owner is waited for.
			waits := c.steps[i].after
			if turned {
				waits = nil
			}
			add(i, choreo.RunExecute, waits, done)
		case choreo.StepRetried:
			add(i, choreo.RunExecute, nil, done)
		case choreo.StepUndoing:
			if !kept {
				add(i, choreo.RunCompensate, c.steps[i].undoWaits, settled)
			}
		case choreo.StepUndoFailed:
			add(i, choreo.RunCompensate, nil, settled)
		case choreo.StepDone, choreo.StepBypassed, choreo.StepFailing, choreo.StepNotRun, choreo.StepUndone:
		}
	}
	if turned { // compensations go from the end to the beginning
		slices.Reverse(ready)
		slices.Reverse(later)
	}
	return append(ready, later...)
}

func hasCompleted(s choreo.StepStatus) bool { return s == choreo.StepDone || s == choreo.StepBypassed }

// settled reports whether a step will never again hold an effect, as the rules have it: what
// follows from a step that failed or was skipped can never run.
func (c *course) settled(steps []choreo.StepInstance, k int) bool {
	over := func(i int) bool { return steps[i].Status == choreo.StepFailing || steps[i].Status == choreo.StepNotRun }
	switch steps[k].Status {
	case choreo.StepUndone:
		return true
	case choreo.StepUndoFailed:
		return c.def.Strategy() == choreo.BestEffort
	default:
		return over(k) || slices.ContainsFunc(c.steps[k].ancestors, over)
	}
}

// told is what a snapshot holds beyond the fold of choreo.
type told struct {
	tags     map[string]string
	traceID  string
	by, note string // of the abort that turned the saga back
	first    int64
	offset   int64
	events   int64
}

// snapshot returns an instance as a snapshot.
func (c *course) snapshot(in *choreo.Instance, t *told) *Snapshot {
	hidden := in.Hidden()
	s := &Snapshot{
		ID: in.ID, Saga: in.Saga, Version: in.Version, Status: in.Status, Initiator: in.Initiator, Tags: t.tags,
		StartedAt: in.StartedAt, UpdatedAt: in.UpdatedAt, EndedAt: timeOf(in.EndedAt),
		TraceID: t.traceID, Partition: in.Partition, Offset: t.offset, Events: t.events,
		Steps: make([]Step, len(in.Steps)),
		Fold: &Fold{
			First: t.first, Requested: hidden.Requested, Turned: hidden.Turned, Kept: hidden.Kept,
			Parkings: slices.Clone(hidden.Parkings),
		},
	}
	if d := c.def.Deadline(); d > 0 {
		deadline := in.StartedAt.Add(d)
		s.Deadline = &deadline
	}
	if hidden.Turned {
		s.Cause = &Cause{Step: in.CauseStep, By: t.by, Note: t.note}
		if f := in.Cause; f != nil {
			s.Cause.Class, s.Cause.Code, s.Cause.Message = f.Class, f.Code, f.Message
		}
	}
	for _, p := range in.Parked {
		s.Parked = append(s.Parked, Parked{Service: p.Service, Since: p.Since, Error: errorOf(p.Failure)})
	}
	pivot := c.def.Pivot()
	for i := range in.Steps {
		from, to := &in.Steps[i], &s.Steps[i]
		*to = Step{
			Name: from.Name, Service: from.Owner, Status: from.Status, Pivot: from.Name == pivot,
			Attempts: from.Attempts, ReadyAt: timeOf(from.ReadyAt), EndedAt: timeOf(from.EndedAt),
			UndoneAt: timeOf(from.UndoneAt), Error: errorOf(from.Failure),
		}
		to.Seconds = to.seconds()
	}
	s.Next = c.next(in.Steps, hidden.Turned, hidden.Kept, in.Status.Ended())
	return s
}

// seconds returns how long the step took. Clocks of services differ.
func (k *Step) seconds() float64 {
	if k.ReadyAt == nil || k.EndedAt == nil {
		return 0
	}
	return max(k.EndedAt.Sub(*k.ReadyAt).Seconds(), 0)
}

// restore is the way back from snapshot.
func (c *course) restore(s *Snapshot) (*choreo.Instance, *told, error) {
	seen := choreo.Instance{
		ID: s.ID, Saga: s.Saga, Version: s.Version, Initiator: s.Initiator, Partition: s.Partition, Status: s.Status,
		StartedAt: s.StartedAt, UpdatedAt: s.UpdatedAt, EndedAt: timeAt(s.EndedAt),
		Steps: make([]choreo.StepInstance, len(s.Steps)),
	}
	t := toldOf(s)
	var hidden choreo.Hidden
	if f := s.Fold; f != nil {
		hidden = choreo.Hidden{Requested: f.Requested, Turned: f.Turned, Kept: f.Kept, Parkings: f.Parkings}
	}
	if s.Cause != nil {
		seen.CauseStep = s.Cause.Step
		seen.Cause = failureOf(&Error{Class: s.Cause.Class, Code: s.Cause.Code, Message: s.Cause.Message})
	}
	for i := range s.Parked {
		p := &s.Parked[i]
		seen.Parked = append(seen.Parked, choreo.ParkedAt{Service: p.Service, Since: p.Since, Failure: failureOf(p.Error)})
	}
	for i := range s.Steps {
		from := &s.Steps[i]
		seen.Steps[i] = choreo.StepInstance{
			Name: from.Name, Owner: from.Service, Status: from.Status, Attempts: from.Attempts, Failure: failureOf(from.Error),
			ReadyAt: timeAt(from.ReadyAt), EndedAt: timeAt(from.EndedAt), UndoneAt: timeAt(from.UndoneAt),
		}
	}
	in, err := choreo.Restore(c.def, seen, hidden)
	return in, t, err
}

func toldOf(s *Snapshot) *told {
	t := &told{tags: s.Tags, traceID: s.TraceID, offset: s.Offset, events: s.Events}
	if s.Fold != nil {
		t.first = s.Fold.First
	}
	if s.Cause != nil {
		t.by, t.note = s.Cause.By, s.Cause.Note
	}
	return t
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeAt(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func errorOf(f *choreo.Failure) *Error {
	if f == nil {
		return nil
	}
	return &Error{Class: f.Class, Code: f.Code, Message: f.Message}
}

func failureOf(e *Error) *choreo.Failure {
	if e == nil || *e == (Error{}) {
		return nil
	}
	return &choreo.Failure{Class: e.Class, Code: e.Code, Message: e.Message}
}
