package kafka

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	segmentio "github.com/segmentio/kafka-go"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics/internal/lanes"
)

// position is where a fetcher reads one partition. It belongs to one goroutine at a
// time: the loop that fetches it, or the assigner while it has no loop.
type position struct {
	lanes.Partition
	offset   int64 // to fetch next; negative: the oldest there is
	asked    int64 // the offset of the last fetch
	wanted   int64 // the offset that turned out to be out of range
	failures int   // in a row
	since    time.Time
	due      time.Time // when the assigner looks for its leader

	pending  bool  // the fetcher is to be told when end is reached
	end      int64 // of what can be read, as it was once; negative: not known yet
	readable int64 // up to where the leader last said that there is something to read
}

// fetchLoop fetches the partitions that one broker leads.
type fetchLoop struct {
	fetcher   *fetcher
	broker    int32
	positions []*position
	decoder   *decoder
	buffers   [][]byte // of exchanges that are over, for the next ones
	ahead     *ahead   // nil without one
	records   []choreo.Record
	// quiet and busy are the memory of fetch for those positions.
	quiet, busy []*position

	mu        sync.Mutex
	inbox     []*position
	interrupt context.CancelFunc // of the fetch that is under way; nil without one
	came      chan struct{}      // holds a value after something came in
}

func newFetchLoop(f *fetcher, broker int32) *fetchLoop {
	return &fetchLoop{fetcher: f, broker: broker, decoder: newDecoder(), came: make(chan struct{}, 1)}
}

// errInterrupted ends a fetch so that the next can include what came in.
var errInterrupted = errors.New("positions came in")

// add gives the loop positions. A fetch that is held back by the broker does not make
// them wait.
func (l *fetchLoop) add(positions []*position) {
	l.mu.Lock()
	l.inbox = append(l.inbox, positions...)
	if l.interrupt != nil {
		l.interrupt()
	}
	l.mu.Unlock()
	select {
	case l.came <- struct{}{}:
	default:
	}
}

// exchange sends a fetch, unless something has come in.
func (l *fetchLoop) exchange(ctx context.Context, e *exchange) error {
	ctx, cancel := context.WithTimeout(ctx, fetchWait+l.fetcher.log.config.RequestTimeout)
	defer cancel()
	l.mu.Lock()
	if len(l.inbox) > 0 {
		l.mu.Unlock()
		return errInterrupted
	}
	l.interrupt = cancel
	l.mu.Unlock()
	_, err := l.fetcher.log.transport.RoundTrip(ctx, l.fetcher.log.address, e)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupt = nil
	if errors.Is(err, context.Canceled) && len(l.inbox) > 0 {
		return errInterrupted
	}
	return err
}

// run fetches until ctx ends or nothing is taken any more.
func (l *fetchLoop) run(ctx context.Context) {
	defer l.drop()
	for ctx.Err() == nil {
		l.mu.Lock()
		l.positions = append(l.positions, l.inbox...)
		l.inbox = nil
		l.mu.Unlock()
		l.findOffsets(ctx)
		if len(l.positions) == 0 {
			select {
			case <-l.came:
			case <-ctx.Done():
			}
			continue
		}
		if !l.held(ctx) {
			return
		}
		if err := l.fetch(ctx); err != nil {
			return
		}
	}
}

// held waits as long as the reader would have nothing of a fetch, or ctx ends: then it returns false.
func (l *fetchLoop) held(ctx context.Context) bool {
	if l.fetcher.hold == nil {
		return true
	}
	for ready := l.fetcher.hold(); ready != nil; ready = l.fetcher.hold() {
		select {
		case <-ready:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// fetch makes one request and hands on its records. It returns an error when
// the loop has to end.
func (l *fetchLoop) fetch(ctx context.Context) error {
	e, err := l.response(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, errInterrupted) {
		return nil
	}
	var stop error
	if err == nil {
		size := 0
		var moved []*position
		l.fetchAhead(ctx, e.body)
		quiet, busy := l.quiet[:0], l.busy[:0]
		err = readFetched(e.body, func(topic []byte, partition int32, f fetched) {
			i := slices.IndexFunc(l.positions, func(p *position) bool {
				return p.Partition.Partition == partition && p.Topic == string(topic)
			})
			if i < 0 || stop != nil {
				return
			}
			size += len(f.records)
			p := l.positions[i]
			l.positions = slices.Delete(l.positions, i, i+1)
			if p.offset != p.asked { // it was moved while this was on its way
				moved = append(moved, p)
				return
			}
			var stays, read bool
			if stays, read, stop = l.accept(ctx, p, f); read {
				busy = append(busy, p)
			} else if stays {
				quiet = append(quiet, p)
			}
		})
		l.decoder.forget()
		l.buffers = append(l.buffers, e.buffer)
		// Those that gave something go last, so that a busy partition does not use up
		// all the room of the next response.
		l.positions = append(append(append(l.positions, moved...), quiet...), busy...)
		l.quiet, l.busy = quiet, busy
		if size == 0 && err == nil && stop == nil {
			l.nothingLeft(quiet)
		}
	}
	if stop != nil {
		return stop
	}
	if err != nil {
		l.fetcher.orphan(ctx, err, l.positions...)
		l.positions = nil
	}
	return nil
}

// accept handles what a response says of one partition: whether it stays in the loop,
// whether records were read, and whether the loop has to stop.
func (l *fetchLoop) accept(ctx context.Context, p *position, f fetched) (stays, read bool, stop error) {
	switch {
	case errors.Is(f.err, segmentio.OffsetOutOfRange):
		p.reset()
		return true, false, nil
	case forGood(f.err):
		l.fetcher.fail(f.err)
		return false, false, f.err
	case f.err != nil:
		l.fetcher.orphan(ctx, f.err, p)
		return false, false, nil
	}
	before := p.offset
	records, next, err := l.decoder.decode(f, p.offset, l.records[:0])
	for i := range records {
		records[i].Topic, records[i].Partition = p.Topic, p.Partition.Partition
	}
	if len(records) > 0 {
		if err := l.fetcher.take(ctx, records); err != nil {
			return false, false, err
		}
	}
	clear(records)
	l.records = records
	l.decoder.reset()
	p.offset, p.readable = next, f.readable
	l.arrive(p)
	if err != nil {
		l.fetcher.orphan(ctx, err, p)
		return false, false, nil
	}
	if p.failures > 0 {
		p.failures = 0
		l.fetcher.health.reads(p.Partition)
	}
	return true, p.offset > before, nil
}
