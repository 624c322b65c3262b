package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// Options configures [New]. The zero value of a field is its default.
type Options struct {
	// Partitions, if set, lets a topic that is written or read come into being with so
	// many partitions. Default: topics must be created, as on a production cluster.
	Partitions int
}

// Log is a log in memory. Make it with [New]. It is safe for concurrent use.
type Log struct {
	options Options
	closing chan struct{} // closed by Close
	calls   sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed at the next change of anything below; nil while nobody waits
	topics  map[string]*topic
	groups  map[string]*group
	away    error // why the broker is away
	closed  bool
	hook    func(*choreo.Record) Fault
}

var _ topics.Log = (*Log)(nil)

// topic is one topic; an offset is an index into its partition.
type topic struct {
	partitions [][]choreo.Record
	written    []place // in the order of writing
	settings   map[string]string
	turn       int // where the next record without a key goes
}

type place struct {
	partition int32
	offset    int64
}

// New returns an empty log.
func New(options Options) *Log {
	return &Log{
		options: options,
		closing: make(chan struct{}),
		topics:  make(map[string]*topic),
		groups:  make(map[string]*group),
	}
}

// Close ends all calls, waits until the handlers have returned, and drops everything.
// It must not be called by a handler.
func (l *Log) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
		for _, g := range l.groups {
			g.revoke()
		}
		l.broadcast()
	}
	l.mu.Unlock()
	l.calls.Wait()
	return nil
}

// enter begins a call that Close has to wait for.
func (l *Log) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return topics.ErrClosed
	}
	l.calls.Add(1)
	return nil
}

// broadcast wakes all who wait for a change. l.mu is held.
func (l *Log) broadcast() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// change returns a channel that is closed at the next change. l.mu is held.
func (l *Log) change() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// sleep gives up l.mu until something changes or ctx ends; its error is ctx's cause.
func (l *Log) sleep(ctx context.Context) error {
	changed := l.change()
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reach waits until the broker is there. l.mu is held.
func (l *Log) reach(ctx context.Context) error {
	for {
		switch {
		case l.closed:
			return topics.ErrClosed
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case l.away == nil:
			return nil
		}
		if err := l.sleep(ctx); err != nil {
			return err
		}
	}
}

// Publish implements [topics.Log]. It copies the records.
func (l *Log) Publish(ctx context.Context, records []choreo.Record) []error {
	errs := make([]error, len(records))
	if err := l.enter(); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	defer l.calls.Done()
	failed := make(map[string]error)
	for i := range records {
		r := &records[i]
		if earlier := failed[string(r.Key)]; earlier != nil && len(r.Key) > 0 {
			errs[i] = fmt.Errorf("%w: %w", topics.ErrEarlierFailed, earlier)
			continue
		}
		if err := l.publish(ctx, r); err != nil {
			errs[i] = err
			failed[string(r.Key)] = err
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return errs
}

// publish writes one record, or does what the hook says.
func (l *Log) publish(ctx context.Context, r *choreo.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.reach(ctx); err != nil {
		return err
	}
	var fault Fault
	if hook := l.hook; hook != nil {
		l.mu.Unlock()
		fault = hook(r)
		err := fault.wait(ctx, l.closing)
		l.mu.Lock()
		if err == nil {
			err = l.reach(ctx) // it may have gone away meanwhile
		}
		if err != nil {
			return err
		}
	}
	if fault.Before != nil {
		return fault.Before
	}
	times := 1
	if fault.Twice {
		times = 2
	}
	for range times {
		if err := l.append(r); err != nil {
			return err
		}
	}
	return fault.After
}

// append writes a record. l.mu is held.
func (l *Log) append(r *choreo.Record) error {
	t := l.topic(r.Topic)
	if t == nil {
		return fmt.Errorf("topic %q: %w", r.Topic, topics.ErrUnknownTopic)
	}
	if limit, err := strconv.Atoi(t.settings[maxMessageBytes]); err == nil && sizeOf(r) > limit {
		return fmt.Errorf("topic %q: a record of %d bytes: %w", r.Topic, sizeOf(r), topics.ErrRecordTooLarge)
	}
	p := r.Partition
	switch {
	case p == choreo.AnyPartition && r.Key == nil:
		p = int32(t.turn % len(t.partitions))
		t.turn++
	case p == choreo.AnyPartition:
		p = topics.PartitionFor(r.Key, len(t.partitions))
	case p < 0 || int(p) >= len(t.partitions):
		return fmt.Errorf("topic %q, partition %d: %w", r.Topic, p, topics.ErrUnknownTopic)
	}
	written := choreo.Record{
		Topic: r.Topic, Partition: p, Offset: int64(len(t.partitions[p])),
		Time: time.Now().Truncate(time.Millisecond),
		Key:  bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Headers: slices.Clone(r.Headers),
	}
	for i := range written.Headers {
		written.Headers[i].Value = bytes.Clone(written.Headers[i].Value)
	}
	t.partitions[p] = append(t.partitions[p], written)
	t.written = append(t.written, place{p, written.Offset})
	l.broadcast()
	return nil
}

// topic returns a topic, which may come into being by being asked for. l.mu is held.
func (l *Log) topic(name string) *topic {
	t := l.topics[name]
	if t == nil && l.options.Partitions > 0 {
		t = newTopic(l.options.Partitions, nil)
		l.topics[name] = t
	}
	return t
}

// sizeOf returns about what a record takes as a batch of its own, in bytes.
func sizeOf(r *choreo.Record) int {
	const batchHeader, recordHeader, perField = 61, 8, 3
	n := batchHeader + recordHeader + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value) + 2*perField
	}
	return n
}
