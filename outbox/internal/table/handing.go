package table

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/choreo-go/choreo/outbox"
)

// Handing is the store's side of handing committed entries over to the relay of its process.
// It is safe for concurrent use.
type Handing struct {
	to  atomic.Pointer[outbox.Handover]
	own int64
}

// NewHanding returns one that hands nothing over yet.
func NewHanding() *Handing { return &Handing{own: rand.Int64()} }

// Own marks the rows that this store has handed over.
func (h *Handing) Own() int64 { return h.own }

// HandTo is that of [outbox.Queue].
func (h *Handing) HandTo(to outbox.Handover) {
	if to == nil {
		h.to.Store(nil)
	} else {
		h.to.Store(&to)
	}
}

// Mine reports whether the relay has an entry in hand.
func (h *Handing) Mine(seq int64) bool {
	to := h.to.Load()
	return to != nil && (*to).Has(seq)
}

// Handed are the entries of one unit on their way to the relay. Nil stands for those of a unit
// that hands nothing over.
type Handed struct {
	to      outbox.Handover
	own     int64
	entries []outbox.Entry
	keys    map[string]string // the entries' keys by their text
	older   map[string][]int64
	at      int // how many entries have their seq
}

// Begin returns what a unit hands over that commits a transaction of its own: nil if that is
// nothing.
func (h *Handing) Begin(entries []outbox.Entry) *Handed {
	to := h.to.Load()
	if len(entries) == 0 || to == nil || !(*to).Open() {
		return nil
	}
	handed := &Handed{to: *to, own: h.own, entries: append([]outbox.Entry(nil), entries...), keys: make(map[string]string, len(entries))}
	for i := range entries {
		text, binary := KeyText(entries[i].Record.Key)
		key := text
		if binary != nil {
			key = string(binary)
		}
		if other, ok := handed.keys[text]; ok && other != key {
			return nil // a key that reads like the hexadecimal form of another one
		}
		handed.keys[text] = key
	}
	return handed
}

// WriteHanded is [Texts.Write] for a unit that hands its entries over. The older entries are read
// first, which is under the locks of the sagas. The rows of list[:olders] are for
// [Handed.ReadOlder], those of list[seqs:] for [Handed.ReadSeqs].
func (t *Texts) WriteHanded(l Loaded, c *outbox.Changes, h *Handed, sole bool) (list []Part, olders, seqs int) {
	keys := make([]string, 0, len(h.keys))
	for text := range h.keys {
		keys = append(keys, text)
	}
	if t.arrays != nil && len(keys) >= arraysFrom {
		list = t.arrays.olders(keys)
	} else {
		list = parts(&t.Older, func(to sink, key *string) { to.text(*key) }, keys)
	}
	olders = len(list)
	list = append(list, t.writeRows(l, c, sole)...)
	seqs = len(list)
	if t.arrays != nil && len(c.Entries) >= arraysFrom {
		return append(list, t.arrays.writeHanded(c.Entries, h.own)...), olders, seqs
	}
	return append(list, parts(&t.Handed, func(to sink, e *outbox.Entry) {
		entryValues(to, e)
		to.number(h.own)
		to.number(outbox.HandedFor.Microseconds())
	}, c.Entries)...), olders, seqs
}

// ReadOlder reads the older entries of some keys.
func (h *Handed) ReadOlder(rows Result) error {
	for rows.Next() {
		var text string
		var seq int64
		if err := rows.Scan(&text, &seq); err != nil {
			return fmt.Errorf("scan an older outbox row: %w", err)
		}
		if h.older == nil {
			h.older = make(map[string][]int64)
		}
		key := h.keys[text]
		h.older[key] = append(h.older[key], seq)
	}
	return rows.Err()
}

// ReadSeqs reads the seqs of the next entries.
func (h *Handed) ReadSeqs(rows Result) error {
	for rows.Next() {
		if err := rows.Scan(&h.entries[h.at].Seq); err != nil {
			return fmt.Errorf("scan the number of an outbox row: %w", err)
		}
		h.at++
	}
	return rows.Err()
}

// Offer hands the entries over, once they are committed. It reports whether the relay has
// all of them.
func (h *Handed) Offer() bool {
	return h != nil && h.at == len(h.entries) && h.to.Offer(h.entries, h.older)
}
