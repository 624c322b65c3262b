package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// follower is one call of Read.
type follower struct {
	log    *Log
	config topics.ReadConfig
	next   []int64 // by partition
	ends   []int64 // of the partitions that there were at first, as they were then
	behind bool    // they are not yet reached
	chosen int     // how many partitions are read
	turn   int     // the partition to look at next
	tell   func(topics.ConsumeState)
}

// Read implements [topics.Log].
func (l *Log) Read(ctx context.Context, config topics.ReadConfig, handle topics.Handler) error {
	config, err := config.WithDefaults()
	if err != nil {
		return err
	}
	if err := l.enter(); err != nil {
		return err
	}
	defer l.calls.Done()
	bound, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-l.closing:
			cancel(topics.ErrClosed)
		case <-bound.Done():
		}
	}()
	f := &follower{log: l, config: config, behind: true, tell: teller(config.OnState)}
	err = f.run(bound, handle)
	switch cause := context.Cause(bound); {
	case cause == nil || err == nil:
		return err
	case errors.Is(cause, topics.ErrClosed):
		return topics.ErrClosed
	case config.ToEnd:
		return fmt.Errorf("reading topic %q: not at its end: %w", config.Topic, cause)
	}
	return nil
}

// run reads until there is an error, which is ctx's cause where that ended, or the end is
// reached that is to be.
func (f *follower) run(ctx context.Context, handle topics.Handler) error {
	if err := f.begin(ctx); err != nil {
		return err
	}
	for {
		if f.behind && f.caughtUp() {
			f.behind = false
			f.config.OnCaughtUp()
			if f.config.ToEnd {
				return nil
			}
		}
		batch, err := f.fetch(ctx)
		if err == nil {
			err = handle(ctx, batch)
		}
		if err != nil {
			return err
		}
	}
}

// begin notes where the topic ends.
func (f *follower) begin(ctx context.Context) error {
	l := f.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := f.reach(ctx); err != nil {
		return err
	}
	t := l.topic(f.config.Topic)
	if t == nil {
		return fmt.Errorf("topic %q: %w", f.config.Topic, topics.ErrUnknownTopic)
	}
	for _, records := range t.partitions {
		f.ends = append(f.ends, int64(len(records)))
	}
	f.grow(t)
	return nil
}

// reach waits until the broker is there, and tells how the reader stands. l.mu is held.
func (f *follower) reach(ctx context.Context) error {
	for {
		away := f.log.away
		if away != nil || len(f.next) > 0 {
			f.log.mu.Unlock()
			f.tell(topics.ConsumeState{Partitions: f.chosen, Err: away})
			f.log.mu.Lock()
			if (away == nil) != (f.log.away == nil) {
				continue // meanwhile it has changed
			}
		}
		if err := f.log.reach(ctx); err != nil || away == nil {
			return err
		}
	}
}

// grow begins with the partitions that are new. l.mu is held.
func (f *follower) grow(t *topic) {
	for p := len(f.next); p < len(t.partitions); p++ {
		from := f.config.From[int32(p)]
		if from > int64(len(t.partitions[p])) {
			from = 0 // as a broker has it: what is out of range begins at the oldest
		}
		f.next = append(f.next, from)
		if f.config.Partitions(int32(p)) {
			f.chosen++
		}
	}
}

func (f *follower) caughtUp() bool {
	for p, end := range f.ends {
		if f.next[p] < end && f.config.Partitions(int32(p)) {
			return false
		}
	}
	return true
}

// fetch waits for records and returns the next of a partition; each has its turn.
func (f *follower) fetch(ctx context.Context) ([]choreo.Record, error) {
	l := f.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if err := f.reach(ctx); err != nil {
			return nil, err
		}
		t := l.topics[f.config.Topic]
		f.grow(t)
		for range f.next {
			p := f.turn % len(f.next)
			f.turn = p + 1
			if !f.config.Partitions(int32(p)) {
				continue
			}
			if records := t.partitions[p]; f.next[p] < int64(len(records)) {
				to := min(f.next[p]+int64(f.config.BatchMax), int64(len(records)))
				batch := slices.Clone(records[f.next[p]:to])
				f.next[p] = to
				return batch, nil
			}
		}
		if err := l.sleep(ctx); err != nil {
			return nil, err
		}
	}
}
