package tracker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// Explain says where a saga stands and what it waits for. services may be empty: then it says
// what the log alone tells. now is when it is said.
func Explain(s *Snapshot, services []Service, now time.Time) Verdict {
	x := &explainer{s: s, services: services, now: now}
	v := Verdict{Why: x.why()}
	v.Why.Partition = s.Partition
	v.Sentence = x.sentence(&v.Why)
	return v
}

type explainer struct {
	s        *Snapshot
	services []Service
	now      time.Time
}

func (x *explainer) service(name string) *Service {
	i := slices.IndexFunc(x.services, func(s Service) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &x.services[i]
}

// row returns what a step's owner has said of the step.
func (x *explainer) row(step, service string) *WaitingRow {
	owner := x.service(service)
	if owner == nil {
		return nil
	}
	i := slices.IndexFunc(owner.Waiting, func(r WaitingRow) bool {
		return r.Saga == x.s.Saga && r.ID == x.s.ID && r.Step == step
	})
	if i < 0 {
		return nil
	}
	return &owner.Waiting[i]
}

// why finds the first reason, those before that hold the saga up the longest.
func (x *explainer) why() Why {
	s := x.s
	if s.Status.Ended() {
		return Why{Reason: ReasonEnded, Since: s.EndedAt, Cause: s.causeError(), Step: s.causeStep()}
	}
	if i := slices.IndexFunc(s.Steps, func(k Step) bool { return k.stuck() }); i >= 0 {
		return x.stuck(&s.Steps[i])
	}
	if len(s.Parked) > 0 {
		p := &s.Parked[0]
		return Why{Reason: ReasonParked, Service: p.Service, Since: &p.Since, Cause: p.Error}
	}
	if s.Unknown {
		return Why{Reason: ReasonUnknown, Since: &s.UpdatedAt}
	}
	// Of several that are ready the one counts that has something to say.
	var first *Why
	for i := range s.Next {
		if !s.Next[i].Ready {
			continue
		}
		w := x.ready(&s.Next[i])
		if w.Reason != ReasonRunning {
			return w
		}
		if first == nil {
			first = &w
		}
	}
	switch {
	case s.Status == choreo.StatusCancelling && (first == nil || first.Reason == ReasonRunning):
		return Why{Reason: ReasonArbiter, Since: &s.UpdatedAt}
	case first != nil:
		return *first
	}
	return Why{Reason: ReasonOtherStep, Since: &s.UpdatedAt}
}

func (s *Snapshot) causeError() *Error {
	if s.Cause == nil {
		return nil
	}
	return &Error{Class: s.Cause.Class, Code: s.Cause.Code, Message: s.Cause.Message}
}

func (s *Snapshot) causeStep() string {
	if s.Cause == nil {
		return ""
	}
	return s.Cause.Step
}

func (x *explainer) stuck(k *Step) Why {
	w := Why{Reason: ReasonStuck, Step: k.Name, Service: k.Service, Run: choreo.RunExecute, Cause: k.Error, Attempt: k.Attempts}
	w.Since = k.ReadyAt
	if k.Status == choreo.StepUndoFailed {
		w.Run, w.Since = choreo.RunCompensate, k.UndoneAt
	}
	x.fromRow(&w)
	return w
}

// fromRow adds what the owner's row says, which is newer than the log.
func (x *explainer) fromRow(w *Why) *WaitingRow {
	row := x.row(w.Step, w.Service)
	if row == nil {
		return nil
	}
	w.Attempt = max(w.Attempt, row.Attempt)
	if row.Error != nil {
		w.Cause = row.Error
	}
	if !row.DueAt.IsZero() {
		w.Due = &row.DueAt
	}
	if w.Since == nil && !row.Since.IsZero() {
		w.Since = &row.Since
	}
	return row
}

func (x *explainer) ready(n *Next) Why {
	w := Why{Reason: ReasonRunning, Step: n.Step, Service: n.Service, Run: n.Run, Since: &x.s.UpdatedAt}
	i := slices.IndexFunc(x.s.Steps, func(k Step) bool { return k.Name == n.Step })
	if i >= 0 && n.Run == choreo.RunExecute && x.s.Steps[i].ReadyAt != nil {
		w.Since = x.s.Steps[i].ReadyAt
	}
	owner := x.service(n.Service)
	if row := x.fromRow(&w); row != nil {
		switch {
		case row.State == choreo.RowPending:
			w.Reason = ReasonPending
		case row.Attempt > 0 || row.Error != nil:
			w.Reason = ReasonRetrying
		}
	}
	switch {
	case owner == nil:
	case owner.Gone:
		w.Reason = ReasonGone
		if !owner.SeenAt.IsZero() {
			w.Since = &owner.SeenAt
		}
	case w.Reason != ReasonRunning:
	case owner.Lag[x.s.Partition] > 0:
		w.Reason, w.LagEvents = ReasonLag, owner.Lag[x.s.Partition]
	case owner.OutboxEntries > 0 && x.now.Sub(owner.OutboxOldest) > outboxLate:
		w.Reason, w.Since = ReasonOutbox, &owner.OutboxOldest
	}
	return w
}

// outboxLate is from which age on an outbox holds up what waits for it.
const outboxLate = 5 * time.Second

func (x *explainer) sentence(w *Why) string {
	span := x.duration(w.Since)
	at := w.Step
	if w.Run == choreo.RunCompensate {
		at = "the compensation of " + w.Step
	}
	switch w.Reason {
	case ReasonEnded:
		return x.ended()
	case ReasonUnknown:
		return fmt.Sprintf("%s since its last event %s ago: nobody has published the definition %s/%d, so that what is to come is not known",
			x.s.Status, span, x.s.Saga, x.s.Version)
	case ReasonStuck:
		return fmt.Sprintf("stuck for %s at %s in %s%s", span, at, w.Service, x.attempts(w))
	case ReasonParked:
		return fmt.Sprintf("parked for %s by %s%s", span, w.Service, causeText(w.Cause))
	case ReasonRetrying:
		return fmt.Sprintf("%s: waits for %s at %s in %s%s", x.s.Status, span, at, w.Service, x.attempts(w))
	case ReasonPending:
		until := ""
		if w.Due != nil {
			until = ", which is due " + x.due(*w.Due)
		}
		return fmt.Sprintf("%s: waits for %s for an answer from outside to %s in %s%s", x.s.Status, span, at, w.Service, until)
	case ReasonGone:
		return fmt.Sprintf("%s: waits for %s in %s, of which no process has been heard for %s", x.s.Status, at, w.Service, span)
	case ReasonLag:
		return fmt.Sprintf("%s: waits for %s for %s in %s, which is %d events behind in partition %d",
			x.s.Status, span, at, w.Service, w.LagEvents, x.s.Partition)
	case ReasonOutbox:
		return fmt.Sprintf("%s: waits for %s in %s, whose outbox has not been published for %s", x.s.Status, at, w.Service, span)
	case ReasonRunning:
		return fmt.Sprintf("%s: waits for %s for %s in %s", x.s.Status, span, at, w.Service)
	case ReasonArbiter:
		return fmt.Sprintf("cancelling for %s: the abort that was asked for is not answered yet", span)
	case ReasonOtherStep:
	}
	return fmt.Sprintf("%s: nothing has happened for %s", x.s.Status, span)
}

func (x *explainer) ended() string {
	s := x.s
	took := ""
	if s.EndedAt != nil {
		took = " after " + duration(s.EndedAt.Sub(s.StartedAt))
	}
	c := s.Cause
	switch {
	case s.Status == choreo.StatusCompleted:
		return "completed" + took
	case c == nil:
		return string(s.Status) + took
	case c.Step != "":
		return fmt.Sprintf("%s%s: %s failed%s", s.Status, took, c.Step, causeText(s.causeError()))
	}
	by := ""
	if c.By != "" {
		by = " by " + c.By
	}
	if c.Note != "" {
		by += " (" + c.Note + ")"
	}
	return fmt.Sprintf("%s%s: aborted%s%s", s.Status, took, by, causeText(s.causeError()))
}

func (x *explainer) attempts(w *Why) string {
	text := causeText(w.Cause)
	if w.Attempt > 0 {
		text += fmt.Sprintf(", attempt %d", w.Attempt)
	}
	if w.Due != nil {
		text += ", next " + x.due(*w.Due)
	}
	return text
}

func (x *explainer) due(at time.Time) string {
	if d := at.Sub(x.now); d > 0 {
		return "in " + duration(d)
	}
	return "now"
}

func causeText(e *Error) string {
	if e == nil {
		return ""
	}
	text := e.Message
	if text == "" {
		text = e.Code
	}
	if text == "" {
		text = string(e.Class)
	}
	if text == "" {
		return ""
	}
	return ": " + strings.Join(strings.Fields(text), " ")
}

func (x *explainer) duration(since *time.Time) string {
	if since == nil {
		return "some time"
	}
	return duration(x.now.Sub(*since))
}

// duration tells a duration in its largest units.
func duration(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
