package memory

import (
	"context"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// Records returns the records of a topic in the order in which they were written. They
// share the log's memory and must not be changed.
func (l *Log) Records(topic string) []choreo.Record { return l.RecordsSince(topic, 0) }

// RecordsSince is [Log.Records] without the first n.
func (l *Log) RecordsSince(topic string, n int) []choreo.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[topic]
	if t == nil || n >= len(t.written) {
		return nil
	}
	records := make([]choreo.Record, len(t.written)-n)
	for i, w := range t.written[n:] {
		records[i] = t.partitions[w.partition][w.offset]
	}
	return records
}

// Committed returns the offsets that a group has committed, by partition: the next ones
// to read, 0 where none was.
func (l *Log) Committed(group, topic string) []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, t := l.groups[group], l.topics[topic]
	if t == nil {
		return nil
	}
	offsets := make([]int64, len(t.partitions))
	for p := range offsets {
		if g != nil {
			offsets[p] = g.committed[lanesPartition(topic, int32(p))]
		}
	}
	return offsets
}

// Lag returns how many records of the topics that a group reads, or has read, it has
// not committed.
func (l *Log) Lag(group string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[group]
	if g == nil {
		return 0
	}
	var lag int64
	for name := range g.topics {
		t := l.topics[name]
		if t == nil {
			continue
		}
		for p := range t.partitions {
			lag += int64(len(t.partitions[p])) - g.committed[lanesPartition(name, int32(p))]
		}
	}
	return lag
}

// Members returns how many members of a group hold partitions.
func (l *Log) Members(group string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[group]
	if g == nil {
		return 0
	}
	n := 0
	for _, m := range g.members {
		if len(m.assigned) > 0 && !m.ready {
			n++
		}
	}
	return n
}

// WaitUntil returns once the condition holds, which is asked at each change of the log
// or of a group. Its error is ctx's cause, or ErrClosed.
func (l *Log) WaitUntil(ctx context.Context, holds func() bool) error {
	for {
		l.mu.Lock()
		changed := l.change()
		l.mu.Unlock()
		if holds() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.closing:
			return topics.ErrClosed
		}
	}
}
