package topics

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
)

// PublisherConfig configures a [Publisher]. The zero value of a field is its default.
type PublisherConfig struct {
	// Retry says how often a record is given to the log. Each attempt holds what the log
	// retries by itself, which with package kafka goes on for its DeliveryTimeout: what is
	// added is patience beyond that, and for faults that the log takes for lasting.
	// ErrRecordTooLarge and ErrClosed are never tried again. Default: choreo.DefaultRetry;
	// choreo.NoRetry leaves it to the log.
	Retry choreo.RetryPolicy
	// DeadLetters is the topic for records that could not be published, such as
	// Names.DeadLetters. Default: none, they fail and that is all.
	DeadLetters string
	// BufferBytes bounds what PublishAsync has taken and not settled, in bytes of keys, values
	// and headers with 128 bytes for each record. A larger record is taken when nothing else
	// is there. Default: 32 MiB.
	BufferBytes int
	// BatchMax is how many records of PublishAsync go to the log at once at most.
	// Default: 1000.
	BatchMax int
	// Logger gets one line for each record that is given up, never a payload.
	// Default: none.
	Logger *zap.Logger
}

// Publisher writes records straight to the log, without an outbox: they are not part of
// any transaction, and what a process had taken and not yet written is gone with it. It
// adds to [Log.Publish] results one by one, retries by a policy, dead letters, and figures.
// It is safe for concurrent use.
//
// A record is published when all in-sync replicas have it. One that failed may be in the log
// all the same, and one that was retried may be there twice. The partition is that of
// the key, whatever Record.Partition says; records of one key keep their order within a call
// of PublishBatch, and from one call of PublishAsync to the next.
type Publisher struct {
	log    Log
	config PublisherConfig
	work   context.Context // ends when Close gives up
	giveUp context.CancelCauseFunc
	room   room
	calls  sync.WaitGroup // callers and lanes
	stats  publisherStats

	mu     sync.Mutex
	closed bool
	lanes  [publisherLanes]publisherLane
	turn   int // of the lanes, for records without a key
}

// publisherLanes is how many batches of PublishAsync are under way at once: a record
// that is retried holds up those of its own lane alone.
const publisherLanes = 8

// publisherLane has a goroutine while records are in its queue.
type publisherLane struct {
	queue   []*Result
	running bool
}

// NewPublisher returns a publisher. config may be nil. The error names every fault of it. The
// caller keeps log and closes it after Publisher.Close.
func NewPublisher(log Log, config *PublisherConfig) (*Publisher, error) {
	var c PublisherConfig
	if config != nil {
		c = *config
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("topics: PublisherConfig."+format, args...))
	}
	if c.Retry == (choreo.RetryPolicy{}) {
		c.Retry = choreo.DefaultRetry()
	}
	if err := c.Retry.Validate(); err != nil {
		fault("Retry: %w", err)
	}
	positive := func(name string, field *int, value int) {
		if *field < 0 {
			fault("%s is %d: use a positive number, or 0 for %d", name, *field, value)
		} else if *field == 0 {
			*field = value
		}
	}
	positive("BufferBytes", &c.BufferBytes, 32<<20)
	positive("BatchMax", &c.BatchMax, 1000)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	p := &Publisher{log: log, config: c, room: room{free: c.BufferBytes, size: c.BufferBytes}}
	p.stats.began = time.Now()
	p.work, p.giveUp = context.WithCancelCause(context.Background())
	return p, nil
}

// Publish writes a record and returns when it is published or has failed for good. The
// error is a [*DeadLetteredError] where it went to the dead-letter topic instead, and
// wraps ctx's cause where that ended before; then there is no dead letter.
func (p *Publisher) Publish(ctx context.Context, rec choreo.Record) error {
	if errs := p.PublishBatch(ctx, []choreo.Record{rec}); errs != nil {
		return errs[0]
	}
	return nil
}

// PublishBatch is Publish for many records at once: nil when all are published, else one
// error a record, nil for those that are. When a record fails and there is no dead
// letter of it, no later one of its key and call is written, and its error wraps
// ErrEarlierFailed.
func (p *Publisher) PublishBatch(ctx context.Context, records []choreo.Record) []error {
	errs := make([]error, len(records))
	failed := false
	note := func(i int, err error) {
		errs[i] = err
		failed = failed || err != nil
	}
	if !p.enter() {
		for i := range errs {
			note(i, ErrClosed)
		}
	} else {
		defer p.calls.Done()
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(p.work, func() { cancel(ErrClosed) })()
		p.deliver(ctx, records, false, note)
	}
	if !failed {
		return nil
	}
	return errs
}

// Result is what becomes of a record of PublishAsync.
type Result struct {
	record choreo.Record
	done   chan struct{}
	err    error
}

// Done returns a channel that is closed when the record is published or has failed.
func (r *Result) Done() <-chan struct{} { return r.done }

// Err waits for Done and returns what Publish would: nil when the record is published.
func (r *Result) Err() error {
	<-r.done
	return r.err
}

// PublishAsync takes a record and returns at once, or, while BufferBytes are taken, when
// there is room. ctx bounds that wait alone: when it ends before, the record is not taken
// and the result is its cause; for the record's own way it does not matter. Each record
// stands for itself: one that fails for good lets later ones of its key go on. The
// record must not be changed before the result is done.
func (p *Publisher) PublishAsync(ctx context.Context, rec choreo.Record) *Result {
	r := &Result{record: rec, done: make(chan struct{})}
	fail := func(err error) *Result {
		r.err = err
		close(r.done)
		return r
	}
	if !p.enter() {
		return fail(ErrClosed)
	}
	defer p.calls.Done()
	if err := p.room.take(ctx, p.work, recordSize(&rec)); err != nil {
		return fail(fmt.Errorf("no room for the record: %w", err))
	}
	p.stats.take(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	lane := &p.lanes[p.laneOf(&rec)]
	lane.queue = append(lane.queue, r)
	if !lane.running {
		lane.running = true
		p.calls.Go(func() { p.run(lane) })
	}
	return r
}

// laneOf returns the lane of a record: one for each key. p.mu is held.
func (p *Publisher) laneOf(rec *choreo.Record) int32 {
	if rec.Key == nil {
		p.turn++
		return int32(p.turn % publisherLanes)
	}
	return PartitionFor(rec.Key, publisherLanes)
}

// run delivers what is in a lane's queue until there is nothing. What queues up
// while a batch is under way is the next batch.
func (p *Publisher) run(lane *publisherLane) {
	for {
		p.mu.Lock()
		batch := lane.queue[:min(len(lane.queue), p.config.BatchMax)]
		lane.queue = lane.queue[len(batch):]
		if len(batch) == 0 {
			lane.queue, lane.running = nil, false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		records := make([]choreo.Record, len(batch))
		for i, r := range batch {
			records[i] = r.record
		}
		p.deliver(p.work, records, true, func(i int, err error) {
			r := batch[i]
			p.room.give(recordSize(&r.record))
			p.stats.take(-1)
			r.record, r.err = choreo.Record{}, err
			close(r.done)
		})
	}
}

// enter begins a call that Close waits for, unless the publisher is closed.
func (p *Publisher) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.calls.Add(1)
	}
	return !p.closed
}

// Close takes no more records and waits for those that are under way. When ctx ends
// before, they fail with ErrClosed, and Close returns ctx's cause. It may be called again.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		p.calls.Wait()
		close(ended)
	}()
	defer p.giveUp(ErrClosed)
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		p.giveUp(ErrClosed)
		<-ended
		return context.Cause(ctx)
	}
}
