package topicstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

func share(r *rig) {
	const partitions = 6
	topic := r.topic(partitions)
	config := topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}}
	round := func(n int) []choreo.Record {
		records := make([]choreo.Record, partitions)
		for p := range records {
			records[p] = record(topic, fmt.Sprintf("round-%d-%d", n, p), 0)
			records[p].Partition = int32(p)
		}
		return records
	}
	a := r.consume(config, nil)
	r.until("all partitions", func() bool { return a.state.Partitions == partitions })
	r.publish(round(1)...)
	a.untilHandled(partitions)

	b := r.consume(config, nil)
	r.until("a fair share each", func() bool {
		return a.state.Partitions == partitions/2 && b.state.Partitions == partitions/2
	})
	r.publish(round(2)...)
	r.until("the second round", func() bool {
		return len(distinct(slices.Concat(a.handled, b.handled))) == 2*partitions
	})
	require.NotEmpty(r, b.records())

	b.stop()
	r.until("all partitions again", func() bool { return a.state.Partitions == partitions })
	r.publish(round(3)...)
	r.until("the third round", func() bool {
		n := 0
		for _, rec := range a.handled {
			if string(rec.Key[:len("round-3")]) == "round-3" {
				n++
			}
		}
		return n >= partitions
	})
	a.stop()
}

func rebalance(r *rig) {
	const partitions, keys, perStage = 4, 20, 12
	topic := r.topic(partitions)
	var order sequence
	handled := make(map[string]bool)
	config := topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}, Lanes: 4, BatchMax: 4, InFlight: 64}
	handle := func(_ context.Context, batch []choreo.Record) error { //nolint:unparam // it is a Handler
		order.see(batch)
		r.change(func() {
			for _, rec := range batch {
				handled[string(rec.Value)] = true
			}
		})
		return nil
	}
	// A stage writes a quarter of the records while members come or go.
	stage := func(n int, change func()) {
		r.Helper()
		var writing sync.WaitGroup
		writing.Go(func() {
			for i := range perStage {
				batch := make([]choreo.Record, keys)
				for key := range batch {
					batch[key] = record(topic, fmt.Sprintf("key-%d", key), n*perStage+i)
				}
				if errs := r.log.Publish(r.ctx, batch); errs != nil {
					r.Errorf("publish: %v", errors.Join(errs...))
				}
			}
		})
		defer writing.Wait()
		change()
		r.until("the records of the stage", func() bool { return len(handled) >= (n+1)*perStage*keys })
	}
	var a, b, c *consumer
	stage(0, func() { a = r.consume(config, handle) })
	stage(1, func() { b = r.consume(config, handle) })
	stage(2, func() {
		a.stop()
		c = r.consume(config, handle)
	})
	stage(3, func() { b.stop() })
	c.stop()
	require.NoError(r, order.fault)
}

func newPartitions(r *rig) {
	topic := r.topic(1)
	c := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}}, nil)
	r.until("its partition", func() bool { return c.state.Partitions == 1 })
	require.NoError(r, r.log.AddPartitions(r.ctx, topic, 3))
	r.until("the new partitions", func() bool { return c.state.Partitions == 3 })
	for p := range int32(3) {
		rec := record(topic, fmt.Sprintf("key-%d", p), 0)
		rec.Partition = p
		r.publish(rec)
	}
	c.untilHandled(3)
	c.stop()
}
