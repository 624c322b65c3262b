package choreo

import (
	"slices"
	"time"
)

// Status is where a saga stands as a whole.
type Status string

// The statuses of an [Instance].
const (
	StatusRunning      Status = "running"
	StatusCancelling   Status = "cancelling"   // an abort was asked for and not answered yet
	StatusCompensating Status = "compensating" // going backwards
	StatusParked       Status = "parked"       // a service cannot go on with it, see Instance.Parked
	StatusStuck        Status = "stuck"        // waits for an operator
	StatusCompleted    Status = "completed"    // ended: every step completed
	StatusCompensated  Status = "compensated"  // ended: every completed step was undone
	StatusFailed       Status = "failed"       // ended: a step failed and CompensateWhen kept the others
)

// Ended reports whether no further event is to come by itself. A saga that completed
// without a pivot, or failed, goes on only when an operator aborts it by force.
func (s Status) Ended() bool {
	return s == StatusCompleted || s == StatusCompensated || s == StatusFailed
}

// StepStatus is where a step stands, as far as the log shows it.
type StepStatus string

// The statuses of a [StepInstance].
const (
	StepIdle       StepStatus = "idle"        // not yet triggered
	StepReady      StepStatus = "ready"       // triggered; its owner has not answered
	StepDone       StepStatus = "completed"   //
	StepBypassed   StepStatus = "bypassed"    // completed without an effect
	StepFailing    StepStatus = "failed"      //
	StepNotRun     StepStatus = "skipped"     //
	StepRetried    StepStatus = "stuck"       // past the pivot and out of its retry policy
	StepUndoing    StepStatus = "undoing"     // completed, and to be undone
	StepUndone     StepStatus = "compensated" //
	StepUndoFailed StepStatus = "undo-failed" //
)

// StepInstance is a step of one saga.
type StepInstance struct {
	Name     string
	Owner    string
	Status   StepStatus
	Attempts int // of the handler that ran last
	Failure  *Failure
	ReadyAt  time.Time // when its last trigger was emitted
	EndedAt  time.Time // when it completed, failed or was skipped
	UndoneAt time.Time // when it was compensated, or that failed
}

// ParkedAt says that a service cannot go on with a saga.
type ParkedAt struct {
	Service string
	Failure *Failure // why
	Since   time.Time
}

// Instance is a saga as its log tells it: the fold of the events by
// [Instance.Apply]. Duplicates, also stale ones, change nothing.
type Instance struct {
	ID        string
	Saga      string
	Version   int
	Initiator string
	Partition int32
	Status    Status
	Steps     []StepInstance // in the definition's order
	CauseStep string         // the step whose failure turned the saga back; empty: an abort did
	Cause     *Failure       // why it turned back
	Parked    []ParkedAt     // services that cannot go on with it, in the order in which they said so
	StartedAt time.Time
	UpdatedAt time.Time
	EndedAt   time.Time

	def       *Definition
	requested bool     // an abort was asked for and not answered
	turned    bool     // the abort is in the log
	kept      bool     // turned back without compensation
	parkings  []string // ids of the events that changed Parked
}

// NewInstance returns an instance of the definition that has no event yet.
func NewInstance(d *Definition) *Instance {
	in := &Instance{Saga: d.name, Version: d.version, def: d, Steps: make([]StepInstance, len(d.steps))}
	for i := range d.steps {
		in.Steps[i] = StepInstance{Name: d.steps[i].Name, Owner: d.steps[i].Owner, Status: StepIdle}
	}
	return in
}

// Apply folds the next event of the saga's log in, and reports whether it changed
// anything. Events must come in log order.
func (in *Instance) Apply(ev *Event) bool {
	changed := false
	switch ev.Type {
	case Started:
		changed = in.start(ev)
	case AbortRequested: // it may stand before Started
		if !in.requested && !in.turned && !in.committed() && !in.allSinksDone() {
			in.requested, changed = true, true
		}
	case AbortRejected:
		in.requested, changed = false, in.requested
	case Aborted:
		changed = in.turn(ev)
	case SagaParked, SagaReleased:
		changed = in.park(ev)
	default:
		if i, ok := in.def.index[ev.Step]; ok && in.Status != "" {
			changed = in.applyStep(i, ev)
		}
	}
	if changed {
		in.UpdatedAt = ev.Time
	}
	if changed && in.Status != "" {
		in.judge(ev)
	}
	return changed
}

// committed reports whether the pivot has completed: no abort can take effect any
// more, also where its request stands before the pivot's completion in the log.
func (in *Instance) committed() bool {
	p := in.def.graph.pivot
	return p >= 0 && in.Steps[p].Status == StepDone
}

func (in *Instance) start(ev *Event) bool {
	if in.Status != "" {
		return false
	}
	in.ID, in.Initiator, in.Partition = ev.SagaID, ev.Initiator, ev.Partition
	in.StartedAt = ev.Time
	in.Status = StatusRunning
	for i := range in.Steps {
		if len(in.def.graph.deps[i]) == 0 {
			in.Steps[i].Status, in.Steps[i].ReadyAt = StepReady, ev.Time
		}
	}
	return true
}

func (in *Instance) applyStep(i int, ev *Event) bool {
	step := &in.Steps[i]
	open := step.Status == StepIdle || step.Status == StepReady || step.Status == StepRetried
	held := step.Status == StepDone || step.Status == StepBypassed || step.Status == StepUndoing
	switch {
	case ev.Type == StepCompleted && open:
		in.completeStep(i, ev)
	case ev.Type == StepFailed && open:
		step.Status, step.Failure, step.EndedAt = StepFailing, ev.Failure, ev.Time
		in.turn(ev)
	case ev.Type == StepSkipped && open:
		step.Status, step.EndedAt = StepNotRun, ev.Time
		return true
	case ev.Type == StepStuck && open && step.Status != StepRetried:
		step.Status, step.Failure = StepRetried, ev.Failure
	case ev.Type == StepCompensated && (held || step.Status == StepUndoFailed):
		step.Status, step.UndoneAt, step.Failure = StepUndone, ev.Time, nil
	case ev.Type == CompensationFailed && held:
		step.Status, step.UndoneAt, step.Failure = StepUndoFailed, ev.Time, ev.Failure
	default:
		return false
	}
	step.Attempts = ev.Attempt
	return true
}

func (in *Instance) completeStep(i int, ev *Event) {
	step := &in.Steps[i]
	step.Status, step.EndedAt, step.Failure = StepDone, ev.Time, ev.Failure
	if ev.Bypassed {
		step.Status = StepBypassed
	}
	if in.turned && !in.kept {
		step.Status = StepUndoing
	}
	if in.committed() {
		in.requested = false
	}
	for _, k := range in.def.graph.dependents[i] {
		next := &in.Steps[k]
		if next.Status == StepIdle {
			next.Status = StepReady
		}
		if next.Status == StepReady {
			next.ReadyAt = ev.Time
		}
	}
}

// turn notes the first abort or failure of the log; later ones decide nothing, but an
// abort by force where what was done is kept. An abort may stand before Started: the
// pivot's owner can read a request, and answer it, while Started is still in the
// initiator's outbox.
func (in *Instance) turn(ev *Event) bool {
	in.requested = false
	if in.turned && !(in.kept && ev.forced()) {
		return false
	}
	in.turned, in.kept = true, ev.Keep
	in.CauseStep, in.Cause = ev.Step, ev.Failure
	for i := range in.Steps {
		if s := &in.Steps[i]; !in.kept && (s.Status == StepDone || s.Status == StepBypassed) {
			s.Status = StepUndoing
		}
	}
	return true
}

// park notes that a service parked the saga, which may stand before Started, or released
// it. A service that never stopped being parked is told by its name, a stale duplicate by
// its id: of events without one, a stale duplicate of SagaParked parks the saga again.
func (in *Instance) park(ev *Event) bool {
	at := slices.IndexFunc(in.Parked, func(p ParkedAt) bool { return p.Service == ev.Source })
	if (ev.Type == SagaParked) == (at >= 0) || ev.ID != "" && slices.Contains(in.parkings, ev.ID) {
		return false
	}
	if ev.ID != "" {
		in.parkings = append(slices.Clip(in.parkings), ev.ID)
	}
	if ev.Type == SagaParked {
		in.Parked = append(slices.Clip(in.Parked), ParkedAt{Service: ev.Source, Failure: ev.Failure, Since: ev.Time})
	} else {
		in.Parked = slices.Delete(slices.Clone(in.Parked), at, at+1)
	}
	return true
}

// judge derives the status from the steps.
func (in *Instance) judge(ev *Event) {
	before := in.Status
	switch {
	case in.any(StepUndoFailed) && (in.atRest() || in.def.strategy != BestEffort), in.any(StepRetried):
		in.Status = StatusStuck
	case in.turned && !in.atRest():
		in.Status = StatusCompensating
	case in.turned && in.kept:
		in.Status = StatusFailed
	case in.turned:
		in.Status = StatusCompensated
	case in.requested:
		in.Status = StatusCancelling
	case in.allSinksDone():
		in.Status = StatusCompleted
	default:
		in.Status = StatusRunning
	}
	if len(in.Parked) > 0 && in.Status != StatusStuck && !in.Status.Ended() {
		in.Status = StatusParked
	}
	switch ended := in.Status.Ended(); {
	case ended && !before.Ended():
		in.EndedAt = ev.Time
	case !ended: // an abort by force, after the end
		in.EndedAt = time.Time{}
	}
}

func (in *Instance) any(s StepStatus) bool {
	return slices.ContainsFunc(in.Steps, func(i StepInstance) bool { return i.Status == s })
}

func (in *Instance) allSinksDone() bool {
	return !slices.ContainsFunc(in.def.graph.sinks, func(i int) bool {
		return in.Steps[i].Status != StepDone && in.Steps[i].Status != StepBypassed
	})
}

// atRest reports whether no step of a saga that was turned back can emit anything
// any more. A step without a trigger in the log (idle) never will: its owner skips
// it in silence, and only a trigger would make it answer.
func (in *Instance) atRest() bool {
	return !slices.ContainsFunc(in.Steps, func(s StepInstance) bool {
		return s.Status == StepReady || s.Status == StepUndoing
	})
}
