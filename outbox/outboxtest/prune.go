package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// lowAge is the age of rows that are old in these tests. What is younger is younger by hours.
const lowAge = time.Millisecond

func states(id outbox.SagaID, own choreo.RowState, steps ...choreo.RowState) outbox.Changes {
	var c outbox.Changes
	for i, state := range steps {
		c.Steps = append(c.Steps, outbox.StepRow{SagaID: id, Step: fmt.Sprintf("step-%d", i), Version: 1, Row: choreo.Row{State: state}})
	}
	if own != choreo.RowNone {
		c.Sagas = []outbox.SagaRow{{SagaID: id, Version: 1, Row: choreo.Row{State: own}}}
	}
	return c
}

// size returns how many rows a saga has.
func size(rows outbox.Rows) int {
	n := len(rows.Steps)
	if rows.Saga != nil {
		n++
	}
	return n
}

// prune prunes until n rows have gone, and expects no more.
func (x *exercise[Tx]) prune(store outbox.Store[Tx], limit, n int) {
	x.Helper()
	total := 0
	require.Eventually(x, func() bool { // a database's clock may be a coarse one
		gone, err := store.Prune(x.ctx, lowAge, limit)
		require.NoError(x, err)
		total += gone
		return total >= n
	}, 10*time.Second, time.Millisecond)
	require.Equal(x, n, total)
}

func (x *exercise[Tx]) pruneRest() {
	const none = choreo.RowNone
	done, open, closed := choreo.RowCompleted, choreo.RowOpen, choreo.RowClosed
	stays := map[string]outbox.Changes{}
	add := func(to map[string]outbox.Changes, name string, own choreo.RowState, steps ...choreo.RowState) {
		to[name] = states(outbox.SagaID{Saga: "order", ID: name}, own, steps...)
	}
	add(stays, "runs", open, done, done)
	add(stays, "started", open)
	for _, state := range []choreo.RowState{
		choreo.RowWaiting, choreo.RowRetrying, choreo.RowPending, choreo.RowUndoing, choreo.RowUndoFailed,
	} {
		add(stays, string(state), none, state)
		add(stays, "one of two "+string(state), closed, done, state)
	}
	goes := map[string]outbox.Changes{}
	add(goes, "ended", closed, done, done)
	add(goes, "without steps", closed)
	add(goes, `not the "initiator" / 注文's`, none, done, choreo.RowFailed, choreo.RowSkipped, choreo.RowUndone)
	rows := 0
	for name, changes := range stays {
		x.commit(x.Store, changes, outbox.SagaID{Saga: "order", ID: name})
	}
	for name, changes := range goes {
		x.commit(x.Store, changes, outbox.SagaID{Saga: "order", ID: name})
		rows += len(changes.Steps) + len(changes.Sagas)
	}
	// One that shares its id with an ended one of another definition, and one of two rows
	// that was written over.
	other := outbox.SagaID{Saga: "refund", ID: "ended"}
	x.commit(x.Store, states(other, open), other)
	twice := outbox.SagaID{Saga: "order", ID: "twice"}
	x.commit(x.Store, states(twice, open, choreo.RowWaiting), twice)
	x.commit(x.Store, states(twice, closed, done), twice)
	x.emit(saga(1))

	n, err := x.Store.Prune(x.ctx, time.Hour, 100)
	require.NoError(x, err)
	require.Zero(x, n, "all rows are young")

	x.prune(x.Another(x.T), 100, rows+2)
	for name, changes := range stays {
		require.Equal(x, len(changes.Steps)+len(changes.Sagas), size(x.rows(x.Store, outbox.SagaID{Saga: "order", ID: name})), name)
	}
	for name := range maps.Keys(goes) {
		require.Zero(x, size(x.rows(x.Store, outbox.SagaID{Saga: "order", ID: name})), name)
	}
	require.Zero(x, size(x.rows(x.Store, twice)))
	require.Equal(x, 1, size(x.rows(x.Store, other)))
	require.Equal(x, []string{value(saga(1).ID, 1)}, x.peek(x.Store, 10), "the outbox is left alone")
	n, err = x.Store.Prune(x.ctx, lowAge, 100)
	require.NoError(x, err)
	require.Zero(x, n)
}

// pruneParked: what is parked goes with the rows of its saga, and only then.
func (x *exercise[Tx]) pruneParked() {
	park := func(id outbox.SagaID, c outbox.Changes) {
		c.Park = []outbox.Parked{parked(id, 1), parked(id, 2)}
		x.commit(x.Store, c, id)
	}
	refund := outbox.SagaID{Saga: "refund", ID: saga(0).ID}
	park(saga(0), states(saga(0), choreo.RowClosed, choreo.RowCompleted))
	park(saga(1), states(saga(1), choreo.RowNone, choreo.RowSkipped))
	park(saga(2), states(saga(2), choreo.RowClosed, choreo.RowCompleted, "parked"))
	park(saga(3), outbox.Changes{}) // has no rows
	park(refund, states(refund, choreo.RowOpen))
	x.prune(x.Another(x.T), 100, 3)
	for id, want := range map[outbox.SagaID]int{saga(0): 0, saga(1): 0, saga(2): 2, saga(3): 2, refund: 2} {
		require.Len(x, x.parkedOf(x.Store, id), want, "%v", id)
	}
}

func (x *exercise[Tx]) pruneLimit() {
	const sagas, each = 7, 3
	for n := range sagas {
		x.commit(x.Store, states(saga(n), choreo.RowClosed, choreo.RowCompleted, choreo.RowCompleted), saga(n))
	}
	left := sagas * each
	for _, step := range []struct{ limit, most int }{{1, each}, {each, each}, {2*each + 2, 2 * each}} {
		var gone int
		require.Eventually(x, func() bool {
			var err error
			gone, err = x.Store.Prune(x.ctx, lowAge, step.limit)
			require.NoError(x, err)
			return gone > 0
		}, 10*time.Second, time.Millisecond)
		require.LessOrEqual(x, gone, step.most)
		left -= gone
		for n := range sagas {
			require.Contains(x, []int{0, each}, size(x.rows(x.Store, saga(n))), "a saga's rows go together")
		}
	}
	x.prune(x.Store, 2*each, left)
}

// pruneHeld prunes while a unit has read a row that it is about to change, and one waits.
func (x *exercise[Tx]) pruneHeld() {
	for n := range 2 {
		x.commit(x.Store, states(saga(n), choreo.RowNone, choreo.RowCompleted), saga(n))
	}
	other := x.Another(x.T)
	u := x.begin(x.Store, saga(0))
	require.Equal(x, choreo.RowCompleted, u.Rows(saga(0)).Steps["step-0"].State)
	gone := make(chan int, 1)
	failed := make(chan error, 1)
	go func() {
		total := 0
		for total == 0 {
			n, err := other.Prune(x.ctx, lowAge, 100)
			if err != nil {
				failed <- err
				return
			}
			total += n
		}
		gone <- total
	}()
	if !x.OneWriter {
		require.Equal(x, 1, x.await(gone, failed), "the other saga goes, and nothing waits for the unit")
	}
	require.NoError(x, u.Commit(x.ctx, states(saga(0), choreo.RowNone, choreo.RowUndoing)))
	if x.OneWriter {
		require.Equal(x, 1, x.await(gone, failed), "what the unit wrote is asked for again")
	}
	require.Equal(x, choreo.RowUndoing, x.rows(other, saga(0)).Steps["step-0"].State)
	require.Empty(x, x.rows(other, saga(1)).Steps)

	x.commit(other, states(saga(0), choreo.RowNone, choreo.RowUndone), saga(0))
	x.prune(x.Store, 100, 1)
}

func (x *exercise[Tx]) await(gone <-chan int, failed <-chan error) int {
	x.Helper()
	select {
	case n := <-gone:
		return n
	case err := <-failed:
		require.NoError(x, err)
	case <-x.ctx.Done():
		require.Fail(x, "pruning did not come to an end")
	}
	return 0
}

// pruneBesideWriters has sagas come to rest and rise again while two processes prune: what
// a unit has committed as not at rest is there for the next unit.
func (x *exercise[Tx]) pruneBesideWriters() {
	const sagas, rounds = 4, 10
	stores := []outbox.Store[Tx]{x.Store, x.Another(x.T)}
	ctx, stop := context.WithCancel(x.ctx)
	defer stop()
	pruned := make([]int, len(stores))
	faults := make([]error, len(stores)+sagas)
	var pruners, writers sync.WaitGroup
	for i, store := range stores {
		pruners.Go(func() {
			for ctx.Err() == nil {
				n, err := store.Prune(x.ctx, 0, 5)
				pruned[i] += n
				if err != nil && !store.Transient(err) {
					faults[i] = err
					return
				}
			}
		})
	}
	for n := range sagas {
		writers.Go(func() {
			faults[len(stores)+n] = x.riseAndRest(stores[n%len(stores)], saga(n), rounds)
		})
	}
	writers.Wait()
	stop()
	pruners.Wait()
	require.NoError(x, errors.Join(faults...))
	for n := range sagas {
		x.commit(x.Store, states(saga(n), choreo.RowNone, choreo.RowCompleted, choreo.RowCompleted), saga(n))
	}
	for _, store := range stores {
		n, err := store.Prune(x.ctx, time.Hour, 100)
		require.NoError(x, err)
		require.Zero(x, n, "what was written last is young")
	}
	x.Logf("pruned while sagas rose and came to rest: %d", pruned)
}

// riseAndRest writes, over and over, a saga's rows first as not at rest and then as at
// rest, and looks for the former each time.
func (x *exercise[Tx]) riseAndRest(store outbox.Store[Tx], id outbox.SagaID, rounds int) error {
	for round := range rounds {
		for _, state := range []choreo.RowState{choreo.RowWaiting, choreo.RowCompleted} {
			u, err := store.Begin(x.ctx, id)
			if err != nil {
				return err
			}
			var got []choreo.RowState
			for _, row := range u.Rows(id).Steps {
				got = append(got, row.State)
			}
			gone := len(got) == 0 && state == choreo.RowWaiting // those at rest may be
			want := choreo.RowCompleted
			if state == choreo.RowCompleted {
				want = choreo.RowWaiting
			}
			if !gone && !slices.Equal(got, []choreo.RowState{want, want}) {
				return errors.Join(fmt.Errorf("round %d, before it writes %s, reads %q", round, state, got), u.Rollback(x.ctx))
			}
			if err := u.Commit(x.ctx, states(id, choreo.RowNone, state, state)); err != nil {
				return err
			}
		}
	}
	return nil
}
