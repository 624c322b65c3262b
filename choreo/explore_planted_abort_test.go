package choreo

// plantsOfAborts are faults about queued sagas, aborts by force, and what is kept.
var plantsOfAborts = []plant{
	{
		name: "R8 force is granted past the pivot", shape: "pivot in the middle", bounds: bounds{forces: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if ev.Type == AbortRequested && ev.Force && d.Pivot() == step && row.State == RowCompleted {
				return Decision{Row: row, Emit: []Emission{{Type: Aborted, Force: true, Failure: ev.Failure}}}
			}
			return real(d, step, row, ev)
		}),
		caught: "G5: Aborted force was emitted although the pivot had completed",
	},
	{
		name: "R8 force is granted as often as it is asked for", shape: "linear", bounds: bounds{forces: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if ev.Type == AbortRequested && row.State == RowClosed {
				row.Kept = true
			}
			return real(d, step, row, ev)
		}),
		caught: "G2: reading AbortRequested force once more does something to the saga row",
	},
	{
		name: "R8 force is granted to a saga that has turned back", shape: "failures that keep", bounds: bounds{forces: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if ev.Type == AbortRequested && row.State == RowClosed && row.Failure != nil && row.Failure.Code == "refused" {
				row.Kept = true
			}
			return real(d, step, row, ev)
		}),
		caught: "G6: an abort by force was granted to a saga that went backwards already",
	},
	{
		name: "R8 a completed saga is aborted by force twice", shape: "linear", bounds: bounds{forces: 2},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if ev.Type == AbortRequested && row.State == RowClosed {
				decision.Row.Noted = row.Noted
			}
			return decision
		}),
		caught: "G2: reading AbortRequested force once more does something to the saga row",
	},
	{
		name: "R8 a completed saga is not aborted by force", shape: "linear", bounds: bounds{forces: 1},
		rules:  unforced(func(row *Row) bool { return len(row.Noted) > 0 }),
		caught: "an abort by force came in time, and what was done stands",
	},
	{
		name: "R8 a saga that is kept is not aborted by force", shape: "failures that keep", bounds: bounds{forces: 1},
		rules:  unforced(func(row *Row) bool { return row.State == RowClosed && len(row.Settled) > 0 }),
		caught: "an abort by force came in time, and what was done stands",
	},
	{
		name: "R8 a pivot that was skipped does not know what was kept", shape: "failures that keep before a pivot and at it", bounds: bounds{forces: 1},
		rules:  unforced(func(row *Row) bool { return row.State == RowSkipped && len(row.Settled) > 0 }),
		caught: "an abort by force came in time, and what was done stands",
	},
	{
		name: "R8 an arbiter takes its own yes for the first turn", shape: "two failures of which one keeps", bounds: bounds{cancels: 1, forces: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if ev.Type == AbortRequested {
				decision.Row.Kept = false
			}
			return decision
		}),
		caught: "G6: the saga ended as failed and the initiator's saga row is closed",
	},
	{
		name: "R8 a pivot that failed does not know that it keeps", shape: "failures that keep before a pivot and at it", bounds: bounds{forces: 1},
		rules: func(r rules) rules {
			real := r.conclude
			r.conclude = func(d *Definition, step string, row Row, run Run, res Result) Decision {
				decision := real(d, step, row, run, res)
				if decision.Row.State == RowFailed {
					decision.Row.Kept = false
				}
				return decision
			}
			return r
		},
		caught: "G6: a request was rejected as \"aborted\", and the saga is kept",
	},
	{
		name: "R8 an arbiter goes by the last turn", shape: "two failures of which one keeps", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if step == SagaRow && row.State == RowClosed && row.Kept && turns(ev) {
				row.Settled = nil
			}
			return real(d, step, row, ev)
		}),
		caught: "G2: reading Failed(a) keep once more does something to the saga row",
	},
	{
		name: "R8 Aborted does not say that it is by force", shape: "failures that keep", bounds: bounds{forces: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			for i := range decision.Emit {
				decision.Emit[i].Force = false
			}
			return decision
		}),
		caught: "G6: an instance that had ended as completed became compensating",
	},
	{
		name: "R5 a kept step goes back at any abort", shape: "two failures of which one keeps", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.Kept && row.State == RowCompleted && ev.Type == Aborted {
				forced := *ev
				forced.Force = true
				return real(d, step, row, &forced)
			}
			return real(d, step, row, ev)
		}),
		caught: "G6: the log told that the saga had ended as failed, and then",
	},
	{
		name: "R5 a kept step does not go back by force", shape: "failures that keep", bounds: bounds{forces: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.Kept && row.State == RowCompleted && ev.Type == Aborted {
				return Decision{Row: row}
			}
			return real(d, step, row, ev)
		}),
		caught: "G3: the saga was turned back, and the effect of",
	},
	{
		name: "R5 the failure that keeps settles nothing", shape: "a failure that keeps, beside a branch that goes on", bounds: bounds{forces: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if ev.Keep && row.State == RowCompleted {
				decision.Row.Settled = nil
			}
			return decision
		}),
		caught: "G2: reading Failed(c) keep once more does something to b",
	},
	{
		name: "R6 a kept step does not note what is settled", shape: "a failure that keeps, beside a branch that goes on", bounds: bounds{forces: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.Kept && row.State == RowCompleted && !ev.forced() {
				return Decision{Row: row}
			}
			return real(d, step, row, ev)
		}),
		caught: "G2: reading Failed(d) once more does something to a",
	},
	{
		name: "R6 a kept step is undone when all is settled", shape: "a failure that keeps, beside a branch that goes on",
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if kept := &decision.Row; kept.Kept && kept.State == RowCompleted && len(kept.Settled) == len(d.undoWaits(step)) && decision.Changed {
				decision.Run = RunCompensate
			}
			return decision
		}),
		caught: "G6: the log told that the saga had ended as failed, and then a handler of b ran",
	},
	{
		name: "the fold does not hear of an abort by force", shape: "failures that keep", bounds: bounds{forces: 1},
		rules: func(r rules) rules {
			r.apply = func(in *Instance, ev *Event) bool { return !(ev.forced() && in.kept) && in.Apply(ev) }
			return r
		},
		caught: "G6: the log told that the saga had ended as failed, and then",
	},
	{
		name: "the fold takes a completed saga for ended for good", shape: "linear", bounds: bounds{forces: 1},
		rules: func(r rules) rules {
			r.apply = func(in *Instance, ev *Event) bool { return in.Status != StatusCompleted && in.Apply(ev) }
			return r
		},
		caught: "G6: the log told that the saga had ended as completed, and then",
	},
	{
		name: "R8 a request is nothing to a queued saga", shape: "queued", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.State == RowQueued {
				return Decision{Row: row}
			}
			return real(d, step, row, ev)
		}),
		caught: "a cancel was never answered",
	},
	{
		name: "R8 a queued saga does not hear the pivot's owner", shape: "queued, with a pivot and a foreign initiator", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.State == RowQueued {
				return Decision{Row: row}
			}
			return real(d, step, row, ev)
		}),
		caught: "the initiator's saga row is open",
	},
	{
		name: "R8 a queued saga that is aborted stays in the queue", shape: "queued", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if row.State == RowQueued {
				decision.Row.State = RowQueued
			}
			return decision
		}),
		caught: "G2: reading AbortRequested once more does something to the saga row",
	},
	{
		name: "a queued saga starts without its initiator's knowing", shape: "queued",
		rules: func(r rules) rules {
			real := r.admit
			r.admit = func(d *Definition, row Row) Decision {
				decision := real(d, row)
				decision.Row.State = row.State
				return decision
			}
			return r
		},
		caught: "G6: the saga was started twice",
	},
}

// unforced has an arbiter refuse force where its row says that the saga is closed so.
func unforced(so func(*Row) bool) func(rules) rules {
	return reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
		if ev.Type == AbortRequested && so(&row) {
			asked := *ev
			asked.Force = false
			return real(d, step, row, &asked)
		}
		return real(d, step, row, ev)
	})
}
