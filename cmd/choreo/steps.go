package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/tracker"
)

// mark is the one sign by which a step stands in a bar.
func mark(status choreo.StepStatus) out.Styled {
	switch status {
	case choreo.StepDone:
		return out.S(out.Green, "✓")
	case choreo.StepBypassed:
		return out.S(out.Faint, "○")
	case choreo.StepReady:
		return out.S(out.Bold, "▸")
	case choreo.StepFailing:
		return out.S(out.Red, "✗")
	case choreo.StepNotRun:
		return out.S(out.Faint, "-")
	case choreo.StepRetried, choreo.StepUndoFailed:
		return out.S(out.Red, "!")
	case choreo.StepUndoing:
		return out.S(out.Yellow, "◂")
	case choreo.StepUndone:
		return out.S(out.Blue, "↶")
	case choreo.StepIdle:
	}
	return out.S(out.Faint, "·")
}

// legend says what the signs of a bar mean.
const legend = "✓ completed  ▸ running  · to come  ✗ failed  ! stuck  ◂ to be undone  ↶ undone  ○ bypassed  - skipped"

// maxBar bounds a bar in a table.
const maxBar = 16

// bar draws the steps of a saga, a sign each.
func bar(s *tracker.Snapshot) string {
	var b strings.Builder
	for i := range s.Steps {
		if i == maxBar-1 && len(s.Steps) > maxBar {
			b.WriteString("…")
			break
		}
		b.WriteString(mark(s.Steps[i].Status).Text)
	}
	return b.String()
}

// whole names a saga with its version.
func whole(s *tracker.Snapshot) string { return fmt.Sprintf("%s/%d", s.Saga, s.Version) }

// stands says in a few words what a saga waits for, or how it ended.
func stands(s *tracker.Snapshot) string {
	switch {
	case len(s.Parked) > 0:
		return "parked by " + s.Parked[0].Service + orCode(s.Parked[0].Error)
	case s.Status == choreo.StatusStuck:
		for i := range s.Steps {
			if status := s.Steps[i].Status; status == choreo.StepRetried || status == choreo.StepUndoFailed {
				return s.Steps[i].Name + at(s.Steps[i].Service) + orCode(s.Steps[i].Error)
			}
		}
	case s.Status.Ended() && s.Cause != nil:
		return causeOf(s.Cause)
	case s.Status.Ended():
		return ""
	}
	var ready []string
	for _, n := range s.Next {
		if n.Ready {
			word := n.Step + at(n.Service)
			if n.Run == choreo.RunCompensate {
				word = "undo " + word
			}
			ready = append(ready, word)
		}
	}
	return strings.Join(ready, ", ")
}

func at(service string) string {
	if service == "" {
		return ""
	}
	return " in " + service
}

func orCode(e *tracker.Error) string {
	if e == nil {
		return ""
	}
	return ": " + errorOf(e)
}

// errorOf says what went wrong, shortly.
func errorOf(e *tracker.Error) string {
	switch {
	case e == nil:
		return ""
	case e.Code != "" && e.Message != "":
		return e.Code + ": " + e.Message
	case e.Message != "":
		return e.Message
	case e.Code != "":
		return e.Code
	}
	return string(e.Class)
}

// causeOf says why a saga was turned back.
func causeOf(k *tracker.Cause) string {
	says := errorOf(&tracker.Error{Class: k.Class, Code: k.Code, Message: k.Message})
	if k.Note != "" && k.Note != k.Message {
		says = strings.TrimPrefix(says+": "+k.Note, ": ")
	}
	switch {
	case k.Step != "":
		says = k.Step + ": " + says
	case k.By != "":
		says = "by " + k.By + ": " + says
	}
	return strings.TrimSuffix(says, ": ")
}

// age is how long a saga has been going, or how long it took.
func age(s *tracker.Snapshot, now time.Time) string {
	end := now
	if s.EndedAt != nil {
		end = *s.EndedAt
	}
	return short(end.Sub(s.StartedAt))
}
