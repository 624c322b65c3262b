package integration

import (
	"crypto/rand"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/protobuf"
	"github.com/choreo-go/choreo/schema/registry/confluent"
	"github.com/choreo-go/choreo/schema/registry/registrytest"
)

func openRegistry(t *testing.T, url string) *confluent.Registry {
	t.Helper()
	r, err := confluent.New(&confluent.Config{URLs: []string{url}})
	require.NoError(t, err)
	return r
}

func TestConfluentRegistryConformance(t *testing.T) {
	url := servers.Registry(t)
	registrytest.Exercise(t, registrytest.Harness{
		Framing:        schema.Confluent,
		AvroReferences: true,
		New: func(*testing.T) func(*testing.T) schema.Registry {
			return func(t *testing.T) schema.Registry { return openRegistry(t, url) }
		},
		Strict: func(t *testing.T, r schema.Registry, subject string) {
			require.NoError(t, r.(*confluent.Registry).SetCompatibility(t.Context(), subject, "BACKWARD"))
			level, err := r.(*confluent.Registry).Compatibility(t.Context(), subject)
			require.NoError(t, err)
			require.Equal(t, "BACKWARD", level)
		},
		Away: func(t *testing.T) { require.NoError(t, servers.RegistryControl(t).Kill(t.Context())) },
	})
}

// What a process writes and has read it goes on to write and read while the registry is
// away; what it has not seen it reads once the registry is back.
func TestProtobufOutlivesItsRegistry(t *testing.T) {
	url, control := servers.Registry(t), servers.RegistryControl(t)
	topic := "outage-" + rand.Text()
	writer, err := protobuf.New(openRegistry(t, url), nil)
	require.NoError(t, err)
	require.NoError(t, writer.Prepare(t.Context(), topic, []reflect.Type{
		reflect.TypeFor[*timestamppb.Timestamp](), reflect.TypeFor[*durationpb.Duration](),
	}))
	at, err := writer.Encode(&timestamppb.Timestamp{Seconds: 7})
	require.NoError(t, err)
	require.Zero(t, at[0], "it has an id in front")
	reader, err := protobuf.New(openRegistry(t, url), nil)
	require.NoError(t, err)
	var gotAt *timestamppb.Timestamp
	require.NoError(t, reader.Decode(at, &gotAt))

	require.NoError(t, control.Kill(t.Context()))
	took, err := writer.Encode(&durationpb.Duration{Seconds: 9})
	require.NoError(t, err)
	at, err = writer.Encode(&timestamppb.Timestamp{Seconds: 8})
	require.NoError(t, err)
	require.NoError(t, reader.Decode(at, &gotAt))
	require.True(t, proto.Equal(&timestamppb.Timestamp{Seconds: 8}, gotAt))
	var gotTook *durationpb.Duration
	err = reader.Decode(took, &gotTook)
	require.ErrorContains(t, err, "cannot be reached")
	require.NotErrorIs(t, err, schema.ErrUnknownSchema, "nobody could be asked")

	require.NoError(t, control.Start(t.Context()))
	if reader.Decode(took, &gotTook) != nil {
		// A registry in a container has forgotten its schemas: services that start register anew.
		writer, err = protobuf.New(openRegistry(t, url), nil)
		require.NoError(t, err)
		require.NoError(t, writer.Prepare(t.Context(), topic, []reflect.Type{reflect.TypeFor[*durationpb.Duration]()}))
		took, err = writer.Encode(&durationpb.Duration{Seconds: 9})
		require.NoError(t, err)
		reader, err = protobuf.New(openRegistry(t, url), nil)
		require.NoError(t, err)
		require.NoError(t, reader.Decode(took, &gotTook))
	}
	require.EqualValues(t, 9, gotTook.GetSeconds())
}
