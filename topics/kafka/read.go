package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	queue  chan delivery
	over   chan struct{} // closed when nothing is delivered any more
}

// delivery is what goes from the loops that fetch to the goroutine that calls the caller's
// functions, so that the next records are fetched while those are handled.
type delivery struct {
	records []choreo.Record // nil: one more partition has come to the end that it had
}

// readAhead is how many handler calls' records are fetched ahead.
const readAhead = 16

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
	f := &follower{config: config, handle: handle, queue: make(chan delivery, readAhead), over: make(chan struct{})}
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
	f.health.assigned(len(positions))
	reading, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	f.running.Go(func() { f.deliver(reading, len(positions), ended) })
	f.running.Go(func() { f.assign(reading, positions) })
	f.running.Go(func() { f.watch(reading, partitions, len(positions)) })
	select {
	case <-ctx.Done():
	case err = <-ended:
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

// deliver calls the caller's functions until ctx ends or there is no more to deliver: then it
// says why, nil at the end of the topic. ahead is how many partitions are to come to their end.
func (f *follower) deliver(ctx context.Context, ahead int, ended chan<- error) {
	defer close(f.over)
	if ahead == 0 {
		f.config.OnCaughtUp()
	}
	for ahead > 0 || !f.config.ToEnd {
		select {
		case <-ctx.Done():
			return
		case d := <-f.queue:
			if ctx.Err() != nil {
				return
			}
			if d.records != nil {
				if err := f.handle(ctx, d.records); err != nil {
					ended <- err
					return
				}
			} else if ahead--; ahead == 0 {
				f.config.OnCaughtUp()
			}
		}
	}
	ended <- nil
}

var errOver = errors.New("no more records are taken")

// take queues copies of records for the caller's handler.
func (f *follower) take(_ context.Context, records []choreo.Record) error {
	for part := range slices.Chunk(records, f.config.BatchMax) {
		batch := make([]choreo.Record, len(part))
		for i := range part {
			batch[i] = lanes.Copy(&part[i])
		}
		if !f.enqueue(delivery{records: batch}) {
			return errOver
		}
	}
	return nil
}

// arrived notes that one more partition has come to the end that it had.
func (f *follower) arrived(*position) { f.enqueue(delivery{}) }

func (f *follower) enqueue(d delivery) bool {
	select {
	case f.queue <- d:
		return true
	case <-f.over:
		return false
	}
}
