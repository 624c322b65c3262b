package kafka

import (
	"context"
	"fmt"
	"sync"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// publisher writes records: it spreads the records of calls over the partitions'
// queues, which do the rest.
type publisher struct {
	ctx       context.Context // ends when the log is closed
	config    *Config
	codec     compress.Compression
	cluster   *cluster
	roundTrip func(context.Context, segmentio.Request) (segmentio.Response, error)
	late      error          // why a call ends at the delivery timeout
	running   sync.WaitGroup // requests and waiting queues
	buffers   sync.Pool      // of requests that were answered

	mu      sync.Mutex // guards all that follows, and the queues, items and calls
	closed  bool
	queues  map[topicPartition]*queue
	brokers map[int32]*brokerQueue
	renewed time.Time // when metadata were last asked for because of their age
	keyless int       // counts records without a key
}

func newPublisher(ctx context.Context, config *Config, cluster *cluster,
	roundTrip func(context.Context, segmentio.Request) (segmentio.Response, error)) *publisher {
	return &publisher{
		ctx: ctx, config: config, codec: codecs[config.Compression], cluster: cluster, roundTrip: roundTrip,
		late:   fmt.Errorf("not acknowledged within %s: %w", config.DeliveryTimeout, context.DeadlineExceeded),
		queues: make(map[topicPartition]*queue), brokers: make(map[int32]*brokerQueue),
	}
}

// call is one call of Publish.
type call struct {
	items  []item
	wave   int            // that is under way
	left   int            // its items that are not settled
	done   chan struct{}  // closed when left gets 0
	failed map[string]int // by key, the place of the first record that failed
	fault  bool
}

// item is a record on its way. Its body is encoded, so that nothing of the caller's is
// used after the call has returned.
type item struct {
	call    *call
	place   int // in the call
	key     string
	keyed   bool
	body    []byte
	wave    int
	target  topicPartition
	settled bool
	err     error
}

// publish is topics.Log's Publish.
func (p *publisher) publish(ctx context.Context, records []choreo.Record) []error {
	if len(records) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.config.DeliveryTimeout, p.late)
	defer cancel()
	c := newCall(records)
	if ctx.Err() != nil {
		p.abandon(ctx, c)
	}
	for wave := 0; p.start(c, wave); wave++ {
		select {
		case <-c.done:
		case <-ctx.Done():
			p.abandon(ctx, c)
		case <-p.ctx.Done():
			p.abandon(p.ctx, c)
		}
	}
	if !c.fault {
		return nil
	}
	errs := make([]error, len(records))
	for i := range c.items {
		errs[i] = c.items[i].err
	}
	return errs
}

// newCall encodes the records and gives each its wave: a record waits for those of the
// wave before it. Within a wave all records of a key go to one partition, whose queue
// keeps their order, so that most calls have one wave.
func newCall(records []choreo.Record) *call {
	c := &call{items: make([]item, len(records))}
	size := 0
	for i := range records {
		size += recordSize(&records[i])
	}
	buf := make([]byte, 0, size)
	var last map[string]*item // the last record of a key
	if len(records) > 1 {
		last = make(map[string]*item, len(records))
	}
	for i := range records {
		r, item := &records[i], &c.items[i]
		begin := len(buf)
		buf = appendRecord(buf, r)
		item.call, item.place, item.key, item.keyed, item.body = c, i, string(r.Key), r.Key != nil, buf[begin:]
		item.target = topicPartition{r.Topic, max(r.Partition, choreo.AnyPartition)}
		if last == nil || !item.keyed {
			continue
		}
		if before := last[item.key]; before != nil {
			item.wave = before.wave
			if before.target != item.target {
				item.wave++
			}
		}
		last[item.key] = item
	}
	return c
}

// start queues the items of a wave. It returns false when there are none.
func (p *publisher) start(c *call, wave int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.wave, c.left, c.done = wave, 0, make(chan struct{})
	found := false
	for i := range c.items {
		if item := &c.items[i]; item.wave == wave {
			found = true
			if !item.settled {
				c.left++
			}
		}
	}
	if c.left == 0 {
		close(c.done)
		return found
	}
	touched := make(map[int32]struct{}, 1)
	for i := range c.items {
		if item := &c.items[i]; item.wave == wave && !item.settled {
			p.enqueue(item, touched)
		}
	}
	p.dispatch(touched)
	return true
}

// blocked reports whether an earlier record of the item's key and call has failed.
func (c *call) blocked(item *item) bool {
	place, failed := c.failed[item.key]
	return failed && item.keyed && place < item.place
}

// settle ends an item: acknowledged, or with err. The first failure of a key makes all
// later records of that key and call fail. The publisher's lock is held.
func (c *call) settle(item *item, err error) {
	if item.settled {
		return
	}
	if err != nil {
		c.fault = true
		if c.blocked(item) {
			err = topics.ErrEarlierFailed
		} else if item.keyed {
			if c.failed == nil {
				c.failed = make(map[string]int)
			}
			c.failed[item.key] = item.place
		}
	}
	item.settled, item.err = true, err
	if item.wave != c.wave {
		return
	}
	if c.left--; c.left == 0 {
		close(c.done)
	}
}

// abandon ends all of a call that is not settled, whichever wave it is in, because ctx
// has ended.
func (p *publisher) abandon(ctx context.Context, c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range c.items {
		item := &c.items[i]
		var fault error
		if q := p.queues[item.target]; q != nil {
			fault = q.fault
		}
		c.settle(item, ended(ctx, fault))
	}
}
