package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"

	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/participant/internal/drive"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// process is one process of a service.
type process struct {
	w        *world
	svc      *service
	instance int
	name     string
	build    int
	backend  *backend
	part     *participant.Participant[*tx]
	steps    *drive.Steps
	ctx      context.Context
	cancel   context.CancelFunc

	dying, dead bool
	paused      time.Duration // until then nothing of it runs
	skew        time.Duration // of its clock
	routines    []*routine
	frozen      []*routine // runnable, but for the pause
	open        []ender    // at the database

	hand       *memorylog.Hand
	generation int
	endHand    context.CancelFunc
	fetching   bool
	busy       map[int]bool         // lanes of hand that are handled
	done       []memorylog.Position // to commit
	committing bool

	relay     *routine
	woken     bool
	relayLate time.Duration

	limits  map[string]int // on handlers, by step
	running map[string]int

	memory map[string]bool // of planted bugs
	cursor int64
	kept   []outbox.Entry
	clock  *routine
}

func newProcess(s *service, instance int) *process {
	s.born++
	p := &process{
		w: s.w, svc: s, instance: instance, build: s.builds[instance], memory: make(map[string]bool), running: make(map[string]int),
		name: fmt.Sprintf("%s/%d.%d", s.name, instance, s.born),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.backend = s.connect(p)
	return p
}

// boot is the beginning of a process.
func (p *process) boot() {
	w := p.w
	p.limits = p.svc.limits(p.build)
	cfg := &participant.Config{
		Service: p.svc.name, Sagas: sagasOf(p.build, w.shapes), Namespace: namespace,
		Lanes: 4, Groups: 1 + w.roll(2, "groups", p.svc.name), InFlight: 64, ClockPoll: poll, RelayPoll: poll, PruneEvery: 10 * time.Minute,
		Horizon: horizon, Codec: codec{build: p.build},
		StepLimits: p.limits, MaxOpenSagas: p.svc.maxOpen, ParkUnhandled: true,
	}
	part, err := participant.New[*tx](&broker{Log: w.log, p: p}, p.backend.store, cfg)
	if err != nil {
		w.fail("boot", "", err.Error())
		return
	}
	done := make(map[string]bool)
	for _, s := range slices.Backward(w.shapes) {
		if knows(p.build, s) {
			s.register(p, part, done)
		}
	}
	steps, err := part.Drive(p.ctx, drive.World{
		Now:   func() time.Time { return time.Now().Add(p.skew) },
		Sleep: p.sleep, Await: p.await, After: p.after, Go: func(f func()) { w.spawn(p, f) }, Float: w.dice.Float64, NewID: w.nextID,
	})
	if err != nil {
		w.fail("boot", "", fmt.Sprintf("%s: %v", p.name, err))
		return
	}
	p.part, p.steps = part, steps
	w.spawn(p, p.runRelay)
	p.relay = p.routines[len(p.routines)-1]
	w.spawn(p, p.runClock)
	p.clock = p.routines[len(p.routines)-1]
	w.spawn(p, p.runPrune)
	p.svc.rebalance(nil)
}

// sleep is how the process waits.
func (p *process) sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var early func() bool
	if ctx.Done() != nil {
		early = func() bool { return ctx.Err() != nil }
	}
	p.w.sleep(d, early)
	p.alive()
	return ctx.Err()
}

// await is how the process waits for another of its routines.
func (p *process) await(ctx context.Context, done <-chan struct{}) error {
	closed := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	p.w.wait(func() bool { return closed() || ctx.Err() != nil })
	p.alive()
	if closed() {
		return nil
	}
	return ctx.Err()
}

// after has something done later, unless the process is no more then.
func (p *process) after(d time.Duration, do func()) (stop func()) {
	stopped := false
	p.w.after(d, func() {
		if !stopped && !p.dead {
			do()
		}
	})
	return func() { stopped = true }
}

// kill ends a process where it stands, as kill -9 does. Another one is started in its place.
func (w *world) kill(p *process) {
	if p.dead {
		return
	}
	p.dead, p.dying = true, true
	w.note(p.name, "is dead", "")
	p.cancel()
	p.backend.kill()
	for _, r := range slices.Clone(p.routines) {
		r.stop()
		w.end(r)
	}
	for _, e := range slices.Clone(p.open) {
		e.abandon()
	}
	if p.hand != nil {
		p.endHand()
		p.hand.Drop()
	}
	s := p.svc
	s.instances[p.instance] = nil
	w.after(w.within(5*time.Second), func() { s.launch(p.instance) })
	w.after(sessionTimeout, func() {
		if s.instances[p.instance] == nil || s.instances[p.instance].steps == nil {
			s.rebalance(nil)
		}
	})
}

// freeze puts a routine of a paused process aside.
func (w *world) freeze(r *routine) {
	w.runnable = slices.DeleteFunc(w.runnable, func(o *routine) bool { return o == r })
	r.proc.frozen = append(r.proc.frozen, r)
}

// unpause lets a process go on; it learns later that its partitions are gone.
func (p *process) unpause() {
	if p.dead || p.paused > p.w.now() {
		return
	}
	p.w.note(p.name, "goes on", "")
	p.w.runnable = append(p.w.runnable, p.frozen...)
	p.frozen = nil
	p.w.after(p.w.within(5*time.Second), func() {
		if !p.dead {
			p.svc.rebalance(nil)
		}
	})
}

// join takes up the process's share of a generation.
func (p *process) join(generation int) {
	s := p.svc
	if p.dead || p.dying || generation != s.generation {
		return
	}
	p.endSession()
	var from []memorylog.Position
	for _, at := range p.w.places() {
		if s.owner[at] == p {
			from = append(from, memorylog.Position{Topic: at.topic, Partition: at.partition, Offset: p.offset(at)})
		}
	}
	p.generation, p.busy, p.done = generation, make(map[int]bool), nil
	ctx, cancel := context.WithCancel(p.ctx)
	p.endHand = cancel
	p.hand = memorylog.NewHand(ctx, p.w.log, topics.ConsumeConfig{
		Lanes: 4, BatchMax: 8, InFlight: 64, Keep: p.keep,
	}, p.handle, from)
	p.fetchSoon()
}

func (p *process) keep(rec *choreo.Record) bool {
	bug := p.w.bug
	if bug.records != nil {
		own := []choreo.Record{*rec}
		bug.records(p, own)
		rec = &own[0]
	}
	return p.steps.Keep(rec) && (bug.keep == nil || bug.keep(rec))
}

func (p *process) handle(ctx context.Context, batch []choreo.Record) error {
	if change := p.w.bug.records; change != nil {
		change(p, batch)
	}
	return p.steps.Handle(ctx, batch)
}

// endSession gives up what the process reads. What is under way goes on for a while.
func (p *process) endSession() {
	if p.hand == nil {
		return
	}
	p.endHand()
	p.hand.Drop()
	p.hand = nil
}

// offset is where the process begins to read a partition.
func (p *process) offset(at place) int64 {
	if p.w.bug.atEnd {
		return p.w.log.End(at.topic, at.partition)
	}
	return p.svc.committed[at]
}

// fetchSoon has the process fetch, unless it is about to.
func (p *process) fetchSoon() {
	if p.hand == nil || p.fetching || p.dead || p.dying {
		return
	}
	p.fetching = true
	p.w.spawn(p, func() {
		p.fetching = false
		if p.w.now() < p.w.brokerUp {
			p.w.sleep(p.w.brokerUp-p.w.now(), nil)
		}
		if p.hand == nil {
			return
		}
		if _, err := p.hand.Fetch(16); err != nil {
			p.w.fail("read", "", err.Error())
			return
		}
		p.commitSoon()
		p.serveLanes()
		if len(p.hand.Queued()) == 0 && p.hand.Behind() { // all of it was skipped
			p.fetchSoon()
		}
	})
}

// serveLanes has every lane handled that has something queued.
func (p *process) serveLanes() {
	hand, busy, generation := p.hand, p.busy, p.generation
	if hand == nil {
		return
	}
	for _, lane := range hand.Queued() {
		if busy[lane] {
			continue
		}
		busy[lane] = true
		p.w.spawn(p, func() {
			on := hand.Handle(lane)
			busy[lane] = false
			if p.hand != hand {
				return
			}
			if !on { // it gave up, and reads again from what was committed
				p.w.after(time.Second, func() { p.join(generation) })
				return
			}
			p.commitSoon()
			p.serveLanes()
			if hand.Behind() {
				p.fetchSoon()
			}
		})
	}
}

// commitSoon has the offsets committed of what is handled by then.
func (p *process) commitSoon() {
	if p.committing {
		return
	}
	p.committing = true
	p.w.after(p.w.within(200*time.Millisecond), func() {
		p.committing = false
		if p.dead || p.hand == nil {
			return
		}
		p.done = append(p.done, p.hand.Offsets()...)
		if p.w.bug.fetchedIsDone {
			p.done = p.hand.Fetched()
		}
		if len(p.done) == 0 || p.paused > p.w.now() {
			return
		}
		if p.svc.commit(p.generation, p.done) {
			p.w.note(p.name, "commits offsets", "")
			p.done = nil
		} else if p.generation == p.svc.generation {
			p.w.after(time.Second, p.commitSoon) // the broker is away
		}
	})
}

// wakeRelay tells the relay of a commit.
func (p *process) wakeRelay() {
	p.woken = true
	if p.relayLate <= p.w.now() && p.relay != nil {
		p.w.rouse(p.relay)
	}
}

func (p *process) runRelay() {
	for {
		if late := p.relayLate - p.w.now(); late > 0 {
			p.w.sleep(late, nil)
		}
		p.woken = false
		switch wait, deaf := p.steps.Relay.Step(p.ctx); {
		case wait <= 0:
			p.w.pause()
		case deaf:
			until := p.w.now() + wait
			for left := wait; left > 0; left = until - p.w.now() {
				p.w.sleep(left, nil)
			}
		case !p.woken:
			p.w.sleep(wait, nil)
		}
	}
}

// ring has the clock look after so long.
func (p *process) ring(in time.Duration) {
	if c := p.clock; c != nil && c.wake > 0 {
		c.wake = min(c.wake, p.w.now()+in)
	}
}

func (p *process) runClock() {
	for {
		due, wait, err := p.steps.Look(p.ctx)
		if err != nil {
			p.w.sleep(time.Second, nil)
			continue
		}
		for _, row := range due {
			p.w.spawn(p, func() { p.steps.Act(p.ctx, row) })
		}
		p.w.sleep(max(wait, time.Millisecond), nil)
	}
}

func (p *process) runPrune() {
	for {
		every := 10 * time.Minute
		if p.w.bug.prune != nil {
			every = time.Minute
		}
		p.w.sleep(every+p.w.within(time.Minute), nil)
		for wait := time.Duration(0); wait < time.Minute; {
			var err error
			if wait, err = p.steps.Prune(p.ctx); err != nil {
				break
			}
		}
	}
}

// The configuration of all participants.
const (
	namespace = "sim"
	poll      = time.Minute
	// horizon is above the deadlines, and above the time in which there is trouble.
	horizon = 3 * time.Hour
)
