package choreo

// Result is how a handler ended.
type Result struct {
	Err      *Error // nil: it succeeded
	Pending  bool   // Execute began the step; [Answer] or [Expire] ends it
	Bypassed bool   // Execute was not run, since the step's condition is false
	Output   Output // Execute: its encoded output
}

// Resume returns the decision to run a handler that is due again: Execute of a
// retrying row, Compensate of an undoing one whose dependents are settled. It runs
// nothing where the row has moved on.
func Resume(d *Definition, step string, row Row) Decision {
	switch row.State {
	case RowRetrying:
		return Decision{Row: row, Run: RunExecute}
	case RowUndoing:
		if d.undoDue(step, &row) {
			return undo(d, step, row)
		}
	default:
	}
	return Decision{Row: row}
}

// Defer puts off the handler that [React] or [Resume] asked for, where a bound leaves it
// no place now: the row, which is that decision's, is due again, as after a failure, but no
// attempt is counted. Resume then runs it, or another event ends the wait.
func Defer(_ *Definition, _ string, row Row, run Run) Decision {
	row.State = RowRetrying
	if run == RunCompensate {
		row.State = RowUndoing
	}
	return Decision{Row: row, Changed: true, Again: true}
}

// Answer ends a pending step with a result from outside: a person approved, a webhook
// came. It changes nothing where the row is not pending; its state then says why.
func Answer(d *Definition, step string, row Row, res Result) Decision {
	if row.State != RowPending {
		return Decision{Row: row}
	}
	row.Attempt-- // the attempt that began it is the one that ends
	if res.Err != nil && res.Err.Class.Retried() {
		// There is no handler to run again: whoever answers with a fault ends the step.
		final := *res.Err
		final.Class = ClassPermanent
		res.Err = &final
	}
	return Conclude(d, step, row, RunExecute, res)
}

// Expire ends a pending step whose answer did not come in time. Past the pivot the
// step goes on waiting, and is shown as stuck.
func Expire(d *Definition, step string, row Row) Decision {
	if row.State != RowPending {
		return Decision{Row: row}
	}
	row.Failure = &Failure{Class: ClassTimeout, Code: "timeout", Message: "no answer came in time"}
	return fail(d, step, row, false)
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
	switch {
	case res.Pending:
		row.State = RowPending
		return Decision{Row: row, Changed: true}
	case res.Err == nil:
		return complete(d, step, row, res)
	case res.Err.Class.Retried() && !d.Step(step).Retry.Exhausted(row.Attempt):
		row.State = RowRetrying
		return Decision{Row: row, Changed: true, Again: true}
	}
	row.State = RowRetrying
	return fail(d, step, row, true)
}

// fail ends a step for good, as far as it may end: an optional one is bypassed, one past
// the pivot stays in its state, is shown as stuck, and is run again where there is
// something to run.
func fail(d *Definition, step string, row Row, again bool) Decision {
	def := d.Step(step)
	switch {
	case def.Optional:
		return complete(d, step, row, Result{Bypassed: true})
	case d.pastPivot(step):
		decision := Decision{Row: row, Changed: true, Again: again}
		if !row.Stuck {
			decision.Row.Stuck = true
			decision.Emit = []Emission{{Type: StepStuck, Step: step, Attempt: row.Attempt, Failure: row.Failure}}
		}
		return decision
	}
	row.State = RowFailed
	row.Inputs, row.Origin = nil, row.Origin.spent()
	keep := def.compensateErr != nil && !def.compensateErr(row.Failure)
	if keep && def.Pivot { // all before it has completed: no other failure can come first
		row.Kept, row.Settled = true, []string{step}
	}
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
	row.Noted, row.Stuck, row.Origin = nil, false, row.Origin.spent()
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
	row.Origin = row.Origin.spent()
	return Decision{Row: row, Changed: true, Emit: []Emission{{
		Type: CompensationFailed, Step: step, Attempt: row.Attempt, Failure: row.Failure,
	}}}
}
