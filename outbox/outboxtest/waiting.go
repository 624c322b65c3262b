package outboxtest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// waiting looks at rows of every state, at what is left of them when they go on, and at a few of
// many.
func (x *exercise[Tx]) waiting() {
	other := x.Another(x.T)
	w, err := other.Waiting(x.ctx, 10)
	require.NoError(x, err)
	require.Zero(x, w, "an empty database")

	why := &choreo.Failure{Class: choreo.ClassRetryable, Code: "away", Message: "the gateway \"A\" is away"}
	x.letWait(why)
	w, err = other.Waiting(x.ctx, 100)
	require.NoError(x, err)
	require.Equal(x, 1, w.Parked)
	require.Equal(x, 3, w.Open)
	require.Equal(x, 1, w.Queued)
	var names []string
	for _, r := range w.Rows {
		names = append(names, r.Step)
		require.Positive(x, r.Age, r.Step)
		require.Less(x, r.Age, time.Minute, r.Step)
	}
	require.ElementsMatch(x, []string{"undo-failed", "pending-for-good"}, names[:2], "what waits without a time comes first")
	require.Equal(x, []string{"overdue", "retrying", "pending", "undoing", choreo.ParkedRow, "stuck"}, names[2:], "then the soonest")
	for _, r := range w.Rows {
		switch r.Step {
		case "undo-failed":
			require.Zero(x, r.DueIn)
			require.Equal(x, outbox.WaitingRow{
				SagaID: saga(1), Version: 2, Step: "undo-failed", State: choreo.RowUndoFailed, Attempt: 7, Age: r.Age, Failure: why,
			}, r)
		case "stuck":
			require.Greater(x, r.DueIn, 6*time.Hour-time.Minute)
			require.Equal(x, outbox.WaitingRow{
				SagaID: saga(2), Version: 3, Step: "stuck", State: choreo.RowRetrying, Stuck: true, Attempt: 7, DueIn: r.DueIn, Age: r.Age, Failure: why,
			}, r)
		case "pending-for-good":
			require.Nil(x, r.Failure)
		case "overdue":
			require.LessOrEqual(x, r.DueIn, time.Second)
			require.Positive(x, r.DueIn)
		}
	}

	// All go on.
	var done []outbox.StepRow
	for _, r := range w.Rows {
		done = append(done, outbox.StepRow{SagaID: r.SagaID, Step: r.Step, Version: r.Version, Row: choreo.Row{State: choreo.RowUndone}})
	}
	x.commit(x.Store, outbox.Changes{Steps: done}, saga(1), saga(2), saga(3))
	w, err = other.Waiting(x.ctx, 100)
	require.NoError(x, err)
	require.Equal(x, outbox.Waiting{Open: 3, Queued: 1}, w)
	x.waitingLimit()
}

// letWait writes rows of every state.
func (x *exercise[Tx]) letWait(why *choreo.Failure) {
	step := func(name string, state choreo.RowState, in time.Duration) outbox.StepRow {
		row := outbox.StepRow{SagaID: saga(1), Step: name, Version: 2, DueIn: in, Row: choreo.Row{State: state}}
		if in > 0 || state == choreo.RowUndoFailed {
			row.Attempt, row.Failure = 7, why
		}
		return row
	}
	x.commit(x.Store, outbox.Changes{
		Steps: []outbox.StepRow{
			step("a-waiting", choreo.RowWaiting, 0), step("b-completed", choreo.RowCompleted, 0), step("c-failed", choreo.RowFailed, 0),
			step("d-skipped", choreo.RowSkipped, 0), step("e-undone", choreo.RowUndone, 0), step("f-undoing", choreo.RowUndoing, 0),
			step("undo-failed", choreo.RowUndoFailed, 0),
			step("undoing", choreo.RowUndoing, 4*time.Hour), step("pending", choreo.RowPending, 3*time.Hour),
			step("retrying", choreo.RowRetrying, 2*time.Hour), step("overdue", choreo.RowRetrying, time.Microsecond),
			step(choreo.ParkedRow, choreo.RowParked, 5*time.Hour),
		},
		Sagas: []outbox.SagaRow{{SagaID: saga(1), Version: 2, DueIn: time.Hour, Row: choreo.Row{State: choreo.RowOpen}}},
	}, saga(1))
	stuck := step("stuck", choreo.RowRetrying, 6*time.Hour)
	stuck.SagaID, stuck.Stuck, stuck.Version = saga(2), true, 3
	released := outbox.StepRow{SagaID: saga(2), Step: choreo.ParkedRow, Row: choreo.Row{State: choreo.RowNone}}
	x.commit(x.Store, outbox.Changes{
		Steps: []outbox.StepRow{stuck, released},
		Sagas: []outbox.SagaRow{{SagaID: saga(2), Version: 3, DueIn: time.Microsecond, Row: choreo.Row{State: choreo.RowQueued}}},
	}, saga(2))
	forGood := outbox.StepRow{SagaID: saga(3), Step: "pending-for-good", Version: 1, Row: choreo.Row{State: choreo.RowPending}}
	x.commit(x.Store, outbox.Changes{
		Steps: []outbox.StepRow{forGood},
		Sagas: []outbox.SagaRow{{SagaID: saga(3), Version: 1, Row: choreo.Row{State: choreo.RowClosed}}},
	}, saga(3))
	for n := 4; n < 6; n++ {
		x.commit(x.Store, outbox.Changes{
			Sagas: []outbox.SagaRow{{SagaID: saga(n), Version: 1, Row: choreo.Row{State: choreo.RowOpen}}},
		}, saga(n))
	}
}

// waitingLimit looks at a few of many rows.
func (x *exercise[Tx]) waitingLimit() {
	for n := range 12 {
		x.commit(x.Store, outbox.Changes{Steps: []outbox.StepRow{
			{SagaID: saga(n), Step: "held", Version: 1, Row: choreo.Row{State: choreo.RowUndoFailed}},
			{SagaID: saga(n), Step: "due", Version: 1, DueIn: time.Hour + time.Duration(n)*time.Minute, Row: choreo.Row{State: choreo.RowRetrying}},
			{SagaID: saga(n), Step: choreo.ParkedRow, Version: 1, DueIn: 2*time.Hour + time.Duration(n)*time.Minute, Row: choreo.Row{State: choreo.RowParked}},
		}}, saga(n))
	}
	for limit, want := range map[int]int{0: 0, 5: 5, 12: 12, 15: 15, 100: 36} {
		w, err := x.Store.Waiting(x.ctx, limit)
		require.NoError(x, err)
		require.Len(x, w.Rows, want)
		require.Equal(x, 12, w.Parked, "whatever the limit is")
		for i, r := range w.Rows {
			switch {
			case i < 12:
				require.Equal(x, "held", r.Step)
			case i < 24:
				require.Equal(x, "due", r.Step)
				require.Equal(x, saga(i-12), r.SagaID, "the soonest first")
			}
		}
	}
}
