package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/internal/lanes"
)

// follower is one call of Read.
type follower struct {
	*fetcher
	config topics.ReadConfig
	handle topics.Handler
	ended  chan error // gets why handle is not called any more: nil at the end of the topic

	mu    sync.Mutex // held while the caller's functions are called
	over  bool       // they are not called any more
	ahead int        // how many partitions have not come to their end
}

// Read implements topics.Log.
func (l *Log) Read(ctx context.Context, config topics.ReadConfig, handle topics.Handler) error {
	config, err := config.WithDefaults()
	if err != nil {
		return err
	}
	if err := l.enter(); err != nil {
		return err
	}
	defer l.readers.Done()
	ctx, cancel := l.bind(ctx)
	defer cancel()
	f := &follower{config: config, handle: handle, ended: make(chan error, 1)}
	f.fetcher = newFetcher(l, []string{config.Topic},
		newHealth(l.config.Logger.With(zap.String("topic", config.Topic)), config.OnState), f.take)
	f.reached = f.arrived
	reached, err := f.run(ctx)
	switch {
	case errors.Is(context.Cause(ctx), topics.ErrClosed):
		return topics.ErrClosed
	case ctx.Err() == nil || reached:
		return err
	case config.ToEnd:
		return fmt.Errorf("kafka: reading topic %s: not at its end: %w", config.Topic, context.Cause(ctx))
	}
	return nil
}

// run reads until there is a reason to stop, and reports whether that is the end of the topic.
func (f *follower) run(ctx context.Context) (reached bool, err error) {
	partitions, err := f.awaitTopic(ctx)
	if err != nil || ctx.Err() != nil {
		return false, err
	}
	var positions []*position
	for i := range int32(partitions) {
		if f.config.Partitions(i) {
			p := f.position(i)
			p.pending, p.end = true, -1
			positions = append(positions, p)
		}
	}
	f.ahead = len(positions)
	f.health.assigned(len(positions))
	if len(positions) == 0 {
		f.none()
	}
	reading, stop := context.WithCancel(ctx)
	f.running.Go(func() { f.assign(reading, positions) })
	f.running.Go(func() { f.watch(reading, partitions, len(positions)) })
	select {
	case <-ctx.Done():
	case err = <-f.ended:
		reached = err == nil
	case err = <-f.failed:
		err = fmt.Errorf("kafka: reading topic %s: %w", f.config.Topic, err)
	}
	stop()
	f.running.Wait()
	return reached, err
}

// position returns where a partition is to be read first.
func (f *follower) position(partition int32) *position {
	p := &position{Partition: lanes.Partition{Topic: f.config.Topic, Partition: partition}, offset: segmentio.FirstOffset}
	if offset, given := f.config.From[partition]; given {
		p.offset = offset
	}
	return p
}

// awaitTopic waits until the topic is known, or ctx ends, and returns how many
// partitions it has.
func (f *follower) awaitTopic(ctx context.Context) (int, error) {
	name := f.config.Topic
	var unknownSince time.Time
	for failures := 1; ctx.Err() == nil; failures++ {
		bounded, cancel := context.WithTimeout(ctx, f.log.config.RequestTimeout)
		v, err := f.log.cluster.renew(bounded, time.Now(), name)
		cancel()
		if err == nil {
			t := v.topics[name]
			if err = t.err; err == nil && len(t.leaders) > 0 {
				return len(t.leaders), nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return 0, nil
		case forGood(err):
			return 0, fmt.Errorf("kafka: reading topic %s: %w", name, err)
		case !unknownTopic(err):
			unknownSince = time.Time{}
			f.health.group(err)
		case unknownSince.IsZero():
			unknownSince = time.Now()
		case time.Since(unknownSince) >= unknownFor:
			return 0, fmt.Errorf("kafka: reading topic %s: %w", name, topics.ErrUnknownTopic)
		}
		pause := time.NewTimer(backoff(failures))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	return 0, nil
}

// watch looks for partitions that were added, and has them read.
func (f *follower) watch(ctx context.Context, known, chosen int) {
	every := time.NewTicker(partitionWatch)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		bounded, cancel := context.WithTimeout(ctx, f.log.config.RequestTimeout)
		v, err := f.log.cluster.renew(bounded, time.Now(), f.config.Topic)
		cancel()
		if err != nil {
			continue
		}
		now := time.Now()
		var added []*position
		for ; known < v.counts(f.topics)[f.config.Topic]; known++ {
			if !f.config.Partitions(int32(known)) {
				continue
			}
			p := f.position(int32(known))
			p.since, p.due = now, now
			added = append(added, p)
		}
		if len(added) == 0 {
			continue
		}
		chosen += len(added)
		f.health.assigned(chosen)
		select {
		case f.orphans <- added:
		case <-ctx.Done():
		}
	}
}

var errOver = errors.New("no more records are taken")

// take hands records to the caller's handler.
func (f *follower) take(ctx context.Context, records []choreo.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for part := range slices.Chunk(records, f.config.BatchMax) {
		if f.over || ctx.Err() != nil {
			return errOver
		}
		batch := make([]choreo.Record, len(part))
		for i := range part {
			batch[i] = lanes.Copy(&part[i])
		}
		if err := f.handle(ctx, batch); err != nil {
			f.over = true
			f.ended <- err
			return err
		}
	}
	return nil
}

// arrived notes that one more partition has come to the end that it had.
func (f *follower) arrived(*position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ahead--; f.ahead > 0 || f.over {
		return
	}
	f.atEnd()
}

// none says that the end is reached where no partition is read.
func (f *follower) none() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.atEnd()
}

// atEnd says that all is read that there was. f.mu is held.
func (f *follower) atEnd() {
	f.config.OnCaughtUp()
	if f.config.ToEnd {
		f.over = true
		f.ended <- nil
	}
}
