package choreo

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The answer to a request says why it is no, and hands on the reason of the request.
func TestAnswersToRequests(t *testing.T) {
	cancel := &Event{Type: AbortRequested, Failure: &Failure{Class: ClassCancelled, Code: "cancelled", Message: "changed his mind"}}
	plain, pivot := definition(t, "a @one\nb @two after a"), definition(t, "a @one pivot\nb @two after a")
	for _, c := range []struct {
		name string
		def  *Definition
		step string
		row  Row
		code string
		says string
	}{
		{"past the pivot", pivot, "a", Row{State: RowCompleted}, "committed", "only goes forward"},
		{"the pivot failed", pivot, "a", Row{State: RowFailed}, "aborted", "backwards already"},
		{"the pivot was skipped", pivot, "a", Row{State: RowSkipped}, "aborted", "backwards already"},
		{"every step has completed", plain, SagaRow, Row{State: RowClosed, Noted: []string{"b"}}, "completed", "every step"},
		{"the pivot failed and keeps", pivot, "a", Row{State: RowFailed, Kept: true, Settled: []string{"a"}}, "kept", "is kept"},
		{"a failure keeps", plain, SagaRow, Row{State: RowClosed, Kept: true, Settled: []string{"a"}}, "kept", "is kept"},
		{"it is not told yet whether one does", plain, SagaRow, Row{State: RowClosed, Kept: true}, "aborted", "backwards already"},
		{"it was turned back", plain, SagaRow, Row{State: RowClosed}, "aborted", "backwards already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := React(c.def, c.step, c.row, cancel)
			require.False(t, d.Changed)
			require.Len(t, d.Emit, 1)
			no := d.Emit[0]
			require.Equal(t, AbortRejected, no.Type)
			require.Equal(t, "changed his mind", no.Note)
			require.Equal(t, ClassRefused, no.Failure.Class)
			require.Equal(t, c.code, no.Failure.Code)
			require.Contains(t, no.Failure.Message, c.says)
		})
	}

	closed := Row{State: RowClosed}
	long := &Event{Type: AbortRequested, By: "ada", Note: strings.Repeat("ä", maxMessage) + "\x00"}
	no := React(plain, SagaRow, closed, long).Emit[0]
	require.Equal(t, "ada", no.By)
	require.Equal(t, strings.Repeat("ä", maxMessage/2), no.Note, "cut as other texts are")
	require.Empty(t, React(plain, SagaRow, closed, &Event{Type: AbortRequested}).Emit[0].Note)

	force := &Event{Type: AbortRequested, Force: true, By: "ada", Note: "a mistake", Failure: cancel.Failure}
	granted := Emission{Type: Aborted, Force: true, By: "ada", Note: "a mistake", Failure: cancel.Failure}
	for _, row := range []Row{{State: RowOpen}, {State: RowQueued}, {State: RowClosed, Noted: []string{"b"}}, {State: RowClosed, Kept: true}} {
		d := React(plain, SagaRow, row, force)
		require.Equal(t, []Emission{granted}, d.Emit)
		require.Equal(t, Row{State: RowClosed, Failure: cancel.Failure}, d.Row)
		require.Equal(t, AbortRejected, React(plain, SagaRow, d.Row, force).Emit[0].Type)
	}

	yes := React(plain, SagaRow, Row{State: RowOpen}, cancel).Emit[0]
	require.Equal(t, cancel.Failure, yes.Failure, "the reason of a request that is granted is why the saga goes back")
}
