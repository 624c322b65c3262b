package choreo

import (
	"slices"
	"strings"
)

// RowState is where a step stands in its owner's database.
type RowState string

// The states of a step's row, in the order in which it can pass through them:
//
//	none → waiting → completed | failed | retrying | pending | skipped
//	completed → undoing → undone | undo-failed
const (
	RowNone       RowState = ""            // no row yet
	RowWaiting    RowState = "waiting"     // some of the steps that it waits for have completed
	RowRetrying   RowState = "retrying"    // Execute failed, or was put off, and is due again
	RowPending    RowState = "pending"     // Execute was begun and is completed from outside
	RowCompleted  RowState = "completed"   // Execute committed, or was bypassed
	RowFailed     RowState = "failed"      // Execute failed for good
	RowSkipped    RowState = "skipped"     // never runs in this saga
	RowUndoing    RowState = "undoing"     // to be compensated once its dependents are settled
	RowUndone     RowState = "undone"      // Compensate committed
	RowUndoFailed RowState = "undo-failed" // Compensate ran out of retries
)

// The states of the initiator's saga row.
const (
	RowQueued RowState = "queued" // not started yet: Admit starts it
	RowOpen   RowState = "open"   // may still be aborted
	RowClosed RowState = "closed" // its outcome is decided
)

// RowParked is the state of the row by which a service knows that it has parked a saga.
// The rules never see such a row: who keeps it holds the saga's events back from them.
const RowParked RowState = "parked"

// SagaRow is the step name under which [React] knows the initiator's saga row.
const SagaRow = ""

// ParkedRow is the step name under which a row in state [RowParked] is kept. No step can
// have it.
const ParkedRow = "*"

// Row is what a service keeps of one of its steps in one saga; under [SagaRow] it
// is what the initiator keeps of the saga itself. The zero value is "none".
//
// The arbiter's row (the pivot's, else the saga row) that is skipped, failed or closed is
// Kept also while it may yet turn out that the saga is: Settled is empty then.
type Row struct {
	State     RowState
	Announced bool     // skipped: the answer to a trigger was given
	Kept      bool     // completed, an arbiter's: a failure decided that nothing is undone
	Bypassed  bool     // completed without Execute having had an effect
	Stuck     bool     // retrying past the pivot: StepStuck was emitted
	Home      int32    // the saga's home partition
	Attempt   int      // of Execute, later of Compensate, so far
	Noted     []string // steps it waits for that completed; sinks that did, for a saga row
	Settled   []string // undoing, Kept: steps that will never (again) hold an effect
	Inputs    []Output // outputs that came with the triggers; queued: the saga's input
	Output    Output   // completed: its own
	Failure   *Failure // the last one
	Origin    Origin   // retrying, pending, undoing, queued: what later events of the step refer to
}

// Origin is what a row keeps of the event that it reacts to, for the events that it
// emits later, when nothing is read: after a retry or an answer from outside.
type Origin struct {
	Initiator   string
	CausationID string
	TraceParent string
	TraceState  string
	Tags        string // queued: the saga's, as FormatTags writes them
	Commands    string // ids of the operators' commands that were answered; see Answered. Kept to the end
}

// keptCommands is how many answered commands a row remembers: the latest. One that comes again
// after so many others counts as a new one.
const keptCommands = 16

// Answered reports whether the operator's command with this id was answered before: it is not
// acted on again, however often and late it is read.
func (o Origin) Answered(id string) bool {
	return id != "" && slices.Contains(strings.Split(o.Commands, "\n"), id)
}

// WithAnswered returns the origin with one more answered command.
func (o Origin) WithAnswered(id string) Origin {
	if id == "" {
		return o
	}
	ids := append(slices.DeleteFunc(strings.Split(o.Commands, "\n"), isEmpty), id)
	o.Commands = strings.Join(ids[max(len(ids)-keptCommands, 0):], "\n")
	return o
}

func isEmpty(s string) bool { return s == "" }

// spent returns what is left of an origin once the step emits nothing more by itself.
func (o Origin) spent() Origin { return Origin{Commands: o.Commands} }

// Input returns the output of a step that came with the row's triggers; the saga's
// input has the empty name.
func (r *Row) Input(step string) (Output, bool) {
	i := slices.IndexFunc(r.Inputs, func(o Output) bool { return o.Step == step })
	if i < 0 {
		return Output{}, false
	}
	return r.Inputs[i], true
}

// Decision is what a rule says is to be done. All of it belongs into the one
// transaction that read the row.
type Decision struct {
	// Row is the row to store, where Changed is set.
	Row     Row
	Changed bool
	// Run names the handler to run with Row before anything is stored; its result
	// goes to Conclude, whose decision takes this one's place.
	Run Run
	// Emit are the events to put into the outbox, in this order.
	Emit []Emission
	// Again is set where the handler is to be run once more after a delay
	// ([RetryPolicy.Delay] of Row.Attempt).
	Again bool
}

// Run is a handler that a rule asks for.
type Run string

// The handlers of a step.
const (
	RunNothing    Run = ""
	RunExecute    Run = "execute"
	RunCompensate Run = "compensate"
)

// Emission is an event as a rule sees it: without the id, time and place that its
// emission gives it.
type Emission struct {
	Type     EventType
	Step     string
	Attempt  int
	Bypassed bool
	Keep     bool
	Force    bool
	Failure  *Failure
	Output   Output // StepCompleted: the step's output; Started: the saga's input
	Carried  []Output
	By, Note string            // of a command, or of the one that it answers
	Target   string            // ReleaseRequested
	Tags     map[string]string // Started
	Resolve  Resolve
}
