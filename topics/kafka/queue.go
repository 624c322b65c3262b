package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// queue is what waits to be written to one partition, or, with choreo.AnyPartition, to
// learn how many partitions its topic has.
//
//	idle → ready: something queued up, and the leader is known
//	idle → waiting: something queued up, and it is not
//	ready → busy: a request took items
//	busy → idle, ready: the request ended
//	busy → waiting: the request ended in a fault that may pass
//	waiting → ready, idle: after a pause, and once the leader is known
type queue struct {
	topicPartition
	state        queueState
	items        []*item
	leader       int32
	limit        int       // how many items a batch may hold while one is being split; 0: any
	failures     int       // in a row
	fault        error     // the last, nil after a success
	unknownSince time.Time // when the cluster first said that it has no such partition
}

type queueState int

const (
	idle queueState = iota
	ready
	busy
	waiting
)

// brokerQueue is the queues that are ready and led by one broker.
type brokerQueue struct {
	ready    []*queue
	inFlight int // requests
}

const (
	// requestsInFlight is how many requests a broker gets at a time, each for other
	// partitions. Fewer than worthARequest records do not go beside another request: they wait for
	// its end, with what comes meanwhile. A request costs the broker more than a record does.
	requestsInFlight = 4
	worthARequest    = 128
	// unknownFor is how long a topic may be unknown: one that was just made takes a
	// moment to be known by every broker.
	unknownFor = time.Second
	// metadataAge is how old the partition count may be by which keys are spread.
	metadataAge = 10 * time.Second
	// recordOverhead bounds what a record adds to its body in a batch.
	recordOverhead = 12
	backoffLeast   = 10 * time.Millisecond
	backoffMost    = time.Second
)

// backoff returns how long to wait after so many failures in a row.
func backoff(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	most := min(backoffLeast<<min(failures-1, 20), backoffMost)
	return most/2 + rand.N(most/2)
}

// enqueue puts an item into its partition's queue, and notes in touched the broker
// that may have something to do now.
func (p *publisher) enqueue(item *item, touched map[int32]struct{}) {
	if p.closed {
		item.call.settle(item, topics.ErrClosed)
		return
	}
	if item.target.partition == choreo.AnyPartition {
		p.pickPartition(item)
	}
	q := p.queues[item.target]
	if q == nil {
		q = &queue{topicPartition: item.target, leader: noLeader}
		if t, ok := p.cluster.topic(q.topic); ok && q.partition >= 0 && int(q.partition) < len(t.leaders) {
			q.leader = t.leaders[q.partition]
		}
		p.queues[item.target] = q
	}
	q.items = append(q.items, item)
	if q.state == idle {
		p.resume(q, touched)
	}
}

// pickPartition chooses a partition by the item's key. Where the partition count is not
// known, or others still wait for it, the item stays in line behind them.
func (p *publisher) pickPartition(item *item) {
	t, known := p.cluster.topic(item.target.topic)
	if !known || len(t.leaders) == 0 {
		return
	}
	if q := p.queues[item.target]; q != nil && len(q.items) > 0 {
		return
	}
	if now := time.Now(); now.Sub(p.cluster.view.Load().asked) > metadataAge && now.Sub(p.renewed) > metadataAge {
		p.renewed = now
		p.running.Go(func() { _, _ = p.cluster.renew(p.ctx, now) })
	}
	if item.keyed {
		item.target.partition = topics.PartitionFor([]byte(item.key), len(t.leaders))
	} else {
		item.target.partition = int32(p.keyless % len(t.leaders))
		p.keyless++
	}
}

// resume decides how a queue goes on that is neither busy nor waiting.
func (p *publisher) resume(q *queue, touched map[int32]struct{}) {
	switch {
	case len(q.items) == 0:
		q.state = idle
	case q.leader == noLeader:
		p.wait(q)
	default:
		q.state = ready
		b := p.brokers[q.leader]
		if b == nil {
			b = &brokerQueue{}
			p.brokers[q.leader] = b
		}
		b.ready = append(b.ready, q)
		touched[q.leader] = struct{}{}
	}
}

// dispatch sends requests to the brokers while they may have more.
func (p *publisher) dispatch(brokers map[int32]struct{}) {
	for id := range brokers {
		b := p.brokers[id]
		for b.inFlight < requestsInFlight && !p.closed && (b.inFlight == 0 || b.waiting() >= worthARequest) {
			batches, size := p.take(b)
			if len(batches) == 0 {
				break
			}
			b.inFlight++
			p.running.Go(func() { p.send(id, batches, size) })
		}
	}
}

// waiting returns how many records are ready.
func (b *brokerQueue) waiting() (n int) {
	for _, q := range b.ready {
		n += len(q.items)
	}
	return n
}

// take takes what the next request to a broker will write, and how large it is.
func (p *publisher) take(b *brokerQueue) (batches []batch, size int) {
	for len(b.ready) > 0 {
		q := b.ready[0]
		items, bytes := q.take(p.config.RequestBytes-size, len(batches) == 0)
		if len(items) == 0 && len(q.items) > 0 {
			break // full
		}
		b.ready = slices.Delete(b.ready, 0, 1)
		if len(items) == 0 {
			q.state = idle
			continue
		}
		q.state = busy
		batches = append(batches, batch{q, items})
		size += bytes
	}
	return batches, size
}

// take takes items that fit into so many bytes, or one if there must be one. Items
// that have failed meanwhile are dropped.
func (q *queue) take(space int, must bool) (items []*item, size int) {
	n := 0
	for ; n < len(q.items); n++ {
		item := q.items[n]
		if item.call.blocked(item) {
			item.call.settle(item, topics.ErrEarlierFailed)
		}
		if item.settled {
			continue
		}
		bytes := len(item.body) + recordOverhead
		if size+bytes > space && !(must && len(items) == 0) || q.limit > 0 && len(items) == q.limit {
			break
		}
		items = append(items, item)
		size += bytes
	}
	clear(q.items[:n])
	q.items = q.items[n:]
	return items, size
}

// send makes one request and concludes its batches.
func (p *publisher) send(broker int32, batches []batch, size int) {
	buf, _ := p.buffers.Get().([]byte)
	const overhead = 128 // of a request or a batch, besides the name of its topic
	for _, b := range batches {
		size += overhead + len(b.queue.topic)
	}
	buf = slices.Grow(buf[:0], size+overhead+len(p.config.ClientID))
	buf = appendHeader(buf, protocol.Produce, p.config.ClientID)
	buf, err := appendProduce(buf, batches, p.config.RequestTimeout/2, p.codec)
	e := &exchange{key: protocol.Produce, minVersion: minProduce, broker: broker, buffer: buf}
	if err == nil {
		_, err = p.roundTrip(p.ctx, e)
	}
	var verdicts map[topicPartition]verdict
	if err == nil {
		verdicts, err = readProduced(e.body, e.version)
		p.buffers.Put(e.buffer) //nolint:staticcheck // a slice's header is small beside what it holds
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.brokers[broker].inFlight--
	touched := map[int32]struct{}{broker: {}}
	for _, b := range batches {
		v, answered := verdicts[b.queue.topicPartition]
		if err != nil {
			v = verdict{err: err}
		} else if !answered {
			v = verdict{err: errors.New("the broker's response does not name the partition")}
		}
		p.conclude(b, v, touched)
	}
	p.dispatch(touched)
}

// conclude draws the consequences of a broker's answer for one partition.
func (p *publisher) conclude(b batch, v verdict, touched map[int32]struct{}) {
	q := b.queue
	divisible := tooLarge(v.err) || errors.Is(v.err, segmentio.InvalidRecord)
	switch {
	case v.err == nil:
		for _, item := range b.items {
			item.call.settle(item, nil)
		}
		q.failures, q.fault, q.unknownSince = 0, nil, time.Time{}
		if q.limit *= 2; q.limit > len(q.items) {
			q.limit = 0
		}
	case divisible && len(b.items) == 1, divisible && len(v.guilty) > 0:
		p.dropGuilty(b, v)
	case divisible:
		// One record spoils the batch: halves tell which.
		q.limit = len(b.items) / 2
		q.putBack(b.items)
	case passing(v.err):
		q.putBack(b.items)
		q.failures++
		q.fault = v.err
		p.config.Logger.Debug("writing to a partition failed and is tried again",
			zap.String("topic", q.topic), zap.Int32("partition", q.partition), zap.Int("failures", q.failures), zap.Error(v.err))
		p.wait(q)
		return
	default:
		q.fail(b.items, v.err)
	}
	p.resume(q, touched)
}

// dropGuilty fails the records that a broker would not have, and keeps the others.
func (p *publisher) dropGuilty(b batch, v verdict) {
	err := v.err
	if tooLarge(err) {
		err = fmt.Errorf("%w (%w)", topics.ErrRecordTooLarge, err)
	}
	if len(b.items) == 1 {
		b.queue.fail(b.items, err)
		return
	}
	var guilty, others []*item
	for i, item := range b.items {
		if slices.Contains(v.guilty, i) {
			guilty = append(guilty, item)
		} else {
			others = append(others, item)
		}
	}
	if len(guilty) == 0 {
		guilty, others = b.items, nil // places that the batch does not have
	}
	b.queue.fail(guilty, err)
	b.queue.putBack(others)
}

func (q *queue) putBack(items []*item) { q.items = slices.Concat(items, q.items) }

func (q *queue) fail(items []*item, err error) {
	for _, item := range items {
		item.call.settle(item, fmt.Errorf("writing to %s/%d: %w", q.topic, q.partition, err))
	}
}

// wait lets a queue pause and learn its leader before it goes on.
func (p *publisher) wait(q *queue) {
	q.state = waiting
	if !p.closed {
		since := time.Now()
		p.running.Go(func() { p.awaitLeader(q, since) })
	}
}

// awaitLeader asks for a queue's leader, with backoff, until it is known, nothing is
// queued any more, or there is no hope.
func (p *publisher) awaitLeader(q *queue, since time.Time) {
	for {
		p.mu.Lock()
		pause := time.NewTimer(backoff(q.failures))
		p.mu.Unlock()
		select {
		case <-pause.C:
		case <-p.ctx.Done():
			pause.Stop()
			return
		}
		ctx, cancel := context.WithTimeout(p.ctx, p.config.RequestTimeout)
		v, err := p.cluster.renew(ctx, since, q.topic)
		cancel()
		if p.ctx.Err() != nil || p.learned(q, v, err) {
			return
		}
		since = time.Now()
	}
}

// learned tells a queue what was learned of its leader. It returns whether the queue
// need not wait any more.
func (p *publisher) learned(q *queue, v *view, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	q.items = slices.DeleteFunc(q.items, func(i *item) bool { return i.settled })
	if err == nil {
		if q.partition == choreo.AnyPartition {
			_, err = v.leader(q.topic, 0)
		} else {
			q.leader, err = v.leader(q.topic, q.partition)
		}
	}
	switch {
	case len(q.items) == 0, err == nil:
	case unknownTopic(err):
		if q.unknownSince.IsZero() {
			q.unknownSince = time.Now()
		}
		if time.Since(q.unknownSince) < unknownFor {
			q.failures++
			q.fault = topics.ErrUnknownTopic
			return false
		}
		q.unknownSince = time.Time{}
		q.fail(q.items, topics.ErrUnknownTopic)
		q.items = nil
	case passing(err):
		q.failures++
		q.fault = err
		return false
	default:
		q.fail(q.items, err)
		q.items = nil
	}
	touched := make(map[int32]struct{}, 1)
	if q.partition == choreo.AnyPartition {
		items := q.items
		q.items, q.state, q.failures = nil, idle, 0
		for _, item := range items {
			p.enqueue(item, touched)
		}
	} else {
		p.resume(q, touched)
	}
	p.dispatch(touched)
	return true
}

// stop ends all requests and waits for them; the context has ended before.
func (p *publisher) stop() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.running.Wait()
}
