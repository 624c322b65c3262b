package outboxtest

import (
	"context"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// recordOf returns an entry that is no event of a saga: a record of the user's own.
func recordOf(key, value []byte) outbox.Entry {
	return outbox.Entry{
		ID: uuid.NewString(), Type: "record",
		Record: choreo.Record{Topic: "invoices", Partition: choreo.AnyPartition, Key: key, Value: value},
	}
}

// recordLock is locked for a record of the user's own; it names no saga.
var recordLock = outbox.SagaID{Saga: "topic invoices", ID: "o-1"}

// keysRoundTrip: without a key is not with an empty one, and without a value is a
// tombstone, which an empty value is not.
func (x *exercise[Tx]) keysRoundTrip() {
	want := []outbox.Entry{
		recordOf(nil, []byte("no key")), recordOf([]byte{}, []byte("empty key")), recordOf(allBytes, []byte("any bytes")),
		recordOf([]byte("gone"), nil), recordOf([]byte("empty"), []byte{}), recordOf(nil, nil),
	}
	x.commit(x.Store, outbox.Changes{Entries: want}, recordLock)
	c := x.claim(x.Another(x.T), 10)
	got := c.Entries()
	require.Len(x, got, len(want))
	for i := range got {
		require.Equal(x, want[i].Record.Key, got[i].Record.Key, "record %d", i)
		require.Equal(x, want[i].Record.Value, got[i].Record.Value, "record %d", i)
		require.Equal(x, want[i].Type, got[i].Type)
	}
	require.NoError(x, c.Release(x.ctx))
}

// joinInsideUnit is what a handler does that publishes a record of its own: it joins the
// transaction of the unit that it runs in.
func (x *exercise[Tx]) joinInsideUnit() {
	other := x.Another(x.T)
	work := func(id outbox.SagaID) outbox.Unit[Tx] {
		u := x.begin(x.Store, id)
		require.NoError(x, x.Put(x.ctx, u.Tx(), id.ID, "before"))
		for _, lock := range [][]outbox.SagaID{{recordLock}, nil} { // with a key, and without one
			joined, err := x.Store.Join(x.ctx, u.Tx(), lock...)
			require.NoError(x, err)
			require.NoError(x, joined.Commit(x.ctx, outbox.Changes{Entries: []outbox.Entry{recordOf([]byte("o-1"), []byte(id.ID))}}))
			require.NoError(x, joined.Rollback(x.ctx), "after Commit it does nothing")
		}
		require.NoError(x, x.Put(x.ctx, u.Tx(), id.ID, "after"), "the unit's transaction goes on")
		return u
	}

	u := work(saga(1))
	require.NoError(x, u.Rollback(x.ctx))
	x.requireNothing(other, saga(1), saga(1).ID)
	require.Empty(x, x.peek(other, 10), "what was joined goes with the unit")

	u = work(saga(2))
	require.Empty(x, x.peek(other, 10), "nothing is committed before the unit is")
	short, cancel := context.WithTimeout(x.ctx, waits)
	defer cancel()
	_, err := other.Begin(short, recordLock)
	require.Error(x, err, "the unit's transaction holds what was joined to it")
	require.NoError(x, u.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(saga(2), 1)}, Entries: entries(saga(2), 1)}))
	require.Equal(x, []string{saga(2).ID, saga(2).ID, value(saga(2).ID, 1)}, x.peek(other, 10))
	require.Equal(x, 1, x.rows(other, saga(2)).Steps[countStep].Attempt)
	got, err := x.Get(x.ctx, saga(2).ID)
	require.NoError(x, err)
	require.Equal(x, "after", got)
	require.NoError(x, x.begin(other, recordLock).Rollback(x.ctx), "the lock went with the commit")
}
