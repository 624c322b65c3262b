package sim

import (
	"cmp"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing/synctest"
	"time"

	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// Options say what is simulated. The zero value of a field is its default.
type Options struct {
	Seed  uint64
	Sagas int // default: 100
	// Order is another order of events for the same seed.
	Order uint64
	// Without leaves kinds of faults out; a smaller story is sought that way.
	Without []Fault
	// With has faults in any case.
	With []Fault
	// Only keeps the sagas with these numbers alone.
	Only func(saga int) bool
	// SQLite keeps the services' rows in SQLite instead of in memory, in this folder.
	SQLite string
	// Planted is a bug to plant, by its name; empty: none.
	Planted string
	// Story, if set, gets a line for each effect.
	Story func(line string)
}

// world is one simulated world.
type world struct {
	options Options
	seed    uint64
	rng     *rand.Rand // of what the world consists, and of what is planned
	dice    *rand.Rand // of what happens: who is next, what fails
	began   time.Time
	trace   hash.Hash64
	line    []byte
	steps   int
	failure *Failure

	current  *routine
	runnable []*routine
	waiting  []*routine // for something to become true
	sleeping []*routine
	idle     []*thread
	timers   []timer // by time

	faults         map[Fault]bool // that this seed draws
	counts         map[Fault]int
	shared, undone int  // see Result
	calm           bool // no faults are injected any more
	healing        bool // everything is mended, or is about to be

	services []*service
	shapes   []*shape // several versions of some
	log      *memorylog.Log
	names    topics.Names
	topicSet []string      // of events
	known    []place       // their partitions; nil: to be looked up
	brokerUp time.Duration // until when the broker is away
	starts   []*start
	auditor  *auditor
	ids      uint64
	bug      *bug
}

// timer is something that is going to happen.
type timer struct {
	at time.Duration
	do func()
}

// Failure is what a simulation found.
type Failure struct {
	Guarantee string // G1 to G10, or what else does not hold
	Saga      string // empty where it is none of one saga
	Text      string
}

// String says what does not hold, and where.
func (f *Failure) String() string {
	if f.Saga == "" {
		return f.Guarantee + ": " + f.Text
	}
	return fmt.Sprintf("%s: saga %s: %s", f.Guarantee, f.Saga, f.Text)
}

func newWorld(o Options) *world {
	o.Sagas = cmp.Or(o.Sagas, 100)
	w := &world{
		options: o, seed: o.Seed, rng: rand.New(rand.NewPCG(o.Seed, 1)), dice: rand.New(rand.NewPCG(o.Seed, 2+o.Order)),
		began: time.Now(), trace: fnv.New64a(), counts: make(map[Fault]int),
	}
	w.faults = w.drawFaults()
	w.auditor = newAuditor(w)
	w.bug = findBug(o.Planted)
	if w.bug == nil {
		w.bug = &bug{}
	}
	return w
}

// now is the time that has passed in the world.
func (w *world) now() time.Duration { return time.Since(w.began) }

// fail notes what is wrong; only the first fault counts.
func (w *world) fail(guarantee, saga, text string) {
	if w.failure == nil {
		w.failure = &Failure{Guarantee: guarantee, Saga: saga, Text: fmt.Sprintf("%s (at %v)", text, w.now())}
	}
}

// note adds a line to the trace, whose hash tells whether two runs were the same.
func (w *world) note(who, what, about string) {
	w.line = strconv.AppendInt(w.line[:0], int64(w.now()), 10)
	for _, word := range [...]string{who, what, about} {
		w.line = append(append(w.line, ' '), word...)
	}
	_, _ = w.trace.Write(w.line) // a hash takes everything
	if w.options.Story != nil {
		w.options.Story(fmt.Sprintf("%12v  %-14s %-22s %s", w.now(), who, what, about))
	}
}

// detail adds a line to the story that says nothing new to the trace.
func (w *world) detail(who, what, format string, args ...any) {
	if w.options.Story != nil {
		w.options.Story(fmt.Sprintf("%12v  %-14s %-22s %s", w.now(), who, what, fmt.Sprintf(format, args...)))
	}
}

// after has something happen later. It must not wait: what takes several effects is spawned.
func (w *world) after(d time.Duration, do func()) {
	t := timer{w.now() + max(d, time.Microsecond), do}
	at, _ := slices.BinarySearchFunc(w.timers, t, func(a, b timer) int {
		if a.at <= b.at { // behind those of the same time
			return -1
		}
		return 1
	})
	w.timers = slices.Insert(w.timers, at, t)
}

// within draws a time below d.
func (w *world) within(d time.Duration) time.Duration { return time.Duration(w.dice.Int64N(int64(d))) }

// run runs the world until a time, or until done, and reports whether it got there.
func (w *world) run(until time.Duration, done func() bool) bool {
	for asked := -1; w.failure == nil && w.now() < until; {
		w.rouseReady()
		if len(w.runnable) == 0 {
			if asked != w.steps && done != nil && done() {
				return true
			}
			asked = w.steps // until something happens it is as it was
			w.advance(until)
			continue
		}
		r := w.runnable[w.dice.IntN(len(w.runnable))]
		if p := r.proc; p != nil && p.paused > w.now() {
			w.freeze(r)
			continue
		}
		w.step(r)
		w.steps++
		switch {
		case w.steps > w.stepMax():
			w.fail("rest", "", fmt.Sprintf("%d effects, and no end", w.steps))
		case !w.calm && w.faults[SlowProcess] && w.dice.IntN(400) == 0:
			w.count(SlowProcess)
			w.pass(w.now() + w.within(3*time.Second))
		}
	}
	return w.failure == nil && done != nil && done()
}

// stepMax is how many effects there may be: a saga takes some hundred.
func (w *world) stepMax() int { return 2_000_000 + 20_000*w.options.Sagas }

// advance lets time pass until something is to happen.
func (w *world) advance(until time.Duration) {
	next := until
	for _, r := range w.sleeping {
		next = min(next, r.wake)
	}
	if len(w.timers) > 0 {
		next = min(next, w.timers[0].at)
	}
	w.pass(next)
}

// pass lets time pass, and has happen what is due then.
func (w *world) pass(to time.Duration) {
	if d := to - w.now(); d > 0 {
		time.Sleep(d)
		synctest.Wait() // contexts may have come to their end
	}
	w.rouseSlept()
	for len(w.timers) > 0 && w.timers[0].at <= w.now() {
		t := w.timers[0]
		w.timers = w.timers[1:]
		t.do()
	}
}

// number is the number of a saga, on which conditions depend.
func (w *world) number(saga string) int { return w.roll(1000, "number", saga) }

// nextID returns the id of an event, the same in each run of a seed.
func (w *world) nextID() string {
	w.ids++
	return fmt.Sprintf("01900000-0000-7000-8000-%012x", w.ids)
}
