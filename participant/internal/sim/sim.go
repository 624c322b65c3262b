package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// Result is what a simulation has shown.
type Result struct {
	Failure *Failure // nil: everything held
	Trace   uint64   // the same for two runs that went the same way
	Effects int
	Faults  map[Fault]int
	Sagas   map[string]int // by how they ended
	Drawn   string         // the faults of the seed
	Events  int
	Pruned  int
	Length  time.Duration // in the world's time
	// Shared are commits of several sagas in one, with something of more than one; Undone are
	// handlers that failed in one and were undone by themselves.
	Shared, Undone int
}

// Run simulates. It must be called within a bubble of testing/synctest.
func Run(o Options) Result {
	w := newWorld(o)
	defer w.close()
	w.build()
	w.live()
	r := Result{
		Failure: w.failure, Trace: w.trace.Sum64(), Effects: w.steps, Faults: w.counts,
		Drawn: w.drawn(), Events: len(w.auditor.seen), Pruned: w.auditor.pruned, Length: w.now(),
		Shared: w.shared, Undone: w.undone,
	}
	if w.failure == nil {
		r.Sagas = w.auditor.outcomes()
	}
	return r
}

// The times of a world.
const (
	startsWithin  = 6 * time.Minute
	troubledUntil = 8 * time.Minute
	// restWithin is how long a world that is mended may take to come to rest: stuck steps
	// are tried again every five minutes, and those before them.
	restWithin = 3 * time.Hour
	// silence is long enough for rows to be pruned.
	silence = horizon + 90*time.Minute
)

// build makes the services, the sagas and the topics.
func (w *world) build() {
	var names []string
	for i := range 2 + w.rng.IntN(4) {
		names = append(names, string(rune('p'+i)))
	}
	for i := range 1 + w.rng.IntN(4) {
		s := newShape(w.rng, string(rune('a'+i)), 1, names)
		w.shapes = append(w.shapes, s)
		next := s.next(w.rng, names)
		if w.faults[Redeployed] {
			w.shapes = append(w.shapes, next)
		}
	}
	w.log = memorylog.New(memorylog.Options{})
	var err error
	if w.names, err = topics.NewNames(namespace); err != nil {
		w.fail("topics", "", err.Error())
		return
	}
	w.makeTopics()
	for _, name := range names {
		w.services = append(w.services, w.newService(name))
	}
}

func (w *world) makeTopics() {
	ctx := context.Background()
	for _, s := range w.shapes {
		if topic := w.names.Events(s.name); !slices.Contains(w.topicSet, topic) {
			w.topicSet = append(w.topicSet, topic)
		}
	}
	settings := map[string]string{"retention.ms": fmt.Sprint(horizon.Milliseconds())}
	for _, topic := range w.topicSet {
		if err := w.log.CreateTopic(ctx, topics.TopicSpec{Name: topic, Partitions: 1 + w.rng.IntN(4), Settings: settings}); err != nil {
			w.fail("topics", "", err.Error())
		}
	}
	if err := w.log.CreateTopic(ctx, topics.TopicSpec{Name: w.names.DeadLetters(), Partitions: 1}); err != nil {
		w.fail("topics", "", err.Error())
	}
}

func (w *world) newService(name string) *service {
	s := &service{
		w: w, name: name, db: &database{}, unlocked: make(unlocked), open: make(map[outbox.SagaID]bool), owner: make(map[place]*process), committed: make(map[place]int64),
	}
	build := newestBuild
	if w.faults[Redeployed] {
		build = 1
	}
	n := 1 + w.rng.IntN(3)
	if w.rng.IntN(4) == 0 {
		s.maxOpen = 1 + w.rng.IntN(30)
	}
	s.instances, s.builds = make([]*process, n), slices.Repeat([]int{build}, n)
	if w.options.SQLite == "" {
		s.inMemory()
	} else if err := s.inSQLite(w.options.SQLite); err != nil {
		w.fail("SQLite", "", err.Error())
	}
	return s
}

// live is the life of the world: trouble, then it is mended and has to come to rest.
func (w *world) live() {
	for _, s := range w.services {
		for i := range s.instances {
			s.launch(i)
		}
	}
	w.startSagas(startsWithin)
	w.plan(troubledUntil)
	w.run(troubledUntil, nil)
	w.calmDown()
	w.run(w.now()+restWithin, w.othersAtRest)
	if list := w.auditor.restless(3, w.excused); len(list) > 0 && w.failure == nil {
		w.fail("G8 isolation, G10 no coordinator", "", "nothing is wrong with them, and they do not come to rest beside others: "+strings.Join(list, "; "))
	}
	if w.faults[ServiceGone] {
		w.run(w.now()+40*time.Minute, nil) // deadlines have to fire meanwhile
	}
	w.heal()
	w.attend()
	if !w.run(w.now()+restWithin, w.atRest) && w.failure == nil {
		w.fail("G3 all or undone", "", "no rest within "+restWithin.String()+": "+strings.Join(w.auditor.restless(5, nil), "; "))
	}
	w.healing = false
	w.run(w.now()+10*time.Minute, nil) // nothing may come after the end
	w.auditor.judge()
	if w.faults[LongPause] && w.options.SQLite == "" && w.failure == nil { // SQLite prunes by the clock of the process
		w.auditor.late = true
		w.run(w.now()+silence, nil)
		for range 40 {
			w.count(LongPause)
			w.publishStale()
		}
		w.run(w.now()+10*time.Minute, nil)
		w.auditor.judge()
	}
}

// atRest reports whether nothing is left to do.
func (w *world) atRest() bool {
	return !slices.ContainsFunc(w.starts, func(s *start) bool { return !s.answered }) && len(w.auditor.restless(1, nil)) == 0
}

// othersAtRest reports whether nothing is left to do of what could be done.
func (w *world) othersAtRest() bool { return len(w.auditor.restless(1, w.excused)) == 0 }

// calmDown ends what disturbs all: broker and databases answer, nothing crashes any more. Some
// services are still away, some are of an old build, some handlers still fail: what does not need
// these has to come to rest all the same.
func (w *world) calmDown() {
	w.note("world", "calms down", "")
	w.calm, w.brokerUp = true, 0
	for i, s := range w.services {
		if w.faults[ServiceGone] && i == 0 {
			s.leave(2 * restWithin)
		}
		s.calmDown()
	}
}

// excused reports whether a saga need not come to rest yet.
func (w *world) excused(s *story) bool {
	if s == nil || s.shape == nil || s.begun == 0 {
		return true // its initiator is away
	}
	for i := range s.shape.steps {
		if s.marks[i].stuck || w.serviceOf(s.shape.steps[i].owner).gone > w.now() {
			return true
		}
	}
	return len(s.parked) > 0
}

// close ends all processes.
func (w *world) close() {
	for _, s := range w.services {
		s.gone = 1 << 62
		for _, p := range s.instances {
			if p != nil {
				w.kill(p)
			}
		}
	}
	for _, s := range w.services {
		for _, end := range s.closers {
			end()
		}
	}
	_ = w.log.Close() // it cannot fail

	for _, r := range slices.Concat(w.runnable, w.waiting, w.sleeping) {
		r.stop()
	}
	for _, t := range w.idle {
		t.stop()
	}
}
