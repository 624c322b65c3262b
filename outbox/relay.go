package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
)

// RelayConfig configures a [Relay]. A field that is zero or negative gets its default,
// where nothing else is said.
type RelayConfig struct {
	// BatchMax is how many entries are read, published and deleted at once at most.
	// Default: 1000.
	BatchMax int
	// Poll is how often the relay looks for entries that it was not woken for, such as
	// those of a process that died. Default: 1 s.
	Poll time.Duration
	// MaxBackoff bounds the wait between attempts while the log or the database is away,
	// and the time for which a key is held; both start at 50 ms and double. Default: 5 s.
	MaxBackoff time.Duration
	// HoldMax is how many keys may be held because their records cannot be published.
	// Beyond it, those that are due first are tried sooner. Default: 10,000.
	HoldMax int
	// PublishTimeout bounds one call of the publisher, and so how long the oldest batch
	// can hold up what comes after it. Default: 10 s.
	PublishTimeout time.Duration
	// StopTimeout is how long Run goes on, once its context has ended, to finish the
	// batch under way and to publish what else is committed. Default: 10 s; negative: Run
	// breaks off at once.
	StopTimeout time.Duration
	// Logger gets one line for each change of state, never a payload. Default: none.
	Logger *zap.Logger
}

// RelayStats is how a relay stands.
type RelayStats struct {
	Published uint64 // entries that the log acknowledged, repetitions included
	Handed    uint64 // of Published, those that units handed over, so that they were not read from the outbox
	Failed    uint64 // entries that it did not, repetitions included
	Batches   uint64 // calls of the publisher
	Held      int    // keys whose entries wait because an earlier one could not be published
	// Backlog is what waits in the outbox. It is looked up once in RelayConfig.Poll.
	Backlog Backlog
	// LastError is the last error of the log or the database, also when it has passed.
	LastError   error
	LastErrorAt time.Time
}

// Relay moves committed entries from an outbox to the log, in two ways.
//
// What units of its own process commit is handed to it ([Queue.HandTo]), and it publishes that
// from memory: what queued up while the last batch was in flight is the next one. A lone
// entry does not wait. Rows of what was acknowledged are deleted a moment later, many at once.
//
// All else it reads from the outbox: what was there when it began, what callers commit in their
// own transactions, what found no room in memory, what could not be published, and
// what other processes have left. It claims a batch of the oldest, publishes it, deletes what
// was acknowledged, releases the claim, and goes on at once while more is there. Where batches come
// full and the store can ([Pages]), a claim goes on for up to eight of them, and the next is read
// while the log takes one. An entry is not
// handed over while an older one of its key has to be read, so that both ways keep one
// order. Any number of relays may serve one outbox.
//
// As to the outbox, a relay is in one of these states:
//
//   - busy: batches come full, or another relay's claims end; it claims on at once.
//   - idle: it waits to be woken by a commit of this process that was not handed over
//     ([Queue.Committed]), for a held key to fall due, or for RelayConfig.Poll. A transaction of a caller that a unit
//     joined commits only after it woke the relay, so that after a wake the relay looks
//     again 2, 4, 8, … ms later. While another relay works on entries that it could not
//     claim, it asks again after 5, 10, 20, … ms.
//   - backing off: the log or the database is away. It waits 50 ms, doubled with every
//     failure up to RelayConfig.MaxBackoff and shortened by up to half at random, and
//     nothing wakes it. While the log is away nothing is handed over. No claim is open meanwhile, nor in any other wait: a long
//     transaction would keep the database from cleaning up.
//
// What can fail:
//
//   - A record cannot be published, others can. Its key is held: left out of claims, and no
//     more handed over, for 50 ms, doubled with every failure up to RelayConfig.MaxBackoff. No other key waits.
//   - No record of a batch can be published, though some of its keys never failed before. One
//     such batch may be a lone poisoned record; from the second in a row on the log
//     counts as away. The keys of such batches are held as above, so that each attempt
//     takes others, and come free with the first acknowledgement. Keys that failed
//     before say nothing about the log: however many are poisoned, the others flow. To
//     try them again takes at most half of the time, while others wait.
//   - The process dies, or the database goes, between an acknowledgement and the
//     deletion, which may be up to eight batches later: the entry is published again. So it is when an acknowledgement gets lost, or
//     comes after RelayConfig.PublishTimeout. Nothing is lost, and the first
//     publications of a key's entries are in commit order, for whatever is published is
//     preceded by all earlier entries of its key, in the same call or acknowledged before.
type Relay struct {
	queue     Queue
	publisher Publisher
	config    RelayConfig
	log       *zap.Logger
	jitter    func(time.Duration) time.Duration
	running   atomic.Bool

	nudge chan struct{} // has a value when the outbox is to be looked at without a commit

	mu        sync.Mutex // guards what follows
	stats     RelayStats
	holds     holds
	logAway   int // batches in a row that say that the log is away
	storeAway int // faults of the database in a row

	// What follows belongs to the goroutine of Run or Step.
	hand       *handover
	newFirst   time.Time     // until when no held key is tried, due or not
	nap        time.Duration // how long to be idle, if nothing else ends it
	contention time.Duration // how long, where entries were contended
	sampled    time.Time     // when the backlog was looked up
	next       time.Time     // of Step: when to look at the outbox,
	deaf       bool          // whatever is committed
}

const (
	firstBackoff = 50 * time.Millisecond
	// A joined transaction usually commits within microseconds after its unit; the first
	// look comes after what a commit to disk takes.
	firstNap        = 2 * time.Millisecond
	firstContention = 5 * time.Millisecond
	// claimTimeout and settleTimeout guard against a database that neither answers nor
	// breaks the connection.
	claimTimeout  = 30 * time.Second
	settleTimeout = 10 * time.Second
)

// NewRelay returns a relay from an outbox to the log. config may be nil.
func NewRelay(queue Queue, publisher Publisher, config *RelayConfig) *Relay {
	var c RelayConfig
	if config != nil {
		c = *config
	}
	setDefault(&c.BatchMax, 1000)
	setDefault(&c.Poll, time.Second)
	setDefault(&c.MaxBackoff, 5*time.Second)
	setDefault(&c.HoldMax, 10_000)
	setDefault(&c.PublishTimeout, 10*time.Second)
	if c.StopTimeout == 0 {
		c.StopTimeout = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return &Relay{
		queue: queue, publisher: publisher, config: c, log: c.Logger,
		jitter: func(d time.Duration) time.Duration { return d - rand.N(d/2+1) },
		nudge:  make(chan struct{}, 1),
	}
}

func setDefault[T cmp.Ordered](field *T, value T) {
	var zero T
	if *field <= zero {
		*field = value
	}
}

// Stats returns how the relay stands.
func (r *Relay) Stats() RelayStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Run relays until ctx ends. Then it finishes the batch under way and publishes what
// else is committed, for at most RelayConfig.StopTimeout; held keys stay. Entries that are
// left are safe in the outbox. It returns an error only where the relay runs already.
func (r *Relay) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return errors.New("outbox: the relay is running already")
	}
	defer r.running.Store(false)
	r.begin()
	defer r.queue.HandTo(nil)

	// work outlives ctx by StopTimeout.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() {
		timer := time.NewTimer(max(r.config.StopTimeout, 0))
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-work.Done():
		}
	})
	stopCarrying := r.startCarrying(work)
	for r.pause(ctx, r.round(work)) {
	}
	r.hand.setOpen(false)
	stopCarrying()
	if r.config.StopTimeout > 0 {
		for work.Err() == nil && r.round(work) == goOn {
		}
	}
	return nil
}

// begin forgets what an earlier run has learned, and has units hand over what they commit.
func (r *Relay) begin() {
	r.mu.Lock()
	r.holds = newHolds(r.config.MaxBackoff, r.config.HoldMax)
	r.logAway, r.storeAway = 0, 0
	r.mu.Unlock()
	r.contention, r.newFirst = 0, time.Time{}
	r.nap = r.config.Poll
	r.hand = newHandover()
	r.hand.setOpen(true)
	r.queue.HandTo(r.hand)
}

// woken has the relay look at the outbox again soon, after a commit that it was told of.
func (r *Relay) woken() { r.nap = min(firstNap, r.config.Poll) }

// pause is how the relay waits between two rounds.
type pause struct {
	wait time.Duration // of a deaf one, the longest: up to half of it is taken off at random
	deaf bool          // to commits
}

var goOn = pause{}

// pause waits and reports whether to go on.
func (r *Relay) pause(ctx context.Context, p pause) bool {
	if p.wait <= 0 {
		return ctx.Err() == nil
	}
	var wake, nudge <-chan struct{}
	if p.deaf {
		p.wait = r.jitter(p.wait)
	} else {
		wake, nudge = r.queue.Committed(), r.nudge
	}
	timer := time.NewTimer(p.wait)
	defer timer.Stop()
	select {
	case <-wake:
		r.woken()
	case <-nudge:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// round relays one batch from the outbox and says how to wait for the next.
func (r *Relay) round(ctx context.Context) pause {
	began := time.Now()
	newOnly := began.Before(r.newFirst)
	claim, err := r.claim(ctx, began, newOnly)
	if err != nil {
		return r.storeFailed(ctx, "claim", err)
	}
	entries, out, freedBefore, err := r.publishClaim(ctx, claim)
	if err != nil {
		r.note(&out, false)
		return r.storeFailed(ctx, "delete published entries", err)
	}
	r.storeBack()
	full := len(entries) >= r.config.BatchMax
	r.mu.Lock()
	if !full && !newOnly && !claim.Contended() {
		r.holds.forgetGone(began, entries)
	}
	again := r.holds.anyAgain(&out)
	r.mu.Unlock()
	if !full {
		r.newFirst = time.Time{}
	}
	if again {
		r.newFirst = time.Now().Add(time.Since(began))
	}
	wait, freed := r.note(&out, false)
	freed = freed || freedBefore
	r.handOver(full)
	r.sample(ctx, len(entries) == 0 && !claim.Contended())
	switch {
	case wait > 0:
		return pause{wait: wait, deaf: true}
	case full, freed, newOnly, claim.Contended() && len(out.published) > 0:
		return goOn
	default:
		return r.idle(began, claim.Contended())
	}
}

func (r *Relay) claim(ctx context.Context, now time.Time, newOnly bool) (Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	r.mu.Lock()
	except := r.holds.except(now)
	if newOnly {
		except = r.holds.all()
	}
	r.mu.Unlock()
	return r.queue.Claim(ctx, r.config.BatchMax, except)
}

// outcome is what became of a batch.
type outcome struct {
	published []int64
	failed    map[string]error // by key: why its first unpublished entry failed
	unsent    int
	keys      map[string]struct{} // of which an entry was published
}

// publish writes a batch to the log.
func (r *Relay) publish(ctx context.Context, entries []Entry) outcome {
	records := make([]choreo.Record, len(entries))
	for i := range entries {
		records[i] = entries[i].Record
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.PublishTimeout)
	defer cancel()
	errs := r.publisher.Publish(ctx, records)
	if errs != nil && len(errs) != len(records) {
		wrong := fmt.Errorf("outbox: the publisher returned %d results for %d records", len(errs), len(records))
		errs = make([]error, len(records))
		for i := range errs {
			errs[i] = wrong
		}
	}
	out := outcome{
		published: make([]int64, 0, len(entries)),
		failed:    make(map[string]error),
		keys:      make(map[string]struct{}),
	}
	for i := range entries {
		key := entries[i].Key()
		_, blocked := out.failed[key]
		switch {
		case blocked && entries[i].Record.Key != nil: // its place is behind the one that failed, whatever became of it
			out.unsent++
		case errs != nil && errs[i] != nil:
			out.failed[key] = errs[i]
			out.unsent++
		default:
			out.published = append(out.published, entries[i].Seq)
			out.keys[key] = struct{}{}
		}
	}
	return out
}

// note draws the conclusions from a batch, which was handed over or read. It returns how long to
// leave the log alone, or whether keys came free that can be claimed at once.
func (r *Relay) note(out *outcome, handed bool) (wait time.Duration, freed bool) {
	if len(out.published)+out.unsent == 0 {
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	released := r.holds.published(out)
	switch {
	case len(out.published) > 0:
		if r.logAway > 1 {
			r.log.Warn("the log takes records again")
		}
		freed = r.logAway > 0 && r.holds.freeFailedInOutage()
		r.logAway = 0
	case r.holds.anyNew(out):
		r.logAway++
	}
	held, key, err := r.holds.failed(out, now, r.logAway)
	switch {
	case released > 0:
		r.log.Warn("records of held keys were published", zap.Int("keys", released))
	case r.logAway == 2 && len(out.published) == 0 && held > 0:
		r.log.Warn("the log takes no records: backing off", zap.Error(err))
	}
	if held > 0 && r.logAway < 2 {
		r.log.Warn("records cannot be published: later ones of their keys are held, others go on",
			zap.Int("keys", held), zap.String("key", key), zap.Error(err))
	}
	r.stats.Batches++
	r.stats.Published += uint64(len(out.published))
	if handed {
		r.stats.Handed += uint64(len(out.published))
	}
	r.stats.Failed += uint64(out.unsent)
	r.stats.Held = r.holds.len()
	if err != nil {
		r.stats.LastError, r.stats.LastErrorAt = err, now
	}
	if len(out.published) > 0 || held == 0 {
		return 0, freed
	}
	return backoff(r.logAway-1, r.config.MaxBackoff), false
}

// backoff is the wait after the n-th failure in a row; none for n < 1.
func backoff(n int, limit time.Duration) time.Duration {
	if n < 1 {
		return 0
	}
	return min(firstBackoff<<min(n-1, 20), limit)
}

// storeFailed notes a fault of the database.
func (r *Relay) storeFailed(ctx context.Context, what string, err error) pause {
	err = fmt.Errorf("%s: %w", what, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.storeAway++
	if r.storeAway == 1 && ctx.Err() == nil {
		r.log.Warn("the outbox cannot be reached: backing off", zap.Error(err))
	}
	r.stats.LastError, r.stats.LastErrorAt = err, time.Now()
	return pause{wait: backoff(r.storeAway, r.config.MaxBackoff), deaf: true}
}

func (r *Relay) storeBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.storeAway > 0 {
		r.log.Warn("the outbox can be reached again")
	}
	r.storeAway = 0
}

// idle says how long to wait when nothing is left to do now.
func (r *Relay) idle(claimed time.Time, contended bool) pause {
	wait := r.nap
	r.nap = min(2*r.nap, r.config.Poll)
	if contended {
		r.contention = min(max(2*r.contention, firstContention), r.config.Poll)
		wait = min(wait, r.contention)
	} else {
		r.contention = 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if due, ok := r.holds.nextDue(claimed); ok {
		wait = min(wait, time.Until(due))
	}
	return pause{wait: wait}
}

// sample looks up the backlog now and then.
func (r *Relay) sample(ctx context.Context, nothing bool) {
	if time.Since(r.sampled) < r.config.Poll {
		return
	}
	var b Backlog
	r.mu.Lock()
	held := r.holds.len()
	r.mu.Unlock()
	if !nothing || held > 0 || !r.hand.empty() {
		var err error
		ctx, cancel := context.WithTimeout(ctx, settleTimeout)
		defer cancel()
		if b, err = r.queue.Backlog(ctx); err != nil {
			return // a fault that lasts shows in the next claim
		}
	}
	r.sampled = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Backlog = b
	r.stats.Held = r.holds.len()
}
