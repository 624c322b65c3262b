package choreo

import "fmt"

// command is R11: what the owner of a step does about an operator's command. It is
// answered once: the row keeps the ids of those that were.
func command(d *Definition, step string, row Row, ev *Event) Decision {
	if row.Origin.Answered(ev.ID) {
		return Decision{Row: row}
	}
	before := row
	row.Origin = row.Origin.WithAnswered(ev.ID)
	switch {
	case ev.Type == RetryRequested && row.State == RowUndoFailed:
		row.State, row.Attempt = RowUndoing, 0
		return Decision{Row: row, Changed: true, Run: RunCompensate}
	case ev.Type == RetryRequested && (row.State == RowRetrying || d.undoDue(step, &row)):
		return Resume(d, step, row)
	case ev.Resolve == ResolveUndone && (row.State == RowUndoFailed || d.undoDue(step, &row)):
		row.Failure = nil
		return Decision{Row: undone(row), Changed: true, Emit: []Emission{{
			Type: StepCompensated, Step: step, Attempt: row.Attempt, By: ev.By, Note: ev.Note,
		}}}
	case ev.Resolve == ResolveDone && d.pastPivot(step) && (row.State == RowRetrying || row.State == RowPending):
		row.Failure = nil
		decision := complete(d, step, row, Result{Output: Output{ContentType: ev.ContentType, Data: ev.Payload}})
		decision.Emit[0].By, decision.Emit[0].Note = ev.By, ev.Note
		return decision
	}
	// Also a step that has not begun keeps the id, in a row that is still none: read once
	// more when the step is stuck, the command would otherwise act after it was rejected.
	return Decision{Row: row, Changed: true, Emit: []Emission{{
		Type: CommandRejected, Step: step, By: ev.By, Note: ev.Note,
		Failure: &Failure{Class: ClassRefused, Code: "not-stuck", Message: senseless(step, &before, ev)},
	}}}
}

// undoDue reports whether a step's compensation is due: it failed before, or was put off.
func (d *Definition) undoDue(step string, row *Row) bool {
	return row.State == RowUndoing && len(row.Settled) == len(d.undoWaits(step))
}

// senseless says why a command is rejected.
func senseless(step string, row *Row, ev *Event) string {
	state := string(row.State)
	if row.State == RowNone {
		state = "not begun"
	}
	what := "only a step that is retrying, or whose compensation failed or is due, can be tried again"
	switch {
	case ev.Type == ResolveRequested && ev.Resolve == ResolveUndone:
		what = "only a step whose compensation failed or is due counts as undone by hand"
	case ev.Type == ResolveRequested:
		what = "only a step past the pivot that was begun and has not completed counts as done by hand"
	}
	return fmt.Sprintf("step %q is %s: %s", step, state, what)
}
