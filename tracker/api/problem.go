package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/tracker"
)

// Problem is an error as RFC 9457 has it. It is also what a client's error can be made of.
type Problem struct { //nolint:errname // RFC 9457 calls it so
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Code   Code   `json:"code"`
	// Parameter is which query parameter, or field of the body, is at fault.
	Parameter string `json:"parameter,omitempty"`
}

func (p *Problem) Error() string {
	if p.Parameter != "" {
		return p.Title + ": " + p.Parameter + ": " + p.Detail
	}
	return p.Title + ": " + p.Detail
}

// Code tells problems apart. The codes are stable; see the package's documentation.
type Code string

// The codes.
const (
	CodeBadParameter     Code = "bad-parameter"
	CodeBadCursor        Code = "bad-cursor"
	CodeBadBody          Code = "bad-body"
	CodeUnauthenticated  Code = "unauthenticated"
	CodeForbidden        Code = "forbidden"
	CodeCrossOrigin      Code = "cross-origin"
	CodeNotFound         Code = "not-found"
	CodeSagaNotFound     Code = "saga-not-found"
	CodeNoDefinition     Code = "definition-not-found"
	CodeNoGroup          Code = "group-not-found"
	CodeNoCommand        Code = "action-not-found"
	CodeMethodNotAllowed Code = "method-not-allowed"
	CodeRefused          Code = "refused"
	CodeTooLarge         Code = "too-large"
	CodeUnsupportedMedia Code = "unsupported-media-type"
	CodeWrongHost        Code = "wrong-host"
	CodeInternal         Code = "internal"
	CodeNotAvailable     Code = "not-available"
	CodeUnavailable      Code = "unavailable"
	CodeTimeout          Code = "timeout"
)

// about returns the status and the title of a code.
func (c Code) about() (status int, title string) {
	switch c {
	case CodeBadParameter:
		return http.StatusBadRequest, "A query parameter is wrong"
	case CodeBadCursor:
		return http.StatusBadRequest, "The cursor does not belong to the query"
	case CodeBadBody:
		return http.StatusBadRequest, "The body is wrong"
	case CodeUnauthenticated:
		return http.StatusUnauthorized, "Who are you?"
	case CodeForbidden:
		return http.StatusForbidden, "Your role may not do this"
	case CodeCrossOrigin:
		return http.StatusForbidden, "A page of another site sent this"
	case CodeNotFound:
		return http.StatusNotFound, "There is no such address"
	case CodeSagaNotFound:
		return http.StatusNotFound, "There is no such saga"
	case CodeNoDefinition:
		return http.StatusNotFound, "There is no such definition"
	case CodeNoGroup:
		return http.StatusNotFound, "There is no such group of dead letters"
	case CodeNoCommand:
		return http.StatusNotFound, "There is no such action"
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed, "The address does not take this method"
	case CodeRefused:
		return http.StatusConflict, "It makes no sense where the saga stands"
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge, "The body is too large"
	case CodeUnsupportedMedia:
		return http.StatusUnsupportedMediaType, "The body is not JSON"
	case CodeWrongHost:
		return http.StatusMisdirectedRequest, "The server does not go by this name"
	case CodeNotAvailable:
		return http.StatusNotImplemented, "This tracker is not set up for it"
	case CodeUnavailable:
		return http.StatusServiceUnavailable, "The answer cannot be had now"
	case CodeTimeout:
		return http.StatusGatewayTimeout, "The answer took too long"
	default:
		return http.StatusInternalServerError, "Something went wrong"
	}
}

func problem(code Code, detail string) *Problem {
	status, title := code.about()
	return &Problem{Type: "urn:choreo:problem:" + string(code), Title: title, Status: status, Detail: detail, Code: code}
}

func badParameter(name, detail string) *Problem {
	p := problem(CodeBadParameter, detail)
	p.Parameter = name
	return p
}

func badBody(field, detail string) *Problem {
	p := problem(CodeBadBody, detail)
	p.Parameter = field
	return p
}

// classify makes a problem of whatever went wrong. Texts of errors that nobody has foreseen go to the
// log and not to the client: they may name addresses and accounts.
func (s *Server) classify(r *http.Request, err error) *Problem {
	var p *Problem
	var refused *RefusedError
	var large *http.MaxBytesError
	var partial *tracker.PartialError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &refused):
		return problem(CodeRefused, refused.Why)
	case errors.As(err, &large):
		return problem(CodeTooLarge, "at most "+strconv.FormatInt(large.Limit, 10)+" bytes are taken")
	case errors.Is(err, tracker.ErrNotFound):
		return problem(CodeSagaNotFound, "nothing is known of it: it was never started, or ended so long ago that it is forgotten")
	case errors.Is(err, tracker.ErrBadCursor):
		p := problem(CodeBadCursor, "ask for the first page again")
		p.Parameter = "after"
		return p
	case errors.Is(err, ErrNoGroup):
		return problem(CodeNoGroup, "ask for the groups again: its letters may have been redriven or have expired")
	case errors.Is(err, ErrNoCommand):
		return problem(CodeNoCommand, "the saga's log holds no action of this event id: use the one that the action was answered by")
	case r.Context().Err() != nil && errors.Is(r.Context().Err(), context.DeadlineExceeded):
		s.config.Log.Warn("An answer took too long", zap.String("path", r.URL.Path), zap.Error(err))
		return problem(CodeTimeout, "try again, or ask for less")
	case errors.As(err, &partial):
		s.config.Log.Warn("Trackers of other parts are away", zap.String("path", r.URL.Path), zap.Error(err))
		return problem(CodeUnavailable, "the answer is not whole without "+strings.Join(partial.Parts, ", ")+", which is away: try again once its tracker runs")
	case r.Context().Err() != nil: // nobody listens any more
		return problem(CodeUnavailable, "the request was given up")
	}
	s.config.Log.Error("A request failed", zap.String("path", r.URL.Path), zap.Error(err))
	return problem(CodeUnavailable, "what the answer needs cannot be reached: try again; the tracker's log says more")
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := s.classify(r, err)
	h := w.Header()
	h.Del("Etag")
	h.Del("Content-Encoding")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="choreo"`)
	}
	body, _ := json.Marshal(p) // texts and a number
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}
