package sagas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/models"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
	"github.com/choreo-go/choreo/tracker/cluster"
)

// insideURL is how the handler of this process is called. It answers to the loopback alone.
const insideURL = "http://127.0.0.1:7654"

// TopicsConfig says which topics to read.
type TopicsConfig struct {
	// Log of the cluster. Required; the source closes it.
	Log topics.Log
	// Names of the topics. Required.
	Names topics.Names
	// Registry has the schemas of payloads. Default: the topic of schemas.
	Registry schema.Registry
	// By is who gives commands. Required for those.
	By string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// NewTopics returns the source that the topics of a cluster are: what trackers have written
// there, and the logs. It reads what it is asked for, and no sooner.
func NewTopics(config TopicsConfig) (Source, error) {
	c := cluster.New(config.Log, config.Names, &cluster.Config{Source: "choreo-cli", Registry: config.Registry, Now: config.Now})
	l := &logged{config: config, cluster: c, latest: map[[2]string]*tracker.Snapshot{}}
	source := c.Source(l)
	source.Commands = signed{Commands: c, by: config.By}
	source.DeadLetters = signedLetters{DeadLetters: c, by: config.By}
	server, err := api.New(source, &api.Config{Timeout: maxReading, Now: config.Now})
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(insideURL)
	if err != nil {
		return nil, err
	}
	return &local{
		remote: remote{base: base.JoinPath("api", "v1"), client: &http.Client{Transport: inside{server.Handler()}}},
		server: server, logged: l,
	}, nil
}

// local is a source whose tracker is this process.
type local struct {
	remote
	server *api.Server
	logged *logged
}

func (l *local) Close() error {
	l.server.Close()
	return errors.Join(l.logged.close(), l.logged.config.Log.Close())
}

// mostEvents bounds the log of one saga.
const mostEvents = 1000

// Events returns the log of a saga also where no tracker has seen it, such as of one whose start
// was refused.
func (l *local) Events(ctx context.Context, saga, id string, payload bool) ([]Event, error) {
	events, err := l.remote.Events(ctx, saga, id, payload)
	if !errors.Is(err, tracker.ErrNotFound) {
		return events, err
	}
	records, _, other := l.logged.cluster.EventsOf(ctx, saga, id, mostEvents)
	if other != nil || len(records) == 0 {
		return nil, err
	}
	for i := range records {
		if e, is := eventOf(&records[i], payload); is {
			events = append(events, e)
		}
	}
	return events, nil
}

// signed writes who gives the commands.
type signed struct {
	api.Commands
	by string
}

func (s signed) Act(ctx context.Context, saga *tracker.Snapshot, _ string, a api.Action) (string, error) {
	return s.Commands.Act(ctx, saga, s.by, a)
}

func (s signed) Start(ctx context.Context, saga, _ string, start api.Start) (string, error) {
	return s.Commands.Start(ctx, saga, s.by, start)
}

// signedLetters is signed for dead letters.
type signedLetters struct {
	api.DeadLetters
	by string
}

func (s signedLetters) Redrive(ctx context.Context, _ string, r api.Redrive) (api.Redriven, error) {
	return s.DeadLetters.Redrive(ctx, s.by, r)
}

// logged are the snapshots in the tracker topics.
type logged struct {
	config  TopicsConfig
	cluster *cluster.Cluster

	load   sync.Mutex
	model  tracker.Model // of all sagas; nil: not read yet
	single sync.Mutex
	follow int                             // how many follow the topics
	latest map[[2]string]*tracker.Snapshot // what those have seen last, by saga and id
}

func (l *logged) close() error {
	l.load.Lock()
	defer l.load.Unlock()
	if l.model == nil {
		return nil
	}
	return l.model.Close()
}

// sagas returns the sagas that have a tracker topic, of those that services have published.
func (l *logged) sagas(ctx context.Context, only []string) ([]string, error) {
	published, err := l.cluster.Definitions(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range published {
		names = append(names, published[i].Document.Definition.Name())
	}
	names = append(names, only...)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(only) > 0 {
		names = slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(only, name) })
	}
	topicNames := make([]string, 0, len(names))
	for _, name := range names {
		topicNames = append(topicNames, l.config.Names.Tracker(name))
	}
	if len(topicNames) == 0 {
		return nil, nil
	}
	states, err := l.config.Log.DescribeTopics(ctx, topicNames...)
	if err != nil {
		return nil, fmt.Errorf("the tracker topics: %w", err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		_, there := states[l.config.Names.Tracker(name)]
		return !there
	}), nil
}

// snapshotOf reads a record of a tracker topic. Deleted says that the saga was forgotten; it returns
// nil for what is no snapshot.
func snapshotOf(rec *choreo.Record) (s *tracker.Snapshot, deleted bool) {
	if !tracker.IsSnapshotKey(rec.Key) {
		return nil, false
	}
	if rec.Value == nil {
		return nil, true
	}
	var snapshot tracker.Snapshot
	if json.Unmarshal(rec.Value, &snapshot) != nil || snapshot.ID == "" || snapshot.ID != string(rec.Key) {
		return nil, false // somebody else's
	}
	snapshot.Fold = nil
	return &snapshot, false
}

// Get returns a saga by reading its topic, unless somebody follows that anyhow.
func (l *logged) Get(ctx context.Context, saga, id string) (*tracker.Snapshot, error) {
	if l.all() != nil {
		return l.all().Get(ctx, saga, id)
	}
	l.single.Lock()
	found, followed := l.latest[[2]string{saga, id}], l.follow > 0
	l.single.Unlock()
	if found != nil && followed {
		return found, nil
	}
	names, err := l.sagas(ctx, []string{saga})
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: there is no topic %s: does a tracker run, and did it see such a saga? see 'choreo tracker serve'", tracker.ErrNotFound, l.config.Names.Tracker(saga))
	}
	found = nil
	err = l.config.Log.Read(ctx, topics.ReadConfig{Topic: l.config.Names.Tracker(saga), ToEnd: true, BatchMax: 5000},
		func(_ context.Context, batch []choreo.Record) error {
			for i := range batch {
				if string(batch[i].Key) != id {
					continue
				}
				if s, deleted := snapshotOf(&batch[i]); s != nil || deleted {
					found = s
				}
			}
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("reading the tracker topic: %w", err)
	}
	if found == nil {
		return nil, fmt.Errorf("saga %s %q: %w", saga, id, tracker.ErrNotFound)
	}
	return found, nil
}

func (l *logged) all() tracker.Model {
	l.load.Lock()
	defer l.load.Unlock()
	return l.model
}

// loaded returns a model of all sagas, which it reads when it is asked first.
func (l *logged) loaded(ctx context.Context) (tracker.Model, error) {
	l.load.Lock()
	defer l.load.Unlock()
	if l.model != nil {
		return l.model, nil
	}
	names, err := l.sagas(ctx, nil)
	if err != nil {
		return nil, err
	}
	model := models.Memory()
	for _, name := range names {
		if err := l.fill(ctx, model, name); err != nil {
			return nil, errors.Join(err, model.Close())
		}
	}
	l.model = model
	return model, nil
}

// fill puts the snapshots of a saga's topic into a model. Those of ended sagas that were
// forgotten since are few, and left out by what the table holds.
func (l *logged) fill(ctx context.Context, model tracker.Model, saga string) error {
	table, err := topics.ReadTable(ctx, l.config.Log, l.config.Names.Tracker(saga))
	if err != nil {
		return err
	}
	batch := make([]*tracker.Snapshot, 0, 1000)
	for key := range table {
		rec := table[key]
		if s, _ := snapshotOf(&rec); s != nil {
			batch = append(batch, s)
		}
		if len(batch) == cap(batch) {
			if err := model.Put(ctx, batch, nil); err != nil {
				return err
			}
			batch = make([]*tracker.Snapshot, 0, cap(batch))
		}
	}
	return model.Put(ctx, batch, nil)
}

func (l *logged) List(ctx context.Context, q tracker.Query) (tracker.Page, error) {
	model, err := l.loaded(ctx)
	if err != nil {
		return tracker.Page{}, err
	}
	return model.List(ctx, q)
}

func (l *logged) Count(ctx context.Context, f tracker.Filter, by tracker.Group) ([]tracker.Count, error) {
	model, err := l.loaded(ctx)
	if err != nil {
		return nil, err
	}
	return model.Count(ctx, f, by)
}

// Freshness is not known: the topics do not say how far a tracker has read.
func (l *logged) Freshness(bool) tracker.Freshness { return tracker.Freshness{} }

// Overview tells what the snapshots tell.
func (l *logged) Overview(ctx context.Context) (tracker.Overview, error) {
	counts, err := l.Count(ctx, tracker.Filter{}, tracker.GroupStatus)
	if err != nil {
		return tracker.Overview{}, err
	}
	overview := tracker.Overview{Counts: map[choreo.Status]int64{}}
	for _, c := range counts {
		overview.Counts[choreo.Status(c.Key)] = c.Count
	}
	return overview, nil
}

// watched is how many changes wait for who watches.
const watched = 1024

// Watch follows the tracker topics of the filter's sagas, and tells what comes from now on.
func (l *logged) Watch(ctx context.Context, f tracker.Filter, _ uint64) <-chan tracker.Change {
	changes := make(chan tracker.Change, watched)
	go func() {
		defer close(changes)
		names, err := l.sagas(ctx, f.Sagas)
		if err != nil {
			return // whoever watches asks anew
		}
		var reading sync.WaitGroup
		for _, name := range names {
			reading.Go(func() { l.followTopic(ctx, name, changes) })
		}
		reading.Wait()
	}()
	return changes
}

func (l *logged) followTopic(ctx context.Context, saga string, changes chan<- tracker.Change) {
	caughtUp := false
	config := topics.ReadConfig{Topic: l.config.Names.Tracker(saga), OnCaughtUp: func() {
		caughtUp = true
		l.single.Lock()
		l.follow++
		l.single.Unlock()
	}}
	defer func() {
		if caughtUp {
			l.single.Lock()
			l.follow--
			l.single.Unlock()
		}
	}()
	_ = l.config.Log.Read(ctx, config, func(ctx context.Context, batch []choreo.Record) error {
		for i := range batch {
			s, _ := snapshotOf(&batch[i])
			if s == nil {
				continue
			}
			if !caughtUp {
				continue
			}
			l.single.Lock()
			l.latest[[2]string{s.Saga, s.ID}] = s
			l.single.Unlock()
			if model := l.all(); model != nil {
				if err := model.Put(ctx, []*tracker.Snapshot{s}, nil); err != nil {
					return err
				}
			}
			select {
			case changes <- tracker.Change{Snapshot: s}:
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	})
}
