package choreotest

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/outbox/sqlite"
	"github.com/choreo-go/choreo/participant"
)

// ledger is a handler over SQLite.
type ledger struct {
	answer func(call *participant.Call[created]) error
}

func (l ledger) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[created]) (receipt, error) {
	_, err := tx.ExecContext(ctx, "INSERT INTO charges VALUES (?)", call.SagaID)
	if err == nil && l.answer != nil {
		err = l.answer(call)
	}
	return receipt{}, err
}

func (ledger) Compensate(ctx context.Context, tx *sql.Tx, call *participant.Call[created], _ receipt) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM charges WHERE id = ?", call.SagaID)
	return err
}

// openWithSQLite is openOrder with payments over SQLite. Its handler is registered unless
// registers says no.
func openWithSQLite(w *World, l ledger, registers ...func() bool) (*Service[*memory.Tx], *sql.DB) {
	t := w.T()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "payments.db"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(w.Context(), "CREATE TABLE charges (id TEXT PRIMARY KEY)")
	require.NoError(t, err)
	ServeOn(w, "payments", sqlite.New(db, nil), func(p *participant.Participant[*sql.Tx]) {
		for _, yes := range registers {
			if !yes() {
				return
			}
		}
		participant.Handle(p, charge, l)
	})
	Serve(w, "stock", shop{}.stock)
	Serve(w, "shipping", shop{}.shipping)
	return Serve(w, "orders", shop{}.orders), db
}

func charges(w *World, db *sql.DB) (n int) {
	require.NoError(w.T(), db.QueryRowContext(context.Background(), "SELECT count(*) FROM charges").Scan(&n))
	return n
}

func TestSQLiteOnVirtualTime(t *testing.T) {
	begin := time.Now()
	Run(t, orders, func(w *World) {
		tries := 0
		s, db := openWithSQLite(w, ledger{func(*participant.Call[created]) error {
			if tries++; tries < 3 {
				return choreo.RetryAfter(2*time.Hour, errors.New("gateway is away"))
			}
			return nil
		}})
		ref := Start(s, order, "o-1", placed{})
		in := w.Wait(ref)
		w.AssertStatus(ref, choreo.StatusCompleted)
		require.Equal(w.T(), 4*time.Hour, in.EndedAt.Sub(in.StartedAt).Round(time.Hour), "retries are due on virtual time")
		w.AssertOutboxEmpty()
		w.AssertRows(ref, "create completed", "charge completed", "reserve completed", "wrap completed",
			"ship completed", "letter completed")
		require.Equal(w.T(), 1, charges(w, db))
	})
	require.Less(t, time.Since(begin), 20*time.Second)
}

func TestSQLiteUnderEveryFailureOfItsStep(t *testing.T) {
	for _, f := range Failures(order) {
		if f.Step != "charge" {
			continue
		}
		t.Run(f.String(), func(t *testing.T) {
			Run(t, orders, func(w *World) {
				var db *sql.DB
				w.try(order.Def(), f, func(w *World) participant.Ref {
					s, opened := openWithSQLite(w, ledger{})
					db = opened
					return Start(s, order, "o-1", placed{})
				}, func(w *World, trial Trial) {
					want := 0
					if trial.Instance.Status == choreo.StatusCompleted {
						want = 1
					}
					require.Equal(w.T(), want, charges(w, db))
					w.AssertOutboxEmpty()
				})
			})
		})
	}
}

func TestSQLiteOnRealTime(t *testing.T) {
	RunReal(t, orders, func(w *World) {
		s, db := openWithSQLite(w, ledger{})
		ref := Start(s, order, "o-1", placed{})
		w.Wait(ref)
		w.AssertStatus(ref, choreo.StatusCompleted)
		w.AssertOutboxEmpty()
		require.Equal(w.T(), 1, charges(w, db))
		s.Restart()
		w.Wait(Start(s, order, "o-2", placed{}))
	})
}

// A process that is killed reaches nothing any more, by whatever call.
func TestAKilledProcessReachesNothing(t *testing.T) {
	Run(t, orders, func(w *World) {
		t := w.T()
		s := shop{}.open(w)
		proc, _, _ := s.current()
		store, id := proc.store, outbox.SagaID{Saga: "order", ID: "o-1"}
		unit, err := store.Begin(t.Context(), id)
		require.NoError(t, err)
		tx, err := memory.New(w.Database("orders")).BeginTx(t.Context())
		require.NoError(t, err)
		joined, err := store.Join(t.Context(), tx)
		require.NoError(t, err)
		require.NoError(t, joined.Commit(t.Context(), outbox.Changes{}))
		claim, err := store.Claim(t.Context(), 1, nil)
		require.NoError(t, err)
		s.Kill()

		require.ErrorIs(t, unit.Commit(t.Context(), outbox.Changes{}), errKilled)
		require.NoError(t, tx.Rollback(t.Context()))
		require.ErrorIs(t, claim.Done(t.Context(), nil), errKilled)
		require.NoError(t, claim.Release(t.Context()))
		_, err = store.Begin(t.Context(), id)
		require.ErrorIs(t, err, errKilled)
		require.True(t, store.Transient(err))
		_, err = store.Join(t.Context(), tx, id)
		require.ErrorIs(t, err, errKilled)
		_, err = store.Due(t.Context(), outbox.DueQuery{Limit: 1})
		require.ErrorIs(t, err, errKilled)
		_, err = store.Hasten(t.Context(), outbox.DueKind{Saga: "order"})
		require.ErrorIs(t, err, errKilled)
		require.ErrorIs(t, store.Ping(t.Context()), errKilled)
		claim, err = store.Claim(t.Context(), 1, nil)
		require.NoError(t, err)
		require.Empty(t, claim.Entries())
		require.False(t, claim.Contended())
		require.ErrorIs(t, claim.Done(t.Context(), nil), errKilled)
		require.NoError(t, claim.Release(t.Context()))

		s.Restart()
		w.Wait(Start(s, order, "o-1", placed{}))
	})
	fake := play(t, orders, func(w *World) {
		s := shop{}.open(w)
		s.Stop()
		Start(s, order, "o-1", placed{})
	})
	require.Equal(t, "choreotest: service orders is stopped: call Restart", fake.text())
}
