package confluent

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/singleflight"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/internal/shelf"
)

// Registry is the client of a registry. Make it with [New]. It is safe for concurrent use.
type Registry struct {
	config   *Config
	clients  []*sr.Client
	answered atomic.Int32 // the client that answered last
	flights  singleflight.Group
	seen     seen
}

var _ schema.Registry = (*Registry)(nil)

// New returns a client. It does not connect yet: the error names every field of config
// at fault.
func New(config *Config) (*Registry, error) {
	if config == nil {
		config = new(Config)
	}
	checked, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	clients, err := newClients(checked)
	if err != nil {
		return nil, fmt.Errorf("confluent: %w", err)
	}
	return &Registry{config: checked, clients: clients, seen: newSeen()}, nil
}

// share carries a call out once for all who ask for the same at the same time. It goes on
// when one of them gives up.
func share[T any](ctx context.Context, r *Registry, key string, call func(context.Context) (T, error)) (T, error) {
	var none T
	if err := context.Cause(ctx); err != nil {
		return none, err
	}
	shared := r.flights.DoChan(key, func() (any, error) { return call(context.WithoutCancel(ctx)) })
	select {
	case result := <-shared:
		if result.Err != nil {
			return none, result.Err
		}
		return result.Val.(T), nil
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// Register implements [schema.Registry].
func (r *Registry) Register(ctx context.Context, subject string, s schema.Schema) (schema.ID, error) {
	id, err := r.register(ctx, subject, s)
	if err != nil {
		return schema.ID{}, fmt.Errorf("confluent: register under %q: %w", subject, err)
	}
	return id, nil
}

func (r *Registry) register(ctx context.Context, subject string, s schema.Schema) (schema.ID, error) {
	if err := shelf.CheckSubject(subject); err != nil {
		return schema.ID{}, err
	}
	s, err := shelf.Check(s)
	if err != nil {
		return schema.ID{}, err
	}
	for _, ref := range s.References {
		if ref.Subject == "" || ref.Version < 1 {
			return schema.ID{}, fmt.Errorf("the reference %s has no subject or version: register it first and name them", ref.Name)
		}
	}
	direct := wireReferences(s.References)
	if s.References, err = r.complete(ctx, direct); err != nil {
		return schema.ID{}, err
	}
	known := registration{subject: subject, schema: shelf.Identity(s)}
	if id, ok := r.seen.registered(known); ok {
		return id, nil
	}
	if of, ok := r.seen.directOf(known.schema); ok {
		direct = of // and not what those refer to, in which case it would be another schema
	}
	return share(ctx, r, fmt.Sprintf("register %q %s", subject, known.schema), func(ctx context.Context) (schema.ID, error) {
		number, err := r.post(ctx, subject, sr.Schema{Schema: s.Text, Type: wireType(s.Kind), References: direct})
		if err != nil {
			return schema.ID{}, explain(err)
		}
		if number < 0 || number > math.MaxInt32 {
			return schema.ID{}, fmt.Errorf("the registry gave the id %d, which has no place in 32 bits", number)
		}
		id := schema.ID{Framing: schema.Confluent, Number: uint64(number)}
		r.seen.putRegistered(known, id, s, direct)
		return id, nil
	})
}

// post registers a schema. Services that start at the same time register under the same
// subjects, and Apicurio Registry lets one of them through at a time and turns the others
// away: those try again.
func (r *Registry) post(ctx context.Context, subject string, s sr.Schema) (number int, err error) {
	const tries = 12
	wait := 5 * time.Millisecond
	for try := 1; ; try++ {
		err = r.ask(ctx, func(ctx context.Context, client *sr.Client) (err error) {
			number, err = client.RegisterSchema(ctx, subject, s, -1, -1)
			return err
		})
		if !overtaken(err) || try == tries {
			return number, err
		}
		<-time.After(wait/2 + rand.N(wait))
		wait = min(2*wait, 200*time.Millisecond)
	}
}

// Schema implements [schema.Registry].
func (r *Registry) Schema(ctx context.Context, id schema.ID) (schema.Schema, error) {
	if s, ok := r.seen.schema(id); ok {
		return s, nil
	}
	if id.Framing != schema.Confluent || id.Number > math.MaxInt32 {
		return schema.Schema{}, fmt.Errorf("confluent: %w: id %s is none that a registry gives: they are positive 32-bit numbers", schema.ErrUnknownSchema, id)
	}
	if r.seen.isUnknown(id, time.Now()) {
		return schema.Schema{}, fmt.Errorf("confluent: %w: the registry has no id %s", schema.ErrUnknownSchema, id)
	}
	s, err := share(ctx, r, "id "+id.String(), func(ctx context.Context) (schema.Schema, error) { return r.fetch(ctx, id) })
	if err != nil {
		return schema.Schema{}, fmt.Errorf("confluent: schema %s: %w", id, err)
	}
	return clone(s), nil
}

func (r *Registry) fetch(ctx context.Context, id schema.ID) (schema.Schema, error) {
	var got sr.Schema
	err := r.ask(ctx, func(ctx context.Context, client *sr.Client) (err error) {
		got, err = client.SchemaByID(ctx, int(id.Number))
		return err
	})
	if unknown(err) {
		r.seen.putUnknown(id, time.Now().Add(r.config.UnknownFor))
	}
	if err != nil {
		return schema.Schema{}, explain(err)
	}
	s, err := r.fromWire(ctx, got)
	if err != nil {
		return schema.Schema{}, err
	}
	r.seen.putSchema(id, s, got.References)
	return s, nil
}

// Subjects implements [schema.Registry].
func (r *Registry) Subjects(ctx context.Context) ([]string, error) {
	subjects, err := share(ctx, r, "subjects", func(ctx context.Context) ([]string, error) {
		var subjects []string
		err := r.ask(ctx, func(ctx context.Context, client *sr.Client) (err error) {
			subjects, err = client.Subjects(ctx)
			return err
		})
		if err != nil && !answers(err) {
			if last, ok := r.seen.lastSubjects(); ok {
				return last, nil
			}
		}
		if err != nil {
			return nil, explain(err)
		}
		slices.Sort(subjects)
		r.seen.putSubjects(subjects)
		return subjects, nil
	})
	if err != nil {
		return nil, fmt.Errorf("confluent: subjects: %w", err)
	}
	return slices.Clone(subjects), nil
}

// Versions implements [schema.Registry].
func (r *Registry) Versions(ctx context.Context, subject string) ([]schema.Version, error) {
	if err := shelf.CheckSubject(subject); err != nil {
		return nil, fmt.Errorf("confluent: versions: %w", err)
	}
	versions, err := share(ctx, r, "versions "+subject, func(ctx context.Context) ([]schema.Version, error) {
		versions, err := r.versions(ctx, subject)
		if err != nil && !answers(err) {
			if last, ok := r.seen.lastVersions(subject); ok {
				return last, nil
			}
		}
		return versions, explain(err)
	})
	if err != nil {
		return nil, fmt.Errorf("confluent: versions of %q: %w", subject, err)
	}
	own := slices.Clone(versions)
	for i := range own {
		own[i].Schema = clone(own[i].Schema)
	}
	return own, nil
}

func (r *Registry) versions(ctx context.Context, subject string) ([]schema.Version, error) {
	var numbers []int
	err := r.ask(ctx, func(ctx context.Context, client *sr.Client) (err error) {
		numbers, err = client.SubjectVersions(ctx, subject)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(numbers)
	versions := make([]schema.Version, 0, len(numbers))
	for _, number := range numbers {
		v, err := r.version(ctx, subject, number)
		if err != nil {
			return nil, err
		}
		id := schema.ID{Framing: schema.Confluent, Number: uint64(v.ID)}
		// Apicurio Registry notes a schema as two versions when two register it at once.
		if slices.ContainsFunc(versions, func(have schema.Version) bool { return have.ID == id }) {
			continue
		}
		s, err := r.fromWire(ctx, v.Schema)
		if err != nil {
			return nil, err
		}
		versions = append(versions, schema.Version{Number: number, ID: id, Schema: s})
	}
	r.seen.putVersions(subject, versions)
	return versions, nil
}

// version returns one version of a subject, which never changes.
func (r *Registry) version(ctx context.Context, subject string, number int) (sr.SubjectSchema, error) {
	at := place{subject, number}
	if v, ok := r.seen.version(at); ok {
		return v, nil
	}
	var v sr.SubjectSchema
	err := r.ask(ctx, func(ctx context.Context, client *sr.Client) (err error) {
		v, err = client.SchemaByVersion(ctx, subject, number)
		return err
	})
	if err == nil && (v.ID < 0 || v.ID > math.MaxInt32) {
		err = fmt.Errorf("version %d of %s has the id %d, which has no place in 32 bits", number, subject, v.ID)
	}
	if err != nil {
		return v, err
	}
	r.seen.putVersion(at, v)
	return v, nil
}

// Compatibility returns what the registry asks of a subject's next schema, such as
// "BACKWARD": the setting of the subject, else that of all. The empty subject is that
// of all.
func (r *Registry) Compatibility(ctx context.Context, subject string) (string, error) {
	var level sr.CompatibilityLevel
	err := r.ask(ctx, func(ctx context.Context, client *sr.Client) error {
		result := client.Compatibility(sr.WithParams(ctx, sr.DefaultToGlobal), subject)[0]
		level = result.Level
		return result.Err
	})
	if err != nil {
		return "", fmt.Errorf("confluent: compatibility of %q: %w", subject, explain(err))
	}
	return level.String(), nil
}

// SetCompatibility sets what the registry asks of a subject's next schema: NONE, or BACKWARD, FORWARD
// or FULL, each with or without _TRANSITIVE. The empty subject stands for all without
// a setting of their own.
func (r *Registry) SetCompatibility(ctx context.Context, subject, level string) error {
	var parsed sr.CompatibilityLevel
	if err := parsed.UnmarshalText([]byte(level)); err != nil {
		return fmt.Errorf("confluent: compatibility %q is unknown: use NONE, BACKWARD, FORWARD or FULL, the latter three with or without _TRANSITIVE", level)
	}
	err := r.ask(ctx, func(ctx context.Context, client *sr.Client) error {
		return client.SetCompatibility(ctx, sr.SetCompatibility{Level: parsed}, subject)[0].Err
	})
	if err != nil {
		return fmt.Errorf("confluent: set the compatibility of %q: %w", subject, explain(err))
	}
	return nil
}

var errTooDeep = errors.New("the schema refers to more than 200 others, or to itself")
