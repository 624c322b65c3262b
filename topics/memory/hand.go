package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/internal/lanes"
)

// Position is a place in a partition.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Hand is a reader that does nothing by itself: its caller says when it fetches and when
// which lane handles, on the caller's own goroutine, and keeps the offsets. It is for
// tests and simulations that decide what happens when. It belongs to no group: that two
// hands read one partition is the caller's doing. It is not safe for concurrent use.
type Hand struct {
	log   *Log
	lanes *lanes.Lanes
	next  []Position
}

// NewHand returns a reader of partitions from the given places on. Its handler's context ends with
// ctx or at [Hand.Drop]. Of config it needs Lanes, BatchMax, InFlight and Keep.
func NewHand(ctx context.Context, log *Log, config topics.ConsumeConfig, handle topics.Handler, from []Position) *Hand {
	return &Hand{
		log:  log,
		next: slices.Clone(from),
		lanes: lanes.New(ctx, lanes.Config{
			Lanes: config.Lanes, BatchMax: config.BatchMax, InFlight: config.InFlight,
			Keep: config.Keep, Handle: handle, ByHand: true,
		}),
	}
}

// Fetch queues up to limit records of each partition, as far as they may be in flight, and
// returns how many it read.
func (h *Hand) Fetch(limit int) (int, error) {
	total := 0
	for i := range h.next {
		at := &h.next[i]
		records, err := h.log.read(*at, min(limit, h.lanes.Free()))
		if err != nil {
			return total, err
		}
		if len(records) == 0 {
			continue
		}
		if err := h.lanes.Submit(context.Background(), records); err != nil {
			return total, err
		}
		at.Offset += int64(len(records))
		total += len(records)
	}
	return total, nil
}

// Behind reports whether there is something to fetch.
func (h *Hand) Behind() bool {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	for _, at := range h.next {
		if t := h.log.topics[at.Topic]; t != nil && int(at.Partition) < len(t.partitions) && at.Offset < int64(len(t.partitions[at.Partition])) {
			return true
		}
	}
	return false
}

// Queued returns the lanes that have something to handle.
func (h *Hand) Queued() []int { return h.lanes.Queued() }

// Handle makes one call of the handler with what a lane has queued, and reports whether
// the hand goes on: it does not once a handler failed. Calls for one lane must not overlap.
func (h *Hand) Handle(lane int) bool { return h.lanes.Step(lane) }

// Offsets returns the offsets to commit that changed since the last call.
func (h *Hand) Offsets() []Position {
	var list []Position
	changed := h.lanes.Offsets()
	for _, at := range h.next {
		if offset, ok := changed[lanesPartition(at.Topic, at.Partition)]; ok {
			list = append(list, Position{at.Topic, at.Partition, offset})
		}
	}
	return list
}

// Drop ends the context of the handler; what is queued is not handled any more.
func (h *Hand) Drop() { h.lanes.Close() }

// read returns up to limit records from a place on.
func (l *Log) read(at Position, limit int) ([]choreo.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, topics.ErrClosed
	}
	t := l.topics[at.Topic]
	if t == nil || int(at.Partition) >= len(t.partitions) {
		return nil, fmt.Errorf("topic %q, partition %d: %w", at.Topic, at.Partition, topics.ErrUnknownTopic)
	}
	written := t.partitions[at.Partition]
	from := min(at.Offset, int64(len(written)))
	return written[from:min(from+int64(max(limit, 0)), int64(len(written)))], nil
}

// End returns the offset of the next record of a partition; 0 where there is none such.
func (l *Log) End(topic string, partition int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[topic]
	if t == nil || int(partition) >= len(t.partitions) {
		return 0
	}
	return int64(len(t.partitions[partition]))
}

// Fetched returns the places up to which records were read, handled or not.
func (h *Hand) Fetched() []Position { return slices.Clone(h.next) }
