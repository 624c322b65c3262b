package outboxtest

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/outbox"
)

// hand takes what is offered, as a relay does, and publishes nothing.
type hand struct {
	mu      sync.Mutex
	closed  bool
	refuses bool
	entries []outbox.Entry
	older   []map[string][]int64 // of each offer
}

func (h *hand) Open() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.closed
}

func (h *hand) Offer(entries []outbox.Entry, older map[string][]int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.older = append(h.older, older)
	if !h.refuses {
		h.entries = append(h.entries, entries...)
	}
	return !h.refuses
}

func (h *hand) Has(seq int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(seqs(h.entries), seq)
}

// told reports whether the store told of a commit since the last call.
func told(store outbox.Queue) bool {
	select {
	case <-store.Committed():
		return true
	default:
		return false
	}
}

// handedOver: what is committed is offered in commit order, with what stood there before.
func (x *exercise[Tx]) handedOver() {
	h := &hand{}
	x.Store.HandTo(h)
	x.commit(x.Store, outbox.Changes{Entries: slices.Concat(entries(saga(1), 2), entries(saga(2), 1))}, saga(1), saga(2))
	first := []string{value(saga(1).ID, 1), value(saga(1).ID, 2), value(saga(2).ID, 1)}
	require.Equal(x, first, values(h.entries))
	require.Empty(x, h.older[0][saga(1).ID])
	require.False(x, told(x.Store), "told of a commit that was handed over")
	x.commit(x.Store, outbox.Changes{Entries: []outbox.Entry{entry(saga(3), 1), entry(saga(1), 3)}}, saga(1), saga(3))
	require.ElementsMatch(x, seqs(h.entries)[:2], h.older[1][saga(1).ID])
	require.Empty(x, h.older[1][saga(3).ID])

	h.refuses = true
	x.emit(saga(4))
	require.Len(x, h.older, 3)
	require.True(x, told(x.Store), "not told of what was refused")
	h.refuses, h.closed = false, true
	x.emit(saga(5))
	h.closed = false
	u := x.begin(x.Store, saga(6))
	require.NoError(x, u.Rollback(x.ctx))
	require.NoError(x, x.Transact(x.ctx, func(tx Tx) error {
		u, err := x.Store.Join(x.ctx, tx, saga(6))
		if err != nil {
			return err
		}
		return u.Commit(x.ctx, outbox.Changes{Entries: entries(saga(6), 1)})
	}))
	require.Len(x, h.older, 3, "neither while it is closed, nor of a caller's transaction, which may yet roll back")
	require.True(x, told(x.Store))
	x.Store.HandTo(nil)
	x.emit(saga(7))
	require.Len(x, h.older, 3)

	c := x.claim(x.Store, 100)
	require.Len(x, c.Entries(), 9, "with nobody to hand to, all is there to claim")
	for _, e := range h.entries {
		require.True(x, slices.ContainsFunc(c.Entries(), func(o outbox.Entry) bool {
			return o.Seq == e.Seq && o.ID == e.ID && bytes.Equal(o.Record.Value, e.Record.Value)
		}), "it was offered as it is in the outbox: %s", e.Record.Value)
	}
	require.NoError(x, c.Release(x.ctx))
}

// handedAndNotCommitted: what does not commit is not offered.
func (x *exercise[Tx]) handedAndNotCommitted() {
	h := &hand{}
	x.Store.HandTo(h)
	ctx, cancel := context.WithCancel(x.ctx)
	u := x.begin(x.Store, saga(1))
	cancel()
	require.Error(x, u.Commit(ctx, outbox.Changes{Entries: entries(saga(1), 1)}))
	u = x.begin(x.Store, saga(1))
	require.Error(x, u.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(saga(2), 1)}, Entries: entries(saga(1), 1)}),
		"a row of a saga that the unit does not hold")
	require.Empty(x, h.older)
}

// handedKeysOfAllKinds: older entries are found whatever the key, also behind many others.
func (x *exercise[Tx]) handedKeysOfAllKinds() {
	h := &hand{}
	x.Store.HandTo(h)
	for _, key := range [][]byte{[]byte("注文"), {0xff, 0}, {}, []byte(`"text"`), []byte("0xff00"), make([]byte, 5000)} {
		id := saga(1)
		e := entry(id, 1)
		e.Record.Key = key
		at := len(h.entries)
		x.commit(x.Store, outbox.Changes{Entries: []outbox.Entry{e}}, id)
		x.commit(x.Store, outbox.Changes{Entries: []outbox.Entry{e}}, id)
		require.Len(x, h.entries, at+2)
		require.Contains(x, h.older[at+1][string(key)], h.entries[at].Seq)
	}
	x.commit(x.Store, outbox.Changes{Entries: entries(saga(2), 3*outbox.OlderMax)}, saga(2))
	x.emit(saga(2))
	require.GreaterOrEqual(x, len(h.older[len(h.older)-1][saga(2).ID]), outbox.OlderMax)
}

// handedIsLeftAlone: claims leave out what a relay has in hand, with all that comes after it, but
// not for ever.
func (x *exercise[Tx]) handedIsLeftAlone() {
	other := x.Another(x.T)
	h := &hand{}
	x.Store.HandTo(h)
	x.emit(saga(1), saga(2))
	x.commit(other, outbox.Changes{Entries: []outbox.Entry{entry(saga(1), 2), entry(saga(3), 1)}}, saga(1), saga(3))
	for _, store := range []outbox.Store[Tx]{other, x.Store} {
		c := x.claim(store, 10)
		require.Equal(x, []string{value(saga(3).ID, 1)}, values(c.Entries()))
		require.True(x, c.Contended(), "something waits behind what was handed over")
		require.NoError(x, c.Release(x.ctx))
	}
	require.NoError(x, x.Store.Delete(x.ctx, seqs(h.entries[:1])))
	c := x.claim(other, 10)
	require.Equal(x, []string{value(saga(1).ID, 2), value(saga(3).ID, 1)}, values(c.Entries()))
	require.False(x, c.Contended(), "nothing waits behind what was handed over")
	require.NoError(x, c.Done(x.ctx, seqs(c.Entries())))
	require.NoError(x, c.Release(x.ctx))

	require.Empty(x, x.peek(x.Store, 10), "for its own process it is in hand as long as its relay says")
	h.entries = nil
	require.Equal(x, []string{value(saga(2).ID, 1)}, x.peek(x.Store, 10), "and no longer")
	for len(x.peek(other, 10)) == 0 { // for others for some seconds, should the process have died
		require.NoError(x, x.ctx.Err())
	}
}

// handedAndDeleted: deletions leave nothing behind, neither rows nor connections.
func (x *exercise[Tx]) handedAndDeleted() {
	h := &hand{}
	x.Store.HandTo(h)
	for range 50 {
		x.emit(saga(1), saga(2))
		require.NoError(x, x.Store.Delete(x.ctx, seqs(h.entries)))
		h.entries = nil
	}
	x.requireEmpty()
	ctx, cancel := context.WithCancel(x.ctx)
	cancel()
	require.Error(x, x.Store.Delete(ctx, []int64{1}))
	require.NoError(x, x.Store.Delete(x.ctx, []int64{1}), "of what is not there")
}
