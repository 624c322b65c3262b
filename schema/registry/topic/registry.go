package topic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/internal/shelf"
	"github.com/choreo-go/choreo/topics"
)

// Config configures [New]. The zero value of a field is its default.
type Config struct {
	// Check, if set, says why a schema may not follow the earlier ones of its subject, oldest
	// first. All processes should check alike. Default: every schema may.
	Check func(s schema.Schema, earlier []schema.Schema) error
	// RegisteredBy is noted with each schema, for people: the name of the service.
	// Default: nothing.
	RegisteredBy string
	// ReadTimeout bounds reading the topic to its end. Default: 10 s.
	ReadTimeout time.Duration
	// Logger gets one line for each record in the topic that is no schema. Default: none.
	Logger *zap.Logger
}

// Registry is a registry in a topic. Make it with [New]. It is safe for concurrent use.
type Registry struct {
	config Config
	log    topics.Log
	topic  string
	reader reader

	mu      sync.Mutex
	shelf   shelf.Shelf
	carried map[string]int // by key: the number in its last record; refusedVersion for one that is refused
}

var _ schema.Registry = (*Registry)(nil)

// refusedVersion is no number.
const refusedVersion = -1

// New opens the registry of a namespace: it reads the topic to its end. The topic must be
// there, see [topics.Topology]. A nil config is all defaults.
func New(ctx context.Context, log topics.Log, names topics.Names, config *Config) (*Registry, error) {
	r := &Registry{log: log, topic: names.Schemas(), carried: make(map[string]int)}
	if config != nil {
		r.config = *config
	}
	if r.config.ReadTimeout < 0 {
		return nil, fmt.Errorf("topic: Config.ReadTimeout is %s: use a positive duration, or 0 for 10s", r.config.ReadTimeout)
	} else if r.config.ReadTimeout == 0 {
		r.config.ReadTimeout = 10 * time.Second
	}
	if r.config.Logger == nil {
		r.config.Logger = zap.NewNop()
	}
	r.reader.read = r.readOn
	if err := r.open(ctx); err != nil {
		return nil, fmt.Errorf("topic: open the schemas in %s: %w", r.topic, err)
	}
	return r, nil
}

func (r *Registry) open(ctx context.Context) error {
	states, err := r.log.DescribeTopics(ctx, r.topic)
	if err != nil {
		return err
	}
	if state, ok := states[r.topic]; !ok {
		return topics.ErrUnknownTopic
	} else if state.Partitions != 1 {
		return errPartitions
	}
	return r.reader.catchUp(ctx)
}

// readOn reads what is new in the topic, from an offset to the end, and returns where that is.
func (r *Registry) readOn(from int64) (next int64, err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), r.config.ReadTimeout,
		fmt.Errorf("its end was not reached within Config.ReadTimeout, %s", r.config.ReadTimeout))
	defer cancel()
	next = from
	err = r.log.Read(ctx, topics.ReadConfig{Topic: r.topic, From: map[int32]int64{0: from}, ToEnd: true},
		func(_ context.Context, batch []choreo.Record) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, rec := range batch {
				if rec.Partition != 0 {
					return errPartitions
				}
				r.take(rec)
				next = rec.Offset + 1
			}
			return nil
		})
	return next, err
}

// take takes in a record, which may have been taken in before. r.mu is held.
func (r *Registry) take(rec choreo.Record) {
	at := string(rec.Key)
	if rec.Value == nil {
		if subject, id, ok := parseKey(at); ok {
			r.shelf.Remove(subject, id)
		}
		delete(r.carried, at)
		return
	}
	got, id, err := decode(rec)
	if err != nil {
		r.config.Logger.Warn("a record that is no schema is passed over", zap.String("topic", r.topic),
			zap.Int64("offset", rec.Offset), zap.Error(err))
		return
	}
	s := got.schema()
	if got.Refused {
		r.shelf.Know(id, s)
		r.shelf.Remove(got.Subject, id)
		r.carried[at] = refusedVersion
		return
	}
	r.shelf.Put(got.Subject, id, s, got.Version)
	r.carried[at] = got.Version
}

// Register implements [schema.Registry].
func (r *Registry) Register(ctx context.Context, subject string, s schema.Schema) (schema.ID, error) {
	id, err := r.register(ctx, subject, s)
	if err != nil {
		return schema.ID{}, fmt.Errorf("topic: register under %q: %w", subject, err)
	}
	return id, nil
}

func (r *Registry) register(ctx context.Context, subject string, s schema.Schema) (schema.ID, error) {
	if err := errors.Join(context.Cause(ctx), shelf.CheckSubject(subject)); err != nil {
		return schema.ID{}, err
	}
	s, err := shelf.Check(s)
	if err != nil {
		return schema.ID{}, err
	}
	if next, err := r.plan(subject, s, false); err == nil && next.write == nil {
		return next.id, nil // nobody has to be asked
	}
	// Others may write the same key in between, each of them once or twice.
	const rounds = 20
	written := false
	for range rounds {
		if err := r.reader.catchUp(ctx); err != nil {
			return schema.ID{}, err
		}
		next, err := r.plan(subject, s, written)
		if err != nil {
			return schema.ID{}, err
		}
		if next.write == nil {
			return next.id, next.refusal
		}
		rec, err := next.write.encode(r.topic, next.id)
		if err != nil {
			return schema.ID{}, err
		}
		if errs := r.log.Publish(ctx, []choreo.Record{rec}); errs != nil {
			return schema.ID{}, errs[0]
		}
		if next.refusal != nil {
			return schema.ID{}, next.refusal
		}
		written = true
	}
	return schema.ID{}, fmt.Errorf("others wrote the same schema %d times meanwhile: try again", rounds)
}

// step is what is to be done next to register a schema: write a record or, if that is nil,
// nothing more.
type step struct {
	id      schema.ID
	write   *record
	refusal error
}

// plan says what is to be done next by what has been read. A schema that was written by this
// call is checked again, for others may have come before it.
func (r *Registry) plan(subject string, s schema.Schema, written bool) (step, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.shelf.Complete(s)
	if err != nil {
		return step{}, err
	}
	id, err := identify(s)
	if err != nil {
		return step{}, err
	}
	v, had := r.shelf.Version(subject, id)
	if had && !written {
		s = v.Schema // what was registered first stays
	}
	if (!had || written) && r.config.Check != nil {
		if err := r.config.Check(s, r.shelf.Earlier(subject, id)); err != nil {
			refusal := step{id: id, refusal: fmt.Errorf("%w: %w", schema.ErrIncompatible, err)}
			if had {
				refused := newRecord(subject, v.Number, v.Schema, r.config.RegisteredBy)
				refused.Refused = true
				refusal.write = &refused
				return refusal, nil
			}
			return step{}, refusal.refusal
		}
	}
	number := r.shelf.Next(subject)
	if had {
		number, s = v.Number, v.Schema
		if r.carried[key(subject, id)] == number {
			return step{id: id}, nil
		}
	}
	write := newRecord(subject, number, s, r.config.RegisteredBy)
	return step{id: id, write: &write}, nil
}

// Schema implements [schema.Registry].
func (r *Registry) Schema(ctx context.Context, id schema.ID) (schema.Schema, error) {
	s, err := r.known(id)
	if err != nil && id.Framing == schema.SingleObject {
		if err := r.reader.catchUp(ctx); err != nil {
			return schema.Schema{}, fmt.Errorf("topic: schema %s: reading %s: %w", id, r.topic, err)
		}
		s, err = r.known(id)
	}
	if err != nil {
		return schema.Schema{}, fmt.Errorf("topic: %w is in no record of %s", err, r.topic)
	}
	return s, nil
}

func (r *Registry) known(id schema.ID) (schema.Schema, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shelf.Schema(id)
}

// Subjects implements [schema.Registry].
func (r *Registry) Subjects(ctx context.Context) ([]string, error) {
	if err := r.reader.catchUp(ctx); err != nil {
		if context.Cause(ctx) != nil {
			return nil, fmt.Errorf("topic: subjects: %w", err)
		}
		r.warn(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shelf.Subjects(), nil
}

// Versions implements [schema.Registry].
func (r *Registry) Versions(ctx context.Context, subject string) ([]schema.Version, error) {
	outage := r.reader.catchUp(ctx)
	r.mu.Lock()
	versions, err := r.shelf.Versions(subject)
	r.mu.Unlock()
	switch {
	case outage != nil && (err != nil || context.Cause(ctx) != nil):
		return nil, fmt.Errorf("topic: versions of %q: reading %s: %w", subject, r.topic, outage)
	case err != nil:
		return nil, fmt.Errorf("topic: %w", err)
	case outage != nil:
		r.warn(outage)
	}
	return versions, nil
}

func (r *Registry) warn(err error) {
	r.config.Logger.Warn("what was read of the schemas before is answered", zap.String("topic", r.topic), zap.Error(err))
}
