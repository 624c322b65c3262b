package participant

import (
	"slices"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// view is this service's rows of one saga while a unit of work changes them.
type view[Tx any] struct {
	p       *Participant[Tx]
	role    *role[Tx]
	id      outbox.SagaID
	saga    *outbox.SagaRow
	steps   map[string]choreo.Row
	changed []string                 // steps whose row is to be stored, or choreo.SagaRow
	due     map[string]time.Duration // of rows to be stored
	left    map[string]time.Duration // until rows are due as they were read
	entries []outbox.Entry
}

func (p *Participant[Tx]) newView(r *role[Tx], id outbox.SagaID, rows outbox.Rows) *view[Tx] {
	v := &view[Tx]{p: p, role: r, id: id, saga: rows.Saga, steps: rows.Steps, left: rows.Due}
	if v.steps == nil {
		v.steps = make(map[string]choreo.Row, len(r.owned))
	}
	return v
}

// call is a handler that a rule asks for.
type call struct {
	step     string
	decision choreo.Decision
	more     bool // further steps of this service ask for one, too
	pending  time.Duration
}

// react applies the rules to every row of the view. What needs no handler is done;
// the first handler that is asked for is returned, and its row is left as it was.
func (v *view[Tx]) react(ev *choreo.Event) *call {
	var first *call
	if row, ok := v.steps[ev.Step]; ok && ev.Initiator == "" {
		ev.Initiator = row.Origin.Initiator // who gives a command may not know it
	}
	for _, step := range v.role.owned {
		d := choreo.React(v.role.def, step, v.steps[step], ev)
		switch {
		case d.Run == choreo.RunNothing:
			v.apply(step, d, ev)
		case first == nil:
			first = &call{step: step, decision: d}
		default:
			first.more = true
		}
	}
	if v.saga != nil {
		v.apply(choreo.SagaRow, choreo.React(v.role.def, choreo.SagaRow, v.saga.Row, ev), ev)
	}
	return first
}

// apply takes over a decision that needs no handler any more.
func (v *view[Tx]) apply(step string, d choreo.Decision, ev *choreo.Event) {
	if d.Changed {
		if step == choreo.SagaRow {
			v.saga.Row = d.Row
			if d.Row.State == choreo.RowClosed {
				v.saga.DueIn = 0 // the deadline is gone
			}
		} else {
			v.steps[step] = d.Row
		}
		if !slices.Contains(v.changed, step) {
			v.changed = append(v.changed, step)
		}
	}
	v.emit(d.Row.Home, d.Emit, ev)
}

// later takes over a decision whose row is due after a while.
func (v *view[Tx]) later(step string, d choreo.Decision, ev *choreo.Event, in time.Duration) {
	d.Row.Origin = choreo.Origin{
		Initiator: ev.Initiator, CausationID: ev.ID, TraceParent: ev.TraceParent, TraceState: ev.TraceState,
		Commands: d.Row.Origin.Commands,
	}
	if v.due == nil {
		v.due = make(map[string]time.Duration)
	}
	v.due[step] = in
	v.apply(step, d, ev)
}

// emit turns emissions into outbox entries. They go to the saga's home partition;
// a saga row may not know it, and then it is where ev was read.
func (v *view[Tx]) emit(home int32, emissions []choreo.Emission, ev *choreo.Event) {
	if home == choreo.AnyPartition {
		home = ev.Partition
	}
	for _, e := range emissions {
		v.entries = append(v.entries, entryOf(&choreo.Event{
			ID: v.p.world.NewID(), Type: e.Type, Saga: v.id.Saga, Version: v.role.def.Version(), SagaID: v.id.ID,
			Step: e.Step, Source: v.p.cfg.Service, Initiator: ev.Initiator, Time: v.p.world.Now(),
			CausationID: ev.ID, Attempt: e.Attempt, Bypassed: e.Bypassed, Keep: e.Keep, Failure: e.Failure,
			ContentType: e.Output.ContentType, Payload: e.Output.Data, Carried: e.Carried,
			By: e.By, Note: e.Note, Resolve: e.Resolve,
			TraceParent: ev.TraceParent, TraceState: ev.TraceState,
			Partition: home,
		}, v.role.topic))
	}
}

// dueIn returns when a changed row is due: as was decided, or as it was before where
// the row still waits for that.
func (v *view[Tx]) dueIn(step string) time.Duration {
	if in, decided := v.due[step]; decided {
		return in
	}
	switch v.steps[step].State {
	case choreo.RowRetrying, choreo.RowPending, choreo.RowUndoing:
		return v.left[step]
	default:
		return 0
	}
}

// ring tells the clock which rows are going to be due, once they are committed.
func (v *view[Tx]) ring() {
	for _, in := range v.due {
		v.p.clock.ring(in)
	}
}

// collect adds what the view changed to the changes of a unit.
func (v *view[Tx]) collect(to *outbox.Changes) {
	for _, step := range v.changed {
		if step == choreo.SagaRow {
			to.Sagas = append(to.Sagas, *v.saga)
			continue
		}
		to.Steps = append(to.Steps, outbox.StepRow{
			SagaID: v.id, Step: step, Version: v.role.def.Version(), Row: v.steps[step], DueIn: v.dueIn(step),
		})
	}
	to.Entries = append(to.Entries, v.entries...)
}
