package choreo

import "slices"

// React is the rules R1 to R10 of the design: what the owner of a step does about
// an event of a saga. With step [SagaRow] it is what the initiator does with its
// saga row. It is pure: row and event are not changed, and the same ones give the
// same decision. The event may be a duplicate, also a stale one.
func React(d *Definition, step string, row Row, ev *Event) Decision {
	if step == SagaRow {
		return reactSaga(d, row, ev)
	}
	if row.State == RowNone {
		row.Home = ev.Partition
	}
	switch ev.Type {
	case Started, StepCompleted:
		if d.triggers(step, ev) {
			return trigger(d, step, row, ev) // R1, R2
		}
	case StepFailed, Aborted:
		if ev.Step != step {
			return turnBack(d, step, row, ev) // R3, R4, R5, R6
		}
	case StepSkipped, StepCompensated, CompensationFailed:
		if row.State == RowUndoing || row.State == RowCompleted && row.Kept {
			return settleMore(d, step, row, ev) // R6
		}
	case AbortRequested:
		// Without a row the home partition of a request from elsewhere is not known here, and
		// an answer in another one would have no order with the saga's events.
		if d.Pivot() == step && !(ev.Elsewhere && row.State == RowNone) {
			return arbitrate(d, step, row, ev) // R8
		}
	case RetryRequested, ResolveRequested:
		if ev.Step == step {
			return command(d, step, row, ev) // R11
		}
	case AbortRejected, StepStuck, CommandRejected,
		SagaParked, SagaReleased, ReleaseRequested, ReleaseRejected, StartRequested, StartRejected:
	}
	return Decision{Row: row} // R10
}

// triggers reports whether the event is one that step waits for.
func (d *Definition) triggers(step string, ev *Event) bool {
	after := d.Step(step).After
	if ev.Type == Started {
		return len(after) == 0
	}
	return slices.Contains(after, ev.Step)
}

// trigger is R1 and R2.
func trigger(d *Definition, step string, row Row, ev *Event) Decision {
	switch row.State {
	case RowNone, RowWaiting:
		if slices.Contains(row.Noted, ev.Step) {
			break
		}
		row = note(d, step, row, ev)
		if len(row.Noted) == max(len(d.Step(step).After), 1) {
			return Decision{Row: row, Changed: true, Run: RunExecute}
		}
		row.State = RowWaiting
		return Decision{Row: row, Changed: true}
	case RowSkipped:
		if !row.Announced {
			row.Announced = true
			return Decision{Row: row, Changed: true, Emit: []Emission{{Type: StepSkipped, Step: step}}}
		}
	default:
	}
	return Decision{Row: row}
}

// note adds a trigger and the outputs that step reads or passes on.
func note(d *Definition, step string, row Row, ev *Event) Row {
	row.Noted = append(slices.Clip(row.Noted), ev.Step)
	row.Inputs = slices.Clip(row.Inputs)
	if !ev.Bypassed {
		row.Inputs = append(row.Inputs, Output{Step: ev.Step, ContentType: ev.ContentType, Data: ev.Payload})
	}
	uses, carries := d.Step(step).Reads(), d.carries(step)
	for _, o := range ev.Carried {
		wanted := slices.Contains(uses, o.Step) || slices.Contains(carries, o.Step)
		if _, have := row.Input(o.Step); wanted && !have {
			row.Inputs = append(row.Inputs, o)
		}
	}
	return row
}

// turnBack is R3, R4, R5 and the further Failed of R6.
func turnBack(d *Definition, step string, row Row, ev *Event) Decision {
	switch row.State {
	case RowNone, RowWaiting, RowRetrying, RowPending: // R3, R4
		decision := skip(step, row)
		if ev.Keep && d.Pivot() == step {
			decision.Row.Kept, decision.Row.Settled = true, []string{ev.Step}
		}
		return decision
	case RowCompleted: // R5
		if d.Pivot() == step || d.pastPivot(step) {
			return Decision{Row: row}
		}
		if row.Kept && !ev.forced() {
			return settleMore(d, step, row, ev)
		}
		row = settle(d, step, row, ev)
		if ev.Keep {
			row.Kept = true
			return Decision{Row: row, Changed: true}
		}
		row.State, row.Kept, row.Attempt = RowUndoing, false, 0
		return undo(d, step, row)
	case RowUndoing: // R6
		return settleMore(d, step, row, ev)
	case RowSkipped:
		return firstTurn(row, ev)
	default:
	}
	return Decision{Row: row}
}

// skip ends a step that has no effect yet. One that was triggered answers that (R4).
func skip(step string, row Row) Decision {
	decision := Decision{Row: row, Changed: true}
	decision.Row.State = RowSkipped
	if row.State != RowNone {
		decision.Row.Announced, decision.Row.Inputs, decision.Row.Origin = true, nil, row.Origin.spent()
		decision.Emit = []Emission{{Type: StepSkipped, Step: step}}
	}
	return decision
}

// settledBy returns the steps that an event shows to be settled. Whatever follows
// from a step that failed or was skipped can never run, so that it is settled too.
func settledBy(d *Definition, ev *Event) []string {
	switch ev.Type {
	case StepFailed, StepSkipped:
		return d.followers(ev.Step)
	case StepCompensated:
		return []string{ev.Step}
	case CompensationFailed:
		if d.strategy == BestEffort {
			return []string{ev.Step}
		}
	default:
	}
	return nil
}

// settle notes what an event settles in a row that is undoing, or kept and may yet be.
func settle(d *Definition, step string, row Row, ev *Event) Row {
	row.Settled = slices.Clip(row.Settled)
	waits := d.undoWaits(step)
	for _, s := range settledBy(d, ev) {
		if slices.Contains(waits, s) && !slices.Contains(row.Settled, s) {
			row.Settled = append(row.Settled, s)
		}
	}
	return row
}

// settleMore is R6. An event that settles nothing new must not run Compensate: it may
// have failed before, and then it is its retry policy that says when it is due again. A
// kept row only notes what is settled: those that it waits for will not say so again if
// it is undone after all.
func settleMore(d *Definition, step string, row Row, ev *Event) Decision {
	settled := settle(d, step, row, ev)
	switch {
	case len(settled.Settled) == len(row.Settled):
		return Decision{Row: row}
	case row.Kept:
		return Decision{Row: settled, Changed: true}
	}
	return undo(d, step, settled)
}

// undo is R7.
func undo(d *Definition, step string, row Row) Decision {
	decision := Decision{Row: row, Changed: true}
	switch {
	case len(row.Settled) < len(d.undoWaits(step)):
	case row.Bypassed || !d.Compensates(step):
		decision.Row = undone(row)
		decision.Emit = []Emission{{Type: StepCompensated, Step: step}}
	default:
		decision.Run = RunCompensate
	}
	return decision
}

// undone returns a row whose step is undone: nothing of it is read again.
func undone(row Row) Row {
	row.State = RowUndone
	row.Inputs, row.Output, row.Settled, row.Origin = nil, Output{}, nil, row.Origin.spent()
	return row
}
