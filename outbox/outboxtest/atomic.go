package outboxtest

import (
	"errors"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// whole is everything that one unit of the atomicity tests writes.
func whole(id outbox.SagaID) outbox.Changes {
	return outbox.Changes{
		Steps:   []outbox.StepRow{stepRow(id, 1), {SagaID: id, Step: "second", Version: 1, Row: choreo.Row{State: choreo.RowCompleted}}},
		Sagas:   []outbox.SagaRow{{SagaID: id, Version: 1, Row: choreo.Row{State: choreo.RowOpen}}},
		Park:    []outbox.Parked{parked(id, 1)},
		Entries: entries(id, 2),
	}
}

// parts looks, as another process, at which parts of whole are there.
func (x *exercise[Tx]) parts(other outbox.Store[Tx], id outbox.SagaID) []bool {
	x.Helper()
	u := x.begin(other, id) // waits for a transaction whose connection was cut
	rows := u.Rows(id)
	waits := x.offsets(u, id)
	require.NoError(x, u.Rollback(x.ctx))
	_, first := rows.Steps[countStep]
	_, second := rows.Steps["second"]
	written, err := x.Get(x.ctx, id.ID)
	require.NoError(x, err)
	var sent int
	for _, v := range x.peek(other, 10_000) {
		if v == value(id.ID, 1) || v == value(id.ID, 2) {
			sent++
		}
	}
	return []bool{first, second, rows.Saga != nil, len(waits) == 1, written != "", sent >= 1, sent == 2}
}

var (
	all     = []bool{true, true, true, true, true, true, true}
	nothing = []bool{false, false, false, false, false, false, false}
)

// cutEverywhere does the work once for every exchange that it has with the database, and
// cuts the connection there.
func (x *exercise[Tx]) cutEverywhere(work func(id outbox.SagaID) error, known func(error) bool) {
	if x.Cut == nil {
		x.Skip("the harness cannot cut connections")
	}
	other := x.Another(x.T)
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			require.Less(x, n, 1000, "a unit of work has an end")
			id := outbox.SagaID{Saga: "order", ID: fmt.Sprintf("cut-%03d-%v", n, after)}
			end := x.Cut(n, after)
			err := work(id)
			cut := end()
			got := x.parts(other, id)
			switch {
			case err == nil:
				require.Equal(x, all, got, "exchange %d, after=%v: committed", n, after)
			case known(err):
				require.Equal(x, nothing, got, "exchange %d, after=%v: %v", n, after, err)
			default:
				require.Contains(x, [][]bool{all, nothing}, got, "exchange %d, after=%v: %v", n, after, err)
			}
			if err != nil {
				require.True(x, x.Store.Transient(err), "exchange %d, after=%v: %v", n, after, err)
			}
			if !cut {
				require.NoError(x, err)
				break
			}
		}
	}
}

// atomicUnit is G1: what a handler writes, its row and its events commit together or not at all.
func (x *exercise[Tx]) atomicUnit() {
	x.cutEverywhere(func(id outbox.SagaID) error {
		u, err := x.Store.Begin(x.ctx, id)
		if err != nil {
			return err
		}
		defer func() { _ = u.Rollback(x.ctx) }() // after a cut there is nothing to roll back with
		if err := x.Put(x.ctx, u.Tx(), id.ID, "written"); err != nil {
			return err
		}
		return u.Commit(x.ctx, whole(id))
	}, func(err error) bool { return !errors.Is(err, outbox.ErrUnknownOutcome) })
}

func (x *exercise[Tx]) atomicJoin() {
	x.cutEverywhere(func(id outbox.SagaID) error {
		return x.Transact(x.ctx, func(tx Tx) error { return x.joinWhole(tx, id, -1) })
	}, func(error) bool { return false }) // the caller's commit has no word for an unknown outcome
}

// joinWhole does the work of a unit in the caller's transaction, and fails at a point.
func (x *exercise[Tx]) joinWhole(tx Tx, id outbox.SagaID, point int) error {
	if point == 0 {
		return errChanged
	}
	if err := x.Put(x.ctx, tx, id.ID, "written"); err != nil || point == 1 {
		return errors.Join(err, errIf(point == 1))
	}
	u, err := x.Store.Join(x.ctx, tx, id)
	if err != nil || point == 2 {
		return errors.Join(err, errIf(point == 2))
	}
	err = u.Commit(x.ctx, whole(id))
	return errors.Join(err, errIf(point == 3))
}

func errIf(fail bool) error {
	if fail {
		return errChanged
	}
	return nil
}

func (x *exercise[Tx]) atomicJoinRolledBack() {
	other := x.Another(x.T)
	for point := range 5 {
		id := saga(point)
		err := x.Transact(x.ctx, func(tx Tx) error { return x.joinWhole(tx, id, point) })
		if point == 4 {
			require.NoError(x, err)
			require.Equal(x, all, x.parts(other, id))
			continue
		}
		require.ErrorIs(x, err, errChanged)
		require.Equal(x, nothing, x.parts(other, id), "rolled back at point %d", point)
	}
}
