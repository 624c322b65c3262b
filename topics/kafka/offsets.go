package kafka

import (
	"context"
	"errors"
	"slices"

	segmentio "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"go.uber.org/zap"
)

// findOffsets asks for the end of the positions that are to come to it, and for the
// oldest record of those that begin there. Those for which that fails leave the loop.
func (l *fetchLoop) findOffsets(ctx context.Context) {
	l.listOffsets(ctx, segmentio.LastOffset, func(p *position) bool { return p.pending && p.end < 0 },
		func(p *position, end int64) {
			p.end = end
			if p.offset > end { // a fetch would say so, too, but the end would seem to be reached
				p.reset()
			}
			l.arrive(p)
		})
	l.listOffsets(ctx, segmentio.FirstOffset, func(p *position) bool { return p.offset < 0 },
		func(p *position, oldest int64) {
			l.setOldest(p, oldest)
			l.arrive(p)
		})
}

// reset sets a position whose offset the log does not have to the oldest record.
func (p *position) reset() { p.wanted, p.offset = p.offset, segmentio.FirstOffset }

// listOffsets asks for one offset of each position that needs it, and sets it.
func (l *fetchLoop) listOffsets(ctx context.Context, which int64, needs func(*position) bool, set func(*position, int64)) {
	const committedOnly = 1 // as fetches ask for
	request := &listoffsets.Request{ReplicaID: -1, IsolationLevel: committedOnly}
	var unset []*position
	for _, p := range l.positions {
		if !needs(p) {
			continue
		}
		unset = append(unset, p)
		at := listoffsets.RequestPartition{Partition: p.Partition.Partition, CurrentLeaderEpoch: -1, Timestamp: which}
		if i := slices.IndexFunc(request.Topics, func(t listoffsets.RequestTopic) bool { return t.Topic == p.Topic }); i >= 0 {
			request.Topics[i].Partitions = append(request.Topics[i].Partitions, at)
		} else {
			request.Topics = append(request.Topics, listoffsets.RequestTopic{Topic: p.Topic, Partitions: []listoffsets.RequestPartition{at}})
		}
	}
	if len(unset) == 0 {
		return
	}
	exchange := &routed{broker: l.broker, clientID: l.fetcher.log.config.ClientID, request: request}
	_, err := l.fetcher.log.roundTrip(ctx, exchange)
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
			var offset int64
			if offset, fault = offsetOf(p, response); fault == nil {
				set(p, offset)
			}
		}
		if fault != nil {
			l.positions = slices.DeleteFunc(l.positions, func(q *position) bool { return q == p })
			l.fetcher.orphan(ctx, fault, p)
		}
	}
}

// offsetOf returns what a response says of a position's partition.
func offsetOf(p *position, response *listoffsets.Response) (int64, error) {
	if response == nil {
		return 0, errors.New("the broker did not answer with offsets")
	}
	for _, t := range response.Topics {
		for _, r := range t.Partitions {
			if t.Topic == p.Topic && r.Partition == p.Partition.Partition {
				return r.Offset, codeError(r.ErrorCode)
			}
		}
	}
	return 0, errors.New("the broker's response does not name the partition")
}

// setOldest sets a position to the oldest record, and tells what was lost if it was reset.
func (l *fetchLoop) setOldest(p *position, oldest int64) {
	p.offset = oldest
	if p.wanted > 0 {
		l.fetcher.log.config.Logger.Warn("the offset to read from is gone: reading on from the oldest record",
			zap.String("topic", p.Topic), zap.Int32("partition", p.Partition.Partition), zap.Int64("wanted", p.wanted),
			zap.Int64("oldest", oldest), zap.Int64("lost", max(oldest-p.wanted, 0)))
		p.wanted = 0
	}
}

// arrive tells the fetcher of a position that has come to its end.
func (l *fetchLoop) arrive(p *position) {
	if p.pending && p.end >= 0 && p.offset >= p.end {
		p.pending = false
		l.fetcher.reached(p)
	}
}

// nothingLeft is for positions that a response without any record was about: a broker has
// nothing for them from their offset on. They are at their end where compaction took the
// last offsets before it. Where the leader knows of less than was once the end, its
// log may have been cut: then the end is asked for again, which a new leader answers when it
// knows it (Kafka's KIP-207).
func (l *fetchLoop) nothingLeft(positions []*position) {
	for _, p := range positions {
		switch {
		case !p.pending || p.end < 0 || p.offset < 0:
		case p.readable >= p.end:
			p.pending = false
			l.fetcher.reached(p)
		default:
			p.end = -1
		}
	}
}
