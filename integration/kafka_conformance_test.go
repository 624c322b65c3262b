package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/kafka"
	"github.com/choreo-go/choreo/topics/topicstest"
)

func TestKafkaConformance(t *testing.T) {
	brokers := servers.Kafka(t)
	topicstest.Exercise(t, func(t *testing.T) topics.Log { return openKafka(t, kafka.Config{Brokers: brokers}) })
}

func openKafka(t testing.TB, config kafka.Config) *kafka.Log {
	log, err := kafka.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return log
}

// newTopic creates a topic with one partition and returns its name.
func newTopic(t testing.TB, log topics.Log, settings map[string]string) string {
	name := "integration-" + rand.Text()
	require.NoError(t, log.CreateTopic(t.Context(), topics.TopicSpec{Name: name, Partitions: 1, Settings: settings}))
	return name
}

// readUntil reads a topic from its oldest record until the one with this key.
func readUntil(t testing.TB, log topics.Log, topic, last string) []choreo.Record {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var records []choreo.Record
	done := false
	require.NoError(t, log.Consume(ctx, topics.ConsumeConfig{Group: "integration-" + rand.Text(), Topics: []string{topic}, Lanes: 1},
		func(_ context.Context, batch []choreo.Record) error {
			records = append(records, batch...)
			if string(batch[len(batch)-1].Key) == last {
				done = true
				stop()
			}
			return nil
		}))
	require.True(t, done, "the record with key %q does not come", last)
	return records
}

func putRecord(t testing.TB, log topics.Log, topic, key string, value []byte) {
	t.Helper()
	require.Nil(t, log.Publish(t.Context(), []choreo.Record{
		{Topic: topic, Partition: choreo.AnyPartition, Key: []byte(key), Value: value}}))
}

func TestKafkaReadsEveryCodec(t *testing.T) {
	brokers := servers.Kafka(t)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			log := openKafka(t, kafka.Config{Brokers: brokers, Compression: codec})
			topic := newTopic(t, log, nil)
			records := make([]choreo.Record, 1000)
			for i := range records {
				records[i] = choreo.Record{Topic: topic, Partition: choreo.AnyPartition, Key: fmt.Append(nil, i),
					Value: bytes.Repeat([]byte("words "), 50), Headers: []choreo.Header{{Key: "h", Value: []byte("v")}}}
			}
			require.Nil(t, log.Publish(t.Context(), records))
			got := readUntil(t, log, topic, "999")
			require.Len(t, got, len(records))
			for i, r := range got {
				require.Equal(t, records[i].Key, r.Key)
				require.Equal(t, records[i].Value, r.Value)
				require.Equal(t, records[i].Headers, r.Headers)
			}
		})
	}
}

// A compacted topic has gaps, batches that lost records, and tombstones.
func TestKafkaReadsCompactedTopics(t *testing.T) {
	log := openKafka(t, kafka.Config{Brokers: servers.Kafka(t)})
	topic := newTopic(t, log, map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001",
		"segment.ms": "100", "min.compaction.lag.ms": "0", "max.compaction.lag.ms": "1", "delete.retention.ms": "0"})
	const keys, rounds = 20, 50
	for round := range rounds {
		batch := make([]choreo.Record, keys)
		for key := range batch {
			batch[key] = choreo.Record{Topic: topic, Partition: choreo.AnyPartition,
				Key: fmt.Append(nil, "key-", key), Value: fmt.Append(nil, round)}
		}
		require.Nil(t, log.Publish(t.Context(), batch))
	}
	putRecord(t, log, topic, "key-0", nil)
	// Compaction works on whole segments and in its own time: whatever it has done so
	// far, a reader must come to the end and see the last value of each key.
	for i := range 5 {
		last := fmt.Sprint("last-", i)
		putRecord(t, log, topic, last, []byte("x"))
		latest := make(map[string][]byte)
		for _, r := range readUntil(t, log, topic, last) {
			latest[string(r.Key)] = r.Value
		}
		require.Nil(t, latest["key-0"])
		for key := 1; key < keys; key++ {
			require.Equal(t, fmt.Append(nil, rounds-1), latest[fmt.Sprint("key-", key)])
		}
		table, err := topics.ReadTable(t.Context(), log, topic)
		require.NoError(t, err)
		require.Len(t, table, keys-1+i+1, "all keys but the one that is gone, and the last ones")
		for key := 1; key < keys; key++ {
			require.Equal(t, fmt.Append(nil, rounds-1), table[fmt.Sprint("key-", key)].Value)
		}
	}
	errs := log.Publish(t.Context(), []choreo.Record{
		{Topic: topic, Partition: choreo.AnyPartition, Key: []byte("a"), Value: []byte("1")},
		{Topic: topic, Partition: 0, Value: []byte("a compacted topic takes no record without a key")},
		{Topic: topic, Partition: choreo.AnyPartition, Key: []byte("b"), Value: []byte("2")},
	})
	require.Len(t, errs, 3)
	require.NoError(t, errs[0])
	require.Error(t, errs[1])
	require.NotErrorIs(t, errs[1], context.DeadlineExceeded, "it is not retried")
	require.NoError(t, errs[2])
}

func TestKafkaReadsCommittedTransactions(t *testing.T) {
	brokers := servers.Kafka(t)
	log := openKafka(t, kafka.Config{Brokers: brokers})
	topic := newTopic(t, log, nil)
	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))
	require.NoError(t, err)
	defer producer.Close()
	transact := func(end kgo.TransactionEndTry, values ...string) {
		require.NoError(t, producer.BeginTransaction())
		for _, value := range values {
			require.NoError(t, producer.ProduceSync(t.Context(), &kgo.Record{Key: []byte(value), Value: []byte(value)}).FirstErr())
		}
		require.NoError(t, producer.EndTransaction(t.Context(), end))
	}
	transact(kgo.TryCommit, "1", "2")
	transact(kgo.TryAbort, "no", "no")
	putRecord(t, log, topic, "3", []byte("3"))
	transact(kgo.TryAbort, "no")
	transact(kgo.TryCommit, "4")
	transact(kgo.TryAbort, "no")
	putRecord(t, log, topic, "5", []byte("5"))
	var values []string
	for _, r := range readUntil(t, log, topic, "5") {
		values = append(values, string(r.Value))
	}
	require.Equal(t, []string{"1", "2", "3", "4", "5"}, values)
}
