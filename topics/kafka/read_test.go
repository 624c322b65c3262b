package kafka_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
)

// toEnd reads a topic to its end and returns the values.
func toEnd(t *testing.T, log topics.Log, config topics.ReadConfig) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	config.ToEnd = true
	var values []string
	require.NoError(t, log.Read(ctx, config, func(_ context.Context, batch []choreo.Record) error {
		for _, r := range batch {
			values = append(values, string(r.Value))
		}
		return nil
	}))
	return values
}

func TestReadBeginsWhereTheHeadWasDeleted(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	seen, logs := observer.New(zapcore.WarnLevel)
	log := open(t, kafka.Config{Brokers: c.ListenAddrs(), Logger: zap.New(seen)})
	write(t, log, 2, "1", "2", "3", "4")
	require.NoError(t, c.DeleteRecords("t", 2, 2))
	require.Equal(t, []string{"3", "4"}, toEnd(t, log, topics.ReadConfig{Topic: "t"}))
	require.Empty(t, logs.All())
	require.Equal(t, []string{"3", "4"}, toEnd(t, log, topics.ReadConfig{Topic: "t", From: map[int32]int64{2: 1}}))
	lost := logs.FilterMessageSnippet("offset to read from is gone").All()
	require.Len(t, lost, 1)
	require.EqualValues(t, 1, lost[0].ContextMap()["lost"])

	require.NoError(t, c.DeleteRecords("t", 2, 4))
	require.Empty(t, toEnd(t, log, topics.ReadConfig{Topic: "t"}), "all is gone")
	require.Empty(t, toEnd(t, log, topics.ReadConfig{Topic: "t", From: map[int32]int64{2: 1}}))
}

func TestReadComesToTheEndOfACompactedTopic(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	require.NoError(t, log.CreateTopic(t.Context(), topics.TopicSpec{Name: "compacted", Partitions: 1, Settings: map[string]string{
		"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0", "segment.bytes": "300", "delete.retention.ms": "0"}}))
	put := func(key string, value []byte) {
		require.Nil(t, log.Publish(t.Context(), []choreo.Record{
			{Topic: "compacted", Partition: choreo.AnyPartition, Key: []byte(key), Value: value}}))
	}
	for i := range 50 {
		put(fmt.Sprint(i%5), fmt.Append(nil, i))
	}
	put("0", nil)
	for range 2 {
		c.Compact()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		table, err := topics.ReadTable(ctx, log, "compacted")
		cancel()
		require.NoError(t, err)
		require.Len(t, table, 4)
		for key, want := range map[string]string{"1": "46", "2": "47", "3": "48", "4": "49"} {
			require.Equal(t, want, string(table[key].Value))
		}
	}
}

// endAt has the cluster say once, or always, that partition 0 ends at an offset.
func endAt(c *kfake.Cluster, end int64, always bool) {
	c.ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
		asked := request.(*kmsg.ListOffsetsRequest)
		const latest = -1
		if asked.Topics[0].Partitions[0].Timestamp != latest {
			c.KeepControl()
			return nil, nil, false
		}
		if always {
			c.KeepControl()
		}
		response := asked.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range asked.Topics {
			answer := kmsg.NewListOffsetsResponseTopic()
			answer.Topic = topic.Topic
			for _, p := range topic.Partitions {
				partition := kmsg.NewListOffsetsResponseTopicPartition()
				partition.Partition, partition.Offset = p.Partition, 0
				if p.Partition == 0 {
					partition.Offset = end
				}
				answer.Partitions = append(answer.Partitions, partition)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
}

// Compaction can take the last offsets before the end, which is then never read.
func TestReadComesToAnEndThatHasNoRecord(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	write(t, log, 0, "1", "2")
	endAt(c, 5, true)
	c.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		asked := request.(*kmsg.FetchRequest)
		for _, p := range asked.Topics[0].Partitions {
			if p.Partition == 0 && p.FetchOffset < 2 {
				return nil, nil, false
			}
		}
		response := asked.ResponseKind().(*kmsg.FetchResponse)
		for _, topic := range asked.Topics {
			answer := kmsg.NewFetchResponseTopic()
			answer.Topic = topic.Topic
			for _, p := range topic.Partitions {
				partition := kmsg.NewFetchResponseTopicPartition()
				partition.Partition, partition.HighWatermark, partition.LastStableOffset = p.Partition, 5, 5
				answer.Partitions = append(answer.Partitions, partition)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	require.Equal(t, []string{"1", "2"}, toEnd(t, log, topics.ReadConfig{Topic: "t"}))
}

// A log that lost its tail, by an election of a replica that was behind, never comes to
// the end that it had.
func TestReadComesToTheEndOfALogThatWasCut(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	write(t, log, 0, "1", "2")
	endAt(c, 5, false)
	require.Equal(t, []string{"1", "2"}, toEnd(t, log, topics.ReadConfig{Topic: "t"}))
}

func TestReadSeesCommittedTransactionsAlone(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	producer, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.TransactionalID("tx"),
		kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer producer.Close()
	for value, end := range map[string]kgo.TransactionEndTry{"yes": kgo.TryCommit, "no": kgo.TryAbort} {
		require.NoError(t, producer.BeginTransaction())
		require.NoError(t, producer.ProduceSync(t.Context(), &kgo.Record{Value: []byte(value)}).FirstErr())
		require.NoError(t, producer.EndTransaction(t.Context(), end))
	}
	require.NoError(t, producer.BeginTransaction())
	require.NoError(t, producer.ProduceSync(t.Context(), &kgo.Record{Value: []byte("open")}).FirstErr())
	require.Equal(t, []string{"yes"}, toEnd(t, log, topics.ReadConfig{Topic: "t"}), "one that is open is no reason to wait")
	require.NoError(t, producer.EndTransaction(t.Context(), kgo.TryAbort))
}

func TestReadWaitsFaultsOut(t *testing.T) {
	for _, fault := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.OffsetNotAvailable, kerr.UnknownServerError} {
		t.Run(fault.Message, func(t *testing.T) {
			t.Parallel()
			c := cluster(t, kfake.NumBrokers(2))
			log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
			write(t, log, 0, "1")
			write(t, log, 1, "2")
			write(t, log, 2, "3")
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: "t", Partitions: []int32{1}, Err: fault, Count: 4})
			require.ElementsMatch(t, []string{"1", "2", "3"}, toEnd(t, log, topics.ReadConfig{Topic: "t"}))
		})
	}
}

func TestReadIsRefusedForGood(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	write(t, log, 0, "1")
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "t", Err: kerr.TopicAuthorizationFailed, Count: -1})
	err := log.Read(t.Context(), topics.ReadConfig{Topic: "t"}, func(context.Context, []choreo.Record) error { return nil })
	require.ErrorContains(t, err, "reading topic t")
	require.ErrorContains(t, err, "Authorization Failed")
}

func TestReadWaitsAnOutageOut(t *testing.T) {
	config := embedded.Config{DataDir: t.TempDir(), Port: freePort(t)}
	log := open(t, kafka.Config{Brokers: []string{"127.0.0.1:" + strconv.Itoa(config.Port)}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	r := &reading{t: t, records: make(chan choreo.Record, 100), states: make(chan topics.ConsumeState, 100)}
	ended := make(chan error, 1)
	read := func() {
		ended <- log.Read(ctx, topics.ReadConfig{Topic: "t", OnState: func(s topics.ConsumeState) { r.states <- s }},
			func(_ context.Context, batch []choreo.Record) error {
				for _, rec := range batch {
					r.records <- rec
				}
				return nil
			})
	}
	b, err := embedded.Start(config)
	require.NoError(t, err)
	require.NoError(t, log.CreateTopic(ctx, topics.TopicSpec{Name: "t", Partitions: 2}))
	require.NoError(t, b.Close())
	go read()
	require.Error(t, r.until(func(s topics.ConsumeState) bool { return s.Err != nil }).Err, "nobody is there yet")
	for i := range 3 {
		b, err := embedded.Start(config)
		require.NoError(t, err)
		value := fmt.Sprint("round ", i)
		write(t, log, 1, value)
		require.Equal(t, value, string(r.next(value).Value))
		r.until(func(s topics.ConsumeState) bool { return s.Err == nil && s.Partitions == 2 })
		require.NoError(t, b.Close())
		r.until(func(s topics.ConsumeState) bool { return s.Err != nil })
	}
	cancel()
	require.NoError(t, <-ended)
	require.Empty(t, r.records, "what was read does not come again")
}

func TestReadHandsOutItsOwnCopies(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var kept []choreo.Record
	caughtUp := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- log.Read(ctx, topics.ReadConfig{Topic: "t", OnCaughtUp: func() { close(caughtUp) }}, func(_ context.Context, batch []choreo.Record) error {
			if kept = append(kept, batch...); len(kept) == 20 {
				cancel()
			}
			return nil
		})
	}()
	<-caughtUp
	for i := range 20 {
		write(t, log, 0, fmt.Sprint("value ", i))
	}
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(patience):
		require.FailNow(t, "Read does not end")
	}
	for i, rec := range kept {
		require.Equal(t, fmt.Sprint("value ", i), string(rec.Value))
	}
}
