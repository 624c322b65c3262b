package participant

import (
	"context"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// gate admits sagas that were queued, see Config.MaxOpenSagas. Their rows are due, and the
// clock finds them in the order in which they were started. Those of one definition are
// admitted many at once, in one unit, under a lock of the definition's: so all processes
// count one after the other.
type gate struct {
	mu    sync.Mutex
	doors map[string]*door // by name of the definition
}

// door is where the queued sagas of one definition stand.
type door struct {
	rows   []outbox.Due // to be admitted next
	busy   bool         // there are such, or they are being admitted
	batch  int          // how many are tried at once: about as many as found room lately
	closed int          // how many sagas have closed in this process
	shut   time.Time    // until when there is no room, unless a saga closes
}

// admitMax is how many sagas are admitted in one unit.
const admitMax = 64

// queued reports whether a due row is a saga that waits for its admission.
func queued(row *outbox.Due) bool {
	return row.Step == choreo.SagaRow && row.State == choreo.RowQueued
}

// except returns the kinds of rows that are not to be looked for.
func (g *gate) except(now time.Time) (kinds []outbox.DueKind) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for saga, d := range g.doors {
		if d.busy || d.shut.After(now) {
			kinds = append(kinds, outbox.DueKind{Saga: saga, Step: choreo.SagaRow, State: choreo.RowQueued})
		}
	}
	return kinds
}

// enter takes up the queued sagas that one look has found, and returns a row to act on for
// each of their definitions.
func (g *gate) enter(rows []outbox.Due) (first []outbox.Due) {
	g.mu.Lock()
	defer g.mu.Unlock()
	entered := make(map[*door]bool)
	for _, row := range rows {
		if g.doors == nil {
			g.doors = make(map[string]*door)
		}
		d := g.doors[row.SagaID.Saga]
		if d == nil {
			d = &door{batch: admitMax}
			g.doors[row.SagaID.Saga] = d
		}
		switch {
		case entered[d]:
			if len(d.rows) < d.batch {
				d.rows = append(d.rows, row)
			}
		case !d.busy: // else another look was quicker
			d.busy, d.rows, entered[d] = true, []outbox.Due{row}, true
			first = append(first, row)
		}
	}
	return first
}

// begin returns the rows that entered, and how many sagas have closed by now.
func (g *gate) begin(saga string) (rows []outbox.Due, closed int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.doors[saga]
	return d.rows, d.closed
}

// end notes how an admission went: how many found room, and whether others did not until
// now. It reports whether more may find some.
func (g *gate) end(saga string, admitted int, full bool, closed int, until time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.doors[saga]
	d.busy, d.rows = false, nil
	if !full {
		d.batch = min(2*d.batch, admitMax)
		return true
	}
	d.batch = max(admitted, 1)
	if d.closed != closed {
		return true // after it was counted
	}
	d.shut = until
	return false
}

// close notes that a saga has closed. It reports whether others may have waited for that.
func (g *gate) close(saga string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.doors[saga]
	if d == nil {
		return false
	}
	d.closed++
	waited := !d.shut.IsZero()
	d.shut = time.Time{}
	return waited
}

// admitQueued admits the sagas of a definition that entered the gate.
func (p *Participant[Tx]) admitQueued(ctx context.Context, saga string) {
	rows, closed := p.gate.begin(saga)
	for attempt := 1; ; attempt++ {
		admitted, full, err := p.admitOnce(ctx, saga, rows)
		if err == nil {
			p.outage.over("database")
			if p.gate.end(saga, admitted, full, closed, p.world.Now().Add(p.cfg.ClockPoll)) {
				p.clock.soon()
			}
			return
		}
		if p.waitOutage(ctx, "database", err, attempt) != nil {
			p.gate.end(saga, 0, false, closed, time.Time{}) // the rows are still due
			return
		}
	}
}

// admitOnce admits as many of the rows as there is room for, and reports whether that was
// not enough.
func (p *Participant[Tx]) admitOnce(ctx context.Context, saga string, rows []outbox.Due) (admitted int, full bool, err error) {
	ids := make([]outbox.SagaID, 0, len(rows)+1)
	for _, row := range rows {
		ids = append(ids, row.SagaID)
	}
	if p.cfg.MaxOpenSagas > 0 {
		// No definition has a space in its name, so that it is no saga that is locked.
		ids = append(ids, outbox.SagaID{Saga: "admission " + saga})
	}
	unit, err := p.store.Begin(ctx, ids...)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()
	room := len(rows)
	if p.cfg.MaxOpenSagas > 0 {
		open, err := unit.CountOpen(ctx, saga, p.cfg.MaxOpenSagas)
		if err != nil {
			return 0, false, err
		}
		room = p.cfg.MaxOpenSagas - open
	}
	var changes outbox.Changes
	for _, row := range rows {
		v := p.newView(unit, row.SagaID)
		switch {
		case v.role == nil || v.saga == nil || v.saga.State != choreo.RowQueued:
			// Another process was quicker, or a cancel was.
		case admitted >= room:
			full = true
		default:
			v.admit()
			v.collect(&changes)
			admitted++
		}
	}
	if changes.Empty() {
		return 0, full, nil
	}
	if err := unit.Commit(ctx, changes); err != nil {
		return 0, false, err
	}
	return admitted, full, nil
}

// admit starts a saga that was queued. Its deadline counts from here.
func (v *view[Tx]) admit() {
	d := choreo.Admit(v.role.def, v.saga.Row)
	if d.Row.Home == choreo.AnyPartition {
		d.Row.Home = v.p.homes.of(v.p.topicOf[v.id.Saga], v.id.ID)
	}
	v.saga.DueIn = v.role.def.Deadline()
	from := v.saga.Origin // of who asked for the start, if it was asked for on the log
	v.apply(choreo.SagaRow, d, &choreo.Event{
		Initiator: v.p.cfg.Service, Partition: d.Row.Home,
		ID: from.CausationID, TraceParent: from.TraceParent, TraceState: from.TraceState,
	})
}
