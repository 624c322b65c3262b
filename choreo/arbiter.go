package choreo

import (
	"fmt"
	"slices"
)

// standing is how a saga stands when its abort is asked for; unless it is open, also the
// code of a no.
type standing string

const (
	standsOpen      standing = "" // nothing has decided it yet
	standsCommitted standing = "committed"
	standsCompleted standing = "completed"
	standsKept      standing = "kept"
	standsAborted   standing = "aborted"
)

// stands tells it from the arbiter's row: the pivot's, or the saga row.
func (d *Definition) stands(row *Row) standing {
	switch row.State {
	case RowCompleted:
		return standsCommitted
	case RowClosed, RowSkipped, RowFailed:
		switch {
		case row.State == RowClosed && len(row.Noted) == d.closers():
			return standsCompleted
		case row.Kept && len(row.Settled) > 0:
			return standsKept
		}
		return standsAborted
	default:
		return standsOpen
	}
}

// arbitrate is R8: the pivot's row decides, and without a pivot the saga row. Force is
// granted also where the row cannot tell yet whether the saga is kept (see firstTurn):
// if it is not, a second Aborted does nothing.
func arbitrate(d *Definition, step string, row Row, ev *Event) Decision {
	s := d.stands(&row)
	if granted := s == standsOpen || ev.Force && (s == standsCompleted || row.Kept); !granted {
		return Decision{Row: row, Emit: []Emission{rejection(s, ev)}}
	}
	decision := Decision{Row: row, Changed: true}
	switch row.State {
	case RowQueued, RowOpen, RowClosed:
		to := &decision.Row
		to.State, to.Failure, to.Noted, to.Inputs, to.Origin = RowClosed, ev.Failure, nil, nil, row.Origin.spent()
	case RowNone, RowWaiting, RowRetrying, RowPending:
		decision = skip(step, row)
	default: // skipped or failed already
	}
	decision.Row.Kept, decision.Row.Settled = !ev.Force && row.State != RowQueued && d.mayKeep(), nil
	decision.Emit = append([]Emission{{
		Type: Aborted, Force: ev.Force, Failure: ev.Failure, By: ev.By, Note: ev.Note,
	}}, decision.Emit...)
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
	case standsKept:
		no.Message = "a step failed, and what was done is kept"
	default:
		no.Message = "the saga goes or went backwards already"
	}
	note := ev.Note
	if note == "" && ev.Failure != nil {
		note = ev.Failure.Message
	}
	return Emission{Type: AbortRejected, Failure: no, By: ev.By, Note: plainText(note, maxMessage)}
}

// firstTurn notes in an arbiter's row whether the saga is kept. All who completed a step
// go by the failure or abort that stands first in the log, and that need not be the one
// by which the arbiter ended it:
//
//	AbortRequested   the arbiter reads it, and says Aborted
//	Failed(k) keep   was on its way meanwhile: what was done is kept
//	Aborted          comes too late
//
// So from its own word on the row is Kept, with nothing in Settled, and the first that it
// reads then either takes Kept away, or puts the step that failed into Settled. A row that
// is skipped or closed by what it reads knows at once.
func firstTurn(row Row, ev *Event) Decision {
	known := len(row.Settled) > 0
	switch {
	case !row.Kept || known && !ev.forced():
		return Decision{Row: row}
	case ev.Keep:
		row.Settled = []string{ev.Step}
	default:
		row.Kept, row.Settled = false, nil
	}
	return Decision{Row: row, Changed: true}
}

// reactSaga is R8 without a pivot, and R9. With a pivot it passes requests from elsewhere on to
// the saga's home partition. A saga row is made when the saga is
// started or queued and never by an event. One that was made without knowing the saga's
// home partition learns it from Started, so that its deadline asks there. It remembers
// how it closed: with all its sinks Noted by their completion, Kept by a failure that
// keeps, and else by turning back.
func reactSaga(d *Definition, row Row, ev *Event) Decision {
	turns := ev.Type == StepFailed || ev.Type == Aborted
	decision := Decision{Row: row}
	to := &decision.Row
	switch {
	case ev.Type == AbortRequested && d.Pivot() == "" && row.State != RowNone:
		return arbitrate(d, SagaRow, row, ev)
	case ev.Type == AbortRequested && ev.Elsewhere && row.State != RowNone:
		decision.Emit = []Emission{{
			Type: AbortRequested, Force: ev.Force, Failure: ev.Failure, By: ev.By, Note: ev.Note,
		}}
	case turns && row.State == RowClosed:
		return firstTurn(row, ev)
	case turns && row.State == RowOpen, ev.Type == Aborted && row.State == RowQueued:
		// Queued: the pivot's owner needs no Started to answer.
		to.State, to.Failure, to.Inputs, to.Origin, decision.Changed = RowClosed, ev.Failure, nil, row.Origin.spent(), true
		if ev.Keep {
			to.Kept, to.Settled = true, []string{ev.Step}
		}
	case row.State != RowOpen:
	case ev.Type == Started && row.Home == AnyPartition:
		to.Home, decision.Changed = ev.Partition, true
	case ev.Type == StepCompleted && d.closes(ev.Step) && !slices.Contains(row.Noted, ev.Step):
		to.Noted, decision.Changed = append(slices.Clip(row.Noted), ev.Step), true
		if len(to.Noted) == d.closers() {
			to.State = RowClosed
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
	// A tag that is wrong is none: whoever queued the saga has checked them.
	tags, _ := ParseTags(row.Origin.Tags)
	row.State, row.Inputs, row.Origin = RowOpen, nil, row.Origin.spent()
	return Decision{Row: row, Changed: true, Emit: []Emission{{Type: Started, Output: input, Tags: tags}}}
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
		return true // with a pivot it may have to be passed on
	default:
		return false
	}
}
