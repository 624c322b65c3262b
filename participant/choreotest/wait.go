package choreotest

import (
	"context"
	"fmt"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant"
)

// Wait returns the saga once it is at rest: it has ended, or a compensation of it waits
// for an operator. It fails the test at once, with the saga's story, where that does
// not happen within [World.Patience]. So it does not for a saga that a service has parked
// and that nothing releases meanwhile: the failure says which service, and why.
func (w *World) Wait(ref participant.Ref) *choreo.Instance {
	w.t.Helper()
	return w.WaitFor(ref, "come to rest", atRest)
}

// WaitFor is [World.Wait] for any state of the saga; what says which, after "did not".
// Inside the bubble everything else that could happen without time has happened, too.
func (w *World) WaitFor(ref participant.Ref, what string, holds func(*choreo.Instance) bool) *choreo.Instance {
	w.t.Helper()
	id := sagaID{ref.Saga, ref.SagaID}
	ctx, cancel := context.WithTimeoutCause(w.ctx, w.Patience, fmt.Errorf("%v have passed", w.Patience))
	defer cancel()
	err := w.log.WaitUntil(ctx, func() bool {
		in := w.instance(w.fold(id))
		return in != nil && in.Status != "" && holds(in)
	})
	if err != nil {
		held := ""
		for _, where := range w.held(id) {
			held += "; " + where
		}
		w.t.Fatalf("saga %s %q did not %s: %v%s\n%s", ref.Saga, ref.SagaID, what, err, held, w.story(id))
	}
	w.settle(id)
	return w.instance(w.fold(id))
}

// atRest reports whether nothing of the saga happens any more without an operator.
func atRest(in *choreo.Instance) bool {
	if in.Status != choreo.StatusStuck {
		return in.Status.Ended()
	}
	for i := range in.Steps {
		if in.Steps[i].Status == choreo.StepUndoFailed {
			return true
		}
	}
	return false // past the pivot it is tried again
}

// settleTime bounds how long the rest of the world may take to act on what is in the log.
const settleTime = 5 * time.Second

// settle waits until every service that runs is done with the saga's events.
func (w *World) settle(id sagaID) {
	ctx, cancel := context.WithTimeout(w.ctx, settleTime)
	defer cancel()
	topic := w.names.Events(id.saga)
	_ = w.log.WaitUntil(ctx, func() bool { // in vain where another saga of the partition holds it up
		events := w.fold(id)
		for _, s := range w.list() {
			offsets := w.log.Committed(w.names.Group(s.service()), topic)
			for _, ev := range events {
				if s.running() && offsets[ev.Partition] <= ev.Offset {
					return false
				}
			}
		}
		return true
	})
	w.quiesce()
}

// Instance returns the saga as its log tells it so far, or nil where it has no event.
func (w *World) Instance(ref participant.Ref) *choreo.Instance {
	w.quiesce()
	return w.instance(w.fold(sagaID{ref.Saga, ref.SagaID}))
}
