package topicstest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// patience is how long a subtest waits for anything: long enough for a real cluster on
// a busy machine, so that reaching it means that it will never come.
const patience = 45 * time.Second

// rig is what a subtest works with. Its signal guards what its consumers have seen.
type rig struct {
	*testing.T
	signal
	log    topics.Log
	ctx    context.Context
	prefix string
	names  int
}

func newRig(t *testing.T, log topics.Log) *rig {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(func() {
		cancel()
		require.NoError(t, log.Close())
	})
	return &rig{T: t, log: log, ctx: ctx, prefix: "topicstest-" + rand.Text()}
}

// name returns a name that nobody else has.
func (r *rig) name() string {
	r.names++
	return fmt.Sprintf("%s-%d", r.prefix, r.names)
}

// topic creates a topic and returns its name.
func (r *rig) topic(partitions int) string {
	name := r.name()
	require.NoError(r, r.log.CreateTopic(r.ctx, topics.TopicSpec{Name: name, Partitions: partitions}))
	return name
}

// publish writes records, all of which must be acknowledged.
func (r *rig) publish(records ...choreo.Record) {
	r.Helper()
	require.Nil(r, r.log.Publish(r.ctx, records))
}

// record returns one whose value is "<key>#<n>".
func record(topic, key string, n int) choreo.Record {
	return choreo.Record{
		Topic: topic, Partition: choreo.AnyPartition,
		Key: []byte(key), Value: fmt.Appendf(nil, "%s#%d", key, n),
	}
}

// series returns n records of as many keys.
func series(topic string, n int) []choreo.Record {
	records := make([]choreo.Record, n)
	for i := range records {
		records[i] = record(topic, fmt.Sprintf("key-%d", i), i)
	}
	return records
}

func values(records []choreo.Record) []string {
	vs := make([]string, len(records))
	for i := range records {
		vs[i] = string(records[i].Value)
	}
	return vs
}

// distinct returns the values of records, sorted and each once.
func distinct(records []choreo.Record) []string {
	vs := values(records)
	slices.Sort(vs)
	return slices.Compact(vs)
}

// signal tells waiters that something has changed.
type signal struct {
	mu      sync.Mutex
	changed chan struct{}
}

// change makes a change and wakes the waiters.
func (s *signal) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// await waits until the condition, which is asked under the lock, holds.
func (s *signal) await(ctx context.Context, holds func() bool) error {
	for {
		s.mu.Lock()
		if holds() {
			s.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// until waits for a condition on what consumers of the rig have handled, and their
// states.
func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	require.NoError(r, r.await(r.ctx, holds), "waiting for %s", what)
}

// consumer is a running call of Consume and what its handler was given.
type consumer struct {
	rig     *rig
	cancel  context.CancelFunc
	ended   chan error // gets what Consume returned, once
	handled []choreo.Record
	state   topics.ConsumeState
}

// consume starts a consumer. handle may be nil; records count as handled when it has
// returned nil.
func (r *rig) consume(config topics.ConsumeConfig, handle topics.Handler) *consumer {
	ctx, cancel := context.WithCancel(r.ctx)
	c := &consumer{rig: r, cancel: cancel, ended: make(chan error, 1)}
	config.OnState = func(s topics.ConsumeState) { r.change(func() { c.state = s }) }
	go func() {
		c.ended <- r.log.Consume(ctx, config, func(ctx context.Context, batch []choreo.Record) error {
			if handle != nil {
				if err := handle(ctx, batch); err != nil {
					return err
				}
			}
			r.change(func() { c.handled = append(c.handled, batch...) })
			return nil
		})
	}()
	r.Cleanup(cancel)
	return c
}

// untilHandled waits until so many different records are handled.
func (c *consumer) untilHandled(n int) {
	c.rig.Helper()
	c.rig.until(fmt.Sprintf("%d records", n), func() bool {
		return len(c.handled) >= n && len(distinct(c.handled)) >= n
	})
}

// records returns what has been handled.
func (c *consumer) records() []choreo.Record {
	c.rig.mu.Lock()
	defer c.rig.mu.Unlock()
	return slices.Clone(c.handled)
}

// stop ends the consumer, which must end without an error.
func (c *consumer) stop() {
	c.rig.Helper()
	c.cancel()
	require.NoError(c.rig, c.wait())
}

// wait returns what Consume returned.
func (c *consumer) wait() error {
	c.rig.Helper()
	select {
	case err := <-c.ended:
		return err
	case <-c.rig.ctx.Done():
		require.FailNow(c.rig, "Consume does not return")
		return nil
	}
}

// rest reads what a group has left: it publishes a last record to each partition of the
// topic and returns what the group gets besides.
func (r *rig) rest(group, topic string, partitions int) []choreo.Record {
	r.Helper()
	last := make([]choreo.Record, partitions)
	for p := range last {
		last[p] = record(topic, fmt.Sprintf("last-%d", p), 0)
		last[p].Partition = int32(p)
	}
	r.publish(last...)
	isLast := func(rec choreo.Record) bool { return string(rec.Key[:min(5, len(rec.Key))]) == "last-" }
	c := r.consume(topics.ConsumeConfig{Group: group, Topics: []string{topic}, BatchMax: 1, Lanes: 1}, nil)
	r.until("the last records", func() bool {
		n := 0
		for _, rec := range c.handled {
			if isLast(rec) {
				n++
			}
		}
		return n >= partitions
	})
	c.stop()
	return slices.DeleteFunc(c.records(), isLast)
}
