package tracker

import (
	"slices"

	"github.com/choreo-go/choreo/choreo"
)

// maxUnknownSteps bounds the steps of a saga whose definition nobody has published.
const maxUnknownSteps = 1000

// foldUnknown tells what can be told of a saga without its definition: the steps that the log has
// named. Each event of the log counts as a change, so that the offset is that of the last one.
func foldUnknown(s *Snapshot, ev *choreo.Event) {
	s.UpdatedAt = ev.Time
	switch ev.Type {
	case choreo.Started:
		s.ID, s.Saga, s.Version, s.Initiator = ev.SagaID, ev.Saga, ev.Version, ev.Initiator
		s.Partition, s.StartedAt, s.Unknown = ev.Partition, ev.Time, true
	case choreo.AbortRequested:
		s.Fold.Requested = !s.Fold.Turned
	case choreo.AbortRejected:
		s.Fold.Requested = false
	case choreo.Aborted:
		turnUnknown(s, ev)
	case choreo.SagaParked, choreo.SagaReleased:
		s.Parked = slices.DeleteFunc(s.Parked, func(p Parked) bool { return p.Service == ev.Source })
		if ev.Type == choreo.SagaParked && len(s.Parked) < maxUnknownSteps {
			s.Parked = append(s.Parked, Parked{Service: ev.Source, Since: ev.Time, Error: errorOf(ev.Failure)})
		}
	default:
		stepUnknown(s, ev)
	}
	s.Status = statusUnknown(s)
}

func turnUnknown(s *Snapshot, ev *choreo.Event) {
	s.Fold.Requested = false
	if s.Fold.Turned {
		return
	}
	s.Fold.Turned = true
	s.Cause = &Cause{Step: ev.Step, By: ev.By, Note: ev.Note}
	if f := ev.Failure; f != nil {
		s.Cause.Class, s.Cause.Code, s.Cause.Message = f.Class, f.Code, f.Message
	}
}

func unknownStatus(t choreo.EventType, bypassed bool) choreo.StepStatus {
	switch t {
	case choreo.StepCompleted:
		if bypassed {
			return choreo.StepBypassed
		}
		return choreo.StepDone
	case choreo.StepFailed:
		return choreo.StepFailing
	case choreo.StepSkipped:
		return choreo.StepNotRun
	case choreo.StepStuck:
		return choreo.StepRetried
	case choreo.StepCompensated:
		return choreo.StepUndone
	case choreo.CompensationFailed:
		return choreo.StepUndoFailed
	default:
		return ""
	}
}

func stepUnknown(s *Snapshot, ev *choreo.Event) {
	status := unknownStatus(ev.Type, ev.Bypassed)
	if status == "" {
		return
	}
	i := slices.IndexFunc(s.Steps, func(k Step) bool { return k.Name == ev.Step })
	if i < 0 {
		if len(s.Steps) == maxUnknownSteps {
			return
		}
		i = len(s.Steps)
		s.Steps = append(s.Steps, Step{Name: ev.Step, Service: ev.Source})
	}
	step, at := &s.Steps[i], ev.Time
	step.Status, step.Attempts, step.Error = status, ev.Attempt, errorOf(ev.Failure)
	switch status {
	case choreo.StepUndone, choreo.StepUndoFailed:
		step.UndoneAt = &at
	case choreo.StepRetried:
	default:
		step.EndedAt = &at
	}
	if status == choreo.StepFailing {
		turnUnknown(s, ev)
	}
}

// statusUnknown never is that of an end: which step is the last one is not known.
func statusUnknown(s *Snapshot) choreo.Status {
	stuck := slices.ContainsFunc(s.Steps, func(k Step) bool {
		return k.Status == choreo.StepRetried || k.Status == choreo.StepUndoFailed
	})
	switch {
	case stuck:
		return choreo.StatusStuck
	case len(s.Parked) > 0:
		return choreo.StatusParked
	case s.Fold.Turned:
		return choreo.StatusCompensating
	case s.Fold.Requested:
		return choreo.StatusCancelling
	}
	return choreo.StatusRunning
}
