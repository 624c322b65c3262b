package topics

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// PublisherStats are the figures of a [Publisher] since it was made.
type PublisherStats struct {
	Published    uint64  // records that the log acknowledged, dead letters aside
	Failed       uint64  // records that failed for good, dead-lettered ones included
	DeadLettered uint64  // records that failed and went to the dead-letter topic
	Retried      uint64  // attempts that failed and were followed by another one
	Batches      uint64  // calls of the log
	MeanBatch    float64 // records a call, those that were tried again included
	Rate         float64 // published records a second over the last 10 s, or since it was made
	Waiting      int     // records that PublishAsync has taken and that are not settled
	LastError    error   // of the last record that failed, also when others were published since
	LastErrorAt  time.Time
}

// rateSeconds is over how many seconds the rate is measured, the one under way included.
const rateSeconds = 10

type publisherStats struct {
	mu      sync.Mutex
	began   time.Time
	figures PublisherStats
	records uint64 // given to the log
	seconds [rateSeconds]struct {
		at        int // since began
		published int
	}
}

// Stats returns the publisher's figures.
func (p *Publisher) Stats() PublisherStats { return p.stats.read() }

func (s *publisherStats) read() PublisherStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.figures
	if out.Batches > 0 {
		out.MeanBatch = float64(s.records) / float64(out.Batches)
	}
	age := time.Since(s.began)
	now, published := int(age/time.Second), 0
	for _, second := range s.seconds {
		if second.at > now-rateSeconds {
			published += second.published
		}
	}
	// Nine full seconds and what has passed of this one; a publisher that is younger than one
	// second counts as that old.
	span := min(max(age, time.Second), (rateSeconds-1)*time.Second+age%time.Second)
	out.Rate = float64(published) / span.Seconds()
	return out
}

func (s *publisherStats) take(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.figures.Waiting += n
}

func (s *publisherStats) batch(records, published int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.figures.Batches++
	s.records += uint64(records)
	s.figures.Published += uint64(published)
	now := int(time.Since(s.began) / time.Second)
	second := &s.seconds[now%rateSeconds]
	if second.at != now {
		second.at, second.published = now, 0
	}
	second.published += published
}

func (s *publisherStats) retry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.figures.Retried++
}

func (s *publisherStats) fail(err error, deadLettered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.figures.Failed++
	if deadLettered {
		s.figures.DeadLettered++
	}
	s.figures.LastError, s.figures.LastErrorAt = err, time.Now()
}

// room is a number of bytes that records take and give back; who finds too few waits, in
// the order of arrival.
type room struct {
	size int

	mu      sync.Mutex
	free    int
	waiting []*roomWaiter
}

type roomWaiter struct {
	bytes int
	got   chan struct{}
}

// take takes bytes, at most all that there are. It fails with the cause of the
// context that ends first.
func (r *room) take(ctx, closing context.Context, bytes int) error {
	r.mu.Lock()
	w := &roomWaiter{bytes: min(bytes, r.size), got: make(chan struct{})}
	r.waiting = append(r.waiting, w)
	r.admit()
	r.mu.Unlock()
	select { // first, so that an ended context does not keep out what there is room for
	case <-w.got:
		return nil
	default:
	}
	var err error
	select {
	case <-w.got:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-closing.Done():
		err = context.Cause(closing)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if place := slices.Index(r.waiting, w); place >= 0 {
		r.waiting = slices.Delete(r.waiting, place, place+1)
		r.admit() // it may have been all that the next one waited for
		return err
	}
	return nil // it came at the last moment
}

func (r *room) give(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += min(bytes, r.size)
	r.admit()
}

// admit lets those in who come next and fit. r.mu is held.
func (r *room) admit() {
	for len(r.waiting) > 0 && r.waiting[0].bytes <= r.free {
		w := r.waiting[0]
		r.waiting = r.waiting[1:]
		r.free -= w.bytes
		close(w.got)
	}
}

// recordOverhead is what a record takes besides its bytes, about.
const recordOverhead = 128

func recordSize(r *choreo.Record) int {
	n := recordOverhead + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}
