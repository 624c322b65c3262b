package lanes

import (
	"context"
	"errors"
	"sync"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// ErrStopped is returned by Submit after Drain, Close, or an error of the handler.
var ErrStopped = errors.New("lanes are stopped")

// Partition is a partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

// Config configures [New]; see [topics.ConsumeConfig] for the meaning of its fields.
// Numbers below 1 count as 1.
type Config struct {
	Lanes, BatchMax, InFlight int
	Keep                      func(*choreo.Record) bool // nil keeps all
	Handle                    topics.Handler
	// Copy makes Submit copy what it keeps of a record, for callers that read all
	// records into one buffer and use it again.
	Copy bool
	// ByHand starts no goroutines: the caller makes every call of the handler by Step.
	ByHand bool
}

// Lanes hands records to a handler, those of one key in order and the others side by
// side. It is safe for concurrent use.
type Lanes struct {
	config Config
	ctx    context.Context // the handlers'
	cancel context.CancelFunc
	lanes  []*lane
	slots  slots
	err    chan error

	stop    chan struct{} // closed: no further handler call begins
	stopped sync.Once
	running sync.WaitGroup

	mu       sync.Mutex
	trackers map[Partition]*tracker
}

// New starts the lanes. Handlers get a context that ends with ctx or at Close; from
// then on no handler call begins.
func New(ctx context.Context, c Config) *Lanes {
	c.Lanes, c.BatchMax, c.InFlight = max(c.Lanes, 1), max(c.BatchMax, 1), max(c.InFlight, 1)
	l := &Lanes{
		config:   c,
		lanes:    make([]*lane, c.Lanes),
		slots:    slots{free: c.InFlight},
		err:      make(chan error, 1),
		stop:     make(chan struct{}),
		trackers: make(map[Partition]*tracker),
	}
	l.ctx, l.cancel = context.WithCancel(ctx)
	context.AfterFunc(l.ctx, l.halt)
	for i := range l.lanes {
		l.lanes[i] = newLane()
		if !c.ByHand {
			l.running.Go(func() { l.run(l.lanes[i]) })
		}
	}
	return l
}

// Queued returns the lanes that have something to handle. It is for lanes by hand.
func (l *Lanes) Queued() []int {
	var queued []int
	for i, lane := range l.lanes {
		if !lane.empty() {
			queued = append(queued, i)
		}
	}
	return queued
}

// Step handles the oldest batch of a lane on the caller's goroutine, and reports whether the
// lane goes on. It is for lanes by hand: calls for one lane must not overlap.
func (l *Lanes) Step(lane int) bool {
	if l.isStopped() {
		return false
	}
	b, ok := l.lanes[lane].pop()
	return !ok || l.handle(b)
}

// Free returns how many records may be submitted before Submit blocks.
func (l *Lanes) Free() int { return l.slots.left() }

// Submit queues the records, which must be those of their partition in order: calls
// for one partition must not overlap. It blocks while InFlight records are neither
// handled nor dropped. It returns ErrStopped when the lanes take no more, and the
// cause when ctx ends; what was queued by then may yet be handled. The slice itself is
// free for use when Submit returns; keys, values and headers are only under Config.Copy.
func (l *Lanes) Submit(ctx context.Context, records []choreo.Record) error {
	var (
		tracker *tracker
		free    int             // slots in hand
		skipped int64 = unknown // the last offset, if its tracker does not know of it yet
	)
	defer func() {
		if skipped != unknown {
			tracker.skip(skipped)
		}
		l.slots.release(free)
	}()
	for i := range records {
		r := &records[i]
		if i == 0 || r.Partition != records[i-1].Partition || r.Topic != records[i-1].Topic {
			if skipped != unknown {
				tracker.skip(skipped)
				skipped = unknown
			}
			tracker = l.tracker(Partition{r.Topic, r.Partition})
		}
		if l.config.Keep != nil && !l.config.Keep(r) {
			skipped = r.Offset
			continue
		}
		if skipped != unknown {
			tracker.skip(skipped)
			skipped = unknown
		}
		if free == 0 {
			var err error
			if free, err = l.slots.acquire(ctx, len(records)-i, l.stop); err != nil {
				return err
			}
		}
		free--
		p := place{tracker, tracker.add(r.Offset)}
		own := *r
		if l.config.Copy {
			own = Copy(r)
		}
		l.lanes[l.laneOf(r)].push(own, p, l.config.BatchMax)
	}
	return nil
}

// Offsets returns, for each partition where it changed since the last call, the next
// offset to commit: the one after the last record of which it and all submitted
// before it are handled.
func (l *Lanes) Offsets() map[Partition]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var offsets map[Partition]int64
	for p, t := range l.trackers {
		if offset, changed := t.changed(); changed {
			if offsets == nil {
				offsets = make(map[Partition]int64)
			}
			offsets[p] = offset
		}
	}
	return offsets
}

// Err returns a channel that gets the first error of a handler. From then on no
// further call begins. Errors of a handler whose context has ended are not told: it
// gave up, and its records count as not handled.
func (l *Lanes) Err() <-chan error { return l.err }

// Drain lets the handler calls that run come to their end, and drops what is queued:
// it will be read again by whoever gets the partition. It returns the cause when ctx
// ends first; the calls still run then, until Close. Submit returns ErrStopped.
func (l *Lanes) Drain(ctx context.Context) error {
	l.halt()
	ended := make(chan struct{})
	go func() {
		l.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the handlers' context, waits until the calls that run have returned, and
// drops what is queued.
func (l *Lanes) Close() {
	l.halt()
	l.cancel()
	l.running.Wait()
}

func (l *Lanes) halt() { l.stopped.Do(func() { close(l.stop) }) }

// run is the loop of one lane.
func (l *Lanes) run(lane *lane) {
	for {
		select {
		case <-l.stop:
			return
		case <-lane.queued:
		}
		for {
			b, ok := lane.pop()
			if !ok {
				break
			}
			if l.isStopped() || !l.handle(b) {
				return
			}
		}
	}
}

func (l *Lanes) isStopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return l.ctx.Err() != nil
	}
}

// handle makes one handler call and reports whether the lane goes on.
func (l *Lanes) handle(b batch) bool {
	if err := l.config.Handle(l.ctx, b.records); err != nil {
		if l.ctx.Err() == nil {
			select {
			case l.err <- err:
			default: // only the first is told
			}
		}
		l.halt()
		return false
	}
	for _, p := range b.places {
		p.tracker.done(p.index)
	}
	l.slots.release(len(b.places))
	return true
}

func (l *Lanes) tracker(p Partition) *tracker {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.trackers[p]
	if t == nil {
		t = newTracker()
		l.trackers[p] = t
	}
	return t
}

// laneOf returns the lane of a record's key, the same in every process: FNV-1a, with
// its halves folded because the low bits alone see only the low bits of each byte. A
// record without a key goes by its partition.
func (l *Lanes) laneOf(r *choreo.Record) int {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	if len(r.Key) > 0 {
		for _, b := range r.Key {
			h = (h ^ uint64(b)) * prime
		}
	} else {
		for i := range len(r.Topic) {
			h = (h ^ uint64(r.Topic[i])) * prime
		}
		h = (h ^ uint64(uint32(r.Partition))) * prime
	}
	return int((h ^ h>>32) % uint64(len(l.lanes)))
}

// Copy copies a record into two allocations. Header keys are strings and stay.
func Copy(r *choreo.Record) choreo.Record {
	size := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		size += len(r.Headers[i].Value)
	}
	space := make([]byte, 0, size)
	own := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		begin := len(space)
		space = append(space, b...)
		return space[begin:len(space):len(space)]
	}
	c := *r
	c.Key, c.Value = own(r.Key), own(r.Value)
	c.Headers = make([]choreo.Header, len(r.Headers))
	for i, h := range r.Headers {
		c.Headers[i] = choreo.Header{Key: h.Key, Value: own(h.Value)}
	}
	return c
}
