package choreotest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/participant"
)

// Kind is how [FailEach] makes a step fail.
type Kind string

// The kinds of failures.
const (
	// Refused has Execute refuse, without the handler being called.
	Refused Kind = "refused"
	// TimedOut has every attempt end as a timeout after the handler has done its work,
	// until the step's retry policy is used up.
	TimedOut Kind = "timeout"
	// Panicked has every attempt panic after the handler has done its work, until the
	// step's retry policy is used up.
	Panicked Kind = "panic"
	// Fault has the first attempt at Compensate fail after the handler has done its work.
	Fault Kind = "fault"
	// CrashedBefore kills the service's process when the handler is done and nothing is
	// committed yet; another process takes its place.
	CrashedBefore Kind = "crash before commit"
	// CrashedAfter kills the service's process when the commit is done and it has not
	// been told so; another process takes its place.
	CrashedAfter Kind = "crash after commit"
)

// Failure is one thing that goes wrong in a saga.
type Failure struct {
	Step string
	Run  choreo.Run // of the step: choreo.RunExecute or choreo.RunCompensate
	Kind Kind
}

// String returns the name of the failure's subtest.
func (f Failure) String() string { return fmt.Sprintf("%s/%s/%s", f.Step, f.Run, f.Kind) }

// Trial is a saga in which one thing went wrong, at rest.
type Trial struct {
	Failure  Failure
	Ref      participant.Ref
	Instance *choreo.Instance
}

// FailEach runs a saga once for each of its steps and each [Kind] of failure, as a subtest
// with a world of its own on virtual time. setup serves the services, with the
// handlers as they are, and starts the saga; when it is at rest, check gets its end state.
// Whatever went wrong, the saga must then be done or undone, and the books must balance.
//
// To see a compensation fail, the saga has to go backwards: the next later step that
// can fail refuses. Where there is none, a step that runs side by side waits for an
// answer that does not come. A compensation that neither can bring about is
// skipped, as is a step that its condition bypasses.
func FailEach(t *testing.T, saga choreo.AnySaga, setup func(w *World) participant.Ref, check func(w *World, trial Trial)) {
	t.Helper()
	for _, f := range Failures(saga) {
		t.Run(f.String(), func(t *testing.T) {
			Run(t, []choreo.AnySaga{saga}, func(w *World) { w.try(saga.Def(), f, setup, check) })
		})
	}
}

// Failures returns what [FailEach] has go wrong, in order.
func Failures(saga choreo.AnySaga) []Failure {
	def := saga.Def()
	var all []Failure
	for i := range def.Steps() {
		step := def.Steps()[i].Name
		for _, kind := range []Kind{Refused, TimedOut, Panicked, CrashedBefore, CrashedAfter} {
			all = append(all, Failure{Step: step, Run: choreo.RunExecute, Kind: kind})
		}
		if !def.Compensates(step) {
			continue
		}
		for _, kind := range []Kind{Fault, CrashedBefore, CrashedAfter} {
			all = append(all, Failure{Step: step, Run: choreo.RunCompensate, Kind: kind})
		}
	}
	return all
}

// try runs the saga once with the failure.
func (w *World) try(def *choreo.Definition, f Failure, setup func(*World) participant.Ref, check func(*World, Trial)) {
	w.t.Helper()
	w.fault = &fault{Failure: f, def: def, left: 1}
	if f.Kind == TimedOut || f.Kind == Panicked {
		w.fault.left = def.Step(f.Step).Retry.Attempts
	}
	if f.Run == choreo.RunCompensate {
		if w.fault.cause, w.fault.beside = causeOf(def, f.Step); w.fault.cause == "" {
			w.t.Skipf("%s is never undone by a failure: no step that comes later or runs beside it can fail", f.Step)
		}
	}
	ref := setup(w)
	in := w.Wait(ref)
	if !w.happened() {
		if def.Step(f.Step).Condition != "" {
			w.t.Skipf("%s is bypassed in this saga", f.Step)
		}
		w.t.Fatalf("%s did not happen: the saga came to rest without it\n%s", f, w.Story(ref))
	}
	check(w, Trial{Failure: f, Ref: ref, Instance: in})
}

// causeOf returns a step whose failure has the given one undone after it has
// completed, and whether that runs beside it; "" where there is none.
func causeOf(def *choreo.Definition, step string) (cause string, beside bool) {
	after, before := reach(def, step, (*choreo.Definition).Dependents), reach(def, step, deps)
	for _, beside := range []bool{false, true} {
		for i := range def.Steps() {
			s := &def.Steps()[i]
			later := slices.Contains(after, s.Name)
			if s.Name == step || slices.Contains(before, s.Name) || later == beside {
				continue
			}
			fails := !s.Optional && s.CompensateIf == "" && s.Condition == "" && !pastPivot(def, s.Name)
			if fails {
				return s.Name, beside
			}
		}
	}
	return "", false
}

func deps(def *choreo.Definition, step string) []string { return def.Step(step).After }

// pastPivot reports whether a step comes after the pivot, so that it cannot fail.
func pastPivot(def *choreo.Definition, step string) bool {
	return def.Pivot() != "" && slices.Contains(reach(def, step, deps), def.Pivot())
}

// reach returns all steps to which next leads from a step.
func reach(def *choreo.Definition, step string, next func(*choreo.Definition, string) []string) []string {
	var all []string
	for open := next(def, step); len(open) > 0; open = open[1:] {
		if !slices.Contains(all, open[0]) {
			all = append(all, open[0])
			open = append(open, next(def, open[0])...)
		}
	}
	return all
}

// fault is a failure that is due in a world. The world's lock guards it.
type fault struct {
	Failure
	def    *choreo.Definition
	cause  string // the step that fails so that Step is undone
	beside bool   // it runs beside Step
	saga   string // the id of the first saga that comes by; later ones are left alone
	left   int    // so many times it still happens
	done   bool   // it happened
}

// errFailEach is the error of a failure that FailEach brought about.
var errFailEach = errors.New("choreotest: FailEach has this step fail")

// besideAnswer is how long a step beside the one that is to be undone waits for its
// answer: long enough for that to complete first.
const besideAnswer = time.Hour

// happened reports whether the failure has come about.
func (w *World) happened() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fault.done
}

// due reports whether the failure concerns a saga and then notes it where hit.
func (f *fault) due(saga, id string, hit bool) bool {
	if f.def.Name() != saga || (f.saga != "" && f.saga != id) {
		return false
	}
	if hit {
		if f.left == 0 {
			return false
		}
		f.saga, f.done = id, true
		f.left--
	}
	return true
}

// action is what is made of a call of a handler.
type action int

const (
	callHandler action = iota
	failHandler
	failCause
)

func (w *World) actionOn(call *participant.CallInfo) (action, fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.fault
	switch {
	case f == nil:
		return callHandler, fault{}
	case call.Step == f.cause && call.Run == choreo.RunExecute && f.due(call.Saga, call.SagaID, false):
		return failCause, *f
	case f.Kind == CrashedBefore || f.Kind == CrashedAfter || call.Step != f.Step || call.Run != f.Run:
	case f.due(call.Saga, call.SagaID, true):
		return failHandler, *f
	}
	return callHandler, fault{}
}

// intercept brings failures about around the handlers of a participant.
func (w *World) intercept(user participant.Interceptor) participant.Interceptor {
	return func(ctx context.Context, call participant.CallInfo, next func(context.Context) error) error {
		handler := next
		if user != nil {
			handler = func(ctx context.Context) error { return user(ctx, call, next) }
		}
		act, f := w.actionOn(&call)
		switch {
		case act == callHandler:
			return handler(ctx)
		case act == failCause && f.beside:
			return participant.Pending(besideAnswer)
		case act == failCause || f.Kind == Refused:
			return choreo.Refuse("choreotest", errFailEach)
		}
		if err := handler(ctx); err != nil {
			w.t.Logf("choreotest: the handler of %s had failed by itself: %v", call.Step, err)
		}
		switch f.Kind {
		case TimedOut:
			if _, bounded := ctx.Deadline(); bounded {
				<-ctx.Done()
				return errFailEach
			}
			return choreo.Timeout(errFailEach)
		case Panicked:
			panic(errFailEach)
		default:
			return errFailEach
		}
	}
}

// crashAt says whether a process crashes about a commit.
func (w *World) crashAt(c *outbox.Changes) crash {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.fault
	if f == nil || (f.Kind != CrashedBefore && f.Kind != CrashedAfter) {
		return noCrash
	}
	for i := range c.Steps {
		row := &c.Steps[i]
		ran := row.State == choreo.RowUndone && row.Attempt > 0
		if f.Run == choreo.RunExecute {
			ran = row.State == choreo.RowPending || (row.State == choreo.RowCompleted && row.Attempt > 0)
		}
		if row.Step != f.Step || !ran || !f.due(row.SagaID.Saga, row.SagaID.ID, true) {
			continue
		}
		if f.Kind == CrashedBefore {
			return crashBefore
		}
		return crashAfter
	}
	return noCrash
}
