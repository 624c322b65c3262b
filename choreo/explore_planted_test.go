package choreo

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// plant is a faulty variant of the rules. The explorer has to find it: that is how
// we know that it can.
type plant struct {
	name   string
	shape  string
	bounds bounds
	rules  func(r rules) rules
	caught string // what the violation says
}

type reactFunc = func(d *Definition, step string, row Row, ev *Event) Decision

// reacting replaces React by a variant that can call the real one.
func reacting(f func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision) func(rules) rules {
	return func(r rules) rules {
		whole := r.react
		r.react = func(d *Definition, step string, row Row, ev *Event) Decision { return f(whole, d, step, row, ev) }
		return r
	}
}

func turns(ev *Event) bool { return ev.Type == StepFailed || ev.Type == Aborted }

var plants = []plant{
	{
		name: "R1 a duplicate trigger executes a completed step again", shape: "linear", bounds: bounds{dups: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.State == RowCompleted && ev.Type == StepCompleted && slices.Contains(d.Step(step).After, ev.Step) {
				row = Row{}
			}
			return real(d, step, row, ev)
		}),
		caught: "G2: reading Completed(a) once more does something to b",
	},
	{
		name: "R1 the row is not stored", shape: "two sinks", bounds: bounds{crashes: 1},
		rules: func(r rules) rules {
			real := r.conclude
			r.conclude = func(d *Definition, step string, row Row, run Run, res Result) Decision {
				decision := real(d, step, row, run, res)
				decision.Changed = decision.Changed && step != "c"
				return decision
			}
			return r
		},
		caught: "G2: reading Completed(a) once more does something to c",
	},
	{
		name: "R1 a join does not wait for all", shape: "diamond",
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if decision.Row.State == RowWaiting && ev.Type == StepCompleted {
				decision.Run = RunExecute
			}
			return decision
		}),
		caught: "G4: d ran before",
	},
	{
		name: "R2 a skipped step never answers its trigger", shape: "two sinks", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.State == RowSkipped {
				return Decision{Row: row}
			}
			return real(d, step, row, ev)
		}),
		caught: "G3: the saga was turned back, and the effect of a stands at rest",
	},
	{
		name: "R3 no skipped row is written", shape: "two sinks",
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.State == RowNone && turns(ev) && step != SagaRow {
				return Decision{Row: row}
			}
			return real(d, step, row, ev)
		}),
		caught: "G6: at rest b should be skipped with its owner",
	},
	{
		name: "R4 a waiting step is skipped in silence", shape: "two roots with a join", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if row.State == RowWaiting && turns(ev) {
				decision.Emit = nil
			}
			return decision
		}),
		caught: "its instance says compensating",
	},
	{
		name: "R4 a retrying step is not skipped", shape: "linear with retries", bounds: bounds{cancels: 1, retries: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.State == RowRetrying && turns(ev) {
				return Decision{Row: row}
			}
			return real(d, step, row, ev)
		}),
		caught: "G2: reading Aborted once more does something to a",
	},
	{
		name: "R4 a pending step is not skipped", shape: "steps that end elsewhere", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.State == RowPending && turns(ev) {
				return Decision{Row: row}
			}
			return real(d, step, row, ev)
		}),
		caught: "G2: reading Aborted once more does something to a",
	},
	{
		name: "R5 Failed does not settle what follows from the failed step", shape: "custom order across branches that may never run",
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if ev.Type == StepFailed && step != SagaRow && step != ev.Step {
				failed := *ev
				failed.Type = Aborted // it turns back, and settles nothing
				return real(d, step, row, &failed)
			}
			return real(d, step, row, ev)
		}),
		caught: "G3: the saga was turned back, and the effect of a, c stands at rest",
	},
	{
		name: "R5 a step that completed before the abort was read stays", shape: "linear",
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.State == RowCompleted && turns(ev) && step == "a" {
				return Decision{Row: row}
			}
			return real(d, step, row, ev)
		}),
		caught: "G3: the saga was turned back, and the effect of a stands at rest",
	},
	{
		name: "R7 undone before its dependents are settled", shape: "two sinks",
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if row.State == RowCompleted && decision.Row.State == RowUndoing {
				decision.Run = RunCompensate
			}
			return decision
		}),
		caught: "G4: a was undone while the effect of",
	},
	{
		name: "R7 an undone step is undone again", shape: "linear", bounds: bounds{dups: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.State == RowUndone && turns(ev) {
				row.State = RowCompleted
			}
			return real(d, step, row, ev)
		}),
		caught: "G2: reading Failed(b) once more does something to a",
	},
	{
		name: "R7 any event runs a compensation that waits for its retry", shape: "parallel compensation",
		bounds: bounds{retries: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if row.State == RowUndoing && (turns(ev) || ev.Type == StepSkipped || ev.Type == StepCompensated) {
				return Decision{Row: row, Run: RunCompensate}
			}
			return real(d, step, row, ev)
		}),
		caught: "G2: reading",
	},
	{
		name: "R7 best effort waits for a compensation that failed", shape: "best effort", bounds: bounds{undoFails: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if ev.Type == CompensationFailed {
				return Decision{Row: row}
			}
			return real(d, step, row, ev)
		}),
		caught: "G3: the saga was turned back, and the effect of a stands at rest",
	},
	{
		name: "R8 the arbiter ignores that the pivot has completed", shape: "pivot in the middle", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if ev.Type == AbortRequested && d.Pivot() == step && row.State == RowCompleted {
				return Decision{Row: row, Emit: []Emission{{Type: Aborted, Failure: ev.Failure}}}
			}
			return real(d, step, row, ev)
		}),
		caught: "G5: Aborted was emitted although the pivot had completed",
	},
	{
		name: "R8 the initiator answers although there is a pivot", shape: "pivot in the middle", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if ev.Type == AbortRequested && step == SagaRow && row.State == RowOpen {
				row.State = RowClosed
				return Decision{Row: row, Changed: true, Emit: []Emission{{Type: Aborted, Failure: ev.Failure}}}
			}
			return real(d, step, row, ev)
		}),
		caught: "G6: the saga was aborted twice",
	},
	{
		name: "R8 a step acts on AbortRequested by itself", shape: "two sinks", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if ev.Type == AbortRequested && step == "c" {
				asked := *ev
				asked.Type = Aborted
				return real(d, step, row, &asked)
			}
			return real(d, step, row, ev)
		}),
		caught: "G6: the log told that the saga had ended as completed, and then a handler of c ran",
	},
	{
		name: "R8 the abort of a saga without pivot does not close it", shape: "linear", bounds: bounds{cancels: 2},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if ev.Type == AbortRequested && step == SagaRow {
				decision.Row.State = row.State
			}
			return decision
		}),
		caught: "G6: the saga was aborted twice",
	},
	{
		name: "R8 a request is not answered", shape: "pivot in the middle", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if ev.Type == AbortRequested && !decision.Changed {
				decision.Emit = nil
			}
			return decision
		}),
		caught: "a cancel was never answered",
	},
	{
		name: "R8 a rejection does not say why", shape: "linear", bounds: bounds{cancels: 2},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			for i := range decision.Emit {
				if decision.Emit[i].Type == AbortRejected {
					decision.Emit[i].Failure = ev.Failure // the reason that was asked with
				}
			}
			return decision
		}),
		caught: "G6: a request was rejected as \"cancelled\", and the saga is",
	},
	{
		name: "R8 the arbiter rejects what it should grant", shape: "linear", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if ev.Type == AbortRequested && step == SagaRow && decision.Changed {
				decision.Row = row
				decision.Emit = []Emission{{Type: AbortRejected, Failure: &Failure{Code: "aborted"}}}
			}
			return decision
		}),
		caught: "a cancel came in time and was rejected as",
	},
	{
		name: "R9 the saga row is never closed", shape: "linear",
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if step == SagaRow && ev.Type == StepCompleted {
				return Decision{Row: row}
			}
			return real(d, step, row, ev)
		}),
		caught: "G6: the saga ended as completed and the initiator's saga row is open",
	},
	{
		name: "R9 the saga row is closed by the first of two sinks", shape: "two sinks", bounds: bounds{cancels: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if step == SagaRow && len(decision.Row.Noted) == 1 {
				decision.Row.State = RowClosed
			}
			return decision
		}),
		caught: "a cancel came in time and was rejected as",
	},
	{
		name: "a filter that keeps is forgotten by one step", shape: "failures that keep",
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			kept := *ev
			kept.Keep = ev.Keep && step != "c"
			return real(d, step, row, &kept)
		}),
		caught: "G6: the log told that the saga had ended as failed, and then a handler of c ran",
	},
	{
		name: "a step past the pivot fails", shape: "pivot in the middle", bounds: bounds{retries: 1},
		rules: func(r rules) rules {
			real := r.conclude
			r.conclude = func(d *Definition, step string, row Row, run Run, res Result) Decision {
				if step == "c" && res.Err != nil {
					row.State, row.Failure = RowFailed, res.Err.Failure()
					return Decision{Row: row, Changed: true, Emit: []Emission{{Type: StepFailed, Step: step, Failure: row.Failure}}}
				}
				return real(d, step, row, run, res)
			}
			return r
		},
		caught: "G5: Failed(c) was emitted although the pivot had completed",
	},
	{
		name: "an answer is answered without end", shape: "linear", bounds: bounds{cancels: 2},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			decision := real(d, step, row, ev)
			if ev.Type == AbortRejected && step == SagaRow {
				decision.Emit = []Emission{{Type: AbortRejected, Failure: ev.Failure}}
			}
			return decision
		}),
		caught: "without end",
	},
	{
		name: "the fold counts a stale duplicate", shape: "linear", bounds: bounds{dups: 1},
		rules: func(r rules) rules {
			r.apply = func(in *Instance, ev *Event) bool {
				if i, ok := in.def.index[ev.Step]; ok && ev.Type == StepCompleted {
					in.Steps[i].Status = StepDone
				}
				return in.Apply(ev)
			}
			return r
		},
		caught: "G6: the instance differs with duplicates and without",
	},
	{
		name: "the fold ends a saga while a step is still to answer", shape: "two sinks", bounds: bounds{cancels: 1},
		rules: func(r rules) rules {
			r.apply = func(in *Instance, ev *Event) bool {
				changed := in.Apply(ev)
				if in.turned && in.Status == StatusCompensating && !in.any(StepUndoing) {
					in.Status = StatusCompensated
				}
				return changed
			}
			return r
		},
		caught: "G6: the log told that the saga had ended as compensated, and then",
	},
	{
		name: "the fold parks a saga again at a stale duplicate", shape: "linear", bounds: bounds{parks: 1, dups: 1},
		rules: func(r rules) rules {
			r.apply = func(in *Instance, ev *Event) bool {
				in.parkings = nil
				return in.Apply(ev)
			}
			return r
		},
		caught: "G6: the instance differs with duplicates and without",
	},
	{
		name: "the fold releases a saga for all when one service does", shape: "linear", bounds: bounds{parks: 2},
		rules: func(r rules) rules {
			r.apply = func(in *Instance, ev *Event) bool {
				if ev.Type == SagaReleased {
					in.Parked = slices.DeleteFunc(slices.Clone(in.Parked), func(p ParkedAt) bool { return p.Service != ev.Source })
				}
				return in.Apply(ev)
			}
			return r
		},
		caught: "G6: parked by services",
	},
	{
		name: "the fold shows a saga as parked that has ended", shape: "linear", bounds: bounds{parks: 1},
		rules: func(r rules) rules {
			r.apply = func(in *Instance, ev *Event) bool {
				changed := in.Apply(ev)
				if changed && len(in.Parked) > 0 && in.Status != "" {
					in.Status = StatusParked
				}
				return changed
			}
			return r
		},
		caught: "G6: an instance that had ended as compensated became parked",
	},
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
		name: "R8 force is granted to a saga that has turned back", shape: "linear", bounds: bounds{forces: 1},
		rules: reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
			if ev.Type == AbortRequested && row.State == RowClosed {
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
		caught: "G6: the saga was aborted twice",
	},
	{
		name: "R8 a completed saga is not aborted by force", shape: "linear", bounds: bounds{forces: 1},
		rules:  unforced(func(d *Definition, row *Row) bool { return len(row.Noted) > 0 }),
		caught: "an abort by force came in time, and what was done stands",
	},
	{
		name: "R8 a saga that is kept is not aborted by force", shape: "failures that keep", bounds: bounds{forces: 1},
		rules:  unforced(func(d *Definition, row *Row) bool { return row.State == RowClosed && len(row.Settled) > 0 }),
		caught: "an abort by force came in time, and what was done stands",
	},
	{
		name: "R8 a pivot that was skipped does not know what was kept", shape: "failures that keep before a pivot and at it", bounds: bounds{forces: 1},
		rules:  unforced(func(d *Definition, row *Row) bool { return row.State == RowSkipped && len(row.Settled) > 0 }),
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
		caught: "G6: the saga ended as failed and the initiator's saga row is closed",
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
		caught: "G6: the saga was started although it had been aborted",
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
	{
		name: "a handler that was put off is not due", shape: "linear", bounds: bounds{defers: 1},
		rules: puttingOff(func(decision Decision, _ Run) Decision {
			decision.Again = false
			return decision
		}),
		caught: "G3: nothing turned the saga back, and a, b, c never ran",
	},
	{
		name: "a step that was put off waits as one without all its triggers", shape: "two roots with a join", bounds: bounds{defers: 1},
		rules: puttingOff(func(decision Decision, run Run) Decision {
			if run == RunExecute {
				decision.Row.State = RowWaiting
			}
			return decision
		}),
		caught: "G3: nothing turned the saga back, and",
	},
	{
		name: "that Compensate was put off is not stored", shape: "linear", bounds: bounds{defers: 1},
		rules: puttingOff(func(decision Decision, run Run) Decision {
			decision.Changed = run == RunExecute
			return decision
		}),
		caught: "G2: reading Failed(b) once more does something to a",
	},
	{
		name: "Compensate that was put off waits for its dependents anew", shape: "linear", bounds: bounds{defers: 1},
		rules: puttingOff(func(decision Decision, run Run) Decision {
			decision.Row.Settled = nil
			return decision
		}),
		caught: "G2: reading Failed(b) once more does something to a",
	},
}

// unforced has an arbiter refuse force where its row says that the saga is closed so.
func unforced(so func(*Definition, *Row) bool) func(rules) rules {
	return reacting(func(real reactFunc, d *Definition, step string, row Row, ev *Event) Decision {
		if ev.Type == AbortRequested && so(d, &row) {
			asked := *ev
			asked.Force = false
			return real(d, step, row, &asked)
		}
		return real(d, step, row, ev)
	})
}

// puttingOff replaces Defer by what a function makes of its decision.
func puttingOff(f func(Decision, Run) Decision) func(rules) rules {
	return func(r rules) rules {
		real := r.putOff
		r.putOff = func(d *Definition, step string, row Row, run Run) Decision { return f(real(d, step, row, run), run) }
		return r
	}
}

// TestExploreFindsPlantedFaults runs the explorer over faulty rules: each must be
// caught, by the guarantee that it breaks.
func TestExploreFindsPlantedFaults(t *testing.T) {
	for _, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(shapes, func(s shape) bool { return s.name == p.shape })
			require.GreaterOrEqual(t, i, 0, "no shape %q", p.shape)
			found := shapes[i].explorer(t, p.rules(realRules())).explore(p.bounds)
			require.Contains(t, found.violation, p.caught, "after %d states\n\n%s", found.states, found.story)
			require.NotEmpty(t, found.story)
			t.Logf("caught after %d states: %s", found.states, found.violation)

			found = shapes[i].explorer(t, realRules()).explore(p.bounds)
			require.Empty(t, found.violation, "the real rules hold within the same bounds")
		})
	}
}
