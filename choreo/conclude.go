package choreo

// Result is how a handler ended.
type Result struct {
	Err      *Error // nil: it succeeded
	Bypassed bool   // Execute was not run, since the step's condition is false
	Output   Output // Execute: its encoded output
}

// Resume returns the decision to run a handler that is due again: Execute of a
// retrying or pending row, Compensate of an undoing one whose dependents are
// settled. It runs nothing where the row has moved on.
func Resume(d *Definition, step string, row Row) Decision {
	switch row.State {
	case RowRetrying, RowPending:
		return Decision{Row: row, Run: RunExecute}
	case RowUndoing:
		if len(row.Settled) == len(d.undoWaits(step)) {
			return undo(d, step, row)
		}
	default:
	}
	return Decision{Row: row}
}

// Conclude is the second half of R1 and R7: what follows from the result of the
// handler that a decision asked for. row and run are that decision's.
func Conclude(d *Definition, step string, row Row, run Run, res Result) Decision {
	row.Attempt++
	if res.Bypassed {
		row.Attempt = 0
	}
	row.Failure = nil
	if res.Err != nil {
		row.Failure = res.Err.Failure()
	}
	if run == RunCompensate {
		return concludeCompensate(d, step, row, res)
	}
	return concludeExecute(d, step, row, res)
}

func concludeExecute(d *Definition, step string, row Row, res Result) Decision {
	def := d.Step(step)
	switch {
	case res.Err == nil:
		return complete(d, step, row, res)
	case res.Err.Class.Retried() && !def.Retry.Exhausted(row.Attempt):
		row.State = RowRetrying
		return Decision{Row: row, Changed: true, Again: true}
	case def.Optional:
		return complete(d, step, row, Result{Bypassed: true})
	case d.pastPivot(step):
		row.State = RowRetrying
		decision := Decision{Row: row, Changed: true, Again: true}
		if !row.Stuck {
			decision.Row.Stuck = true
			decision.Emit = []Emission{{Type: StepStuck, Step: step, Attempt: row.Attempt, Failure: row.Failure}}
		}
		return decision
	}
	row.State = RowFailed
	row.Inputs = nil
	keep := def.compensateErr != nil && !def.compensateErr(row.Failure)
	return Decision{Row: row, Changed: true, Emit: []Emission{{
		Type: StepFailed, Step: step, Attempt: row.Attempt, Failure: row.Failure, Keep: keep,
	}}}
}

func complete(d *Definition, step string, row Row, res Result) Decision {
	done := Emission{
		Type: StepCompleted, Step: step, Attempt: row.Attempt,
		Bypassed: res.Bypassed, Failure: row.Failure,
	}
	for _, u := range d.carries(step) {
		if o, ok := row.Input(u); ok {
			done.Carried = append(done.Carried, o)
		}
	}
	row.State, row.Bypassed = RowCompleted, res.Bypassed
	row.Noted, row.Stuck = nil, false
	if !res.Bypassed {
		done.Output = res.Output
		done.Output.Step = step
		row.Output = done.Output
	}
	if !d.Compensates(step) { // nothing will read them again
		row.Inputs, row.Output = nil, Output{}
	}
	return Decision{Row: row, Changed: true, Emit: []Emission{done}}
}

func concludeCompensate(d *Definition, step string, row Row, res Result) Decision {
	switch {
	case res.Err == nil:
		return Decision{Row: undone(row), Changed: true, Emit: []Emission{{
			Type: StepCompensated, Step: step, Attempt: row.Attempt,
		}}}
	case res.Err.Class.Retried() && !d.Step(step).UndoRetry.Exhausted(row.Attempt):
		return Decision{Row: row, Changed: true, Again: true}
	}
	row.State = RowUndoFailed
	return Decision{Row: row, Changed: true, Emit: []Emission{{
		Type: CompensationFailed, Step: step, Attempt: row.Attempt, Failure: row.Failure,
	}}}
}
