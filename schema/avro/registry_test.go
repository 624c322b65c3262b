package avro_test

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
)

// registry numbers schemas as they come, or by their fingerprint.
type registry struct {
	framing schema.Framing
	mu      sync.Mutex
	byID    map[schema.ID]schema.Schema
	asked   int           // calls of Schema
	gate    chan struct{} // where set, Schema waits for it
	fails   error
}

func newRegistry(framing schema.Framing) *registry {
	return &registry{framing: framing, byID: map[schema.ID]schema.Schema{}}
}

func (r *registry) Register(_ context.Context, _ string, s schema.Schema) (schema.ID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails != nil {
		return schema.ID{}, r.fails
	}
	id := schema.ID{Framing: r.framing, Number: uint64(len(r.byID) + 1)}
	if r.framing == schema.SingleObject {
		var err error
		if id.Number, err = avro.Fingerprint(s.Text); err != nil {
			return schema.ID{}, err
		}
	}
	for known, other := range r.byID {
		if other.Text == s.Text {
			return known, nil
		}
	}
	r.byID[id] = s
	return id, nil
}

func (r *registry) Schema(ctx context.Context, id schema.ID) (schema.Schema, error) {
	r.mu.Lock()
	r.asked++
	s, ok := r.byID[id]
	err, gate := r.fails, r.gate
	r.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return schema.Schema{}, ctx.Err()
		}
	}
	if err != nil {
		return schema.Schema{}, err
	}
	if !ok {
		return schema.Schema{}, fmt.Errorf("%w %s", schema.ErrUnknownSchema, id)
	}
	return s, nil
}

func (r *registry) Subjects(context.Context) ([]string, error) { return nil, nil }
func (r *registry) Versions(context.Context, string) ([]schema.Version, error) {
	return nil, schema.ErrUnknownSchema
}

func newCodec(t require.TestingT, r schema.Registry, config *avro.Config) *avro.Codec {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	c, err := avro.New(r, config)
	require.NoError(t, err)
	return c
}

// prepared returns a codec that may write values of the types.
func prepared(t require.TestingT, config *avro.Config, types ...reflect.Type) *avro.Codec {
	c := newCodec(t, newRegistry(schema.Confluent), config)
	require.NoError(t, c.Prepare(context.Background(), "choreo.order.events", types))
	return c
}

// roundTrip writes and reads a value by the schema of its type.
func roundTrip[T any](t *testing.T, in T) T {
	t.Helper()
	c := prepared(t, nil, reflect.TypeFor[T]())
	data, err := c.Encode(in)
	require.NoError(t, err)
	var out T
	require.NoError(t, c.Decode(data, &out))
	return out
}
