package participant

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// groups have sagas of all lanes share transactions. What a lane has read waits in one queue, and
// a lane that waits there leads: it works off what has queued up by then in one transaction,
// whoever's it is, and then what has come meanwhile, until its own sagas are done; then another
// lane leads. So the clock is the commit itself: with nothing to do a saga has a transaction
// of its own at once, and the more there is, the more share one. No timer is waited for.
//
// Sagas that are started have a queue of their own, so that neither waits for the other. Who starts one
// only waits: a caller may give up at any time, and what others have in the same transaction is not
// to suffer. Its turn is taken by a goroutine.
//
// What a group cannot do is left to the lane, which does it event by event, each in a
// transaction of its own.
type groups[Tx any] struct {
	p    *Participant[Tx]
	pace pace

	mu      sync.Mutex
	queue   []*member[Tx]
	leading int           // lanes that lead
	taken   chan struct{} // closed when the next group is taken; nil: nobody waits for that
	arrived atomic.Int64  // records that were read since the last group was taken
}

// member is a saga with its events from one batch of a lane, or one that is to be started.
type member[Tx any] struct {
	*thread[Tx]
	starts *starting[Tx] // nil: it is one of a lane
	of     *party
	failed int   // groups that failed with it
	ended  bool  // the start is done
	fault  error // of its last group, if that is not known to have failed
}

// party is a lane, or a caller of Start, that has members in the queue, or in a group.
type party struct {
	open   int           // members that are not done
	leads  bool          // it is its turn
	served bool          // a goroutine takes its turn
	left   bool          // it waits no more
	taken  int           // groups that it has taken
	wake   chan struct{} // closed when it is its turn, or all is done; nil: it does not wait
}

func newGroups[Tx any](p *Participant[Tx]) *groups[Tx] {
	return &groups[Tx]{p: p, pace: newPace(p.cfg.GroupMax)}
}

// patienceOfGroups is after how many groups that failed with it a member is left to its lane.
const patienceOfGroups = 3

// joins reports whether a thread is for a group: its first event runs no handler, or those of steps
// that share. What of it the group cannot do all the same is left.
func (t *thread[Tx]) joins() bool {
	ev := t.events[0]
	switch {
	case ev.role == nil, ev.Type == choreo.ReleaseRequested, ev.Type == choreo.StartRequested:
		return false
	case !ev.role.needsRow(ev.Event):
		return true
	}
	return ev.role.def.Reacts(ev.role.local, ev.Type, ev.Step) || !ev.role.def.Reacts(ev.role.owned, ev.Type, ev.Step)
}

// do has the threads done in groups, as far as they can be. What is left of them stays in them. It
// returns an error only where ctx ended before.
func (g *groups[Tx]) do(ctx context.Context, threads []thread[Tx]) error {
	if g.p.cfg.Groups < 0 {
		return nil
	}
	own := new(party)
	members := make([]member[Tx], 0, len(threads))
	for i := range threads {
		if threads[i].joins() {
			members = append(members, member[Tx]{thread: &threads[i], of: own})
		}
	}
	if len(members) == 0 {
		return nil
	}
	g.enter(own, members)
	defer g.leave(own)
	for {
		if err := g.lead(ctx, own); err != nil {
			return err
		}
		wake := g.wait(own)
		if wake == nil {
			return nil
		}
		if err := g.p.world.Await(ctx, wake); err != nil {
			return err
		}
	}
}

// start starts a saga in a group, or by itself where no group can.
func (g *groups[Tx]) start(ctx context.Context, s *starting[Tx]) error {
	if g.p.cfg.Groups < 0 {
		return s.alone(ctx, begin(ctx, g.p))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	own := new(party)
	members := []member[Tx]{{thread: &thread[Tx]{id: s.id}, starts: s, of: own}}
	g.enter(own, members)
	for {
		wake, leads := g.turn(own)
		if wake == nil {
			break
		}
		if leads {
			free := ungraced(context.WithoutCancel(ctx))
			g.p.world.Go(func() { g.leadFor(free, own) })
		}
		if err := g.p.world.Await(ctx, wake); err != nil {
			if g.leave(own) {
				err = fmt.Errorf("%w: %w", outbox.ErrUnknownOutcome, err)
			}
			return err
		}
	}
	switch m := &members[0]; {
	case m.ended:
		return nil
	case m.fault != nil:
		return m.fault
	}
	return s.alone(ctx, begin(ctx, g.p))
}

// turn is wait for a party whose turns others take. It reports whether one is to be taken now.
func (g *groups[Tx]) turn(own *party) (wake <-chan struct{}, leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if own.open == 0 {
		return nil, false
	}
	own.wake = make(chan struct{})
	leads = own.leads && !own.served
	own.served = own.served || leads
	return own.wake, leads
}

// leadFor takes the turns of a party, as long as it has one.
func (g *groups[Tx]) leadFor(ctx context.Context, own *party) {
	for again := true; again; {
		_ = g.lead(ctx, own) // ctx does not end
		g.mu.Lock()
		again = own.leads // it was appointed anew, after a group that took too long
		own.served = again
		g.mu.Unlock()
	}
}

// lead works off groups while it is the party's turn.
func (g *groups[Tx]) lead(ctx context.Context, own *party) error {
	for {
		runtime.Gosched() // so that lanes that were waiting for the last group can bring what they have read
		group := g.take(own)
		if group == nil {
			return nil
		}
		rest := group
		err := stopping(ctx)
		if err == nil {
			stop := g.p.world.After(groupTime, g.overdue(own))
			rest = g.doGroup(ctx, group)
			stop()
		}
		g.settle(group, rest)
		if err != nil {
			return err
		}
	}
}

// arrives notes that a record was read that will want a group, or a lane that a group keeps waiting.
func (g *groups[Tx]) arrives() { g.arrived.Add(1) }

// busy returns what is closed when the next group is taken, or none is at work any more; nil if nothing
// has arrived since the one that is. Those who read wait for it: what they would read meanwhile would
// only wait as well.
func (g *groups[Tx]) busy() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leading == 0 || len(g.queue) == 0 && g.arrived.Load() == 0 {
		return nil
	}
	if g.taken == nil {
		g.taken = make(chan struct{})
	}
	return g.taken
}

// takes is called when a group is taken, or none is at work any more.
func (g *groups[Tx]) takes() {
	g.arrived.Store(0)
	if g.taken != nil {
		close(g.taken)
		g.taken = nil
	}
}

// enter puts members into the queue. If not enough lanes lead, this one does.
func (g *groups[Tx]) enter(own *party, members []member[Tx]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	own.open = len(members)
	for i := range members {
		g.queue = append(g.queue, &members[i])
	}
	if g.leading < g.p.cfg.Groups {
		g.leading++
		own.leads = true
	}
}

// take takes the next group, if it is the party's turn and it has something open; if not, its turn
// has ended. No saga is twice in a group: two sessions of a consumer group may have read the same.
func (g *groups[Tx]) take(own *party) []*member[Tx] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !own.leads {
		return nil
	}
	if own.open == 0 || len(g.queue) == 0 {
		g.passOn(own)
		return nil
	}
	own.taken++
	size := g.pace.size()
	group := make([]*member[Tx], 0, min(size, len(g.queue)))
	taken := make(map[outbox.SagaID]bool, cap(group))
	g.queue = slices.DeleteFunc(g.queue, func(m *member[Tx]) bool {
		if len(group) == size || taken[m.id] {
			return false
		}
		taken[m.id] = true
		group = append(group, m)
		return true
	})
	g.takes()
	return group
}

// overdue returns what ends the party's turn while it is still at its present group, which takes too
// long: its handlers are not as quick as they say, and others are not to wait for them.
func (g *groups[Tx]) overdue(own *party) func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	group := own.taken
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if own.leads && own.taken == group {
			g.passOn(own)
		}
	}
}

// settle puts what is to be tried again to the front of the queue, and tells the lanes of the others.
func (g *groups[Tx]) settle(group, rest []*member[Tx]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range group {
		if slices.Contains(rest, m) {
			continue
		}
		if m.of.open--; m.of.open == 0 {
			m.of.rouse()
		}
	}
	rest = slices.DeleteFunc(slices.Clone(rest), func(m *member[Tx]) bool { return m.of.left })
	g.queue = append(rest, g.queue...)
	if g.leading < g.p.cfg.Groups && g.appoint(nil) { // where the group was overdue
		g.leading++
	}
}

// wait returns the channel that is closed when the party is to go on, or nil where all is done.
func (g *groups[Tx]) wait(own *party) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if own.open == 0 {
		return nil
	}
	own.wake = make(chan struct{})
	if own.leads {
		own.rouse()
	}
	return own.wake
}

// leave takes the party's members out of the queue and gives up its turn. It reports whether some were
// not there any more: what is being worked on may yet be committed, as when the outcome of a commit is
// not known.
func (g *groups[Tx]) leave(own *party) (some bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	own.left = true
	before := len(g.queue)
	if own.open > 0 {
		g.queue = slices.DeleteFunc(g.queue, func(m *member[Tx]) bool { return m.of == own })
	}
	if own.leads {
		g.passOn(own)
	}
	return own.open > before-len(g.queue)
}

// passOn ends the turn of a party and gives it to the lane that has waited for longest.
func (g *groups[Tx]) passOn(own *party) {
	own.leads = false
	if !g.appoint(own) {
		g.leading--
		g.takes()
	}
}

// appoint has the lane lead that has waited for longest, but for one.
func (g *groups[Tx]) appoint(except *party) bool {
	for _, m := range g.queue {
		if !m.of.leads && m.of != except {
			m.of.leads = true
			m.of.rouse()
			return true
		}
	}
	return false
}

// rouse has a lane go on that waits.
func (own *party) rouse() {
	if own.wake != nil {
		close(own.wake)
		own.wake = nil
	}
}
