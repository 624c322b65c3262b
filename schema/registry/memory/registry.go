package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/internal/shelf"
)

// Config configures [New]. The zero value of a field is its default.
type Config struct {
	// Framing of the ids. Default: [schema.Confluent].
	Framing schema.Framing
	// Check, if set, says why a schema may not follow the earlier ones of its subject, oldest
	// first. Default: every schema may.
	Check func(s schema.Schema, earlier []schema.Schema) error
}

// Registry is a registry in memory. Make it with [New]. It is safe for concurrent use.
type Registry struct {
	config Config

	mu    sync.Mutex
	shelf shelf.Shelf
	ids   map[string]schema.ID // by shelf.Identity
}

var _ schema.Registry = (*Registry)(nil)

// New returns an empty registry. A nil config is all defaults.
func New(config *Config) (*Registry, error) {
	r := &Registry{ids: make(map[string]schema.ID)}
	if config != nil {
		r.config = *config
	}
	switch r.config.Framing {
	case 0:
		r.config.Framing = schema.Confluent
	case schema.Confluent, schema.SingleObject:
	default:
		return nil, fmt.Errorf("memory: Config.Framing is %d: use schema.Confluent or schema.SingleObject", r.config.Framing)
	}
	return r, nil
}

// Register implements [schema.Registry].
func (r *Registry) Register(ctx context.Context, subject string, s schema.Schema) (schema.ID, error) {
	id, err := r.register(ctx, subject, s)
	if err != nil {
		return schema.ID{}, fmt.Errorf("memory: register under %q: %w", subject, err)
	}
	return id, nil
}

func (r *Registry) register(ctx context.Context, subject string, s schema.Schema) (schema.ID, error) {
	if err := errors.Join(ctx.Err(), shelf.CheckSubject(subject)); err != nil {
		return schema.ID{}, err
	}
	s, err := shelf.Check(s)
	if err != nil {
		return schema.ID{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, err = r.shelf.Complete(s); err != nil {
		return schema.ID{}, err
	}
	id, err := r.identify(s)
	if err != nil {
		return schema.ID{}, err
	}
	if _, had := r.shelf.Version(subject, id); had {
		return id, nil
	}
	if r.config.Check != nil {
		if err := r.config.Check(s, r.shelf.Earlier(subject, id)); err != nil {
			return schema.ID{}, fmt.Errorf("%w: %w", schema.ErrIncompatible, err)
		}
	}
	r.ids[shelf.Identity(s)] = id
	r.shelf.Put(subject, id, s, 0)
	return id, nil
}

// identify returns the id that the schema has or would get.
func (r *Registry) identify(s schema.Schema) (schema.ID, error) {
	if r.config.Framing == schema.SingleObject {
		number, err := shelf.Fingerprint(s)
		return schema.ID{Framing: schema.SingleObject, Number: number}, err
	}
	if id, had := r.ids[shelf.Identity(s)]; had {
		return id, nil
	}
	return schema.ID{Framing: schema.Confluent, Number: uint64(len(r.ids) + 1)}, nil
}

// Schema implements [schema.Registry].
func (r *Registry) Schema(ctx context.Context, id schema.ID) (schema.Schema, error) {
	if err := ctx.Err(); err != nil {
		return schema.Schema{}, fmt.Errorf("memory: schema %s: %w", id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.shelf.Schema(id)
	if err != nil {
		return schema.Schema{}, fmt.Errorf("memory: %w", err)
	}
	return s, nil
}

// Subjects implements [schema.Registry].
func (r *Registry) Subjects(ctx context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shelf.Subjects(), ctx.Err()
}

// Versions implements [schema.Registry].
func (r *Registry) Versions(ctx context.Context, subject string) ([]schema.Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memory: versions of %q: %w", subject, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	versions, err := r.shelf.Versions(subject)
	if err != nil {
		return nil, fmt.Errorf("memory: %w", err)
	}
	return versions, nil
}
