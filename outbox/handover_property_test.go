package outbox

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
)

// TestHandoverKeepsOrder plays commits, batches, failures and deletions in any order against a
// plain list of rows: whatever is taken is preceded by all older rows of its key, in the same
// batch or acknowledged before.
func TestHandoverKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHandover()
		h.setOpen(true)
		var (
			rows   []Entry // of the outbox, in commit order
			next   int64
			acked  = make(map[int64]bool)
			flying [][]Entry
		)
		older := func(key string) (seqs []int64) {
			for i := range rows {
				if rows[i].Key() == key {
					seqs = append(seqs, rows[i].Seq)
				}
			}
			return seqs
		}
		commit := func(offered bool) {
			next++
			e := Entry{Seq: next, Record: choreo.Record{Key: fmt.Append(nil, rapid.IntRange(0, 3).Draw(t, "key"))}}
			seen := map[string][]int64{e.Key(): older(e.Key())}
			rows = append(rows, e)
			if offered {
				h.Offer([]Entry{e}, seen)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"commit":           func(*rapid.T) { commit(true) },
			"commit elsewhere": func(*rapid.T) { commit(false) },
			"take": func(t *rapid.T) {
				batch := h.take(rapid.IntRange(1, 4).Draw(t, "limit"))
				if len(batch) == 0 {
					return
				}
				var before []int64
				for i := range batch {
					for _, row := range rows {
						if row.Key() == batch[i].Key() && row.Seq < batch[i].Seq {
							require.True(t, acked[row.Seq] || slices.Contains(before, row.Seq), "%d is taken before %d", batch[i].Seq, row.Seq)
						}
					}
					before = append(before, batch[i].Seq)
				}
				flying = append(flying, batch)
			},
			"settle": func(t *rapid.T) {
				if len(flying) == 0 {
					return
				}
				n := rapid.IntRange(0, len(flying)-1).Draw(t, "batch")
				batch := flying[n]
				flying = slices.Delete(flying, n, n+1)
				out := outcome{failed: make(map[string]error)}
				for i := range batch {
					key := batch[i].Key()
					if out.failed[key] != nil || rapid.IntRange(0, 4).Draw(t, "fails") == 0 {
						out.failed[key] = errors.New("refused")
						continue
					}
					out.published = append(out.published, batch[i].Seq)
					acked[batch[i].Seq] = true
				}
				h.settle(batch, &out)
			},
			"delete": func(t *rapid.T) {
				seqs := h.takeAcked(rapid.IntRange(1, 3).Draw(t, "limit"))
				if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
					h.keepAcked(seqs)
					return
				}
				rows = slices.DeleteFunc(rows, func(e Entry) bool { return slices.Contains(seqs, e.Seq) })
				h.deleted(seqs)
			},
			// A claim takes the oldest row of a key, unless it is in hand.
			"read": func(t *rapid.T) {
				if len(rows) == 0 {
					return
				}
				e := rows[rapid.IntRange(0, len(rows)-1).Draw(t, "row")]
				if older(e.Key())[0] == e.Seq && !h.Has(e.Seq) {
					acked[e.Seq] = true
					rows = slices.DeleteFunc(rows, func(o Entry) bool { return o.Seq == e.Seq })
				}
			},
			"pause": func(*rapid.T) { h.pause() },
			"":      func(*rapid.T) { h.resume() },
		})
		// At rest nothing is left in hand.
		for _, batch := range flying {
			h.settle(batch, &outcome{failed: make(map[string]error)})
		}
		h.pause()
		for seqs := h.takeAcked(100); len(seqs) > 0; seqs = h.takeAcked(100) {
			h.deleted(seqs)
		}
		require.True(t, h.empty())
		require.Zero(t, h.bytes)
		require.Empty(t, h.keys)
	})
}

// Of a key with many older rows only some are told: then it is not known that all are in hand.
func TestHandoverTakesNothingBehindMoreThanItIsTold(t *testing.T) {
	h := newHandover()
	h.setOpen(true)
	var told []int64
	for seq := range int64(OlderMax) {
		require.True(t, h.Offer([]Entry{{Seq: seq, Record: choreo.Record{Key: []byte("a")}}}, map[string][]int64{"a": told}))
		told = append(told, seq)
	}
	require.False(t, h.Offer([]Entry{{Seq: 99, Record: choreo.Record{Key: []byte("a")}}}, map[string][]int64{"a": told}))
}
