package memory_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/outbox/outboxtest"
)

const table = "business"

func TestExercise(t *testing.T) {
	outboxtest.Exercise(t, func(*testing.T) outboxtest.Harness[*memory.Tx] {
		db := memory.NewDatabase()
		store := memory.New(db)
		return outboxtest.Harness[*memory.Tx]{
			Store:   store,
			Another: func(*testing.T) outbox.Store[*memory.Tx] { return memory.New(db) },
			Transact: func(ctx context.Context, fn func(tx *memory.Tx) error) error {
				tx, err := store.BeginTx(ctx)
				if err != nil {
					return err
				}
				if err := fn(tx); err != nil {
					_ = tx.Rollback(ctx) // fails where the connection is gone, and is not needed there
					return err
				}
				return tx.Commit(ctx)
			},
			Put: func(_ context.Context, tx *memory.Tx, key, value string) error { return tx.Put(table, key, value) },
			Get: func(_ context.Context, key string) (string, error) {
				return db.Snapshot().Tables[table][key], nil
			},
			Cut:        func(n int, after bool) func() bool { return cut(store, n, after) },
			Disconnect: store.Disconnect,
		}
	})
}

// cut breaks the connection at the n-th effect from now on.
func cut(store *memory.Store, n int, after bool) (end func() bool) {
	var seen atomic.Int64
	var done atomic.Bool
	store.SetHook(func(e memory.Effect) error {
		if e.After != after || seen.Add(1) != int64(n)+1 {
			return nil
		}
		done.Store(true)
		store.Disconnect()
		return memory.ErrConnectionLost
	})
	return func() bool {
		store.SetHook(nil)
		return done.Load()
	}
}
