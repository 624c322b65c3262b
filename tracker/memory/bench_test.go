package memory_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/memory"
)

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkQueries asks a model of so many live sagas of five steps, and tells the 99th percentile of
// each query and the bytes of a saga. The others' share of the machine is in it.
func BenchmarkQueries(b *testing.B) {
	for _, sagas := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(sagas), func(b *testing.B) {
			if sagas > 10_000 && testing.Short() {
				b.Skip("takes its time")
			}
			before := heap()
			m := memory.New(memory.Options{})
			defer m.Close()
			ctx := context.Background()
			batch := make([]*tracker.Snapshot, 1000)
			for n := 0; n < sagas; n += len(batch) {
				for i := range batch {
					batch[i] = five(n+i, (n+i)%5)
				}
				require.NoError(b, m.Put(ctx, batch, nil))
			}
			clear(batch)
			perSaga := float64(heap()-before) / float64(sagas)
			mid := day.Add(time.Duration(sagas/2) * time.Millisecond)
			for _, q := range []struct {
				name string
				tracker.Query
			}{
				{"first", tracker.Query{}},
				{"last-updated", tracker.Query{Order: tracker.ByUpdated, Descending: true}},
				{"step", tracker.Query{Filter: tracker.Filter{Steps: []string{"step-3"}}, Order: tracker.ByUpdated}},
				{"status-and-time", tracker.Query{Filter: tracker.Filter{Statuses: []choreo.Status{choreo.StatusRunning}, StartedFrom: mid}, Limit: 1000}},
				{"search-one", tracker.Query{Filter: tracker.Filter{Search: fmt.Sprint("customer=", sagas-1)}}},
				{"search-all", tracker.Query{Filter: tracker.Filter{Search: "7000-8000"}, Descending: true}},
				{"none", tracker.Query{Filter: tracker.Filter{Search: "nobody has this"}}},
			} {
				b.Run(q.name, func(b *testing.B) {
					var took []time.Duration
					for b.Loop() {
						at := time.Now()
						_, err := m.List(ctx, q.Query)
						require.NoError(b, err)
						took = append(took, time.Since(at))
					}
					slices.Sort(took)
					b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
					b.ReportMetric(perSaga, "B/saga")
				})
			}
			b.Run("count", func(b *testing.B) {
				for b.Loop() {
					_, err := m.Count(ctx, tracker.Filter{}, tracker.GroupStep)
					require.NoError(b, err)
				}
			})
		})
	}
}
