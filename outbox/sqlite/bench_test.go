package sqlite_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/sqlite"
)

var payload = make([]byte, 200)

// forward is what a forward step writes.
func forward(id outbox.SagaID) outbox.Changes {
	return outbox.Changes{
		Steps: []outbox.StepRow{{SagaID: id, Step: "charge-payment", Version: 1, Row: choreo.Row{
			State: choreo.RowCompleted, Attempt: 1, Home: 3,
			Inputs: []choreo.Output{{Step: "reserve-stock", ContentType: "application/json", Data: payload}},
			Output: choreo.Output{Step: "charge-payment", ContentType: "application/json", Data: payload},
		}}},
		Entries: []outbox.Entry{{
			ID: "0197f2d0-0000-7000-8000-000000000000", Type: string(choreo.StepCompleted),
			Record: choreo.Record{
				Topic: "choreo.order.events", Partition: 3, Key: []byte(id.ID), Value: payload,
				Headers: []choreo.Header{{Key: "ce_id", Value: payload[:36]}, {Key: "ce_type", Value: payload[:24]}, {Key: "ce_time", Value: payload[:30]}},
			},
		}},
	}
}

func BenchmarkUnit(b *testing.B) {
	for _, synchronous := range []sqlite.Synchronous{sqlite.Normal, sqlite.Full} {
		for _, writers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%s/writers=%d", synchronous, writers), func(b *testing.B) {
				db, err := sqlite.Open(filepath.Join(b.TempDir(), "service.db"), &sqlite.OpenConfig{Synchronous: synchronous})
				require.NoError(b, err)
				defer db.Close()
				store := sqlite.New(db, nil)
				require.NoError(b, store.Migrate(b.Context()))
				var n atomic.Int64
				b.SetParallelism(writers)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						id := outbox.SagaID{Saga: "order", ID: fmt.Sprintf("order-%08d", n.Add(1))}
						u, err := store.Begin(b.Context(), id)
						if err == nil {
							err = u.Commit(b.Context(), forward(id))
						}
						if err != nil {
							b.Error(err)
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
			})
		}
	}
}

// BenchmarkGroup is one transaction of many sagas, with a business statement for each, whose entries
// are handed over.
func BenchmarkGroup(b *testing.B) {
	for _, size := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("sagas=%d", size), func(b *testing.B) {
			db := open(b, filepath.Join(b.TempDir(), "service.db"))
			_, err := db.ExecContext(b.Context(), "CREATE TABLE payments (id TEXT PRIMARY KEY, customer TEXT NOT NULL, amount BIGINT NOT NULL, status TEXT NOT NULL)")
			require.NoError(b, err)
			store := sqlite.New(db, nil)
			require.NoError(b, store.Migrate(b.Context()))
			store.HandTo(taker{})
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				ids := make([]outbox.SagaID, size)
				for i := range ids {
					ids[i] = outbox.SagaID{Saga: "order", ID: fmt.Sprintf("order-%08d", n)}
					n++
				}
				u, err := store.Begin(b.Context(), ids...)
				require.NoError(b, err)
				var changes outbox.Changes
				for _, id := range ids {
					_, err := u.Tx().ExecContext(b.Context(), "INSERT INTO payments VALUES ($1, $2, $3, 'charged')", id.ID, "c-1", 1290)
					require.NoError(b, err)
					more := forward(id)
					changes.Steps = append(changes.Steps, more.Steps...)
					changes.Entries = append(changes.Entries, more.Entries...)
				}
				require.NoError(b, u.Commit(b.Context(), changes))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/saga")
		})
	}
}

// taker takes all that is handed over.
type taker struct{}

func (taker) Open() bool                                    { return true }
func (taker) Offer([]outbox.Entry, map[string][]int64) bool { return true }
func (taker) Has(int64) bool                                { return false }

func BenchmarkRelay(b *testing.B) {
	const batch = 1000
	store := sqlite.New(open(b, filepath.Join(b.TempDir(), "service.db")), nil)
	require.NoError(b, store.Migrate(b.Context()))
	for left := 0; b.Loop(); left -= batch {
		if left == 0 {
			b.StopTimer()
			left = fill(b, store, 50*batch)
			b.StartTimer()
		}
		c, err := store.Claim(b.Context(), batch, nil)
		require.NoError(b, err)
		require.Len(b, c.Entries(), batch)
		seqs := make([]int64, 0, batch)
		for _, e := range c.Entries() {
			seqs = append(seqs, e.Seq)
		}
		require.NoError(b, c.Done(b.Context(), seqs))
		require.NoError(b, c.Release(b.Context()))
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "rows/s")
}

func fill(b *testing.B, store *sqlite.Store, n int) int {
	list := make([]outbox.Entry, 0, n)
	for i := range n {
		list = append(list, forward(outbox.SagaID{Saga: "order", ID: fmt.Sprintf("order-%04d", i%5000)}).Entries...)
	}
	u, err := store.Begin(b.Context())
	require.NoError(b, err)
	require.NoError(b, u.Commit(b.Context(), outbox.Changes{Entries: list}))
	return n
}
