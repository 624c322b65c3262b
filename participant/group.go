package participant

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// groupTime is after how long a group commits what it has, and leaves the others to the next: local
// handlers are to be quick, and those that are not hold up no more than that.
const groupTime = 100 * time.Millisecond

// doubts is for how many runs a handler is made undoable beforehand, after a failure that could not be
// undone: those of some large groups. That costs its savepoint; where another one fails, its group begins
// anew, which costs about that of the group. One that fails before it has sent anything to the database needs
// neither.
const doubts = 4096

// progress is how far a member has come in a transaction that is not committed yet.
type progress[Tx any] struct {
	*member[Tx]
	view  *view[Tx]
	done  int // events
	known attempts
	delay time.Duration
	told  []reaction // for the log
	began bool       // the saga is one that was not started before
}

// reaction is what one event has led to.
type reaction struct {
	entries int // of the view, with those of this event
	event   *choreo.Event
	call    *call
}

// errAgain says that a handler failed and cannot be undone by itself. Its failure is noted: the
// group begins anew, and it is not run again.
var errAgain = errors.New("the group begins anew")

// doGroup does what it can of the members in transactions of all of them. It returns those that
// are to be tried again; of the others, what is left stays in their threads.
func (g *groups[Tx]) doGroup(ctx context.Context, members []*member[Tx]) (rest []*member[Tx]) {
	p := g.p
	alone := g.pace.takesTurns(p.world.Now())
	reached, err := p.groupOnce(ctx, members, alone, false)
	for range 2 {
		if errors.Is(err, errAgain) {
			reached, err = p.groupOnce(ctx, members, alone, true)
		}
	}
	switch {
	case err == nil:
		g.pace.well(reached, len(members))
		return members[reached:]
	case errors.Is(err, outbox.ErrUnknownOutcome):
		for _, m := range members {
			m.fault = err
		}
		return nil // each goes on by itself
	case ctx.Err() != nil, len(members) == 1, errors.Is(err, errAgain), !p.store.Transient(err):
		return nil // as before, and waits by itself
	}
	p.cfg.Logger.Debug("group fails", zap.Int("sagas", len(members)), zap.Bool("alone", alone), zap.Error(err))
	g.pace.ill(len(members), alone, p.world.Now())
	for _, m := range members {
		if m.failed++; m.failed < patienceOfGroups && m.starts == nil { // who starts one is to hear of a fault soon
			rest = append(rest, m)
		}
	}
	return rest
}

// groupOnce is one transaction of the members. It returns how many of them it has come to. firm says
// that every handler is to be undoable.
func (p *Participant[Tx]) groupOnce(ctx context.Context, members []*member[Tx], alone, firm bool) (reached int, err error) {
	ids := make([]outbox.SagaID, len(members))
	for i, m := range members {
		ids[i] = m.id
	}
	// A lone saga waits for no turn: the rows that it locks cross nobody's more than ever.
	turn := outbox.Group{LockTimeout: lockTimeout, Alone: alone && len(members) > 1}
	unit, err := p.store.BeginGroup(ctx, turn, ids...)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()

	changes := outbox.Changes{
		Steps:   make([]outbox.StepRow, 0, len(members)),
		Entries: make([]outbox.Entry, 0, len(members)+len(members)/4),
	}
	made := make([]*progress[Tx], 0, len(members))
	for began := p.world.Now(); reached < len(members); reached++ {
		if reached > 0 && (stopping(ctx) != nil || p.world.Now().Sub(began) > groupTime) {
			break
		}
		m := &progress[Tx]{member: members[reached], view: p.newView(unit, members[reached].id)}
		if err := p.advance(ctx, m, firm); err != nil {
			return 0, err
		}
		m.view.collect(&changes)
		made = append(made, m)
	}
	if !changes.Empty() {
		if err := unit.Commit(ctx, changes); err != nil {
			return 0, err
		}
	}
	for _, m := range made {
		m.thread.events, m.thread.known, m.thread.at, m.thread.delay = m.events[m.done:], m.known, 0, m.delay
		m.view.ring()
		p.logGroup(m)
		if m.starts != nil {
			m.ended = true
			if m.began {
				m.starts.done(m.view)
			}
		}
	}
	return reached, nil
}

// advance does the events of a member, up to one that the group cannot do.
func (p *Participant[Tx]) advance(ctx context.Context, m *progress[Tx], firm bool) error {
	v := m.view
	if m.starts != nil {
		m.began = m.starts.in(v)
		return nil
	}
	for ; m.done < len(m.events); m.done++ {
		ev := m.events[m.done]
		m.known = m.knownOf(m.done)
		before := *v
		if v.play(ev.Event); !p.fits(m, ev, before.runs) {
			v.role, v.version, v.runs = before.role, before.version, before.runs
			return nil
		}
		c, ok := v.reactIf(ev.Event, v.role.isLocal)
		for ok && c != nil {
			ended, err := p.runInGroup(ctx, m, c, ev.Event, firm)
			if err != nil {
				return err
			}
			if !ended {
				m.told = append(m.told, reaction{len(v.entries), ev.Event, c})
				return nil
			}
			if !c.more {
				break
			}
			c, ok = v.reactIf(ev.Event, v.role.isLocal)
		}
		if !ok {
			return nil
		}
		m.told = append(m.told, reaction{len(v.entries), ev.Event, c})
	}
	m.known = attempts{}
	return nil
}

// fits reports whether a group can do an event, of which the view has just taken up the version.
func (p *Participant[Tx]) fits(m *progress[Tx], ev received[Tx], runs int) bool {
	v := m.view
	switch {
	case ev.Type == choreo.ReleaseRequested, ev.Type == choreo.StartRequested, v.role == nil, v.parked():
		return false
	case m.known.verdict != nil && m.known.verdict.obstacle != nil:
		return false
	case v.runs != runs && len(v.changed) > 0: // what is to be stored already goes by another version
		return false
	}
	return p.stale(v.role, ev.Event, ev.record.Time) == nil
}

// runInGroup runs a handler and applies how it ended. It reports whether that was the end of it:
// what is tried again on the spot is left.
func (p *Participant[Tx]) runInGroup(ctx context.Context, m *progress[Tx], c *call, ev *choreo.Event, firm bool) (ended bool, err error) {
	v := m.view
	bound := v.role.bound[c.step]
	left := bound.doubts.Load()
	if err := v.unit.Part(ctx, firm || left > 0); err != nil {
		return false, err
	}
	res, failed := p.resultOf(ctx, new(task[Tx]), v, c, &m.known)
	switch {
	case c.deferred:
		p.putOff(v, c, ev, &m.known)
		return true, nil
	case failed:
		if err := p.undo(ctx, m, c, res.Err); err != nil {
			if errors.Is(err, errAgain) {
				bound.doubts.Store(doubts)
			}
			return false, err
		}
	}
	if left > 0 {
		bound.doubts.CompareAndSwap(left, left-1)
	}
	m.known.verdict = nil
	next := p.conclude(v, c, ev, res, &m.known)
	if m.known.made[c.step] > 0 {
		m.delay = next.delay
		return false, nil
	}
	return true, nil
}

// undo undoes what a handler did that failed, so that its failure can be recorded with what the others
// do. Where the database was at fault, or nothing can be undone by itself, it returns an error.
func (p *Participant[Tx]) undo(ctx context.Context, m *progress[Tx], c *call, failure *choreo.Error) error {
	if err := p.atFault(ctx, failure); err != nil {
		return err
	}
	if c.obstacle == nil {
		err := m.view.unit.UndoPart(ctx)
		if err == nil || errors.Is(err, outbox.ErrQueued) { // done, or it is not this handler that failed
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.thread.at, m.thread.known = m.done, m.known
	m.thread.known.verdict = &verdict{step: c.step, run: c.decision.Run, err: failure, obstacle: c.obstacle}
	return errAgain
}

// logGroup logs what a member has committed.
func (p *Participant[Tx]) logGroup(m *progress[Tx]) {
	from := 0
	for _, r := range m.told {
		p.logCommit(m.view, m.view.entries[from:r.entries], r.call, r.event)
		from = r.entries
	}
}
