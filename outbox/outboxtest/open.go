package outboxtest

import (
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// countOpen counts sagas while others start and end them.
func (x *exercise[Tx]) countOpen() {
	const many = 1000
	set := func(store outbox.Store[Tx], id outbox.SagaID, state choreo.RowState) {
		x.Helper()
		x.commit(store, states(id, state, choreo.RowWaiting), id)
	}
	count := func(u outbox.Unit[Tx], saga string, limit int) int {
		x.Helper()
		n, err := u.CountOpen(x.ctx, saga, limit)
		require.NoError(x, err)
		return n
	}
	for n := range 5 {
		set(x.Store, saga(n), choreo.RowOpen)
	}
	set(x.Store, saga(0), choreo.RowClosed)
	set(x.Store, saga(7), choreo.RowClosed)
	set(x.Store, outbox.SagaID{Saga: "refund", ID: saga(0).ID}, choreo.RowOpen)
	x.commit(x.Store, outbox.Changes{Steps: []outbox.StepRow{{SagaID: saga(8), Step: "charge", Row: choreo.Row{State: choreo.RowOpen}}}}, saga(8))

	other := x.Another(x.T)
	u := x.begin(x.Store, saga(9))
	require.Equal(x, 4, count(u, "order", many))
	require.Equal(x, 4, count(u, "order", 4))
	require.Equal(x, 3, count(u, "order", 3), "counted up to the limit")
	require.Equal(x, 1, count(u, "refund", many))
	require.Zero(x, count(u, "nobody's", many))
	if !x.OneWriter {
		set(other, saga(0), choreo.RowOpen)
		set(other, saga(10), choreo.RowOpen)
		require.Equal(x, 6, count(u, "order", many), "as committed now")
		set(other, saga(0), choreo.RowClosed)
		set(other, saga(10), choreo.RowClosed)
		require.Equal(x, 4, count(u, "order", many))
	}
	require.NoError(x, u.Rollback(x.ctx))

	require.NoError(x, x.Transact(x.ctx, func(tx Tx) error {
		u, err := x.Store.Join(x.ctx, tx, saga(1), saga(11), saga(12))
		if err != nil {
			return err
		}
		err = u.Commit(x.ctx, outbox.Changes{Sagas: []outbox.SagaRow{
			{SagaID: saga(1), Row: choreo.Row{State: choreo.RowClosed}},
			{SagaID: saga(11), Row: choreo.Row{State: choreo.RowOpen}},
			{SagaID: saga(12), Row: choreo.Row{State: choreo.RowOpen}},
		}})
		if err != nil {
			return err
		}
		u, err = x.Store.Join(x.ctx, tx, saga(13))
		if err != nil {
			return err
		}
		n, err := u.CountOpen(x.ctx, "order", many)
		if n != 5 {
			x.Errorf("a unit of the transaction counts %d, not what it wrote itself", n)
		}
		return err
	}))
	u = x.begin(other)
	require.Equal(x, 5, count(u, "order", many))
	require.NoError(x, u.Rollback(x.ctx))
}
