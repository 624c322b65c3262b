package memory_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

func failAt(op memory.Op, after bool, err error) memory.Hook {
	return func(e memory.Effect) error {
		if e.Op == op && e.After == after {
			return err
		}
		return nil
	}
}

// work is a unit with a handler, and then a relay's claim.
func work(t *testing.T, store *memory.Store) error {
	u, err := store.Begin(t.Context(), id("a"))
	if err != nil {
		return err
	}
	_, _, err = u.Tx().Get(table, "k")
	if err == nil {
		_, err = u.Parked(t.Context(), id("a"), 1)
	}
	if err == nil {
		_, err = u.CountOpen(t.Context(), "order", 1)
	}
	if err == nil {
		err = errors.Join(u.Tx().Put(table, "k", "v"))
	}
	if err == nil {
		err = u.Tx().Delete(table, "gone")
	}
	if err != nil {
		return errors.Join(err, u.Rollback(t.Context()))
	}
	if err := u.Commit(t.Context(), changes(id("a"))); err != nil {
		return err
	}
	c, err := store.Claim(t.Context(), 10, nil)
	if err != nil {
		return err
	}
	var seqs []int64
	for _, e := range c.Entries() {
		seqs = append(seqs, e.Seq)
	}
	return errors.Join(c.Done(t.Context(), seqs), c.Release(t.Context()))
}

func TestHookIsCalledAroundEveryEffect(t *testing.T) {
	store := memory.New(memory.NewDatabase())
	var got []string
	store.SetHook(func(e memory.Effect) error {
		if e.After {
			got = append(got, string(e.Op))
		}
		return nil
	})
	require.NoError(t, work(t, store))
	require.Equal(t, []string{
		"begin", "lock", "load", "get", "parked", "count open", "put", "delete",
		"write steps", "write sagas", "write parked", "write entries", "commit", "claim", "done",
	}, got)
}

var errBoom = errors.New("boom")

func TestFaultAtEveryEffectLeavesAllOrNothing(t *testing.T) {
	unit := []memory.Op{
		memory.OpBegin, memory.OpLock, memory.OpLoad, memory.OpGet, memory.OpParked, memory.OpCountOpen, memory.OpPut, memory.OpDelete,
		memory.OpWriteSteps, memory.OpWriteSagas, memory.OpWriteParked, memory.OpWriteEntries, memory.OpCommit,
	}
	for _, op := range unit {
		for _, after := range []bool{false, true} {
			db := memory.NewDatabase()
			store := memory.New(db)
			store.SetHook(failAt(op, after, errBoom))
			err := work(t, store)
			require.ErrorIs(t, err, errBoom, "%s, after=%v", op, after)
			committed := op == memory.OpCommit && after
			require.Equal(t, committed, errors.Is(err, outbox.ErrUnknownOutcome))
			s := db.Snapshot()
			for _, there := range []bool{len(s.Steps) > 0, len(s.Sagas) > 0, len(s.Parked) > 0, len(s.Entries) > 0, s.Tables[table] != nil} {
				require.Equal(t, committed, there, "%s, after=%v", op, after)
			}
			store.SetHook(nil)
			require.NoError(t, work(t, store), "no lock is left: %s, after=%v", op, after)
		}
	}
}

func TestFaultAroundAClaim(t *testing.T) {
	for op, left := range map[memory.Op][2]int{ // entries left by a fault before, after
		memory.OpClaim: {1, 1}, memory.OpDone: {1, 0}, memory.OpRelease: {0, 0},
	} {
		for i, after := range []bool{false, true} {
			if op == memory.OpRelease && after {
				continue // there is nothing to lose an answer about
			}
			db := memory.NewDatabase()
			store := memory.New(db)
			store.SetHook(failAt(op, after, errBoom))
			require.ErrorIs(t, work(t, store), errBoom)
			require.Len(t, db.Snapshot().Entries, left[i], "%s, after=%v", op, after)
			c, err := memory.New(db).Claim(t.Context(), 10, nil)
			require.NoError(t, err)
			require.False(t, c.Contended(), "no claim is left: %s, after=%v", op, after)
			require.NoError(t, c.Release(t.Context()))
		}
	}
}

func TestStopTakesTheDatabaseAway(t *testing.T) {
	db := memory.NewDatabase()
	store := memory.New(db)
	require.NoError(t, store.Migrate(t.Context()))
	u, err := store.Begin(t.Context(), id("a"))
	require.NoError(t, err)
	waiting := make(chan error, 1)
	go func() {
		_, err := store.Begin(t.Context(), id("a"))
		waiting <- err
	}()
	db.Stop()
	err = <-waiting
	require.True(t, errors.Is(err, memory.ErrDown) || errors.Is(err, memory.ErrConnectionLost), "%v", err)
	for _, err := range []error{store.Ping(t.Context()), store.Migrate(t.Context()), work(t, store)} {
		require.ErrorIs(t, err, memory.ErrDown)
		require.True(t, store.Transient(err))
	}
	require.ErrorIs(t, u.Commit(t.Context(), changes(id("a"))), memory.ErrConnectionLost)
	require.Empty(t, db.Snapshot().Steps)
	db.Start()
	require.NoError(t, store.Ping(t.Context()))
	require.NoError(t, work(t, store))
}

func TestKillIsForGood(t *testing.T) {
	db := memory.NewDatabase()
	store, other := memory.New(db), memory.New(db)
	u, err := store.Begin(t.Context(), id("a"))
	require.NoError(t, err)
	beside, err := other.Begin(t.Context(), id("b"))
	require.NoError(t, err)
	store.Kill()
	require.ErrorIs(t, u.Commit(t.Context(), changes(id("a"))), memory.ErrConnectionLost)
	require.ErrorIs(t, store.Ping(t.Context()), memory.ErrConnectionLost)
	require.NoError(t, beside.Commit(t.Context(), changes(id("b"))), "other processes live on")
	require.NoError(t, work(t, other), "its locks are free")
}

func TestDoneTakesOnlyWhatWasClaimed(t *testing.T) {
	db := memory.NewDatabase()
	store := memory.New(db)
	u, err := store.Begin(t.Context(), id("a"))
	require.NoError(t, err)
	require.NoError(t, u.Commit(t.Context(), changes(id("a"))))
	c, err := store.Claim(t.Context(), 10, nil)
	require.NoError(t, err)
	require.ErrorContains(t, c.Done(t.Context(), []int64{99}), "entry 99")
	require.ErrorContains(t, c.Done(t.Context(), nil), "before")
	require.NoError(t, c.Release(t.Context()))
	require.ErrorIs(t, c.Done(t.Context(), nil), memory.ErrTxDone)
	require.Len(t, db.Snapshot().Entries, 1)
}
