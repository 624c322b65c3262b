package choreo

import (
	"fmt"
	"slices"
)

// standing is how a saga stands to a request to abort it. Unless the saga is open, it is
// also the code of the answer.
type standing string

const (
	standsOpen      standing = "" // nothing has decided it yet
	standsCommitted standing = "committed"
	standsCompleted standing = "completed"
	standsAborted   standing = "aborted"
)

// stands tells from the arbiter's row how the saga stands. step is the pivot, or SagaRow.
func (d *Definition) stands(step string, row *Row) standing {
	switch row.State {
	case RowCompleted:
		return standsCommitted
	case RowClosed:
		if len(row.Noted) == d.closers() {
			return standsCompleted
		}
		return standsAborted
	case RowSkipped, RowFailed:
		return standsAborted
	default:
		return standsOpen
	}
}

// arbitrate is R8: the pivot's row decides, and without a pivot the saga row.
func arbitrate(d *Definition, step string, row Row, ev *Event) Decision {
	if s := d.stands(step, &row); s != standsOpen {
		return Decision{Row: row, Emit: []Emission{rejection(s, ev)}}
	}
	decision := Decision{Row: row, Changed: true, Emit: []Emission{{
		Type: Aborted, Failure: ev.Failure, By: ev.By, Note: ev.Note,
	}}}
	to := &decision.Row
	switch row.State {
	case RowQueued, RowOpen:
		to.State, to.Failure, to.Inputs = RowClosed, ev.Failure, nil
	case RowNone:
		to.State = RowSkipped
	default: // R4: it was triggered
		to.State, to.Announced, to.Inputs, to.Origin = RowSkipped, true, nil, row.Origin.spent()
		decision.Emit = append(decision.Emit, Emission{Type: StepSkipped, Step: step})
	}
	return decision
}

// rejection is the no to a request, with why.
func rejection(s standing, ev *Event) Emission {
	no := &Failure{Class: ClassRefused, Code: string(s)}
	switch s {
	case standsCommitted:
		no.Message = "its pivot has completed: the saga only goes forward"
	case standsCompleted:
		no.Message = "every step has completed"
	default:
		no.Message = "the saga goes or went backwards already"
	}
	note := ev.Note
	if note == "" && ev.Failure != nil {
		note = ev.Failure.Message
	}
	return Emission{Type: AbortRejected, Failure: no, By: ev.By, Note: plainText(note, maxMessage)}
}

// reactSaga is R8 without a pivot, and R9. A saga row is made when the saga is
// started and never by an event. One that was made without knowing the saga's home
// partition learns it from Started, so that its deadline asks there.
func reactSaga(d *Definition, row Row, ev *Event) Decision {
	if row.State != RowNone && d.Pivot() == "" && ev.Type == AbortRequested {
		return arbitrate(d, SagaRow, row, ev)
	}
	decision := Decision{Row: row}
	switch {
	case row.State == RowQueued && ev.Type == Aborted: // the pivot's owner needs no Started to answer
		decision.Row.State, decision.Row.Failure, decision.Row.Inputs = RowClosed, ev.Failure, nil
		decision.Changed = true
	case row.State != RowOpen:
	case ev.Type == Started && row.Home == AnyPartition:
		decision.Row.Home, decision.Changed = ev.Partition, true
	case ev.Type == StepFailed || ev.Type == Aborted:
		decision.Row.State, decision.Row.Failure, decision.Changed = RowClosed, ev.Failure, true
	case ev.Type == StepCompleted && d.closes(ev.Step) && !slices.Contains(row.Noted, ev.Step):
		decision.Row.Noted = append(slices.Clip(row.Noted), ev.Step)
		decision.Changed = true
		if len(decision.Row.Noted) == d.closers() {
			decision.Row.State = RowClosed
		}
	}
	return decision
}

// Admit starts a saga that was queued. It does nothing to one that is not: it was
// admitted before, or an abort came first.
func Admit(_ *Definition, row Row) Decision {
	if row.State != RowQueued {
		return Decision{Row: row}
	}
	input, _ := row.Input("")
	row.State, row.Inputs = RowOpen, nil
	return Decision{Row: row, Changed: true, Emit: []Emission{{Type: Started, Output: input}}}
}

// Overdue is what the initiator does when the saga's deadline has passed: it asks for
// the abort of a saga that is still open. The arbiter answers.
func Overdue(d *Definition, row Row) Decision {
	if row.State != RowOpen {
		return Decision{Row: row}
	}
	return Decision{Row: row, Changed: true, Emit: []Emission{{Type: AbortRequested, Failure: &Failure{
		Class: ClassTimeout, Code: "deadline", Message: fmt.Sprintf("not closed within %v", d.deadline),
	}}}}
}

// closes reports whether the step's completion helps to close the saga: that of
// the pivot, or without one of each sink.
func (d *Definition) closes(step string) bool {
	if p := d.Pivot(); p != "" {
		return p == step
	}
	i, ok := d.index[step]
	return ok && slices.Contains(d.graph.sinks, i)
}

func (d *Definition) closers() int {
	if d.Pivot() != "" {
		return 1
	}
	return len(d.graph.sinks)
}

// ReactsSaga reports whether an event of this type and step can change the
// initiator's saga row. See [Definition.Reacts].
func (d *Definition) ReactsSaga(t EventType, step string) bool {
	switch t {
	case Started:
		return d.deadline > 0 // only a deadline has to find the home partition by itself
	case StepFailed, Aborted:
		return true
	case StepCompleted:
		return d.closes(step)
	case AbortRequested:
		return d.Pivot() == ""
	default:
		return false
	}
}
