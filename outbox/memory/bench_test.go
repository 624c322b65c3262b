package memory_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

// BenchmarkDatabase is what each operation costs in a database with so many sagas, each with
// a saga row, a step that is due, and an entry that no relay has taken.
func BenchmarkDatabase(b *testing.B) {
	for _, sagas := range []int{300, 3000, 100_000} {
		store := memory.New(memory.NewDatabase())
		work := func(n int) {
			saga := id(fmt.Sprint(n))
			u, err := store.Begin(b.Context(), saga)
			require.NoError(b, err)
			require.NoError(b, u.Commit(b.Context(), outbox.Changes{
				Steps:   []outbox.StepRow{{SagaID: saga, Step: "charge", DueIn: time.Nanosecond, Row: choreo.Row{State: choreo.RowRetrying}}},
				Sagas:   []outbox.SagaRow{{SagaID: saga, Row: choreo.Row{State: choreo.RowOpen}}},
				Entries: []outbox.Entry{{ID: uuid.NewString(), Record: choreo.Record{Key: []byte(saga.ID)}}},
			}))
		}
		for n := range sagas {
			work(n)
		}
		take := func() {
			c, err := store.Claim(b.Context(), 100, nil)
			require.NoError(b, err)
			var seqs []int64
			for _, e := range c.Entries() {
				seqs = append(seqs, e.Seq)
			}
			require.NoError(b, c.Done(b.Context(), seqs))
			require.NoError(b, c.Release(b.Context()))
		}
		n := 0
		for _, operation := range []struct {
			name string
			run  func()
		}{
			{"unit and relay", func() {
				for range 100 {
					work(n % sagas)
					n++
				}
				take()
			}},
			{"due", func() {
				_, err := store.Due(b.Context(), outbox.DueQuery{Limit: 100})
				require.NoError(b, err)
			}},
			{"prune", func() {
				_, err := store.Prune(b.Context(), time.Hour, 100)
				require.NoError(b, err)
			}},
			{"count open", func() {
				u, err := store.Begin(b.Context())
				require.NoError(b, err)
				_, err = u.CountOpen(b.Context(), "order", sagas)
				require.NoError(b, err)
				require.NoError(b, u.Rollback(b.Context()))
			}},
		} {
			b.Run(fmt.Sprintf("sagas=%d/%s", sagas, operation.name), func(b *testing.B) {
				for b.Loop() {
					operation.run()
				}
			})
		}
	}
}
