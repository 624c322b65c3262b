package kafka

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/segmentio/kafka-go/protocol"
)

// aheadLeast is how large a response is behind which there is more to fetch at once. The next one
// is then on its way while that one is decoded, so that broker and client do not take turns.
// Where less comes, as on a log that is read to its end, a fetch waits for what the last one brought to
// be handed on: it would come back nearly empty.
const aheadLeast = fetchBytes / 4

// notAsked is the offset of a position that a fetch leaves out.
const notAsked = -3

// ahead is a fetch that is under way.
type ahead struct {
	exchange *exchange
	asked    []*position // copies, of where it fetches
	cancel   context.CancelFunc
	done     chan struct{} // closed once it is over
	err      error
}

// newExchange makes a fetch of positions.
func (l *fetchLoop) newExchange(positions []*position) *exchange {
	var buffer []byte
	if n := len(l.buffers); n > 0 {
		buffer = l.buffers[n-1][:0]
		l.buffers = l.buffers[:n-1]
	}
	return &exchange{key: protocol.Fetch, minVersion: fetchVersion, broker: l.broker,
		buffer: appendFetch(buffer, l.fetcher.log.config.ClientID, positions)}
}

// response waits for the fetch that is under way, or makes one. It notes in the positions what was
// asked for: of those that are elsewhere by now the answer does not count.
func (l *fetchLoop) response(ctx context.Context) (*exchange, error) {
	if a := l.ahead; a != nil {
		l.ahead = nil
		defer a.cancel()
		<-a.done
		for _, p := range l.positions {
			p.asked = notAsked
			if i := slices.IndexFunc(a.asked, func(asked *position) bool { return asked.Partition == p.Partition }); i >= 0 {
				p.asked = a.asked[i].offset
			}
		}
		return a.exchange, a.err
	}
	for _, p := range l.positions {
		p.asked = p.offset
	}
	e := l.newExchange(l.positions)
	return e, l.exchange(ctx, e)
}

// fetchAhead sends the fetch for what comes behind a response, which is yet to be decoded.
func (l *fetchLoop) fetchAhead(ctx context.Context, body []byte) {
	if len(body) < aheadLeast {
		return
	}
	asked := l.behind(body)
	if len(asked) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	a := &ahead{exchange: l.newExchange(asked), asked: asked, cancel: cancel, done: make(chan struct{})}
	l.ahead = a
	go func() {
		defer close(a.done)
		a.err = l.exchange(ctx, a.exchange)
	}()
}

// behind returns where the loop's positions will be after a response, those last that it brings
// forward, as fetch puts them; none where it is not plain what becomes of them all.
func (l *fetchLoop) behind(body []byte) []*position {
	left := slices.Clone(l.positions)
	copies := make([]position, 0, len(left))
	quiet, busy := make([]*position, 0, len(left)), make([]*position, 0, len(left))
	plain := true
	err := readFetched(body, func(topic []byte, partition int32, f fetched) {
		i := slices.IndexFunc(left, func(p *position) bool {
			return p.Partition.Partition == partition && p.Topic == string(topic)
		})
		if i < 0 || f.err != nil {
			plain = false
			return
		}
		p := left[i]
		left = slices.Delete(left, i, i+1)
		next, ok := behindBatches(f.records, p.offset)
		plain = plain && ok && p.offset == p.asked
		copies = append(copies, position{Partition: p.Partition, offset: next})
		there := &copies[len(copies)-1]
		if next > p.offset {
			busy = append(busy, there)
		} else {
			quiet = append(quiet, there)
		}
	})
	if err != nil || !plain || len(left) > 0 {
		return nil
	}
	return append(quiet, busy...)
}

// behindBatches returns the offset behind record batches, as decode would, and whether they look
// well formed.
func behindBatches(buf []byte, offset int64) (int64, bool) {
	for len(buf) > batchMagicAt {
		if buf[batchMagicAt] != magic {
			return offset, false
		}
		size := int64(int32(binary.BigEndian.Uint32(buf[batchLengthAt:]))) + lengthWithoutBytes
		if size > int64(len(buf)) || len(buf) < batchRecordsAt {
			break // cut short by the broker
		}
		if size < batchRecordsAt {
			return offset, false
		}
		offset = max(offset, lastOffset(buf)+1)
		buf = buf[size:]
	}
	return offset, true
}

// drop ends the fetch that is under way.
func (l *fetchLoop) drop() {
	if l.ahead != nil {
		l.ahead.cancel()
		<-l.ahead.done
		l.ahead = nil
	}
}
