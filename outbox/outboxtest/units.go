package outboxtest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

func stepRow(id outbox.SagaID, attempt int) outbox.StepRow {
	return outbox.StepRow{SagaID: id, Step: countStep, Version: 1, Row: choreo.Row{State: choreo.RowRetrying, Attempt: attempt}}
}

func (x *exercise[Tx]) manySagas() {
	var ids []outbox.SagaID
	for n := range 20 {
		ids = append(ids, saga(n))
	}
	slices.Reverse(ids)
	named := append(slices.Clone(ids), ids[3], ids[3]) // twice is once
	for range 2 {
		require.NoError(x, next(x.ctx, x.Store, named[:20]...))
	}
	u := x.begin(x.Store, named...)
	for _, id := range ids {
		require.Equal(x, 2, u.Rows(id).Steps[countStep].Attempt)
	}
	require.Empty(x, u.Rows(saga(99)).Steps, "a saga that was not named")
	require.NoError(x, u.Rollback(x.ctx))
	require.Len(x, x.peek(x.Store, 100), 40)
}

func (x *exercise[Tx]) rollback() {
	other := x.Another(x.T)
	id := saga(1)
	u := x.begin(x.Store, id)
	require.NoError(x, x.Put(x.ctx, u.Tx(), "balance", "7"))
	require.NoError(x, u.Rollback(x.ctx))
	x.requireNothing(other, id, "balance")

	u = x.begin(x.Store, id) // the lock is free
	require.NoError(x, x.Put(x.ctx, u.Tx(), "balance", "8"))
	require.NoError(x, u.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(id, 1)}, Entries: entries(id, 1)}))
	require.NoError(x, u.Rollback(x.ctx), "after Commit it does nothing")
	require.Error(x, u.Commit(x.ctx, outbox.Changes{}), "a unit ends once")
	require.Equal(x, 1, x.rows(other, id).Steps[countStep].Attempt)

	u = x.begin(x.Store) // a unit of no saga is a transaction
	require.NoError(x, u.Commit(x.ctx, outbox.Changes{}))
}

func (x *exercise[Tx]) requireNothing(store outbox.Store[Tx], id outbox.SagaID, key string) {
	x.Helper()
	require.Empty(x, x.rows(store, id).Steps)
	require.NotContains(x, x.peek(store, 10_000), value(id.ID, 1))
	got, err := x.Get(x.ctx, key)
	require.NoError(x, err)
	require.Empty(x, got)
}

func (x *exercise[Tx]) commitWithEndedContext() {
	id := saga(1)
	u := x.begin(x.Store, id)
	require.NoError(x, x.Put(x.ctx, u.Tx(), "balance", "7"))
	ended, cancel := context.WithCancel(x.ctx)
	cancel()
	require.Error(x, u.Commit(ended, outbox.Changes{Steps: []outbox.StepRow{stepRow(id, 1)}, Entries: entries(id, 1)}))
	require.NoError(x, u.Rollback(x.ctx))
	x.requireNothing(x.Another(x.T), id, "balance")
}

func (x *exercise[Tx]) oneSagaSerialises() {
	other := x.Another(x.T)
	id := saga(1)
	first := x.begin(x.Store, id)
	second := make(chan outbox.Unit[Tx], 1)
	failed := make(chan error, 1)
	go func() {
		u, err := other.Begin(x.ctx, id)
		second <- u
		failed <- err
	}()
	short, cancel := context.WithTimeout(x.ctx, waits)
	defer cancel()
	select {
	case <-second:
		require.Fail(x, "a second unit of the saga began while the first was open")
	case <-short.Done():
	}
	require.NoError(x, first.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(id, 1)}}))
	u := <-second
	require.NoError(x, <-failed)
	require.Equal(x, 1, u.Rows(id).Steps[countStep].Attempt, "the second sees what the first committed")
	require.NoError(x, u.Rollback(x.ctx))
}

// parallel runs n goroutines and requires that none fails.
func (x *exercise[Tx]) parallel(n int, run func(worker int) error) {
	x.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for worker := range n {
		wg.Go(func() { errs[worker] = run(worker) })
	}
	wg.Wait()
	require.NoError(x, errors.Join(errs...))
}

func (x *exercise[Tx]) noLostUpdate() {
	const workers, each = 6, 15
	stores := []outbox.Store[Tx]{x.Store, x.Another(x.T)}
	x.parallel(workers, func(worker int) error {
		for range each {
			if err := next(x.ctx, stores[worker%2], saga(1)); err != nil {
				return err
			}
		}
		return nil
	})
	require.Equal(x, workers*each, x.rows(x.Store, saga(1)).Steps[countStep].Attempt)
}

func (x *exercise[Tx]) otherSagasRunBeside() {
	if x.OneWriter {
		x.Skip("the database has one writer at a time")
	}
	first := x.begin(x.Store, saga(1), saga(2))
	for n, store := range []outbox.Store[Tx]{x.Store, x.Another(x.T)} {
		id := saga(n + 3)
		u := x.begin(store, id)
		require.NoError(x, x.Put(x.ctx, u.Tx(), id.ID, "yes"))
		require.NoError(x, u.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(id, 1)}, Entries: entries(id, 1)}))
	}
	require.NoError(x, first.Commit(x.ctx, outbox.Changes{}))
}

func (x *exercise[Tx]) oppositeOrders() {
	const workers, each, sagas = 6, 10, 5
	stores := []outbox.Store[Tx]{x.Store, x.Another(x.T)}
	x.parallel(workers, func(worker int) error {
		ids := make([]outbox.SagaID, sagas)
		for i := range ids {
			ids[i] = saga((worker*7 + i) % sagas)
		}
		for range each {
			slices.Reverse(ids)
			if err := next(x.ctx, stores[worker%2], ids...); err != nil {
				return err
			}
		}
		return nil
	})
	for n := range sagas {
		require.Equal(x, workers*each, x.rows(x.Store, saga(n)).Steps[countStep].Attempt)
	}
}

func (x *exercise[Tx]) waitEndsWithContext() {
	other := x.Another(x.T)
	first := x.begin(x.Store, saga(1))
	for _, store := range []outbox.Store[Tx]{x.Store, other} {
		short, cancel := context.WithTimeout(x.ctx, waits)
		_, err := store.Begin(short, saga(1))
		require.Error(x, err, "the wait for the lock ends with its context")
		require.ErrorIs(x, short.Err(), context.DeadlineExceeded, "and not before")
		cancel()
	}
	require.NoError(x, first.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(saga(1), 1)}}))
	require.NoError(x, next(x.ctx, other, saga(1)), "a wait that was given up leaves nothing behind")
	require.NoError(x, next(x.ctx, x.Store, saga(1)))
}

func (x *exercise[Tx]) transient() {
	require.False(x, x.Store.Transient(nil))
	require.False(x, x.Store.Transient(errors.New("out of stock")))
	if x.Disconnect == nil {
		return
	}
	u := x.begin(x.Store, saga(1))
	x.Disconnect()
	err := x.Put(x.ctx, u.Tx(), "balance", "7")
	require.Error(x, err)
	require.True(x, x.Store.Transient(err), "a handler's statement on a lost connection: %v", err)
	err = u.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(saga(1), 1)}, Entries: entries(saga(1), 1)})
	require.Error(x, err)
	require.True(x, x.Store.Transient(err), "a commit on a lost connection: %v", err)
	_ = u.Rollback(x.ctx) // may fail as it likes: there is no connection
	x.requireNothing(x.Another(x.T), saga(1), "balance")
	require.NoError(x, next(x.ctx, x.Store, saga(1)), "the store makes a new connection")
}

var errChanged = errors.New("the caller changed its mind")

func (x *exercise[Tx]) joinEnds() {
	other := x.Another(x.T)
	work := func(id outbox.SagaID, end error) error {
		return x.Transact(x.ctx, func(tx Tx) error {
			if err := x.Put(x.ctx, tx, id.ID, "mine"); err != nil {
				return err
			}
			u, err := x.Store.Join(x.ctx, tx, id)
			if err != nil {
				return err
			}
			if err := x.Put(x.ctx, u.Tx(), id.ID+"/unit", "ours"); err != nil {
				return err
			}
			if err := u.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{stepRow(id, 1)}, Entries: entries(id, 1)}); err != nil {
				return err
			}
			return end
		})
	}
	require.ErrorIs(x, work(saga(1), errChanged), errChanged)
	x.requireNothing(other, saga(1), saga(1).ID)
	x.requireNothing(other, saga(1), saga(1).ID+"/unit")

	require.NoError(x, work(saga(2), nil))
	require.Equal(x, 1, x.rows(other, saga(2)).Steps[countStep].Attempt)
	require.Equal(x, []string{value(saga(2).ID, 1)}, x.peek(other, 10))
	for _, key := range []string{saga(2).ID, saga(2).ID + "/unit"} {
		got, err := x.Get(x.ctx, key)
		require.NoError(x, err)
		require.NotEmpty(x, got)
	}

	// Rolling back a joined unit leaves the transaction to its owner.
	require.NoError(x, x.Transact(x.ctx, func(tx Tx) error {
		u, err := x.Store.Join(x.ctx, tx, saga(3))
		if err != nil {
			return err
		}
		if err := u.Rollback(x.ctx); err != nil {
			return err
		}
		return x.Put(x.ctx, tx, "after", "rollback")
	}))
	got, err := x.Get(x.ctx, "after")
	require.NoError(x, err)
	require.Equal(x, "rollback", got)
}

func (x *exercise[Tx]) joinSeesAndLocks() {
	other := x.Another(x.T)
	require.NoError(x, next(x.ctx, x.Store, saga(1)))
	require.NoError(x, x.Transact(x.ctx, func(tx Tx) error {
		for attempt := 1; attempt <= 3; attempt++ {
			u, err := x.Store.Join(x.ctx, tx, saga(1), saga(2))
			if err != nil {
				return err
			}
			if got := u.Rows(saga(1)).Steps[countStep].Attempt; got != attempt {
				x.Errorf("unit %d of the transaction sees attempt %d", attempt, got)
			}
			changes := outbox.Changes{
				Steps: []outbox.StepRow{stepRow(saga(1), attempt+1)}, Entries: []outbox.Entry{entry(saga(1), attempt+1)},
			}
			if err := u.Commit(x.ctx, changes); err != nil {
				return err
			}
		}
		short, cancel := context.WithTimeout(x.ctx, waits)
		defer cancel()
		if _, err := other.Begin(short, saga(1)); err == nil {
			x.Error("a unit began while the caller's transaction holds the saga")
		}
		return nil
	}))
	require.Equal(x, 4, x.rows(other, saga(1)).Steps[countStep].Attempt)
	require.Len(x, x.peek(other, 10), 4)
}
