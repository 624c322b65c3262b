package integration

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/registrytest"
	"github.com/choreo-go/choreo/schema/registry/topic"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/kafka"
)

// newSchemaTopic returns the names of a new namespace whose schema topic there is.
func newSchemaTopic(t *testing.T, log topics.Log, settings map[string]string) topics.Names {
	t.Helper()
	names, err := topics.NewNames("schemas-" + rand.Text())
	require.NoError(t, err)
	for _, spec := range topics.Topology(names, nil, topics.TopologyOptions{}) {
		if spec.Name == names.Schemas() {
			for name, value := range settings {
				spec.Settings[name] = value
			}
			require.NoError(t, log.CreateTopic(t.Context(), spec))
		}
	}
	return names
}

func openSchemaTopic(t *testing.T, brokers []string, names topics.Names, config topic.Config) *topic.Registry {
	t.Helper()
	// A client of its own for each, as in processes of their own.
	r, err := topic.New(t.Context(), openKafka(t, kafka.Config{Brokers: brokers}), names, &config)
	require.NoError(t, err)
	return r
}

func TestSchemaTopicConformance(t *testing.T) {
	brokers := servers.Kafka(t)
	var strict string
	check := func(s schema.Schema, earlier []schema.Schema) error {
		if s.Name == strict && len(earlier) > 0 && strings.Contains(s.Text, "added") {
			return fmt.Errorf("the field added has no default")
		}
		return nil
	}
	registrytest.Exercise(t, registrytest.Harness{
		Framing: schema.SingleObject,
		New: func(t *testing.T) func(*testing.T) schema.Registry {
			names := newSchemaTopic(t, openKafka(t, kafka.Config{Brokers: brokers}), nil)
			return func(t *testing.T) schema.Registry {
				return openSchemaTopic(t, brokers, names, topic.Config{Check: check, ReadTimeout: 3 * time.Second})
			}
		},
		Strict: func(_ *testing.T, _ schema.Registry, subject string) { _, strict, _ = strings.Cut(subject, "-") },
		Away:   func(t *testing.T) { require.NoError(t, servers.KafkaControl(t).Kill(t.Context())) },
	})
}

// Versions are numbered by the order in the topic, which Kafka's compaction thins out while
// processes register the same and different schemas at once.
func TestSchemaTopicOutlivesCompaction(t *testing.T) {
	brokers := servers.Kafka(t)
	log := openKafka(t, kafka.Config{Brokers: brokers})
	names := newSchemaTopic(t, log, map[string]string{"min.cleanable.dirty.ratio": "0.001", "segment.ms": "100",
		"min.compaction.lag.ms": "0", "max.compaction.lag.ms": "1", "delete.retention.ms": "0"})
	const schemas, processes = 12, 4
	made := make([]schema.Schema, schemas)
	for i := range made {
		made[i] = schema.Schema{Kind: schema.Avro, Text: fmt.Sprintf(
			`{"type":"record","name":"shop.Order","fields":[{"name":"f%d","type":"long"}]}`, i)}
	}
	registries := make([]*topic.Registry, processes)
	var writing sync.WaitGroup
	for p := range registries {
		registries[p] = openSchemaTopic(t, brokers, names, topic.Config{})
		writing.Go(func() {
			for i := range made {
				if _, err := registries[p].Register(t.Context(), "s", made[(i+p)%schemas]); err != nil {
					t.Errorf("register: %v", err)
				}
			}
		})
	}
	writing.Wait()
	want, err := registries[0].Versions(t.Context(), "s")
	require.NoError(t, err)
	require.Len(t, want, schemas)

	// Each key once more, as a repeated write leaves it, and then something to close the segment:
	// compaction works on closed ones and in its own time.
	records := readAll(t, log, names.Schemas())
	thinned := false
	for deadline := time.Now().Add(time.Minute); !thinned && time.Now().Before(deadline); {
		for _, r := range records {
			putRecord(t, log, names.Schemas(), string(r.Key), r.Value)
		}
		now := readAll(t, log, names.Schemas())
		thinned = now[0].Offset > 0
		got, err := openSchemaTopic(t, brokers, names, topic.Config{}).Versions(t.Context(), "s")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.True(t, thinned, "Kafka has compacted nothing within a minute")
	for _, r := range registries {
		got, err := r.Versions(t.Context(), "s")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// readAll reads a topic to its end.
func readAll(t *testing.T, log topics.Log, name string) []choreo.Record {
	t.Helper()
	var all []choreo.Record
	require.NoError(t, log.Read(t.Context(), topics.ReadConfig{Topic: name, ToEnd: true},
		func(_ context.Context, batch []choreo.Record) error {
			all = append(all, batch...)
			return nil
		}))
	return all
}
