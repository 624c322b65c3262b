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
		{SagaID: saga(1), Version: 2, Step: "now", Attempt: 4},
		{SagaID: saga(2), Version: 3},
		{SagaID: saga(3), Version: 2, Step: "gone", Attempt: 1},
	}
	x.dueBecomes(other, want)
	some, err := other.Due(x.ctx, 2)
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

// dueBecomes asks until the rows are due: a database's clock may be a coarse one.
func (x *exercise[Tx]) dueBecomes(store outbox.Store[Tx], want []outbox.Due) {
	x.Helper()
	var got []outbox.Due
	require.Eventually(x, func() bool {
		var err error
		got, err = store.Due(x.ctx, 10)
		return err == nil && len(got) == len(want)
	}, 10*time.Second, time.Millisecond)
	require.Equal(x, want, got)
}
