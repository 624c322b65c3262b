package memory

import (
	"context"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// Fault is what befalls one record that is published. The zero value is none.
type Fault struct {
	// Wait, if set, holds the write up until it is closed.
	Wait <-chan struct{}
	// Before, if set, is the error with which the write fails; nothing is written.
	Before error
	// After, if set, is the error with which Publish returns although the record was
	// written: its acknowledgement is lost.
	After error
	// Twice writes the record twice, as a retry after a lost acknowledgement does.
	Twice bool
}

func (f *Fault) wait(ctx context.Context, closing <-chan struct{}) error {
	if f.Wait == nil {
		return nil
	}
	select {
	case <-f.Wait:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-closing:
		return topics.ErrClosed
	}
}

// OnPublish has hook asked about each record before it is written, in the place of any
// earlier hook; nil asks nobody. The hook may be called by several goroutines at once.
func (l *Log) OnPublish(hook func(*choreo.Record) Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hook = hook
}

// Disconnect takes the broker away: calls wait, and consumers lose their partitions and
// show err, which must not be nil, in their state, until [Log.Reconnect]. What was
// handled and not yet committed is delivered again.
func (l *Log) Disconnect(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = err
	for _, g := range l.groups {
		l.rebalance(g)
	}
	l.broadcast()
}

// Reconnect brings the broker back.
func (l *Log) Reconnect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = nil
	for _, g := range l.groups {
		l.assign(g)
	}
	l.broadcast()
}

// Rebalance takes all partitions of a group from its members and shares them out anew.
func (l *Log) Rebalance(group string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rebalance(l.group(group))
}

// Rewind sets a group's committed offset, and rebalances it: its members read again
// from there. What they would yet commit on leaving is dropped.
func (l *Log) Rewind(group, topic string, partition int32, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.group(group)
	g.generation++ // fences the commits of the present sessions
	g.committed[lanesPartition(topic, partition)] = offset
	l.rebalance(g)
}
