package choreo

import "time"

// EventType says what happened. Its string is the CloudEvents type.
type EventType string

// The events of a saga log.
const (
	// StartRequested asks the service in Target to start the saga, whose input is the payload.
	// It stands before Started, and concerns nobody else. The service answers with Started or
	// with StartRejected.
	StartRequested EventType = "choreo.saga.start-requested"
	// StartRejected is the service's no to StartRequested, and why. Where there is a saga of this
	// id already (the code of its Failure is then "exists"), nothing has happened to it.
	StartRejected EventType = "choreo.saga.start-rejected"
	// Started is the first event of every saga; its payload is the saga's input.
	Started EventType = "choreo.saga.started"
	// AbortRequested asks the arbiter to turn the saga back: a cancel, a deadline, or with
	// Force an operator's command, which turns back also what would stay as it is: a saga
	// without a pivot whose steps have all completed, and one that failed and is kept. It
	// is emitted only after the transaction that starts the saga, or queues it, has
	// committed: before, the initiator has no row that could answer, and were the request
	// read a second time later, it could turn back a saga whose last step has completed
	// meanwhile. A queued saga has that row: read once, the request closes it for good.
	AbortRequested EventType = "choreo.saga.abort-requested"
	// Aborted is the arbiter's yes: from here on the saga goes backwards. Where a failure that
	// keeps stands before it in the log, it takes Force to turn the saga back after all.
	Aborted EventType = "choreo.saga.aborted"
	// AbortRejected is the arbiter's no: the saga had closed before the request. The code of
	// its Failure says how: "committed" (the pivot has completed), "completed" (every step
	// has), "kept" (a step failed, and what was done is kept) or "aborted" (it goes or went
	// backwards already). Its Note is the reason that the request gave.
	AbortRejected EventType = "choreo.saga.abort-rejected"
	// SagaParked says that the service in Source cannot go on with the saga, and why: it
	// keeps what it reads of it until it can.
	SagaParked EventType = "choreo.saga.parked"
	// SagaReleased says that the service in Source goes on with a saga that it had parked.
	SagaReleased EventType = "choreo.saga.released"
	// ReleaseRequested is an operator's command to the service in Target: try again to go on
	// with the saga that it has parked.
	ReleaseRequested EventType = "choreo.saga.release-requested"
	// ReleaseRejected is the service's no to ReleaseRequested, and why.
	ReleaseRejected EventType = "choreo.saga.release-rejected"

	// StepCompleted says that Execute committed, or that the step was bypassed.
	StepCompleted EventType = "choreo.step.completed"
	// StepFailed says that Execute failed for good; the saga goes backwards from here.
	StepFailed EventType = "choreo.step.failed"
	// StepSkipped says that the step will never run in this saga.
	StepSkipped EventType = "choreo.step.skipped"
	// StepStuck says that a step past the pivot ran out of its retry policy. It
	// goes on being retried; the event exists so that people see it.
	StepStuck EventType = "choreo.step.stuck"
	// StepCompensated says that Compensate committed, or that there was nothing to undo.
	StepCompensated EventType = "choreo.step.compensated"
	// CompensationFailed says that Compensate ran out of retries: the step is stuck.
	CompensationFailed EventType = "choreo.step.compensation-failed"

	// RetryRequested is an operator's command to the owner of a step: run its handler
	// again now, whatever its policy says.
	RetryRequested EventType = "choreo.step.retry-requested"
	// ResolveRequested is an operator's command to the owner of a stuck step: count it as
	// done or undone, since somebody has done or undone it by hand.
	ResolveRequested EventType = "choreo.step.resolve-requested"
	// CommandRejected is the owner's no to a command that makes no sense where the step
	// stands.
	CommandRejected EventType = "choreo.step.command-rejected"
)

var eventTypes = map[EventType]bool{
	StartRequested: false, StartRejected: false,
	Started: false, AbortRequested: false, Aborted: false, AbortRejected: false,
	SagaParked: false, SagaReleased: false, ReleaseRequested: false, ReleaseRejected: false,
	StepCompleted: true, StepFailed: true, StepSkipped: true, StepStuck: true,
	StepCompensated: true, CompensationFailed: true,
	RetryRequested: true, ResolveRequested: true, CommandRejected: true,
}

// Known reports whether t is one of the constants of this package.
func (t EventType) Known() bool { _, ok := eventTypes[t]; return ok }

// OfStep reports whether events of this type name a step.
func (t EventType) OfStep() bool { return eventTypes[t] }

// Event is one event of a saga's log.
type Event struct {
	ID          string    // UUIDv7
	Type        EventType //
	Saga        string    // name of the definition
	Version     int       // version of the definition that the saga began with
	SagaID      string    // the instance
	Step        string    // empty for events of the whole saga
	Source      string    // the service that emitted it
	Initiator   string    // the service that started the saga
	Time        time.Time // when the emitting transaction ran, on that service's clock
	CausationID string    // the event that it reacts to; of Started: StartRequested, or empty
	Attempt     int       // of Execute or Compensate, from 1; 0 where none ran

	Bypassed bool // StepCompleted: a false condition or a failed optional step
	Keep     bool // StepFailed: CompensateWhen decided that nothing is undone
	Force    bool // AbortRequested, Aborted: what would stay as it is goes back, too
	// Elsewhere says of AbortRequested that who asked did not know the saga's home partition,
	// so that it may stand in another one. The initiator passes it on.
	Elsewhere bool
	Failure   *Failure // StepFailed, StepStuck, CompensationFailed, SagaParked; the reason of aborts and rejections

	By      string  // commands and their answers: who gave the command
	Note    string  // commands and their answers: why they were given
	Target  string  // ReleaseRequested, StartRequested: the service that they are for
	Resolve Resolve // ResolveRequested

	Tags map[string]string // Started, StartRequested: what the saga is found by; see CheckTags

	ContentType string   // of Payload
	Payload     []byte   // saga input, or the step's output; never nil on the wire
	Carried     []Output // outputs of earlier steps that later ones use

	TraceParent string // W3C trace context
	TraceState  string

	Partition int32 // where it was read: the saga's home partition
	Offset    int64
}

// forced reports whether the event turns back also what would stay as it is.
func (ev *Event) forced() bool { return ev.Type == Aborted && ev.Force }

// Resolve is what a stuck step counts as.
type Resolve string

// The resolutions of a stuck step.
const (
	// ResolveUndone counts a step whose compensation failed as compensated.
	ResolveUndone Resolve = "undone"
	// ResolveDone counts a step past the pivot that is tried again and again as
	// completed; the command's payload is its output.
	ResolveDone Resolve = "done"
)

// Output is an encoded output of a step (or, with an empty Step, the input of the saga).
type Output struct {
	Step        string
	ContentType string
	Data        []byte
}

// Failure is why a step failed or a saga was aborted, as it travels in events.
type Failure struct {
	Class   Class
	Code    string // stable and short, for programs: "out-of-stock"
	Message string // for people
}
