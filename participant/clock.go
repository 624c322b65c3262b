package participant

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// clock wakes the loop that acts on due rows. The rows themselves are the truth: what
// this process knows of only spares it the wait until it looks again.
type clock struct {
	now    func() time.Time
	alarm  chan struct{} // holds a value while something rang
	mu     sync.Mutex
	next   time.Time           // of the rows that this process wrote; zero: none
	nap    time.Duration       // after which to look again; 0: no sooner than otherwise
	acting map[outbox.Due]bool // those that this process acts on: they are still due
}

func newClock(now func() time.Time) clock {
	return clock{now: now, alarm: make(chan struct{}, 1), acting: make(map[outbox.Due]bool)}
}

// begin notes that this process is going to act on a row. It reports false where it does already.
func (c *clock) begin(row outbox.Due) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acting[row] {
		return false
	}
	c.acting[row] = true
	return true
}

// end notes that a row has been acted on.
func (c *clock) end(row outbox.Due) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.acting, row)
}

// ring has the clock look after so long.
func (c *clock) ring(in time.Duration) {
	c.mu.Lock()
	at := c.now().Add(in)
	earlier := c.next.IsZero() || at.Before(c.next)
	if earlier {
		c.next = at
	}
	c.mu.Unlock()
	if earlier {
		select {
		case c.alarm <- struct{}{}:
		default:
		}
	}
}

// atOnce is when a row is due that need not wait. To be due at all takes some time.
const atOnce = time.Microsecond

// firstNap is the first of the clock's naps.
const firstNap = 2 * time.Millisecond

// soon has the clock look for what is due at once, and again after naps of 2, 4, 8, … ms: a
// joined transaction commits when its caller does, and a database's clock may be a coarse
// one.
func (c *clock) soon() {
	c.mu.Lock()
	c.nap = firstNap
	c.mu.Unlock()
	c.ring(atOnce)
}

// wait returns how long there is nothing to do, at most poll.
func (c *clock) wait(poll time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := poll
	if c.nap > 0 {
		wait = min(wait, c.nap)
		if c.nap *= 2; c.nap > poll {
			c.nap = 0
		}
	}
	if c.next.IsZero() {
		return wait
	}
	return min(c.next.Sub(c.now()), wait)
}

// silence forgets what has rung by now.
func (c *clock) silence() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.next.After(c.now()) {
		c.next = time.Time{}
	}
}

// runClock acts on due rows until ctx ends, and then waits for those that are under
// way. Any process of the service acts on any row, whoever wrote it; two that act on
// the same one are told apart by its lock and its state.
func (p *Participant[Tx]) runClock(ctx context.Context) {
	var busy sync.WaitGroup
	slots := make(chan struct{}, p.cfg.Lanes)
	defer busy.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-p.clock.alarm:
		case <-timer.C:
		}
		due, wait, err := p.look(ctx)
		if err != nil {
			failures++
			if p.waitOutage(ctx, "database", err, failures) != nil {
				return
			}
			timer.Reset(0)
			continue
		}
		failures = 0
		for _, row := range due {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			busy.Go(func() {
				defer func() { <-slots }()
				p.actOn(ctx, row)
			})
		}
		timer.Reset(wait)
	}
}

// hasten has all sagas that are parked tried as soon as this process runs: what kept
// another build from going on with them may not keep this one.
func (p *Participant[Tx]) hasten(ctx context.Context) error {
	if p.hastened.Load() {
		return nil
	}
	for _, saga := range slices.Sorted(maps.Keys(p.topicOf)) {
		if _, err := p.store.Hasten(ctx, outbox.DueKind{Saga: saga, Step: choreo.ParkedRow, State: choreo.RowParked}); err != nil {
			return err
		}
	}
	p.hastened.Store(true)
	return nil
}

// look returns the rows that are due and that this process does not act on yet: from now on
// it does, until actOn. It returns after how long to look again, unless the clock rings.
func (p *Participant[Tx]) look(ctx context.Context) ([]outbox.Due, time.Duration, error) {
	if err := p.hasten(ctx); err != nil {
		return nil, 0, err
	}
	p.clock.silence()
	open := p.limits.open()
	// Those that are acted on may be among the rows: ask for enough to see others.
	query := outbox.DueQuery{Limit: 2 * p.cfg.Lanes, Except: append(p.limits.except(open), p.gate.except(p.world.Now())...)}
	found, err := p.store.Due(ctx, query)
	if err != nil {
		return nil, 0, err
	}
	due, late := p.pick(found)
	for _, step := range open {
		if len(found) < query.Limit && !slices.Contains(late, step) {
			p.limits.caughtUp(step)
		}
	}
	wait := p.clock.wait(p.cfg.ClockPoll)
	if len(found) == query.Limit && len(due)+len(late) > 0 {
		wait = 0 // there may be more
	}
	return due, wait, nil
}

// pick returns the rows that are to be acted on, and the steps of which some found no place.
func (p *Participant[Tx]) pick(found []outbox.Due) (due []outbox.Due, late []string) {
	var toAdmit, bounded []outbox.Due
	for _, row := range found {
		switch {
		case queued(&row) && p.roles[version{row.SagaID.Saga, row.Version}] != nil:
			toAdmit = append(toAdmit, row)
		case !p.clock.begin(row):
		case p.limits.bounds(&row):
			bounded = append(bounded, row)
		default:
			due = append(due, row)
		}
	}
	// Each process has as many places as it finds. If all of them took the oldest rows, those
	// of all but one would be taken up by waiting for the locks of these.
	from := int(p.world.Float() * float64(len(bounded)))
	for i := range bounded {
		row := bounded[(from+i)%len(bounded)]
		if p.limits.takeDue(row.Step) {
			due = append(due, row)
		} else {
			p.clock.end(row)
			late = append(late, row.Step)
		}
	}
	return append(due, p.gate.enter(toAdmit)...), late
}

// actOn does what a due row asks for.
func (p *Participant[Tx]) actOn(ctx context.Context, due outbox.Due) {
	defer p.clock.end(due)
	ctx, stop := p.grace(ctx)
	defer stop()
	place := ""
	if p.limits.bounds(&due) {
		place = due.Step
		defer p.giveBack(place)
	}
	r := p.roles[version{due.SagaID.Saga, due.Version}]
	switch {
	case due.State == choreo.RowParked && p.topicOf[due.SagaID.Saga] != "":
		_ = p.release(ctx, due.SagaID, &due, nil) // as below
		return
	case r == nil:
		if err := p.postpone(ctx, due); err != nil {
			p.cfg.Logger.Debug("due row is not postponed", zap.Error(err)) // it is still due
		}
		return
	case queued(&due):
		p.admitQueued(ctx, due.SagaID.Saga)
		return
	}
	t := &task[Tx]{id: due.SagaID, place: place, ev: &choreo.Event{Partition: choreo.AnyPartition}}
	t.decide = func(_ context.Context, v *view[Tx]) (*call, error) {
		v.role, v.version = r, due.Version
		if due.Step == choreo.SagaRow {
			t.ev.Initiator = p.cfg.Service
			v.expire(t.ev)
			return nil, nil
		}
		return v.resume(due, t.ev), nil
	}
	t.blocked = func(v *view[Tx], c *call, why *choreo.Error) *repeat {
		v.hold(t.ev, why)
		v.putOff(c.step)
		return nil
	}
	_ = p.do(ctx, t) // it fails only where ctx ends; the row is due all the same
}

// postponed is how long a due row waits that this build cannot act on.
const postponed = time.Minute

// postpone puts off a due row of a saga or version that this build does not know: left as
// it is, it would come first each time, and enough of them would keep all others from
// their turn. A build that knows it acts on it then.
func (p *Participant[Tx]) postpone(ctx context.Context, due outbox.Due) error {
	unit, err := p.store.Begin(ctx, due.SagaID)
	if err != nil {
		return err
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()
	rows := unit.Rows(due.SagaID)
	var changes outbox.Changes
	if row, ok := rows.Steps[due.Step]; ok && row.Attempt == due.Attempt {
		changes.Steps = []outbox.StepRow{{
			SagaID: due.SagaID, Step: due.Step, Version: due.Version, Row: row, DueIn: postponed,
		}}
	}
	if due.Step == choreo.SagaRow && rows.Saga != nil && rows.Saga.DueIn == time.Microsecond {
		rows.Saga.DueIn = postponed
		changes.Sagas = []outbox.SagaRow{*rows.Saga}
	}
	if changes.Empty() {
		return nil
	}
	p.cfg.Logger.Warn("due row of a saga that this build does not know is postponed",
		zap.String("saga", due.SagaID.Saga), zap.Int("version", due.Version),
		zap.String("saga_id", due.SagaID.ID), zap.String("step", due.Step), zap.Duration("by", postponed))
	return unit.Commit(ctx, changes)
}

// expire acts on the deadline of a saga.
func (v *view[Tx]) expire(ev *choreo.Event) {
	if v.saga == nil {
		return
	}
	// A deadline that has fired is gone: one that was acted on by another process, or in a
	// commit whose outcome was unknown, must not fire again.
	if left := v.saga.DueIn; left == 0 || left > time.Microsecond {
		return
	}
	v.saga.DueIn = 0
	v.apply(choreo.SagaRow, choreo.Overdue(v.role.def, v.saga.Row), ev)
}

// resume acts on a due step: it returns the handler that is to be run again, or ends a
// step whose answer did not come.
func (v *view[Tx]) resume(due outbox.Due, ev *choreo.Event) *call {
	row := v.steps[due.Step]
	if row.Attempt != due.Attempt {
		return nil // another process has acted on it
	}
	recall(ev, row)
	if row.State == choreo.RowPending {
		delete(v.left, due.Step) // past the pivot it goes on waiting, without a time
		v.apply(due.Step, choreo.Expire(v.role.def, due.Step, row), ev)
		return nil
	}
	return v.again(due.Step, ev)
}

// again returns the handler of a step that is to be run once more.
func (v *view[Tx]) again(step string, ev *choreo.Event) *call {
	d := choreo.Resume(v.role.def, step, v.steps[step])
	if d.Run == choreo.RunNothing {
		v.apply(step, d, ev)
		return nil
	}
	return &call{step: step, decision: d}
}

// recall makes of an event what the row has kept of the one that it reacts to.
func recall(ev *choreo.Event, row choreo.Row) {
	ev.Initiator, ev.ID, ev.Partition = row.Origin.Initiator, row.Origin.CausationID, row.Home
	ev.TraceParent, ev.TraceState = row.Origin.TraceParent, row.Origin.TraceState
}
