package outboxtest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// due writes rows that are due at once, soon and late, and rewrites some of them.
func (x *exercise[Tx]) due() {
	const late = time.Hour
	other := x.Another(x.T)
	step := func(n int, name string, attempt int, in time.Duration) outbox.StepRow {
		return outbox.StepRow{
			SagaID: saga(n), Step: name, Version: 2, DueIn: in,
			Row: choreo.Row{State: choreo.RowRetrying, Attempt: attempt},
		}
	}
	deadline := func(n int, in time.Duration) outbox.SagaRow {
		return outbox.SagaRow{SagaID: saga(n), Version: 3, DueIn: in, Row: choreo.Row{State: choreo.RowOpen}}
	}
	x.commit(x.Store, outbox.Changes{
		Steps: []outbox.StepRow{step(1, "now", 4, time.Microsecond), step(1, "late", 1, late), step(1, "never", 1, 0)},
		Sagas: []outbox.SagaRow{deadline(1, late)},
	}, saga(1))
	x.commit(x.Store, outbox.Changes{Sagas: []outbox.SagaRow{deadline(2, 20*time.Millisecond)}}, saga(2))
	x.commit(x.Store, outbox.Changes{Steps: []outbox.StepRow{step(3, "gone", 1, 40*time.Millisecond)}}, saga(3))

	want := []outbox.Due{
		{SagaID: saga(1), Version: 2, Step: "now", State: choreo.RowRetrying, Attempt: 4},
		{SagaID: saga(2), Version: 3, State: choreo.RowOpen},
		{SagaID: saga(3), Version: 2, Step: "gone", State: choreo.RowRetrying, Attempt: 1},
	}
	x.dueBecomes(other, want)
	some, err := other.Due(x.ctx, outbox.DueQuery{Limit: 2})
	require.NoError(x, err)
	require.Equal(x, want[:2], some, "the longest due first")

	left := x.rows(other, saga(1)).Saga.DueIn
	require.Greater(x, left, late-time.Minute)
	require.LessOrEqual(x, left, late)
	require.Equal(x, time.Microsecond, x.rows(other, saga(2)).Saga.DueIn, "a deadline that has passed")
	steps := x.rows(other, saga(1)).Due
	require.Len(x, steps, 2)
	require.Equal(x, time.Microsecond, steps["now"])
	require.Greater(x, steps["late"], late-time.Minute)

	x.commit(x.Store, outbox.Changes{Sagas: []outbox.SagaRow{deadline(2, 0)}}, saga(2))
	x.commit(x.Store, outbox.Changes{Steps: []outbox.StepRow{step(3, "gone", 2, late)}}, saga(3))
	x.dueBecomes(other, want[:1])
	require.Zero(x, x.rows(other, saga(2)).Saga.DueIn)
}

// dueExcept leaves out kinds of rows, of which there are more than the limit and which have
// been due for longer than the others.
func (x *exercise[Tx]) dueExcept() {
	refund := outbox.SagaID{Saga: "refund", ID: saga(0).ID}
	var in time.Duration
	next := func() time.Duration { // no two are due at the same time, also on a coarse clock
		in += time.Millisecond
		return in
	}
	step := func(id outbox.SagaID, name string, state choreo.RowState) outbox.Changes {
		return outbox.Changes{Steps: []outbox.StepRow{{
			SagaID: id, Step: name, Version: 1, DueIn: next(), Row: choreo.Row{State: state, Attempt: 1},
		}}}
	}
	var left []outbox.Due
	for n := range 20 {
		x.commit(x.Store, step(saga(n), "charge", choreo.RowRetrying), saga(n))
		left = append(left, outbox.Due{SagaID: saga(n), Version: 1, Step: "charge", State: choreo.RowRetrying, Attempt: 1})
	}
	x.dueBecomes(x.Store, left[:10])
	x.commit(x.Store, outbox.Changes{Sagas: []outbox.SagaRow{{
		SagaID: saga(20), Version: 1, DueIn: next(), Row: choreo.Row{State: choreo.RowOpen},
	}}}, saga(20))

	// Each differs in one of the three from what is left out.
	x.commit(x.Store, step(saga(21), "charge", choreo.RowPending), saga(21))
	x.commit(x.Store, step(saga(22), "ship", choreo.RowRetrying), saga(22))
	x.commit(x.Store, step(refund, "charge", choreo.RowRetrying), refund)
	others := []outbox.Due{
		{SagaID: saga(20), Version: 1, State: choreo.RowOpen},
		{SagaID: saga(21), Version: 1, Step: "charge", State: choreo.RowPending, Attempt: 1},
		{SagaID: saga(22), Version: 1, Step: "ship", State: choreo.RowRetrying, Attempt: 1},
		{SagaID: refund, Version: 1, Step: "charge", State: choreo.RowRetrying, Attempt: 1},
	}
	other := x.Another(x.T)
	x.dueBecomes(other, others, kinds(left[0])...)
	some, err := other.Due(x.ctx, outbox.DueQuery{Limit: 2, Except: kinds(left[0])})
	require.NoError(x, err)
	require.Equal(x, others[:2], some, "the longest due first")
	x.dueBecomes(other, others[2:], kinds(left[0], others[0], others[1])...)
	x.dueBecomes(other, nil, kinds(append(others, left[0])...)...)
	hostile := outbox.DueKind{Saga: `x"'],`, Step: "charge", State: choreo.RowRetrying}
	x.dueBecomes(other, others, append(kinds(left[0]), hostile)...)
}

// hasten makes the rows of one kind due, and no others.
func (x *exercise[Tx]) hasten() {
	const late = time.Hour
	step := func(id outbox.SagaID, name string, state choreo.RowState, in time.Duration) {
		x.commit(x.Store, outbox.Changes{Steps: []outbox.StepRow{{
			SagaID: id, Step: name, Version: 2, DueIn: in, Row: choreo.Row{State: state, Attempt: 7, Noted: []string{"ship"}},
		}}}, id)
	}
	deadline := func(n int, in time.Duration) {
		x.commit(x.Store, outbox.Changes{Sagas: []outbox.SagaRow{{
			SagaID: saga(n), Version: 3, DueIn: in, Row: choreo.Row{State: choreo.RowOpen},
		}}}, saga(n))
	}
	step(saga(1), "charge", choreo.RowRetrying, late)
	step(saga(2), "charge", choreo.RowRetrying, late)
	step(saga(3), "charge", choreo.RowRetrying, time.Microsecond)
	step(saga(4), "charge", choreo.RowRetrying, 0) // is not due at all, and stays so
	step(saga(5), "charge", choreo.RowPending, late)
	step(saga(6), "ship", choreo.RowRetrying, late)
	step(outbox.SagaID{Saga: "refund", ID: saga(1).ID}, "charge", choreo.RowRetrying, late)
	deadline(1, late)
	due := func(n int) outbox.Due {
		return outbox.Due{SagaID: saga(n), Version: 2, Step: "charge", State: choreo.RowRetrying, Attempt: 7}
	}
	other := x.Another(x.T)
	x.dueBecomes(other, []outbox.Due{due(3)})

	before := x.rows(other, saga(1)).Steps["charge"]
	charge := outbox.DueKind{Saga: "order", Step: "charge", State: choreo.RowRetrying}
	for _, want := range []int{2, 0} {
		n, err := x.Store.Hasten(x.ctx, charge)
		require.NoError(x, err)
		require.Equal(x, want, n)
	}
	require.Equal(x, plain(before), plain(x.rows(other, saga(1)).Steps["charge"]))
	x.dueInAnyOrder(other, due(1), due(2), due(3))

	n, err := other.Hasten(x.ctx, outbox.DueKind{Saga: "order", State: choreo.RowOpen})
	require.NoError(x, err)
	require.Equal(x, 1, n)
	x.dueInAnyOrder(other, due(1), due(2), due(3), outbox.Due{SagaID: saga(1), Version: 3, State: choreo.RowOpen})

	// A unit that has read the row before writes what it decided.
	step(saga(1), "charge", choreo.RowRetrying, late)
	u := x.begin(x.Store, saga(1))
	if !x.OneWriter { // else it waits for the unit
		_, err = other.Hasten(x.ctx, charge)
		require.NoError(x, err)
	}
	require.NoError(x, u.Commit(x.ctx, outbox.Changes{Steps: []outbox.StepRow{{
		SagaID: saga(1), Step: "charge", Version: 2, Row: choreo.Row{State: choreo.RowCompleted},
	}}}))
	n, err = other.Hasten(x.ctx, charge)
	require.NoError(x, err)
	require.Zero(x, n)
	require.Empty(x, x.rows(other, saga(1)).Due)
}

// dueInAnyOrder is dueBecomes for rows that came to be due at the same time.
func (x *exercise[Tx]) dueInAnyOrder(store outbox.Store[Tx], want ...outbox.Due) {
	x.Helper()
	require.Eventually(x, func() bool {
		got, err := store.Due(x.ctx, outbox.DueQuery{Limit: 10})
		return err == nil && len(got) == len(want)
	}, 10*time.Second, time.Millisecond)
	got, err := store.Due(x.ctx, outbox.DueQuery{Limit: 10})
	require.NoError(x, err)
	require.ElementsMatch(x, want, got)
}

// kinds returns the kinds of rows.
func kinds(rows ...outbox.Due) []outbox.DueKind {
	var list []outbox.DueKind
	for _, row := range rows {
		list = append(list, outbox.DueKind{Saga: row.SagaID.Saga, Step: row.Step, State: row.State})
	}
	return list
}

// dueBecomes asks until the rows are due: a database's clock may be a coarse one.
func (x *exercise[Tx]) dueBecomes(store outbox.Store[Tx], want []outbox.Due, except ...outbox.DueKind) {
	x.Helper()
	var got []outbox.Due
	require.Eventually(x, func() bool {
		var err error
		got, err = store.Due(x.ctx, outbox.DueQuery{Limit: 10, Except: except})
		return err == nil && len(got) == len(want)
	}, 10*time.Second, time.Millisecond)
	require.Equal(x, want, got)
}
