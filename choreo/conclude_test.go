package choreo

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConcludeExecute(t *testing.T) {
	d := definition(t, "a @one attempts 2\nb @two after a")
	asked := React(d, "a", Row{}, &Event{Type: Started, ContentType: "c", Payload: []byte("in"), Partition: 4})
	require.Equal(t, RunExecute, asked.Run)

	later := Conclude(d, "a", asked.Row, RunExecute, Result{Err: Classify(errors.New("busy"))})
	require.Equal(t, Decision{
		Changed: true, Again: true,
		Row: Row{
			State: RowRetrying, Home: 4, Attempt: 1, Noted: []string{""},
			Inputs:  []Output{{ContentType: "c", Data: []byte("in")}},
			Failure: &Failure{Class: ClassRetryable, Message: "busy"},
		},
	}, later)

	due := Resume(d, "a", later.Row)
	require.Equal(t, RunExecute, due.Run)
	out := Output{ContentType: "c", Data: []byte("out")}
	done := Conclude(d, "a", due.Row, due.Run, Result{Output: out})
	out.Step = "a"
	require.Equal(t, Decision{
		Changed: true,
		Row: Row{
			State: RowCompleted, Home: 4, Attempt: 2,
			Inputs: []Output{{ContentType: "c", Data: []byte("in")}}, Output: out, // Compensate gets both
		},
		Emit: []Emission{{Type: StepCompleted, Step: "a", Attempt: 2, Output: out}},
	}, done)

	failed := Conclude(d, "a", due.Row, due.Run, Result{Err: Classify(Timeout(errors.New("slow")))})
	why := &Failure{Class: ClassTimeout, Code: "timeout", Message: "slow"}
	require.Equal(t, Decision{
		Changed: true,
		Row:     Row{State: RowFailed, Home: 4, Attempt: 2, Noted: []string{""}, Failure: why},
		Emit:    []Emission{{Type: StepFailed, Step: "a", Attempt: 2, Failure: why}},
	}, failed)
}

// Compensate counts its attempts by itself, and gets what Execute got and returned.
func TestConcludeCompensate(t *testing.T) {
	d := definition(t, "a @one undo-attempts 2\nb @two after a")
	completed := Row{State: RowCompleted, Attempt: 3, Inputs: []Output{{Data: []byte("in")}}, Output: Output{Step: "a", Data: []byte("out")}}
	asked := React(d, "a", completed, &Event{Type: StepFailed, Step: "b"})
	require.Equal(t, RunCompensate, asked.Run)
	require.Zero(t, asked.Row.Attempt)
	require.Equal(t, completed.Inputs, asked.Row.Inputs)
	require.Equal(t, completed.Output, asked.Row.Output)

	later := Conclude(d, "a", asked.Row, asked.Run, Result{Err: Classify(RetryAfter(time.Hour, errors.New("busy")))})
	require.True(t, later.Again)
	require.Empty(t, later.Emit)
	require.Equal(t, RowUndoing, later.Row.State)
	require.Equal(t, 1, later.Row.Attempt)

	due := Resume(d, "a", later.Row)
	require.Equal(t, RunCompensate, due.Run)
	done := Conclude(d, "a", due.Row, due.Run, Result{})
	require.Equal(t, Row{State: RowUndone, Attempt: 2}, done.Row)
	require.Equal(t, []Emission{{Type: StepCompensated, Step: "a", Attempt: 2}}, done.Emit)

	why := Permanent(errors.New("gone"))
	gaveUp := Conclude(d, "a", due.Row, due.Run, Result{Err: Classify(why)})
	require.Equal(t, RowUndoFailed, gaveUp.Row.State)
	require.Equal(t, CompensationFailed, gaveUp.Emit[0].Type)
	require.Equal(t, "gone", gaveUp.Emit[0].Failure.Message)
	require.Equal(t, completed.Output, gaveUp.Row.Output, "an operator may yet run it")
}

// A timer finds nothing to do where the row has moved on, or is not ready for it.
func TestResumeOfOtherRows(t *testing.T) {
	d := definition(t, "a @one\nb @two after a")
	for _, row := range []Row{
		{}, {State: RowWaiting}, {State: RowPending}, {State: RowCompleted}, {State: RowFailed}, {State: RowSkipped},
		{State: RowUndoing}, {State: RowUndone}, {State: RowUndoFailed},
	} {
		require.Equal(t, Decision{Row: row}, Resume(d, "a", row), row.State)
	}
	require.Equal(t, RunExecute, Resume(d, "a", Row{State: RowRetrying}).Run)
}

// A handler that found no place has not been tried: its first attempt is still the first,
// and nobody from outside ends a step that it has not begun.
func TestPutOff(t *testing.T) {
	d := definition(t, "a @one attempts 2\nb @two after a")
	asked := React(d, "a", Row{}, &Event{Type: Started, Payload: []byte("in"), Partition: 4})
	off := Defer(d, "a", asked.Row, asked.Run)
	require.Equal(t, Decision{Changed: true, Again: true, Row: Row{
		State: RowRetrying, Home: 4, Noted: []string{""}, Inputs: []Output{{Data: []byte("in")}},
	}}, off)
	require.Equal(t, Decision{Row: off.Row}, Answer(d, "a", off.Row, Result{}))
	require.Equal(t, Decision{Row: off.Row}, Expire(d, "a", off.Row))

	later := Conclude(d, "a", Resume(d, "a", off.Row).Row, RunExecute, Result{Err: Classify(errors.New("busy"))})
	require.True(t, later.Again, "it has another attempt")
	again := Defer(d, "a", later.Row, RunExecute)
	require.Equal(t, later.Row, again.Row, "the attempt that was made counts, the one that was put off does not")

	completed := Row{State: RowCompleted, Attempt: 3, Output: Output{Step: "a", Data: []byte("out")}}
	undo := React(d, "a", completed, &Event{Type: StepFailed, Step: "b"})
	off = Defer(d, "a", undo.Row, undo.Run)
	require.Equal(t, Decision{Changed: true, Again: true, Row: Row{
		State: RowUndoing, Settled: []string{"b"}, Output: completed.Output,
	}}, off)
	require.Equal(t, RunCompensate, Resume(d, "a", off.Row).Run)
}

// A saga that is over does not go back, whatever the events say: rows past the pivot
// and the pivot's own stand.
func TestG5PivotStands(t *testing.T) {
	d := definition(t, "a @one\nb @two after a pivot\nc @three after b")
	for _, step := range []string{"b", "c"} {
		row := Row{State: RowCompleted}
		for _, ev := range []*Event{{Type: Aborted}, {Type: StepFailed, Step: "a"}, {Type: StepFailed, Step: "a", Keep: true}} {
			require.Equal(t, Decision{Row: row}, React(d, step, row, ev))
		}
	}
}

// A pending step ends by an answer from outside or by its time; what moved on before is
// left alone.
func TestPendingSteps(t *testing.T) {
	d := definition(t, "a @one\nb @two after a pivot\nc @three after b")
	begun := Conclude(d, "a", Row{Inputs: []Output{{Data: []byte("in")}}, Origin: Origin{Initiator: "one"}}, RunExecute, Result{Pending: true})
	require.Equal(t, RowPending, begun.Row.State)
	require.Empty(t, begun.Emit)
	require.False(t, begun.Again)

	done := Answer(d, "a", begun.Row, Result{Output: Output{Data: []byte("out")}})
	require.Equal(t, RowCompleted, done.Row.State)
	require.Equal(t, Origin{}, done.Row.Origin)
	require.Equal(t, []Emission{{Type: StepCompleted, Step: "a", Attempt: 1, Output: Output{Step: "a", Data: []byte("out")}}}, done.Emit)

	no := Answer(d, "a", begun.Row, Result{Err: Classify(Refuse("declined", nil))})
	require.Equal(t, RowFailed, no.Row.State)
	require.Equal(t, "declined", no.Emit[0].Failure.Code)
	fault := Answer(d, "a", begun.Row, Result{Err: Classify(errors.New("gone"))})
	require.Equal(t, RowFailed, fault.Row.State, "there is no handler to run again")
	require.Equal(t, ClassPermanent, fault.Row.Failure.Class)

	late := Expire(d, "a", begun.Row)
	require.Equal(t, StepFailed, late.Emit[0].Type)
	require.Equal(t, ClassTimeout, late.Emit[0].Failure.Class)

	past := Conclude(d, "c", Row{}, RunExecute, Result{Pending: true})
	stuck := Expire(d, "c", past.Row)
	require.Equal(t, RowPending, stuck.Row.State, "it goes on waiting past the pivot")
	require.Equal(t, StepStuck, stuck.Emit[0].Type)
	require.Equal(t, RowCompleted, Answer(d, "c", stuck.Row, Result{}).Row.State)

	aborted := React(d, "a", begun.Row, &Event{Type: Aborted})
	require.Equal(t, RowSkipped, aborted.Row.State)
	for _, row := range []Row{aborted.Row, done.Row, {}} {
		require.Equal(t, Decision{Row: row}, Answer(d, "a", row, Result{}))
		require.Equal(t, Decision{Row: row}, Expire(d, "a", row))
	}
}

func TestOverdueSagas(t *testing.T) {
	s := MustDefine[struct{}]("s", 1, NewStep[struct{}, struct{}]("a").OwnedBy("one"), Deadline(time.Minute))
	open := Overdue(s.Definition, Row{State: RowOpen})
	require.Equal(t, AbortRequested, open.Emit[0].Type)
	require.Equal(t, "deadline", open.Emit[0].Failure.Code)
	require.True(t, open.Changed)
	closed := Row{State: RowClosed}
	require.Equal(t, Decision{Row: closed}, Overdue(s.Definition, closed))
}
