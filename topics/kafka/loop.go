package kafka

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics/internal/lanes"
)

// position is where a generation reads one partition. It belongs to one goroutine at a
// time: the loop that fetches it, or the assigner while it has no loop.
type position struct {
	lanes.Partition
	offset   int64 // to fetch next; negative: the oldest there is
	wanted   int64 // the offset that turned out to be out of range
	failures int   // in a row
	since    time.Time
	due      time.Time // when the assigner looks for its leader
}

// fetchLoop fetches the partitions that one broker leads.
type fetchLoop struct {
	generation *generation
	broker     int32
	positions  []*position
	decoder    *decoder
	request    []byte // the buffer of the last exchange, for the next one
	records    []choreo.Record

	mu        sync.Mutex
	inbox     []*position
	interrupt context.CancelFunc // of the fetch that is under way; nil without one
	came      chan struct{}      // holds a value after something came in
}

func newFetchLoop(g *generation, broker int32) *fetchLoop {
	return &fetchLoop{generation: g, broker: broker, decoder: newDecoder(), came: make(chan struct{}, 1)}
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
	ctx, cancel := context.WithTimeout(ctx, fetchWait+l.generation.log.config.RequestTimeout)
	defer cancel()
	l.mu.Lock()
	if len(l.inbox) > 0 {
		l.mu.Unlock()
		return errInterrupted
	}
	l.interrupt = cancel
	l.mu.Unlock()
	_, err := l.generation.log.transport.RoundTrip(ctx, l.generation.log.address, e)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupt = nil
	if errors.Is(err, context.Canceled) && len(l.inbox) > 0 {
		return errInterrupted
	}
	return err
}

// run fetches until ctx ends or the lanes take no more.
func (l *fetchLoop) run(ctx context.Context) {
	for ctx.Err() == nil {
		l.mu.Lock()
		l.positions = append(l.positions, l.inbox...)
		l.inbox = nil
		l.mu.Unlock()
		l.findOldest(ctx)
		if len(l.positions) == 0 {
			select {
			case <-l.came:
			case <-ctx.Done():
			}
			continue
		}
		if err := l.fetch(ctx); err != nil {
			return
		}
	}
}

// fetch makes one request and hands its records to the lanes. It returns an error when
// the loop has to end.
func (l *fetchLoop) fetch(ctx context.Context) error {
	g := l.generation
	e := &exchange{key: protocol.Fetch, minVersion: fetchVersion, broker: l.broker,
		buffer: appendFetch(l.request[:0], g.log.config.ClientID, l.positions)}
	l.request = nil
	err := l.exchange(ctx, e)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, errInterrupted) {
		return nil
	}
	var stop error
	if err == nil {
		l.request = e.buffer
		l.decoder.reset()
		quiet := make([]*position, 0, len(l.positions))
		busy := make([]*position, 0, len(l.positions))
		err = readFetched(e.body, func(topic []byte, partition int32, f fetched) {
			i := slices.IndexFunc(l.positions, func(p *position) bool {
				return p.Partition.Partition == partition && p.Topic == string(topic)
			})
			if i < 0 || stop != nil {
				return
			}
			p := l.positions[i]
			l.positions = slices.Delete(l.positions, i, i+1)
			var stays, read bool
			if stays, read, stop = l.accept(ctx, p, f); read {
				busy = append(busy, p)
			} else if stays {
				quiet = append(quiet, p)
			}
		})
		// Those that gave something go last, so that a busy partition does not use up
		// all the room of the next response.
		l.positions = slices.Concat(l.positions, quiet, busy)
	}
	if stop != nil {
		return stop
	}
	if err != nil {
		g.orphan(ctx, err, l.positions...)
		l.positions = nil
	}
	return nil
}

// accept handles what a response says of one partition: whether it stays in the loop,
// whether records were read, and whether the loop has to stop.
func (l *fetchLoop) accept(ctx context.Context, p *position, f fetched) (stays, read bool, stop error) {
	g := l.generation
	switch {
	case errors.Is(f.err, segmentio.OffsetOutOfRange):
		p.wanted, p.offset = p.offset, segmentio.FirstOffset
		return true, false, nil
	case forGood(f.err):
		g.fail(f.err)
		return false, false, f.err
	case f.err != nil:
		g.orphan(ctx, f.err, p)
		return false, false, nil
	}
	before := p.offset
	records, next, err := l.decoder.decode(f, p.offset, l.records[:0])
	for i := range records {
		records[i].Topic, records[i].Partition = p.Topic, p.Partition.Partition
	}
	if len(records) > 0 {
		if err := g.lanes.Submit(ctx, records); err != nil {
			return false, false, err
		}
	}
	clear(records)
	l.records = records
	p.offset = next
	if err != nil {
		g.orphan(ctx, err, p)
		return false, false, nil
	}
	if p.failures > 0 {
		p.failures = 0
		g.health.reads(p.Partition)
	}
	return true, p.offset > before, nil
}

// findOldest sets the positions that begin at the oldest record to its offset.
func (l *fetchLoop) findOldest(ctx context.Context) {
	request := &listoffsets.Request{ReplicaID: -1}
	var unset []*position
	for _, p := range l.positions {
		if p.offset >= 0 {
			continue
		}
		unset = append(unset, p)
		at := listoffsets.RequestPartition{Partition: p.Partition.Partition, CurrentLeaderEpoch: -1, Timestamp: segmentio.FirstOffset}
		if i := slices.IndexFunc(request.Topics, func(t listoffsets.RequestTopic) bool { return t.Topic == p.Topic }); i >= 0 {
			request.Topics[i].Partitions = append(request.Topics[i].Partitions, at)
		} else {
			request.Topics = append(request.Topics, listoffsets.RequestTopic{Topic: p.Topic, Partitions: []listoffsets.RequestPartition{at}})
		}
	}
	if len(unset) == 0 {
		return
	}
	g := l.generation
	exchange := &routed{broker: l.broker, clientID: g.log.config.ClientID, request: request}
	_, err := g.log.roundTrip(ctx, exchange)
	if ctx.Err() != nil {
		return
	}
	var response *listoffsets.Response
	if err == nil {
		response, _ = exchange.response.(*listoffsets.Response)
	}
	for _, p := range unset {
		fault := err
		if fault == nil {
			fault = l.setOldest(p, response)
		}
		if fault != nil {
			l.positions = slices.DeleteFunc(l.positions, func(q *position) bool { return q == p })
			g.orphan(ctx, fault, p)
		}
	}
}

// setOldest sets a position from a response, and tells what was lost if it was reset.
func (l *fetchLoop) setOldest(p *position, response *listoffsets.Response) error {
	if response == nil {
		return errors.New("the broker did not answer with offsets")
	}
	for _, t := range response.Topics {
		for _, r := range t.Partitions {
			if t.Topic != p.Topic || r.Partition != p.Partition.Partition {
				continue
			}
			if r.ErrorCode != 0 {
				return codeError(r.ErrorCode)
			}
			p.offset = r.Offset
			if p.wanted > 0 {
				l.generation.log.config.Logger.Warn("the offset to read from is gone: reading on from the oldest record",
					zap.String("topic", p.Topic), zap.Int32("partition", p.Partition.Partition), zap.Int64("wanted", p.wanted),
					zap.Int64("oldest", r.Offset), zap.Int64("lost", max(r.Offset-p.wanted, 0)))
				p.wanted = 0
			}
			return nil
		}
	}
	return errors.New("the broker's response does not name the partition")
}
