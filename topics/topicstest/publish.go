package topicstest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

func recordsComeBack(r *rig) {
	topic := r.topic(1)
	sent := []choreo.Record{
		{Key: []byte("k"), Value: []byte("v"), Headers: []choreo.Header{
			{Key: "ce_type", Value: []byte("choreo.saga.started")},
			{Key: "binary", Value: []byte{0, 0xFF, '\n'}},
			{Key: "twice", Value: []byte("1")},
			{Key: "twice", Value: []byte("2")},
			{Key: "empty", Value: []byte{}},
		}},
		{Key: []byte{0, 0xFF}, Value: []byte{0, 1, 2, 0xFF}},
		{Key: []byte("k"), Value: []byte{}},
		{Key: []byte("k"), Value: nil},
		{Key: []byte("k"), Value: bytes.Repeat([]byte("long "), 100_000)},
	}
	for i := range sent {
		sent[i].Topic, sent[i].Partition = topic, choreo.AnyPartition
	}
	before := time.Now().Add(-time.Minute) // the clocks of broker and test may differ
	r.publish(sent...)
	require.Nil(r, r.log.Publish(r.ctx, nil), "nothing to write is no error")

	c := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}, Lanes: 1}, nil)
	c.untilHandled(3)
	r.until("all records", func() bool { return len(c.handled) >= len(sent) })
	for i, got := range c.records()[:len(sent)] {
		require.Equal(r, topic, got.Topic)
		require.EqualValues(r, 0, got.Partition)
		require.EqualValues(r, i, got.Offset)
		require.WithinRange(r, got.Time, before, time.Now().Add(time.Minute))
		require.Equal(r, sent[i].Key, got.Key)
		require.True(r, bytes.Equal(sent[i].Value, got.Value), "value of record %d", i)
		require.Equal(r, sent[i].Value == nil, got.Value == nil, "a tombstone is not an empty value (record %d)", i)
		require.Len(r, got.Headers, len(sent[i].Headers))
		for n, h := range sent[i].Headers {
			require.Equal(r, h.Key, got.Headers[n].Key)
			require.Equal(r, string(h.Value), string(got.Headers[n].Value))
		}
	}
	c.stop()
}

func partitionByKey(r *rig) {
	const partitions = 7
	topic := r.topic(partitions)
	r.publish(series(topic, 50)...)
	c := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}}, nil)
	c.untilHandled(50)
	for _, got := range c.records() {
		require.Equal(r, topics.PartitionFor(got.Key, partitions), got.Partition, "key %s", got.Key)
	}
	c.stop()
}

func homePartition(r *rig) {
	const partitions = 4
	topic := r.topic(partitions)
	home := func(i int) int32 {
		return (topics.PartitionFor(fmt.Appendf(nil, "key-%d", i), partitions) + 1) % partitions
	}
	records := series(topic, 20)
	for i := range records {
		records[i].Partition = home(i)
	}
	r.publish(records...)
	c := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}}, nil)
	c.untilHandled(len(records))
	for _, got := range c.records() {
		var i int
		_, err := fmt.Sscanf(string(got.Key), "key-%d", &i)
		require.NoError(r, err)
		require.Equal(r, home(i), got.Partition, "key %s", got.Key)
	}
	c.stop()
}

func recordWithoutKey(r *rig) {
	topic := r.topic(3)
	records := series(topic, 10)
	for i := range records {
		records[i].Key = nil
	}
	r.publish(records...)
	c := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}}, nil)
	c.untilHandled(10)
	for _, got := range c.records() {
		require.Empty(r, got.Key)
	}
	c.stop()
}

func unknownTopic(r *rig) {
	topic := r.topic(2)
	nowhere := record(topic, "b", 0)
	nowhere.Partition = 99
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Second) // an adapter may wait for the topic to appear
	defer cancel()
	errs := r.log.Publish(ctx, []choreo.Record{
		record(topic, "a", 0), record(r.name(), "x", 0), nowhere, record(topic, "c", 0),
	})
	require.Len(r, errs, 4)
	require.NoError(r, errs[0])
	require.ErrorIs(r, errs[1], topics.ErrUnknownTopic)
	require.ErrorIs(r, errs[2], topics.ErrUnknownTopic)
	require.NoError(r, errs[3])
}

func recordTooLarge(r *rig) {
	topic := r.name()
	require.NoError(r, r.log.CreateTopic(r.ctx, topics.TopicSpec{
		Name: topic, Partitions: 1, Settings: map[string]string{"max.message.bytes": "20000"},
	}))
	large := record(topic, "large", 1)
	large.Value = bytes.Repeat([]byte("x"), 30_000)
	errs := r.log.Publish(r.ctx, []choreo.Record{
		record(topic, "a", 0), record(topic, "large", 0), large, record(topic, "a", 1),
		record(topic, "large", 2), record(topic, "c", 0),
	})
	require.Len(r, errs, 6)
	require.ErrorIs(r, errs[2], topics.ErrRecordTooLarge)
	require.ErrorIs(r, errs[4], topics.ErrEarlierFailed)
	for _, i := range []int{0, 1, 3, 5} {
		require.NoError(r, errs[i], "record %d", i)
	}
	r.publish(record(topic, "last", 0))
	c := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}, Lanes: 1}, nil)
	c.untilHandled(5)
	require.ElementsMatch(r, []string{"a#0", "large#0", "a#1", "c#0", "last#0"}, distinct(c.records()))
	c.stop()
}

func publishContext(r *rig) {
	topic := r.topic(1)
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	errs := r.log.Publish(ctx, series(topic, 2))
	require.Len(r, errs, 2)
	require.ErrorIs(r, errs[0], context.Canceled)
	require.ErrorIs(r, errs[1], context.Canceled)
}
