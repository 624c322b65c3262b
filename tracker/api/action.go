package api

import (
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

func actions() []ActionName {
	return []ActionName{ActionCancel, ActionRetry, ActionResolve, ActionRelease, ActionForceAbort}
}

// check finds what is wrong with an action whatever the saga.
func (a *Action) check() error {
	ofStep := a.Action == ActionRetry || a.Action == ActionResolve
	switch {
	case !slices.Contains(actions(), a.Action):
		return badBody("action", "use one of "+join(actions()))
	case ofStep && a.Step == "":
		return badBody("step", "it is empty: name the step")
	case !ofStep && a.Step != "":
		return badBody("step", "the action is of the whole saga: leave it out")
	case a.Action == ActionResolve && a.Resolve != choreo.ResolveDone && a.Resolve != choreo.ResolveUndone:
		return badBody("resolve", "use done or undone")
	case a.Action != ActionResolve && a.Resolve != "":
		return badBody("resolve", "it is of use with resolve alone: leave it out")
	case len(a.Output) > 0 && a.Resolve != choreo.ResolveDone:
		return badBody("output", "it is of use alone where a step is resolved as done: leave it out")
	case a.Action == ActionRelease && a.Service == "":
		return badBody("service", "it is empty: name the service that has parked the saga")
	case a.Action != ActionRelease && a.Service != "":
		return badBody("service", "it is of use with release alone: leave it out")
	}
	return checkWords("reason", a.Reason, maxReason, true)
}

// refusal says why an action makes no sense by what the log has told so far, or nothing. Where it
// says nothing the services still may refuse.
func (a *Action) refusal(s *tracker.Snapshot) string {
	switch a.Action {
	case ActionRelease:
		if !slices.ContainsFunc(s.Parked, func(p tracker.Parked) bool { return p.Service == a.Service }) {
			return a.Service + " has not parked the saga"
		}
		return ""
	case ActionCancel, ActionForceAbort:
		return a.refuseAbort(s)
	}
	at := slices.IndexFunc(s.Steps, func(step tracker.Step) bool { return step.Name == a.Step })
	if at < 0 {
		if s.Unknown {
			return "" // the log has not named it yet
		}
		return "the saga has no step " + a.Step
	}
	step := &s.Steps[at]
	var takes []choreo.StepStatus
	switch {
	case a.Action == ActionRetry:
		takes = []choreo.StepStatus{choreo.StepReady, choreo.StepRetried, choreo.StepUndoing, choreo.StepUndoFailed}
	case a.Resolve == choreo.ResolveUndone:
		takes = []choreo.StepStatus{choreo.StepUndoing, choreo.StepUndoFailed}
	default:
		takes = []choreo.StepStatus{choreo.StepReady, choreo.StepRetried}
		if pivot := pivotOf(s); !s.Unknown && (pivot == nil || !passed(pivot)) {
			return "a step is resolved as done past the pivot alone: before it, cancel the saga"
		}
	}
	if !slices.Contains(takes, step.Status) {
		return fmt.Sprintf("step %s is %s: it takes %s", a.Step, step.Status, join(takes))
	}
	return ""
}

func (a *Action) refuseAbort(s *tracker.Snapshot) string {
	force := a.Action == ActionForceAbort
	if pivot := pivotOf(s); pivot != nil && passed(pivot) {
		return "its pivot " + pivot.Name + " has completed: from there on the saga only goes forward"
	}
	switch {
	case s.Status == choreo.StatusCompensated:
		return "it was turned back, and all is undone"
	case s.Status == choreo.StatusCompensating || s.Fold != nil && s.Fold.Turned && !s.Fold.Kept:
		return "it goes backwards already"
	case s.Status == choreo.StatusCancelling && !force:
		return "an abort was asked for, and is not answered yet"
	case s.Status.Ended() && !force:
		return fmt.Sprintf("it has ended as %s: only force-abort turns it back", s.Status)
	}
	return ""
}

func pivotOf(s *tracker.Snapshot) *tracker.Step {
	for i := range s.Steps {
		if s.Steps[i].Pivot {
			return &s.Steps[i]
		}
	}
	return nil
}

func passed(step *tracker.Step) bool {
	return step.Status == choreo.StepDone || step.Status == choreo.StepBypassed
}
