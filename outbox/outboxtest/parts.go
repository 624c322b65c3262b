package outboxtest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/outbox"
)

// groupTests are those of units of several sagas.
func groupTests[Tx any]() []test[Tx] {
	return []test[Tx]{
		{"Part/UndoneByItself", (*exercise[Tx]).partUndone},
		{"Part/UndoneWithWhatItJoined", (*exercise[Tx]).partUndoneWithJoined},
		{"Part/NotUndoable", (*exercise[Tx]).partNotUndoable},
		{"Part/OfAJoinedUnit", (*exercise[Tx]).partOfJoined},
		{"Group", (*exercise[Tx]).group},
		{"Group/OneOfItJoined", (*exercise[Tx]).groupJoined},
	}
}

// inGroup is how the parts of groups are tested.
var inGroup = outbox.Group{LockTimeout: 5 * time.Second}

func (x *exercise[Tx]) beginGroup(group outbox.Group, sagas ...outbox.SagaID) outbox.Unit[Tx] {
	x.Helper()
	u, err := x.Store.BeginGroup(x.ctx, group, sagas...)
	require.NoError(x, err)
	return u
}

func (x *exercise[Tx]) put(u outbox.Unit[Tx], key string) {
	x.Helper()
	require.NoError(x, x.Put(x.ctx, u.Tx(), key, "written"))
}

// requireWritten looks, as another process, at what is committed.
func (x *exercise[Tx]) requireWritten(want string, keys ...string) {
	x.Helper()
	for _, key := range keys {
		got, err := x.Get(x.ctx, key)
		require.NoError(x, err)
		require.Equal(x, want, got, "key %s", key)
	}
}

// partUndone undoes some parts of a transaction, the first and the last among them, and parts in
// which nothing was done.
func (x *exercise[Tx]) partUndone() {
	u := x.beginGroup(inGroup, saga(1), saga(2))
	x.put(u, "before all parts")
	for _, key := range []string{"undone", "kept", "undone", "", "kept too", "undone"} {
		require.NoError(x, u.Part(x.ctx, true))
		if key != "" {
			x.put(u, key)
		}
		if key == "undone" || key == "" {
			require.NoError(x, u.UndoPart(x.ctx))
		}
	}
	x.put(u, "after the last was undone")
	require.NoError(x, u.Commit(x.ctx, outbox.Changes{
		Steps: []outbox.StepRow{stepRow(saga(1), 1), stepRow(saga(2), 2)}, Entries: entries(saga(1), 1),
	}))
	x.requireWritten("written", "before all parts", "kept", "kept too", "after the last was undone")
	x.requireWritten("", "undone")
	require.Equal(x, 2, x.rows(x.Another(x.T), saga(2)).Steps[countStep].Attempt)
}

func (x *exercise[Tx]) partUndoneWithJoined() {
	other := x.Another(x.T)
	u := x.beginGroup(inGroup, saga(1), saga(2))
	for _, id := range []outbox.SagaID{saga(3), saga(4)} {
		require.NoError(x, u.Part(x.ctx, true))
		joined, err := x.Store.Join(x.ctx, u.Tx(), id)
		require.NoError(x, err)
		require.NoError(x, joined.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(id, 1)}, Entries: entries(id, 1)}))
		if id == saga(3) {
			require.NoError(x, u.UndoPart(x.ctx))
		}
	}
	require.NoError(x, u.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(saga(1), 1)}}))
	require.Empty(x, x.rows(other, saga(3)).Steps)
	require.Equal(x, 1, x.rows(other, saga(4)).Steps[countStep].Attempt)
	require.Equal(x, []string{value(saga(4).ID, 1)}, x.peek(other, 10))
}

// partNotUndoable: what cannot be undone by itself says so, and goes with the whole.
func (x *exercise[Tx]) partNotUndoable() {
	u := x.beginGroup(inGroup, saga(1), saga(2))
	require.NoError(x, u.Part(x.ctx, true))
	x.put(u, "first")
	require.NoError(x, u.Part(x.ctx, false))
	x.put(u, "second")
	require.Error(x, u.UndoPart(x.ctx))
	require.NoError(x, u.Rollback(x.ctx))
	x.requireWritten("", "first", "second")

	u = x.beginGroup(inGroup, saga(1), saga(2)) // the locks are free, and nothing is left of before
	require.NoError(x, u.Part(x.ctx, false))
	x.put(u, "third")
	require.NoError(x, u.Commit(x.ctx, outbox.Changes{}))
	x.requireWritten("written", "third")
}

func (x *exercise[Tx]) partOfJoined() {
	require.NoError(x, x.Transact(x.ctx, func(tx Tx) error {
		u, err := x.Store.Join(x.ctx, tx, saga(1))
		if err != nil {
			return err
		}
		if u.Part(x.ctx, true) == nil || u.UndoPart(x.ctx) == nil {
			x.Error("the transaction is its caller's")
		}
		return u.Commit(x.ctx, outbox.Changes{})
	}))
}

// group: units that take turns are units like others.
func (x *exercise[Tx]) group() {
	other := x.Another(x.T)
	for n, group := range []outbox.Group{{}, inGroup, {Alone: true}, {LockTimeout: time.Second, Alone: true}} {
		u := x.beginGroup(group, saga(1), saga(2))
		require.Equal(x, n, u.Rows(saga(2)).Steps[countStep].Attempt)
		require.NoError(x, u.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(saga(2), n+1)}}))
	}
	const workers, each = 4, 10
	x.parallel(workers, func(worker int) error {
		for range each {
			u, err := []outbox.Store[Tx]{x.Store, other}[worker%2].BeginGroup(x.ctx, outbox.Group{Alone: worker < 2}, saga(worker), saga(9))
			if err != nil {
				return err
			}
			if err := u.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(saga(9), u.Rows(saga(9)).Steps[countStep].Attempt+1)}}); err != nil {
				return err
			}
		}
		return nil
	})
	require.Equal(x, workers*each, x.rows(other, saga(9)).Steps[countStep].Attempt)
}

// groupJoined: a unit must not write over what a handler of another saga has done to one of its own.
func (x *exercise[Tx]) groupJoined() {
	for _, undo := range []bool{false, true} {
		u := x.beginGroup(inGroup, saga(1), saga(2))
		require.NoError(x, u.Part(x.ctx, true))
		joined, err := x.Store.Join(x.ctx, u.Tx(), saga(2))
		require.NoError(x, err)
		require.NoError(x, joined.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(saga(2), 7)}}))
		if undo {
			require.NoError(x, u.UndoPart(x.ctx))
		}
		err = u.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(saga(1), 1), stepRow(saga(2), 1)}})
		require.ErrorIs(x, err, outbox.ErrJoined)
		require.NoError(x, u.Rollback(x.ctx))
		require.Empty(x, x.rows(x.Store, saga(1)).Steps)
		require.Empty(x, x.rows(x.Store, saga(2)).Steps)
	}
}
