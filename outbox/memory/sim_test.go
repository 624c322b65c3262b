package memory_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

// What the database's clock tells comes from the clock that was set, whatever the time is.
func TestClock(t *testing.T) {
	now := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	db := memory.NewDatabase()
	db.SetClock(func() time.Time { return now })
	store := memory.New(db)
	c := changes(id("a"))
	c.Sagas = nil
	c.Steps[0].State, c.Steps[0].DueIn = choreo.RowRetrying, time.Minute
	commit(t, store, c)
	require.Equal(t, now, db.Snapshot().Entries[0].CreatedAt)
	require.Equal(t, time.Minute, load(t, store).Due["charge"])
	require.Empty(t, due(t, store))

	now = now.Add(time.Minute)
	require.Len(t, due(t, store), 1)
	require.Equal(t, time.Microsecond, load(t, store).Due["charge"])
	backlog, err := store.Backlog(t.Context())
	require.NoError(t, err)
	require.Equal(t, time.Minute, backlog.Oldest)

	c.Steps[0].State, c.Steps[0].DueIn, c.Entries = choreo.RowCompleted, 0, nil
	commit(t, store, c)
	prune := func() int {
		n, err := store.Prune(t.Context(), time.Hour, 10)
		require.NoError(t, err)
		return n
	}
	now = now.Add(time.Hour)
	require.Zero(t, prune())
	now = now.Add(time.Nanosecond)
	require.Equal(t, 1, prune())

	db.SetClock(nil)
	c.Steps[0].State, c.Steps[0].DueIn = choreo.RowRetrying, time.Nanosecond
	before := time.Now()
	c.Entries = changes(id("a")).Entries
	commit(t, store, c)
	require.False(t, db.Snapshot().Entries[1].CreatedAt.Before(before), "time.Now")
}

func commit(t *testing.T, store *memory.Store, c outbox.Changes) {
	t.Helper()
	u, err := store.Begin(t.Context(), id("a"))
	require.NoError(t, err)
	require.NoError(t, u.Commit(t.Context(), c))
}

func load(t *testing.T, store *memory.Store) outbox.Rows {
	t.Helper()
	u, err := store.Begin(t.Context(), id("a"))
	require.NoError(t, err)
	require.NoError(t, u.Rollback(t.Context()))
	return u.Rows(id("a"))
}

func due(t *testing.T, store *memory.Store) []outbox.Due {
	t.Helper()
	list, err := store.Due(t.Context(), outbox.DueQuery{Limit: 10})
	require.NoError(t, err)
	return list
}

// One goroutine is enough where whoever waits for a saga lets its holder go on.
func TestWaitRunsTheHolder(t *testing.T) {
	for name, test := range map[string]struct {
		let  func(t *testing.T, store *memory.Store, holder outbox.Unit[*memory.Tx], cancel context.CancelFunc)
		fail error
	}{
		"until it commits": {let: func(t *testing.T, _ *memory.Store, holder outbox.Unit[*memory.Tx], _ context.CancelFunc) {
			require.NoError(t, holder.Commit(t.Context(), changes(id("a"))))
		}},
		"until the process is killed": {
			let: func(_ *testing.T, store *memory.Store, _ outbox.Unit[*memory.Tx], _ context.CancelFunc) {
				store.Kill()
			},
			fail: memory.ErrConnectionLost,
		},
		"until the caller gives up": {
			let: func(_ *testing.T, _ *memory.Store, _ outbox.Unit[*memory.Tx], cancel context.CancelFunc) {
				cancel()
			},
			fail: context.Canceled,
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := memory.NewDatabase()
			holder, err := memory.New(db).Begin(t.Context(), id("a"))
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			store := memory.New(db)
			var waits int
			store.SetWait(func(ready func() bool) {
				waits++
				require.False(t, ready())
				test.let(t, store, holder, cancel)
				require.True(t, ready())
			})
			u, err := store.Begin(ctx, id("a"))
			require.ErrorIs(t, err, test.fail)
			require.Equal(t, 1, waits)
			if test.fail == nil {
				require.Contains(t, u.Rows(id("a")).Steps, "charge", "what the holder committed")
				require.NoError(t, u.Rollback(t.Context()))
			}
		})
	}
}

// A wait that returns too early does not take the lock from its holder.
func TestWaitThatGivesUpEarlyBlocks(t *testing.T) {
	db := memory.NewDatabase()
	holder, err := memory.New(db).Begin(t.Context(), id("a"))
	require.NoError(t, err)
	store := memory.New(db)
	waited := make(chan struct{})
	store.SetWait(func(func() bool) { close(waited) })
	began := make(chan outbox.Unit[*memory.Tx], 1)
	go func() {
		u, err := store.Begin(t.Context(), id("a"))
		if err != nil {
			t.Error(err)
		}
		began <- u
	}()
	<-waited
	require.NoError(t, holder.Commit(t.Context(), changes(id("a"))))
	u := <-began
	require.Contains(t, u.Rows(id("a")).Steps, "charge")
	require.NoError(t, u.Rollback(t.Context()))
}
