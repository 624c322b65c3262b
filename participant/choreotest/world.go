package choreotest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// World is a log in memory and the services that a test runs over it. Its methods fail
// the test where they cannot do what they are asked for; those that fail it at once,
// as testing.TB.Fatalf does, must be called by the test's own goroutine.
type World struct {
	// Config is the template of every participant's configuration: set what the
	// services need (Codec, Namespace, Logger, …) before the first [Serve]. Service and Sagas
	// are filled in; of StepLimits a service gets those of its own steps. Polls for what another
	// process left behind default to a minute.
	Config participant.Config
	// Patience is how long waits may take, in the world's time, before they fail the
	// test. Default: 24 hours in [Run], 30 seconds in [RunReal].
	Patience time.Duration

	t         testing.TB
	sagas     []choreo.AnySaga
	defs      map[version]*choreo.Definition
	log       *memorylog.Log
	bubble    bool // time is virtual
	replaying bool // what services emit is noted and not published
	ctx       context.Context
	fail      context.CancelCauseFunc // with why no wait can succeed any more
	crashes   sync.WaitGroup          // processes that are being replaced

	mu        sync.Mutex
	ending    bool
	names     topics.Names
	services  map[string]server
	databases map[string]*memory.Database
	fault     *fault
	read      map[string]int // topic → records that are in events
	events    map[sagaID][]*choreo.Event
	emitted   map[sagaID][]*choreo.Event // replaying
}

// version names one version of a saga, sagaID an instance.
type (
	version struct {
		saga   string
		number int
	}
	sagaID struct{ saga, id string }
)

// server is a [Service] of any transaction type.
type server interface {
	service() string
	running() bool
	close() error
	rows(id sagaID) (outbox.Rows, error)
	backlog() (outbox.Backlog, error)
	open(ctx context.Context, def *choreo.Definition, ev *choreo.Event) error
	answer(ctx context.Context, def *choreo.Definition, ev *choreo.Event) (bool, error)
}

// Run runs f with a world of the given sagas on virtual time: in a bubble of package
// testing/synctest, in which time stands still while anything works and jumps to the
// next timer when all wait. Several versions of a saga may be given. f asserts with
// w.T(), the test within the bubble.
func Run(t *testing.T, sagas []choreo.AnySaga, f func(w *World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sagas, true)
		defer w.close()
		f(w)
	})
}

// RunReal is [Run] on real time, for stores whose database has a clock of its own.
func RunReal(t *testing.T, sagas []choreo.AnySaga, f func(w *World)) {
	t.Helper()
	w := newWorld(t, sagas, false)
	defer w.close()
	f(w)
}

const (
	virtualPatience = 24 * time.Hour
	realPatience    = 30 * time.Second
	// A day on virtual time passes in a moment where nobody looks up a second.
	virtualPoll = time.Minute
)

func newWorld(t testing.TB, sagas []choreo.AnySaga, bubble bool) *World {
	w := &World{
		t: t, sagas: sagas, bubble: bubble, Patience: realPatience,
		defs: make(map[version]*choreo.Definition), log: memorylog.New(memorylog.Options{}),
		services: make(map[string]server), databases: make(map[string]*memory.Database),
		read: make(map[string]int), events: make(map[sagaID][]*choreo.Event), emitted: make(map[sagaID][]*choreo.Event),
	}
	if bubble {
		w.Patience = virtualPatience
		w.Config.ClockPoll, w.Config.RelayPoll = virtualPoll, virtualPoll
	}
	for _, s := range sagas {
		w.defs[version{s.Def().Name(), s.Def().Version()}] = s.Def()
	}
	w.ctx, w.fail = context.WithCancelCause(context.Background())
	return w
}

// close stops everything, and fails the test where a service does not stop in order.
func (w *World) close() {
	w.t.Helper()
	w.mu.Lock()
	w.ending = true
	w.mu.Unlock()
	w.crashes.Wait()
	for _, s := range w.list() {
		if err := s.close(); err != nil {
			w.t.Errorf("choreotest: service %s: %v", s.service(), err)
		}
	}
	if err := w.log.Close(); err != nil {
		w.t.Errorf("choreotest: close the log: %v", err)
	}
	w.fail(errors.New("the world has ended"))
}

// replacing notes that a process is going to be replaced, unless the world ends.
func (w *World) replacing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ending {
		w.crashes.Add(1)
	}
	return !w.ending
}

// list returns the services by name.
func (w *World) list() []server {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]server, 0, len(w.services))
	for _, name := range slices.Sorted(maps.Keys(w.services)) {
		list = append(list, w.services[name])
	}
	return list
}

// owns reports whether a service owns a step in any of the sagas.
func (w *World) owns(service, step string) bool {
	return slices.ContainsFunc(w.sagas, func(s choreo.AnySaga) bool { return slices.Contains(s.Def().StepsOf(service), step) })
}

// T returns the test to assert with: that within the bubble.
func (w *World) T() testing.TB { return w.t }

// Context ends with the world, and where a service fails.
func (w *World) Context() context.Context { return w.ctx }

// Log returns the log, to take it away, to rebalance groups, to publish by hand.
func (w *World) Log() *memorylog.Log { return w.log }

// Database returns the database in memory of a service, which [Serve] uses: to fill it
// and to look at it.
func (w *World) Database(service string) *memory.Database {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.databases[service] == nil {
		w.databases[service] = memory.NewDatabase()
	}
	return w.databases[service]
}

// Advance lets d pass, and on virtual time also all that is then due.
func (w *World) Advance(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
	w.quiesce()
}

// quiesce waits until everything waits, where that can be told.
func (w *World) quiesce() {
	if w.bubble {
		synctest.Wait()
	}
}

// prepare makes the topics, once.
func (w *World) prepare() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.names != (topics.Names{}) {
		return nil
	}
	if len(w.sagas) == 0 {
		return errors.New("the world has no sagas")
	}
	if w.Config.Namespace == "" {
		w.Config.Namespace = "choreo"
	}
	names, err := topics.NewNames(w.Config.Namespace)
	if err != nil {
		return fmt.Errorf("World.Config.Namespace: %w", err)
	}
	plan, err := topics.NewPlan(w.ctx, w.log, topics.Topology(names, w.sagas, topics.TopologyOptions{}))
	if err != nil {
		return err
	}
	w.names = names
	return plan.Apply(w.ctx, w.log)
}

// eventTopics returns the topics of the sagas' events, sorted.
func (w *World) eventTopics() []string {
	var list []string
	for v := range w.defs {
		list = append(list, w.names.Events(v.saga))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Records returns the log of the sagas' events so far, in the order of writing within a
// saga's topic. [SaveLog] keeps it for [Replay].
func (w *World) Records() []choreo.Record {
	var all []choreo.Record
	for _, topic := range w.eventTopics() {
		all = append(all, w.log.Records(topic)...)
	}
	return all
}

// fold reads on in the log and returns the events of a saga without repetitions.
func (w *World) fold(id sagaID) []*choreo.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range w.eventTopics() {
		records := w.log.Records(topic)
		for i := w.read[topic]; i < len(records); i++ {
			ev, err := topics.Decode(&records[i])
			if err != nil {
				continue // the participants dead-letter it
			}
			to := sagaID{ev.Saga, ev.SagaID}
			if !slices.ContainsFunc(w.events[to], func(o *choreo.Event) bool { return o.ID == ev.ID }) {
				w.events[to] = append(w.events[to], ev)
			}
		}
		w.read[topic] = len(records)
	}
	return slices.Clone(w.events[id])
}

// instance returns the saga as its events tell it, or nil where there is none.
func (w *World) instance(events []*choreo.Event) *choreo.Instance {
	if len(events) == 0 {
		return nil
	}
	first := events[0]
	for _, ev := range events { // who asked for its start may have named another version
		if ev.Type != choreo.StartRequested && ev.Type != choreo.StartRejected {
			first = ev
			break
		}
	}
	def := w.defs[version{first.Saga, first.Version}]
	if def == nil {
		return nil
	}
	in := choreo.NewInstance(def)
	for _, ev := range events {
		in.Apply(ev)
	}
	return in
}
