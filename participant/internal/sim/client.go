package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant"
)

// start is a saga that a client starts, and tries to until it knows that it has.
type start struct {
	id       string
	name     string // of the definition
	svc      *service
	answered bool
}

const (
	clientRetry = 7 * time.Second // a client that got no answer tries again
)

// startSagas has clients start the sagas within a time.
func (w *world) startSagas(within time.Duration) {
	names := make([]string, 0, len(w.shapes))
	for _, s := range w.shapes {
		if !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	for i := range w.options.Sagas {
		// Drawn in any case, so that a saga that is left out changes no other.
		at, name, svc := time.Duration(w.rng.Int64N(int64(within))), pick(w.rng, names...), pick(w.rng, w.services...)
		if w.options.Only != nil && !w.options.Only(i) {
			continue
		}
		st := &start{id: fmt.Sprintf("%s%d", name, i), name: name, svc: svc}
		w.starts = append(w.starts, st)
		w.after(at, func() { w.try(st) })
	}
}

// ask runs a client's call at one of a service's processes, and again until it says that it is
// done; a call whose process dies says nothing.
func (w *world) ask(svc *service, again func() bool, call func(p *process)) {
	if again != nil && !again() {
		return
	}
	if p := svc.one(); p != nil {
		w.spawn(p, func() { call(p) })
	}
	if again != nil {
		w.after(clientRetry, func() { w.ask(svc, again, call) })
	}
}

func (w *world) try(st *start) {
	w.ask(st.svc, func() bool { return !st.answered }, func(p *process) {
		s := w.shapeFor(p, st.name)
		if _, err := participant.Start(p.ctx, p.part, s.saga, st.id, payload{N: w.number(st.id)}); err == nil {
			st.answered = true
			w.note("client", "started", st.id)
			w.tamper(st, s)
		}
	})
}

// shapeFor returns a version of a saga that a process knows.
func (w *world) shapeFor(p *process, name string) *shape {
	var known []*shape
	for _, s := range w.shapes {
		if s.name == name && knows(p.build, s) {
			known = append(known, s)
		}
	}
	return pick(w.dice, known...)
}

// tamper has people cancel the saga, or command its steps, at some time.
func (w *world) tamper(st *start, s *shape) {
	if w.dice.IntN(6) == 0 && w.faults[Cancelled] {
		for range 1 + w.dice.IntN(2) {
			w.after(w.within(time.Minute), func() { w.cancel(st) })
		}
	}
	if w.dice.IntN(8) == 0 && w.faults[Commanded] {
		for range 1 + w.dice.IntN(3) {
			i := w.dice.IntN(len(s.steps))
			w.after(w.within(2*time.Minute), func() { w.command(st, s, i) })
		}
	}
}

func (w *world) cancel(st *start) {
	if w.calm {
		return
	}
	w.count(Cancelled)
	w.ask(w.anyService(), nil, func(p *process) {
		_ = participant.Cancel(p.ctx, p.part, w.shapeFor(p, st.name).saga, st.id, "changed my mind") // who cancels takes what comes
	})
}

var operator = participant.Operator{By: "ann", Note: "looked at it"}

// command gives a command that may make sense or not.
func (w *world) command(st *start, s *shape, i int) {
	if w.calm {
		return
	}
	w.count(Commanded)
	kind := w.dice.IntN(3)
	w.ask(w.anyService(), nil, func(p *process) {
		if knows(p.build, s) {
			_ = w.give(p, s, st.id, i, kind) // who commands takes what comes
		}
	})
}

func (w *world) give(p *process, s *shape, id string, i, kind int) error {
	ref := choreo.NewStep[payload, payload](s.steps[i].name)
	switch kind {
	case 0:
		return participant.RetryStep(p.ctx, p.part, s.saga, id, ref, operator)
	case 1:
		return participant.ResolveUndone(p.ctx, p.part, s.saga, id, ref, operator)
	}
	return participant.ResolveDone(p.ctx, p.part, s.saga, id, ref, payload{N: w.number(id), From: ref.Name()}, operator)
}

// answerLater has a client end a pending step, if that is the step's fate.
func (w *world) answerLater(svc *service, s *shape, id string, i int, f *fate) {
	mended := w.healing && s.steps[i].past
	if f.answer == forgotten && !mended {
		return
	}
	refuses := f.answer == refused && !mended
	done := false
	late := time.Duration(w.roll(130, "when", id, s.steps[i].name)) * f.pending / 100 // some come too late
	w.after(late, func() {
		w.ask(svc, func() bool { return !done && !w.auditor.over(id, i) }, func(p *process) {
			if !knows(p.build, s) {
				return
			}
			err := w.answer(p, s, id, i, refuses)
			var state *participant.StepStateError
			done = err == nil || errors.As(err, &state) && state.State != choreo.RowNone
		})
	})
}

// answer ends a pending step in a transaction of the client's own.
func (w *world) answer(p *process, s *shape, id string, i int, refuses bool) error {
	ref := choreo.NewStep[payload, payload](s.steps[i].name)
	if refuses {
		return participant.RefuseStep(p.ctx, p.part, s.saga, id, ref, choreo.Refuse("declined", nil))
	}
	o, err := p.backend.openTx(p.ctx)
	if err != nil {
		return err
	}
	defer o.rollback()
	out := payload{N: w.number(id), From: ref.Name()}
	if err := participant.CompleteStepTx(p.ctx, p.part, o.tx, s.saga, id, ref, out); err != nil {
		return err
	}
	e := effect{id, ref.Name(), executed}
	n, err := o.tx.get(e.key())
	if err == nil && n == 0 { // it may have been answered before
		err = o.tx.do(e)
	}
	if err != nil {
		return err
	}
	return o.commit(context.WithoutCancel(p.ctx))
}

// attend is what operators do about stuck steps once all else is mended. Of those whose
// compensation failed, some are tried again, some are resolved by hand, some are left. Of
// those past the pivot that nobody answers, some are answered, some are resolved by hand.
func (w *world) attend() {
	if !w.healing {
		return
	}
	for _, at := range w.auditor.stuck() {
		s, id := at.saga.shape, at.saga.id
		kind := w.roll(3, "attend", id, s.steps[at.step].name)
		w.ask(w.serviceOf(s.steps[at.step].owner), nil, func(p *process) {
			switch past := s.steps[at.step].past; {
			case !knows(p.build, s):
			case past && kind == 0:
				_ = w.answer(p, s, id, at.step, false) // another one follows
			case past:
				_ = w.give(p, s, id, at.step, 2)
			case kind < 2:
				_ = w.give(p, s, id, at.step, kind)
			}
		})
	}
	w.after(time.Minute, w.attend)
}

func (w *world) serviceOf(name string) *service {
	i := slices.IndexFunc(w.services, func(s *service) bool { return s.name == name })
	return w.services[i]
}
