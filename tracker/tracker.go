package tracker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/topics"
)

// Tracker follows the logs of all sagas of a namespace and keeps a model of them up to date. It
// is safe for concurrent use.
type Tracker struct {
	log      topics.Log
	model    Model
	config   Config
	names    topics.Names
	defs     *definitions
	packer   *Packer
	figures  figures
	watchers watchers
	ends     ends

	mu        sync.Mutex
	followers []*follower
}

// New returns a tracker. config may be nil; the error names every fault of it. The caller keeps
// log and model, and closes them after Run has returned.
func New(log topics.Log, model Model, config *Config) (*Tracker, error) {
	c, names, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Tracker{
		log: log, model: model, config: c, names: names, defs: newDefinitions(c.Definitions), packer: NewPacker(),
		figures:  figures{now: c.Now, minutes: map[string]*[figureMinutes]Minute{}, steps: map[stepKey]*stepTimes{}},
		watchers: watchers{all: map[*watcher]struct{}{}},
		ends:     ends{byLog: map[string]map[int32]*end{}},
	}, nil
}

// Run follows the logs until ctx ends, and returns nil then. What fails is logged and tried again.
// It is called once.
func (t *Tracker) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	known := make(chan struct{})
	running.Go(func() { t.readDefinitions(ctx, known) })
	running.Go(func() { t.lookAtEnds(ctx) })
	running.Go(func() { t.sweepEver(ctx) })
	select {
	case <-known: // so that no saga is unknown that need not be
		t.ends.begin()
	case <-ctx.Done():
	}
	followed := map[string]bool{}
	for ctx.Err() == nil {
		names, changed := t.defs.sagas()
		for _, saga := range names {
			if !followed[saga] {
				followed[saga] = true
				running.Go(func() { t.follow(ctx, saga) })
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}

// follow follows one saga until ctx ends.
func (t *Tracker) follow(ctx context.Context, saga string) {
	for ctx.Err() == nil {
		t.figures.forget(saga)
		err := t.newFollower(saga).run(ctx)
		if err != nil && ctx.Err() == nil {
			t.config.Logger.Warn("following a saga failed and is begun again", zap.String("saga", saga), zap.Error(err))
		}
		t.pause(ctx)
	}
}

// readDefinitions follows the topic of definitions until ctx ends, and closes known when it has
// read what was there.
func (t *Tracker) readDefinitions(ctx context.Context, known chan struct{}) {
	var once sync.Once
	ready := func() { once.Do(func() { close(known) }) }
	for ctx.Err() == nil {
		err := t.log.Read(ctx, topics.ReadConfig{Topic: t.names.Definitions(), OnCaughtUp: ready},
			func(_ context.Context, batch []choreo.Record) error {
				for i := range batch {
					t.learn(&batch[i])
				}
				return nil
			})
		if err != nil && ctx.Err() == nil {
			t.config.Logger.Warn("cannot read the topic of definitions, so that only those that were configured are known", zap.Error(err))
		}
		if len(t.config.Definitions) > 0 || errors.Is(err, topics.ErrUnknownTopic) {
			ready()
		}
		t.pause(ctx)
	}
}

func (t *Tracker) learn(rec *choreo.Record) {
	if rec.Value == nil || !definition.IsContractKey(string(rec.Key)) {
		return
	}
	contract, err := definition.DecodeContract(rec.Value)
	if err != nil {
		t.config.Logger.Warn("left out a record of the topic of definitions", zap.Error(err))
		return
	}
	for _, err := range t.defs.learn(&contract) {
		t.config.Logger.Warn("left out a definition that a service has published", zap.String("service", contract.Service), zap.Error(err))
	}
}

func (t *Tracker) pause(ctx context.Context) {
	timer := time.NewTimer(t.config.RetryEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// retry does something until it succeeds. Its error is that ctx has ended.
func (t *Tracker) retry(ctx context.Context, what string, do func() error) error {
	for {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.config.Logger.Warn("failed, and tried again: "+what, zap.Error(err))
		t.pause(ctx)
	}
}

func (t *Tracker) enter(f *follower) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.followers = append(t.followers, f)
	slices.SortFunc(t.followers, func(a, b *follower) int { return strings.Compare(a.saga, b.saga) })
}

func (t *Tracker) leave(f *follower) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.followers = slices.DeleteFunc(t.followers, func(k *follower) bool { return k == f })
}

func (t *Tracker) following() []*follower {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.followers)
}

// sweepEver forgets sagas that have ended, in time, until ctx ends.
func (t *Tracker) sweepEver(ctx context.Context) {
	every := time.NewTicker(t.config.SweepEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		if err := t.sweep(ctx); err != nil && ctx.Err() == nil {
			t.config.Logger.Warn("the model could not forget sagas that have ended", zap.Error(err))
		}
	}
}

func (t *Tracker) sweep(ctx context.Context) error {
	var before int64
	if t.config.KeepEnded > 0 {
		before = t.config.Now().Add(-t.config.KeepEnded).Unix()
	}
	if t.config.MaxEnded > 0 {
		var endings []int64
		for _, f := range t.following() {
			endings = f.endings(endings)
		}
		if n := len(endings) - t.config.MaxEnded; n > 0 {
			slices.Sort(endings)
			before = max(before, endings[n-1]+1)
		}
	}
	if before == 0 {
		return nil
	}
	for _, f := range t.following() {
		f.sweep(before)
	}
	_, err := t.model.Forget(ctx, time.Unix(before, 0).UTC())
	return err
}

// Get returns a saga. The error wraps [ErrNotFound].
func (t *Tracker) Get(ctx context.Context, saga, id string) (*Snapshot, error) {
	return t.model.Get(ctx, saga, id)
}

// List returns a page of sagas. The error wraps [ErrBadCursor].
func (t *Tracker) List(ctx context.Context, q Query) (Page, error) { return t.model.List(ctx, q) }

// Count counts sagas.
func (t *Tracker) Count(ctx context.Context, f Filter, by Group) ([]Count, error) {
	return t.model.Count(ctx, f, by)
}

// oldestStuck is how many stuck sagas an overview names.
const oldestStuck = 10

// Overview tells how all sagas do.
func (t *Tracker) Overview(ctx context.Context) (Overview, error) {
	o := Overview{Counts: map[choreo.Status]int64{}, Freshness: t.Freshness(false)}
	counts, err := t.model.Count(ctx, Filter{}, GroupStatus)
	if err != nil {
		return Overview{}, fmt.Errorf("tracker: overview: %w", err)
	}
	for _, c := range counts {
		o.Counts[choreo.Status(c.Key)] = c.Count
	}
	page, err := t.model.List(ctx, Query{Filter: Filter{Statuses: []choreo.Status{choreo.StatusStuck}}, Limit: oldestStuck})
	if err != nil {
		return Overview{}, fmt.Errorf("tracker: overview: %w", err)
	}
	o.OldestStuck = append([]*Snapshot{}, page.Sagas...)
	t.figures.tell(&o)
	return o, nil
}

// Watch returns the changes of the sagas that a filter chooses, until ctx ends: then the channel
// is closed. after is the Seq of the last change that the watcher has seen, or 0 to begin
// now. Who does not take them in time gets one with Reset in their place.
func (t *Tracker) Watch(ctx context.Context, f Filter, after uint64) <-chan Change {
	return t.watchers.watch(ctx, f, after)
}

// Definition returns a definition, nil where nobody has published it.
func (t *Tracker) Definition(saga string, version int) *choreo.Definition {
	return t.defs.get(saga, version)
}

// Names returns the names of the namespace's topics.
func (t *Tracker) Names() topics.Names { return t.names }

// Owner returns which of several trackers follows a saga, given how many partitions its events
// topic has. A saga that began before partitions were added may be another one's.
func Owner(id string, partitions, trackers int) int {
	return int(topics.PartitionFor([]byte(id), max(partitions, 1))) % max(trackers, 1)
}
