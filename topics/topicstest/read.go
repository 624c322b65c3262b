package topicstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// follower is a running call of Read and what its handler was given.
type follower struct {
	consumer
	caughtUp []int // how many records had been handled when the end was reached
	batches  []int // their sizes
}

// follow starts a reader of a topic. handle may be nil.
func (r *rig) follow(config topics.ReadConfig, handle topics.Handler) *follower {
	ctx, cancel := context.WithCancel(r.ctx)
	f := &follower{consumer: consumer{rig: r, cancel: cancel, ended: make(chan error, 1)}}
	var calls atomic.Int32
	alone := func() func() {
		if calls.Add(1) > 1 {
			r.Error("two calls at once")
		}
		return func() { calls.Add(-1) }
	}
	config.OnState = func(s topics.ConsumeState) { r.change(func() { f.state = s }) }
	config.OnCaughtUp = func() {
		defer alone()()
		r.change(func() { f.caughtUp = append(f.caughtUp, len(f.handled)) })
	}
	go func() {
		f.ended <- r.log.Read(ctx, config, func(ctx context.Context, batch []choreo.Record) error {
			defer alone()()
			if handle != nil {
				if err := handle(ctx, batch); err != nil {
					return err
				}
			}
			r.change(func() {
				f.handled = append(f.handled, batch...)
				f.batches = append(f.batches, len(batch))
			})
			return nil
		})
	}()
	r.Cleanup(cancel)
	return f
}

// inOrder returns the offsets of what was handled, by partition, and checks that each
// partition's rise.
func (f *follower) inOrder() map[int32][]int64 {
	offsets := make(map[int32][]int64)
	for _, rec := range f.records() {
		if had := offsets[rec.Partition]; len(had) > 0 && had[len(had)-1] >= rec.Offset {
			require.FailNow(f.rig, "out of order", "partition %d: %d after %v", rec.Partition, rec.Offset, had)
		}
		offsets[rec.Partition] = append(offsets[rec.Partition], rec.Offset)
	}
	return offsets
}

func readFollows(r *rig) {
	topic := r.topic(3)
	r.publish(series(topic, 50)...)
	f := r.follow(topics.ReadConfig{Topic: topic, BatchMax: 4}, nil)
	r.until("the end", func() bool { return len(f.caughtUp) > 0 })
	require.Equal(r, []int{50}, f.caughtUp, "when all that there was is handled")
	more := series(topic, 30)
	for i := range more {
		more[i].Value = fmt.Appendf(nil, "more %d", i)
	}
	r.publish(more...)
	f.untilHandled(80)
	require.Equal(r, topics.ConsumeState{Partitions: 3}, f.state)
	f.stop()
	total := 0
	for _, offsets := range f.inOrder() {
		total += len(offsets)
	}
	require.Equal(r, 80, total)
	require.Len(r, f.caughtUp, 1, "it is told once")
	require.LessOrEqual(r, slices.Max(f.batches), 4)

	again := r.follow(topics.ReadConfig{Topic: topic, ToEnd: true}, nil)
	require.NoError(r, again.wait())
	require.Len(r, again.records(), 80, "nothing is committed")
}

func readToEnd(r *rig) {
	topic := r.topic(2)
	empty := r.follow(topics.ReadConfig{Topic: topic, ToEnd: true}, nil)
	require.NoError(r, empty.wait())
	require.Equal(r, []int{0}, empty.caughtUp)
	require.Empty(r, empty.records())

	r.publish(series(topic, 1200)...)
	whole := r.follow(topics.ReadConfig{Topic: topic, ToEnd: true}, nil)
	require.NoError(r, whole.wait())
	require.Equal(r, []int{1200}, whole.caughtUp)
	whole.inOrder()

	started := make(chan struct{})
	part := r.follow(topics.ReadConfig{Topic: topic, ToEnd: true}, func(ctx context.Context, _ []choreo.Record) error {
		close(started)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	select {
	case <-started:
	case <-r.ctx.Done():
		require.FailNow(r, "the records do not arrive")
	}
	part.cancel()
	require.ErrorIs(r, part.wait(), context.Canceled, "a part must not look like the whole")
	require.Empty(r, part.caughtUp)
}

func readFrom(r *rig) {
	topic := r.topic(3)
	for p := range int32(3) {
		for n := range 5 {
			rec := record(topic, fmt.Sprintf("key-%d", p), n)
			rec.Partition = p
			r.publish(rec)
		}
	}
	f := r.follow(topics.ReadConfig{Topic: topic, ToEnd: true, From: map[int32]int64{0: 3, 1: 99, 7: 2}}, nil)
	require.NoError(r, f.wait())
	whole := []int64{0, 1, 2, 3, 4}
	require.Equal(r, map[int32][]int64{0: {3, 4}, 1: whole, 2: whole}, f.inOrder(), "an offset that is not there begins at the oldest")

	f = r.follow(topics.ReadConfig{Topic: topic, ToEnd: true, From: map[int32]int64{0: 5, 1: 5, 2: 4}}, nil)
	require.NoError(r, f.wait())
	require.Equal(r, []string{"key-2#4"}, values(f.records()))
}

func readChosen(r *rig) {
	topic := r.topic(3)
	for p := range int32(3) {
		rec := record(topic, fmt.Sprintf("key-%d", p), 0)
		rec.Partition = p
		r.publish(rec)
	}
	odd := func(p int32) bool { return p%2 == 1 }
	f := r.follow(topics.ReadConfig{Topic: topic, ToEnd: true, Partitions: odd}, nil)
	require.NoError(r, f.wait())
	require.Equal(r, map[int32][]int64{1: {0}}, f.inOrder())
	require.Equal(r, 1, f.state.Partitions)

	f = r.follow(topics.ReadConfig{Topic: topic, ToEnd: true, Partitions: func(int32) bool { return false }}, nil)
	require.NoError(r, f.wait(), "the end of nothing is reached at once")
	require.Empty(r, f.records())

	f = r.follow(topics.ReadConfig{Topic: topic, Partitions: odd}, nil)
	require.NoError(r, r.log.AddPartitions(r.ctx, topic, 5))
	for p := int32(3); p < 5; p++ {
		rec := record(topic, fmt.Sprintf("key-%d", p), 0)
		rec.Partition = p
		r.publish(rec)
	}
	f.untilHandled(2)
	f.stop()
	require.Equal(r, map[int32][]int64{1: {0}, 3: {0}}, f.inOrder(), "also of those that are added")
}

func readUnknown(r *rig) {
	f := r.follow(topics.ReadConfig{Topic: r.name()}, nil)
	require.ErrorIs(r, f.wait(), topics.ErrUnknownTopic)
	_, err := topics.ReadTable(r.ctx, r.log, r.name())
	require.ErrorIs(r, err, topics.ErrUnknownTopic)
}

func readNewPartitions(r *rig) {
	topic := r.topic(1)
	f := r.follow(topics.ReadConfig{Topic: topic, From: map[int32]int64{1: 1}}, nil)
	r.until("its partition", func() bool { return f.state.Partitions == 1 && len(f.caughtUp) == 1 })
	require.NoError(r, r.log.AddPartitions(r.ctx, topic, 3))
	for p := range int32(3) {
		for n := range 2 {
			rec := record(topic, fmt.Sprintf("key-%d", p), n)
			rec.Partition = p
			r.publish(rec)
		}
	}
	f.untilHandled(5)
	r.until("the new partitions", func() bool { return f.state.Partitions == 3 })
	f.stop()
	require.Subset(r, []string{"key-0#0", "key-0#1", "key-1#0", "key-1#1", "key-2#0", "key-2#1"}, distinct(f.records()))
	require.Len(r, f.caughtUp, 1)
}

func readHandlerError(r *rig) {
	topic := r.topic(2)
	r.publish(series(topic, 20)...)
	broken := errors.New("the handler is broken")
	for _, toEnd := range []bool{false, true} {
		f := r.follow(topics.ReadConfig{Topic: topic, BatchMax: 1, ToEnd: toEnd}, func(_ context.Context, batch []choreo.Record) error {
			if batch[0].Offset == 3 {
				return broken
			}
			return nil
		})
		require.ErrorIs(r, f.wait(), broken)
		require.NotContains(r, f.inOrder()[0], int64(4), "nothing is handled after the error")
		require.Empty(r, f.caughtUp)
	}
}

func readCloses(r *rig) {
	topic := r.topic(1)
	f := r.follow(topics.ReadConfig{Topic: topic}, nil)
	r.until("the end", func() bool { return len(f.caughtUp) > 0 })
	require.NoError(r, r.log.Close())
	require.ErrorIs(r, f.wait(), topics.ErrClosed)
	late := r.follow(topics.ReadConfig{Topic: topic, ToEnd: true}, nil)
	require.ErrorIs(r, late.wait(), topics.ErrClosed)
}

func readBadConfig(r *rig) {
	nothing := func(context.Context, []choreo.Record) error { return nil }
	for field, config := range map[string]topics.ReadConfig{
		"Topic":    {},
		"From[3]":  {Topic: "t", From: map[int32]int64{3: -1}},
		"From[-1]": {Topic: "t", From: map[int32]int64{-1: 0}},
		"BatchMax": {Topic: "t", BatchMax: -1},
	} {
		require.ErrorContains(r, r.log.Read(r.ctx, config, nothing), "ReadConfig."+field)
	}
}

func readTable(r *rig) {
	topic := r.name()
	require.NoError(r, r.log.CreateTopic(r.ctx, topics.TopicSpec{
		Name: topic, Partitions: 2, Settings: map[string]string{"cleanup.policy": "compact"}}))
	for n := range 3 {
		for key := range 10 {
			r.publish(record(topic, fmt.Sprintf("key-%d", key), n))
		}
	}
	gone := record(topic, "key-4", 0)
	gone.Value = nil
	r.publish(gone)
	table, err := topics.ReadTable(r.ctx, r.log, topic)
	require.NoError(r, err)
	require.Len(r, table, 9)
	for key, rec := range table {
		require.Equal(r, key, string(rec.Key))
		require.Equal(r, key+"#2", string(rec.Value))
	}
	require.NotContains(r, table, "key-4", "a tombstone")

	r.publish(record(topic, "key-4", 7))
	table, err = topics.ReadTable(r.ctx, r.log, topic)
	require.NoError(r, err)
	require.Equal(r, "key-4#7", string(table["key-4"].Value))
}
