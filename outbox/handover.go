package outbox

import (
	"sync"
	"time"
)

// Handover takes what units of this process have committed straight from their memory. A
// [Relay] is one; a store finds it by [Queue.HandTo]. Its methods do not block.
type Handover interface {
	// Open reports whether anything is taken now. A unit asks before it commits a
	// transaction of its own: where it is not, nothing needs to be looked up for Offer.
	Open() bool
	// Offer hands over the entries of one commit, in their order and with Seq. older are, by
	// Entry.Key, the entries of the same keys that stood in the outbox before, as the unit
	// saw them while it held the locks of its sagas; more than OlderMax of a key need not be
	// told, so that as many count as unknown. It reports whether everything was taken.
	// What was not is read from the outbox, and the store tells so by Queue.Committed.
	Offer(entries []Entry, older map[string][]int64) bool
	// Has reports whether the relay works on an entry that it was handed, or has brought it
	// to the log not long ago. A claim of the same process leaves such entries out, and
	// with them all later ones of their keys.
	Has(seq int64) bool
}

// OlderMax is how many older entries of a key are told to [Handover.Offer] at most.
const OlderMax = 16

// Bounds of what is handed over and not yet published, and of what is remembered of what was.
const (
	handedMax      = 20_000
	handedMaxBytes = 16 << 20
	rememberedMax  = 20_000
	// rememberedFor is no longer than what a unit takes that saw a row just before its deletion:
	// should the database lose the deletion, the row has to be found again.
	rememberedFor = 2 * time.Second
	// handedOverhead stands for what an entry takes besides its key, value and headers.
	handedOverhead = 256
)

// handover holds the entries that units have handed to the relay, by key. An entry is
// queued, in flight, acknowledged until its row is deleted, and then remembered for a
// while. What is taken from here is published in the order of its key's commits, since
//
//   - an entry comes in only when every older one of its key is here: ahead of it, or acknowledged;
//   - of a key no two batches are in flight at once;
//   - when an entry fails, all that is queued behind it goes, too. Their rows are what later
//     units of the key see and do not find here, so that the key is read from the outbox until
//     nothing of it is left there.
//
// A unit that sees an older row whose own unit has committed, but not yet offered it, finds it
// unknown just the same: then the outbox is read once more than was needed.
type handover struct {
	work         chan struct{} // has a value when something may be ready
	acknowledged chan struct{} // has a value when something was acknowledged

	mu      sync.Mutex
	open    bool
	paused  bool
	keys    map[string]*handedKey
	ready   []*handedKey // have something queued and nothing in flight; the longest so first
	known   map[int64]struct{}
	records int // queued, in flight, or acknowledged and not deleted
	bytes   int // queued or in flight
	acked   []int64
	past    []remembered // the oldest first
}

// remembered is an entry whose row was deleted.
type remembered struct {
	seq int64
	at  time.Time
}

// handedKey is a key of which entries are queued or in flight.
type handedKey struct {
	key    string
	queue  []Entry
	flying bool
}

func newHandover() *handover {
	return &handover{
		work: make(chan struct{}, 1), acknowledged: make(chan struct{}, 1),
		keys: make(map[string]*handedKey), known: make(map[int64]struct{}),
	}
}

// signal makes a channel of one place readable.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// setOpen has entries taken, or not. What was taken before stays.
func (h *handover) setOpen(open bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open, h.paused = open, false
}

// Open implements Handover.
func (h *handover) Open() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open && !h.paused
}

// Offer implements Handover.
func (h *handover) Offer(entries []Entry, older map[string][]int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.open || h.paused {
		return false
	}
	all := true
	var refused map[string]struct{}
	for i := range entries {
		e := &entries[i]
		key := e.Key()
		if _, out := refused[key]; out {
			continue
		}
		size := handedSize(e)
		if h.records >= handedMax || h.bytes > 0 && h.bytes+size > handedMaxBytes || !h.knows(older[key]) {
			if refused == nil {
				refused = make(map[string]struct{})
			}
			refused[key] = struct{}{}
			all = false
			continue
		}
		h.queue(key, e)
		h.bytes += size
	}
	if len(h.ready) > 0 {
		signal(h.work)
	}
	return all
}

func (h *handover) queue(key string, e *Entry) {
	k := h.keys[key]
	if k == nil {
		k = &handedKey{key: key}
		h.keys[key] = k
	}
	if !k.flying && len(k.queue) == 0 {
		h.ready = append(h.ready, k)
	}
	k.queue = append(k.queue, *e)
	h.known[e.Seq] = struct{}{}
	h.records++
}

// knows reports whether all these entries are here, or were published from here.
func (h *handover) knows(seqs []int64) bool {
	if len(seqs) >= OlderMax {
		return false
	}
	for _, seq := range seqs {
		if _, ok := h.known[seq]; !ok {
			return false
		}
	}
	return true
}

// Has implements Handover.
func (h *handover) Has(seq int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.evict(time.Now())
	_, ok := h.known[seq]
	return ok
}

func handedSize(e *Entry) int {
	r := &e.Record
	size := handedOverhead + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		size += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return size
}

// take returns up to limit entries, of keys that have none in flight, for a batch that settle
// ends. All that queued up meanwhile is in the next one.
func (h *handover) take(limit int) []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	var batch []Entry
	taken := 0
	for ; taken < len(h.ready) && len(batch) < limit; taken++ {
		k := h.ready[taken]
		n := min(len(k.queue), limit-len(batch))
		batch = append(batch, k.queue[:n]...)
		k.queue = k.queue[n:]
		k.flying = true
	}
	clear(h.ready[:taken])
	if h.ready = h.ready[taken:]; len(h.ready) > 0 {
		signal(h.work)
	}
	return batch
}

// settle ends a batch of take. It reports whether entries were dropped, which are to be
// read from the outbox.
func (h *handover) settle(batch []Entry, out *outcome) (dropped bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	published := out.published // in the order of the batch
	for i := range batch {
		e := &batch[i]
		h.bytes -= handedSize(e)
		if len(published) > 0 && published[0] == e.Seq {
			published = published[1:]
			h.acked = append(h.acked, e.Seq)
		} else {
			dropped = true
			h.forget(e)
		}
		if i+1 < len(batch) && batch[i+1].Key() == e.Key() {
			continue
		}
		k := h.keys[e.Key()] // the entries of a key stand together
		k.flying = false
		if out.failed[k.key] != nil {
			dropped = true
			h.drop(k)
		}
		if len(k.queue) == 0 {
			delete(h.keys, k.key)
		} else {
			h.ready = append(h.ready, k)
		}
	}
	if len(h.ready) > 0 {
		signal(h.work)
	}
	if len(h.acked) > 0 {
		signal(h.acknowledged)
	}
	return dropped
}

// drop takes away what is queued of a key.
func (h *handover) drop(k *handedKey) {
	for i := range k.queue {
		h.bytes -= handedSize(&k.queue[i])
		h.forget(&k.queue[i])
	}
	k.queue = nil
}

func (h *handover) forget(e *Entry) {
	delete(h.known, e.Seq)
	h.records--
}

// pause drops all that is queued and takes nothing until resume: the log is away, and how to
// wait for it is the business of those who read the outbox.
func (h *handover) pause() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.paused = true
	for _, k := range h.ready {
		h.drop(k)
		delete(h.keys, k.key)
	}
	h.ready = nil
	for _, k := range h.keys { // what is queued behind a batch in flight
		h.drop(k)
	}
}

func (h *handover) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.paused = false
}

// empty reports whether no row is left in the outbox of what was handed over.
func (h *handover) empty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.records == 0
}

// takeAcked returns up to limit entries whose rows are to be deleted; deleted or keepAcked follow.
func (h *handover) takeAcked(limit int) []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(h.acked), limit)
	seqs := h.acked[:n:n]
	if h.acked = h.acked[n:]; len(h.acked) > 0 {
		signal(h.acknowledged)
	}
	return seqs
}

// keepAcked takes back entries whose rows could not be deleted.
func (h *handover) keepAcked(seqs []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked = append(h.acked, seqs...)
	signal(h.acknowledged)
}

// deleted notes that rows are gone. Units that saw them just before may still name them.
func (h *handover) deleted(seqs []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.records -= len(seqs)
	for _, seq := range seqs {
		h.past = append(h.past, remembered{seq, now})
	}
	h.evict(now)
}

// evict forgets what was remembered for long enough.
func (h *handover) evict(now time.Time) {
	n := 0
	for ; n < len(h.past) && (len(h.past)-n > rememberedMax || now.Sub(h.past[n].at) >= rememberedFor); n++ {
		delete(h.known, h.past[n].seq)
	}
	h.past = h.past[n:]
}
