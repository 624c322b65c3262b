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
	unit    outbox.Unit[Tx]
	role    *role[Tx] // nil: this build does not know the version
	version int       // of the definition, in what is emitted
	runs    int       // the version by which the saga runs; 0: no row tells it
	id      outbox.SagaID
	saga    *outbox.SagaRow
	steps   map[string]choreo.Row
	changed []string                 // steps whose row is to be stored, or choreo.SagaRow
	due     map[string]time.Duration // of rows to be stored
	left    map[string]time.Duration // until rows are due as they were read
	entries []outbox.Entry
	park    []outbox.Parked
	unpark  []int64
	closes  bool // the saga's row
}

// newView returns the rows of a saga of the unit. Its role is that of the version that they
// tell.
func (p *Participant[Tx]) newView(unit outbox.Unit[Tx], id outbox.SagaID) *view[Tx] {
	rows := unit.Rows(id)
	v := &view[Tx]{p: p, unit: unit, version: rows.Version, runs: rows.Version, id: id, saga: rows.Saga, steps: rows.Steps, left: rows.Due}
	v.role = p.roles[version{id.Saga, v.runs}]
	if v.steps == nil {
		v.steps = make(map[string]choreo.Row)
	}
	return v
}

// play takes up the version by which an event is to be read: the saga's own where rows tell
// it and the event may not, or names one that is not known here; else the event's.
func (v *view[Tx]) play(ev *choreo.Event) {
	said := v.p.roles[version{v.id.Saga, ev.Version}]
	v.version = v.runs
	if tellsVersion(ev.Type) && (said != nil || v.runs == 0) {
		v.runs, v.version = ev.Version, ev.Version
	}
	if v.version == 0 {
		v.version = ev.Version
	}
	v.role = v.p.roles[version{v.id.Saga, v.version}]
}

// tellsVersion reports whether events of this type come from who knows by which version the
// saga runs. Who asks for something may not know it, nor who answers without having a row.
func tellsVersion(t choreo.EventType) bool {
	switch t {
	case choreo.AbortRequested, choreo.Aborted, choreo.RetryRequested, choreo.ResolveRequested, choreo.ReleaseRequested,
		choreo.StartRequested:
		return false
	default:
		return true
	}
}

// call is a handler that a rule asks for.
type call struct {
	step     string
	decision choreo.Decision
	more     bool // further steps of this service ask for one, too
	pending  time.Duration
	deferred bool          // there is no place for it: see limits
	obstacle *choreo.Error // why it cannot be run, see obstacleError
}

// react applies the rules to every row of the view. What needs no handler is done;
// the first handler that is asked for is returned, and its row is left as it was.
func (v *view[Tx]) react(ev *choreo.Event) *call {
	first, _ := v.reactIf(ev, func(string) bool { return true })
	return first
}

// reactIf is react where the handlers of all steps for which the event asks for one may run; where
// not, it changes nothing and returns false.
func (v *view[Tx]) reactIf(ev *choreo.Event, may func(step string) bool) (first *call, ok bool) {
	if row, ok := v.steps[ev.Step]; ok && ev.Initiator == "" {
		ev.Initiator = row.Origin.Initiator // who gives a command may not know it
	}
	var few [2]choreo.Decision // a service seldom owns more
	decided := few[:0]
	for i, step := range v.role.owned {
		decided = append(decided, choreo.React(v.role.def, step, v.steps[step], ev))
		if decided[i].Run != choreo.RunNothing && !may(step) {
			return nil, false
		}
	}
	for i, d := range decided {
		switch {
		case d.Run == choreo.RunNothing:
			v.apply(v.role.owned[i], d, ev)
		case first == nil:
			first = &call{step: v.role.owned[i], decision: d}
		default:
			first.more = true
		}
	}
	if v.saga != nil {
		v.apply(choreo.SagaRow, choreo.React(v.role.def, choreo.SagaRow, v.saga.Row, ev), ev)
	}
	return first, true
}

// apply takes over a decision that needs no handler any more.
func (v *view[Tx]) apply(step string, d choreo.Decision, ev *choreo.Event) {
	if d.Changed {
		if step == choreo.SagaRow {
			v.saga.Row = d.Row
			if d.Row.State == choreo.RowClosed {
				v.saga.DueIn = 0 // the deadline is gone
				v.closes = true
			}
		} else {
			if d.Row.State != v.steps[step].State {
				delete(v.due, step) // an event before this one may have had it due
			}
			v.steps[step] = d.Row
		}
		v.change(step)
	}
	v.emit(d.Row.Home, d.Emit, ev)
}

// change notes that a row is to be stored.
func (v *view[Tx]) change(step string) {
	if !slices.Contains(v.changed, step) {
		v.changed = append(v.changed, step)
	}
}

// changeDue notes that a row is to be stored, and when it is due; 0: it is not.
func (v *view[Tx]) changeDue(step string, in time.Duration) {
	if v.due == nil {
		v.due = make(map[string]time.Duration)
	}
	v.due[step] = in
	v.change(step)
}

// discard gives up what was decided so far, of which nothing is stored.
func (v *view[Tx]) discard() {
	v.changed, v.due, v.entries, v.park, v.unpark, v.closes = nil, nil, nil, nil, nil, false
}

// later takes over a decision whose row is due after a while.
func (v *view[Tx]) later(step string, d choreo.Decision, ev *choreo.Event, in time.Duration) {
	d.Row.Origin = choreo.Origin{
		Initiator: ev.Initiator, CausationID: ev.ID, TraceParent: ev.TraceParent, TraceState: ev.TraceState,
		Commands: d.Row.Origin.Commands,
	}
	v.apply(step, d, ev)
	v.changeDue(step, in)
}

// emit turns emissions into outbox entries. They go to the saga's home partition;
// a saga row may not know it, and then it is where ev was read.
func (v *view[Tx]) emit(home int32, emissions []choreo.Emission, ev *choreo.Event) {
	elsewhere := home == choreo.AnyPartition
	if elsewhere {
		home = ev.Partition
	}
	for _, e := range emissions {
		v.entries = append(v.entries, entryOf(&choreo.Event{
			ID: v.p.world.NewID(), Type: e.Type, Saga: v.id.Saga, Version: v.version, SagaID: v.id.ID,
			Step: e.Step, Source: v.p.cfg.Service, Initiator: ev.Initiator, Time: v.p.world.Now(),
			CausationID: ev.ID, Attempt: e.Attempt, Bypassed: e.Bypassed, Keep: e.Keep, Failure: e.Failure,
			ContentType: e.Output.ContentType, Payload: e.Output.Data, Carried: e.Carried,
			By: e.By, Note: e.Note, Target: e.Target, Resolve: e.Resolve, Force: e.Force, Tags: e.Tags,
			Elsewhere:   elsewhere && e.Type == choreo.AbortRequested,
			TraceParent: ev.TraceParent, TraceState: ev.TraceState,
			Partition: home,
		}, v.p.topicOf[v.id.Saga]))
	}
}

// dueIn returns when a changed row is due: as was decided, or as it was before where
// the row still waits for that.
func (v *view[Tx]) dueIn(step string) time.Duration {
	if in, decided := v.due[step]; decided {
		return in
	}
	switch v.steps[step].State {
	case choreo.RowRetrying, choreo.RowPending, choreo.RowUndoing, choreo.RowParked:
		return v.left[step]
	default:
		return 0
	}
}

// ring tells the clock which rows are going to be due, once they are committed, and
// whether a queued saga may be admitted.
func (v *view[Tx]) ring() {
	for step, in := range v.due {
		switch {
		case in > atOnce:
			v.p.clock.ring(in)
		case in > 0 && !v.p.limits.full(step): // else who gives a place back rings
			v.p.clock.soon()
		}
	}
	if v.closes && v.p.gate.close(v.id.Saga) {
		v.p.clock.soon()
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
			SagaID: v.id, Step: step, Version: v.runs, Row: v.steps[step], DueIn: v.dueIn(step),
		})
	}
	to.Entries = append(to.Entries, v.entries...)
	to.Unpark = append(to.Unpark, v.unpark...)
	to.Park = append(to.Park, v.park...)
}
