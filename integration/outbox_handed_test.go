package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/outbox"
)

// taken is a relay that takes everything and publishes nothing.
type taken struct{ seqs []int64 }

func (*taken) Open() bool     { return true }
func (*taken) Has(int64) bool { return false }
func (h *taken) Offer(entries []outbox.Entry, _ map[string][]int64) bool {
	for i := range entries {
		h.seqs = append(h.seqs, entries[i].Seq)
	}
	return true
}

// handOver commits entries, one more than a statement holds, that are handed over and deleted.
func handOver[Tx any](t *testing.T, store outbox.Store[Tx], id outbox.SagaID) {
	t.Helper()
	h := &taken{}
	store.HandTo(h)
	defer store.HandTo(nil)
	u, err := store.Begin(t.Context(), id)
	require.NoError(t, err)
	var changes outbox.Changes
	for range 17 {
		changes.Entries = append(changes.Entries, forwardStep(id).Entries...)
	}
	require.NoError(t, u.Commit(t.Context(), changes))
	require.Len(t, h.seqs, 17)
	require.NoError(t, store.Delete(t.Context(), h.seqs))
}
