package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"

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
		w: w, name: name, db: &database{}, unlocked: make(unlocked), owner: make(map[place]*process), committed: make(map[place]int64),
	}
	build := newestBuild
	if w.faults[Redeployed] {
		build = 1
	}
	n := 1 + w.rng.IntN(3)
	s.instances, s.builds = make([]*process, n), slices.Repeat([]int{build}, n)
	s.inMemory()
	return s
}

// inMemory keeps a service's rows in memory.
func (s *service) inMemory() {
	db := memory.NewDatabase()
	db.SetClock(func() time.Time { return time.Now().Add(s.db.skew) })
	s.rows = committedRows(memory.New(db))
	s.connect = func(p *process) *backend {
		store := memory.New(db)
		store.SetWait(p.w.wait)
		c := &connection[*memory.Tx]{
			p: p, inner: store,
			wrap: func(t *memory.Tx) *tx { return countersInMemory(p, t) },
			begin: func(ctx context.Context) (*memory.Tx, func(context.Context) error, func(), error) {
				t, err := store.BeginTx(ctx)
				if err != nil {
					return nil, nil, nil, err
				}
				return t, t.Commit, func() { _ = t.Rollback(context.Background()) }, nil // nothing is left to undo
			},
		}
		return &backend{store: c, openTx: c.openTx, disconnect: store.Disconnect, kill: store.Kill}
	}
}

// committedRows returns how to look at rows, past all that can fail.
func committedRows[Tx any](store outbox.Store[Tx]) func(outbox.SagaID) (outbox.Rows, error) {
	return func(id outbox.SagaID) (outbox.Rows, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		unit, err := store.Begin(ctx, id)
		if err != nil {
			return outbox.Rows{}, err
		}
		return unit.Rows(id), unit.Rollback(context.Background())
	}
}

func countersInMemory(p *process, t *memory.Tx) *tx {
	const table = "effects"
	return &tx{
		inner: t, p: p,
		get: func(key string) (n int, err error) {
			text, found, err := t.Get(table, key)
			if err == nil && found {
				_, err = fmt.Sscan(text, &n)
			}
			return n, err
		},
		put: func(key string, n int) error { return t.Put(table, key, fmt.Sprint(n)) },
	}
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
	w.heal()
	w.healing = true
	w.attend()
	if !w.run(w.now()+restWithin, w.atRest) && w.failure == nil {
		w.fail("G3 all or undone", "", "no rest within "+restWithin.String()+": "+strings.Join(w.auditor.restless(5), "; "))
	}
	w.healing = false
	w.run(w.now()+10*time.Minute, nil) // nothing may come after the end
	w.auditor.judge()
	if w.faults[LongPause] && w.failure == nil {
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
	if w.steps == w.restAsked {
		return false // nothing has happened since it was asked last
	}
	w.restAsked = w.steps
	return !slices.ContainsFunc(w.starts, func(s *start) bool { return !s.answered }) && len(w.auditor.restless(1)) == 0
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
	_ = w.log.Close() // it cannot fail

	for _, r := range slices.Concat(w.runnable, w.waiting, w.sleeping) {
		r.stop()
	}
}

var _ = choreo.Started
