package api

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker"
)

// maxWait bounds for how many seconds an answer is waited for by one request.
const maxWait = 60

// OutcomeState is how far an action has come.
type OutcomeState string

// The states.
const (
	OutcomePending  OutcomeState = "pending"  // nobody has answered yet
	OutcomeAccepted OutcomeState = "accepted" // it was done, or has begun: the event tells
	OutcomeRejected OutcomeState = "rejected" // the event says why
)

// Outcome answers GET /sagas/{saga}/{id}/actions/{event}.
type Outcome struct {
	EventID string       `json:"event_id"`
	Action  ActionName   `json:"action"`
	State   OutcomeState `json:"state"`
	// Answer is the event that is the answer, without its payload; it is missing where there is
	// none yet.
	Answer *EventView `json:"answer,omitempty"`
}

// accepted says that a command stands in the log, and where its outcome is told.
func (s *Server) accepted(w http.ResponseWriter, saga, id string, sent Sent) error {
	w.Header().Set("Location", s.config.BasePath+prefix+"/sagas/"+url.PathEscape(saga)+"/"+EscapeID(id)+"/actions/"+url.PathEscape(sent.EventID))
	return answer(w, http.StatusAccepted, sent)
}

// answer tells what came of an action.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) error {
	var wait int
	if err := read(r, func(p *parameters) { wait = p.number("wait", 0, 0, maxWait) }); err != nil {
		return err
	}
	if s.source.Answers == nil {
		return problem(CodeNotAvailable, "the tracker was started without the logs")
	}
	saga, id, event := r.PathValue("saga"), pathID(r), r.PathValue("event")
	home := choreo.AnyPartition
	var partial *tracker.PartialError
	switch one, err := s.source.Sagas.Get(r.Context(), saga, id); {
	case err == nil:
		home = one.Partition
	case errors.Is(err, tracker.ErrNotFound), errors.As(err, &partial):
		// It may not have started, and never will where that is refused.
	default:
		return err
	}
	// So much of the time that an answer may take is left for reading the log.
	waits := min(time.Duration(wait)*time.Second, s.config.Timeout*3/4)
	found, err := s.source.Answers.Answer(r.Context(), saga, id, event, home, waits)
	if err != nil {
		return err
	}
	out := Outcome{EventID: event, State: OutcomePending}
	if ev, err := topics.Decode(found.Command); err == nil {
		out.Action = actionOf(ev)
	}
	if found.Record != nil {
		view := s.eventView(found.Record, false)
		out.Answer, out.State = &view, OutcomeAccepted
		if rejects(view.Type) {
			out.State = OutcomeRejected
		}
	}
	return answer(w, http.StatusOK, out)
}

func rejects(t choreo.EventType) bool {
	switch t {
	case choreo.StartRejected, choreo.AbortRejected, choreo.CommandRejected, choreo.ReleaseRejected:
		return true
	default:
		return false
	}
}

// actionOf names the action that a command stands for.
func actionOf(command *choreo.Event) ActionName {
	switch command.Type {
	case choreo.StartRequested:
		return actionStart
	case choreo.RetryRequested:
		return ActionRetry
	case choreo.ResolveRequested:
		return ActionResolve
	case choreo.ReleaseRequested:
		return ActionRelease
	default:
	}
	if command.Force {
		return ActionForceAbort
	}
	return ActionCancel
}
