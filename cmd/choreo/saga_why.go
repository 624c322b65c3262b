package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
	"github.com/choreo-go/choreo/tracker"
)

// why is what a saga waits for.
type why struct {
	Saga      string          `json:"saga"`
	Version   int             `json:"version"`
	ID        string          `json:"id"`
	Status    choreo.Status   `json:"status"`
	Verdict   string          `json:"verdict"`
	Partition int32           `json:"partition"`
	Why       json.RawMessage `json:"why,omitempty"`
	Cause     *tracker.Cause  `json:"cause,omitempty"`
	Waits     []wait          `json:"waits_for"`
}

// wait is one service that a saga waits for.
type wait struct {
	Step      string         `json:"step,omitempty"`
	Service   string         `json:"service"`
	Run       string         `json:"run,omitempty"`
	ReadySecs float64        `json:"ready_seconds,omitempty"`
	Cause     string         `json:"cause"` // in a sentence
	Code      string         `json:"code"`  // for programs: see the constants
	Error     *tracker.Error `json:"error,omitempty"`
	Row       *sagas.Waiting `json:"row,omitempty"` // in the service's database
	Processes int            `json:"processes"`     // that are alive
	SeenAt    time.Time      `json:"seen_at,omitzero"`
	LagEvents int64          `json:"lag_events"`
	Outbox    sagas.Outbox   `json:"outbox"`
	Parked    int64          `json:"parked"`
	Try       []string       `json:"try,omitempty"` // commands that may help
}

// Codes of a wait.
const (
	waitParked  = "parked"       // the service cannot go on with it
	waitStuck   = "stuck"        // out of its retry policy: a person decides
	waitRetries = "retrying"     // it failed, and is tried again
	waitPending = "pending"      // its end is told from elsewhere
	waitNobody  = "no-process"   // no process of the service is seen
	waitLag     = "lag"          // the service is behind in its reading
	waitOutbox  = "outbox"       // the service has events that it has not published
	waitRuns    = "running"      // nothing is wrong that can be seen from here
	waitUnseen  = "no-heartbeat" // services publish no status, or nothing can be told of it
)

// sagaWhy is "choreo saga why".
func (c *cli) sagaWhy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why SAGA ID [flags]",
		Short: "say what a saga waits for, and why",
		Long: `Says what a saga waits for: which step in which service, in which partition, and
the cause. It joins what the log tells with what services tell of themselves:
how far they are behind, what is parked or tried again in their databases, how
old the oldest event is that they have not published, when they were seen last.`,
		Example: `  choreo saga why order 1042
  choreo saga why order 1042 -o json | jq -r '.waits_for[].service'`,
		Args:              sagaArgs(0, ""),
		ValidArgsFunction: c.completeSagaID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withSource(cmd, func(ctx context.Context, source sagas.Source) error {
				d, err := source.Saga(ctx, args[0], args[1])
				if err != nil {
					return c.noSaga(err, args)
				}
				participants, err := source.Participants(ctx)
				if err != nil {
					c.say("What services tell of themselves cannot be read: %v.", err)
				}
				c.freshness(d.Freshness)
				w := explain(d, participants, c.now())
				return out.One(c.printer(), w, c.writeWhy)
			})
		},
	}
	c.reports(cmd)
	connect.Flags(cmd.Flags(), sagaNeeds)
	return cmd
}

// explain joins what is known of a saga with what services tell of themselves.
func explain(d *sagas.Detail, participants []sagas.Participant, now time.Time) *why {
	s := d.Saga
	w := &why{
		Saga: s.Saga, Version: s.Version, ID: s.ID, Status: s.Status, Verdict: d.Verdict, Partition: s.Partition,
		Why: d.Why, Cause: s.Cause, Waits: []wait{},
	}
	for _, p := range s.Parked {
		one := wait{Service: p.Service, Code: waitParked, Error: p.Error, ReadySecs: now.Sub(p.Since).Seconds()}
		one.Cause = fmt.Sprintf("%s cannot go on with the saga since %s%s", p.Service, stamp(p.Since), orCode(p.Error))
		one.Try = []string{commandFor("release", s, p.Service)}
		w.Waits = append(w.Waits, one)
	}
	for i := range s.Steps {
		if step := &s.Steps[i]; step.Status == choreo.StepUndoFailed || step.Status == choreo.StepRetried {
			w.Waits = append(w.Waits, stuckAt(s, step))
		}
	}
	for _, n := range s.Next {
		waited := func(one wait) bool { return one.Step == n.Step || one.Code == waitParked && one.Service == n.Service }
		if !n.Ready || slices.ContainsFunc(w.Waits, waited) {
			continue
		}
		one := wait{Step: n.Step, Service: n.Service, Run: string(n.Run)}
		if i := slices.IndexFunc(s.Steps, func(step tracker.Step) bool { return step.Name == n.Step }); i >= 0 {
			if from := s.Steps[i].ReadyAt; from != nil && n.Run != choreo.RunCompensate {
				one.ReadySecs = now.Sub(*from).Seconds()
			}
			one.Error = s.Steps[i].Error
		}
		w.Waits = append(w.Waits, one)
	}
	for i := range w.Waits {
		w.Waits[i].join(s, participants, now)
	}
	return w
}

func stuckAt(s *tracker.Snapshot, step *tracker.Step) wait {
	one := wait{Step: step.Name, Service: step.Service, Code: waitStuck, Error: step.Error, Run: string(choreo.RunExecute)}
	doing, resolve := "has failed", "--done --result JSON"
	if step.Status == choreo.StepUndoFailed {
		one.Run, doing, resolve = string(choreo.RunCompensate), "could not be undone", "--undone"
	}
	one.Cause = fmt.Sprintf("%s %s after %s%s", step.Name, doing, counted(step.Attempts, "attempt", "attempts"), orCode(step.Error))
	one.Try = []string{commandFor("retry", s, step.Name), commandFor("resolve", s, step.Name+" "+resolve)}
	return one
}

// commandFor is a command for the saga that may help.
func commandFor(verb string, s *tracker.Snapshot, rest string) string {
	return fmt.Sprintf("choreo saga %s %s %s %s --reason …", verb, s.Saga, s.ID, rest)
}

// join adds what the service tells of itself.
func (w *wait) join(s *tracker.Snapshot, participants []sagas.Participant, now time.Time) {
	i := slices.IndexFunc(participants, func(p sagas.Participant) bool { return p.Service == w.Service })
	if i >= 0 {
		w.of(&participants[i], s)
	}
	if w.Code != "" {
		return
	}
	switch {
	case w.Row != nil:
		w.fromRow(s, now)
	case len(participants) == 0:
		w.Code, w.Cause = waitUnseen, "no service tells of itself, so that there is no telling whether it runs"
	case w.Processes == 0 && w.SeenAt.IsZero():
		w.Code, w.Cause = waitNobody, fmt.Sprintf("no process of %s was ever seen: start one", w.Service)
	case w.Processes == 0:
		w.Code, w.Cause = waitNobody, fmt.Sprintf("no process of %s is running, the last was seen %s ago: start one", w.Service, short(now.Sub(w.SeenAt)))
	case w.Outbox.OldestSeconds > 10:
		w.Code = waitOutbox
		w.Cause = fmt.Sprintf("%s has %s that it has not published, the oldest %s old: it cannot reach the brokers",
			w.Service, counted(int(w.Outbox.Entries), "event", "events"), short(seconds(w.Outbox.OldestSeconds)))
	case w.LagEvents > 0:
		w.Code = waitLag
		w.Cause = fmt.Sprintf("%s is %s behind in its reading", w.Service, counted(int(w.LagEvents), "event", "events"))
	default:
		w.Code, w.Cause = waitRuns, fmt.Sprintf("%s is at it, and nothing is wrong that can be seen from here", w.Service)
	}
}

// of takes over what concerns the saga.
func (w *wait) of(p *sagas.Participant, s *tracker.Snapshot) {
	w.SeenAt, w.LagEvents = p.LastSeen, p.LagEvents
	for n := range p.Instances {
		in := &p.Instances[n]
		if !in.Gone {
			w.Processes++
		}
		// Processes of a service share its database, and so all tell the same of it.
		w.Parked = max(w.Parked, in.Parked)
		w.Outbox.Entries = max(w.Outbox.Entries, in.Outbox.Entries)
		w.Outbox.OldestSeconds = max(w.Outbox.OldestSeconds, in.Outbox.OldestSeconds)
		for r := range in.Waiting {
			if row := &in.Waiting[r]; row.Saga == s.Saga && row.ID == s.ID && row.Step == w.Step {
				w.Row = row
			}
		}
	}
}

func (w *wait) fromRow(s *tracker.Snapshot, now time.Time) {
	if w.Row.State == waitPending {
		w.Code, w.Cause = waitPending, fmt.Sprintf("%s has begun, and its end is to be told from elsewhere", w.Step)
		if w.Row.Due != nil {
			w.Cause += "; it counts as failed " + when(*w.Row.Due, now)
		}
		return
	}
	w.Code, w.Cause = waitRetries, fmt.Sprintf("%s failed in attempt %d", w.Step, w.Row.Attempt)
	w.Cause += orCode(w.Row.Error)
	if w.Row.Due != nil {
		w.Cause += "; it is tried again " + when(*w.Row.Due, now)
	}
	w.Try = []string{commandFor("retry", s, w.Step)}
}

func when(at, now time.Time) string {
	if at.Before(now) {
		return "now"
	}
	return "in " + short(at.Sub(now))
}

func (c *cli) writeWhy(t *out.Text, w *why) {
	verdict := w.Verdict
	if verdict == "" {
		verdict = string(w.Status)
	}
	t.Para("", "%s", verdict)
	if w.Cause != nil {
		t.Para("  turned back by  ", "%s", causeOf(w.Cause))
	}
	for i := range w.Waits {
		one := &w.Waits[i]
		t.Blank()
		what := one.Service
		if one.Step != "" {
			what = one.Step + at(one.Service)
		}
		if one.Run == string(choreo.RunCompensate) {
			what = "the undoing of " + what
		}
		if one.ReadySecs > 0 {
			what += " for " + short(seconds(one.ReadySecs))
		}
		t.Para("  waits for  ", "%s", what)
		t.Para("  cause      ", "%s", one.Cause)
		t.Para("  partition  ", "%d of the saga's events", w.Partition)
		if !one.SeenAt.IsZero() {
			t.Para("  service    ", "%s alive, seen %s ago; %s behind, %s to publish%s, %s parked",
				counted(one.Processes, "process", "processes"), short(c.now().Sub(one.SeenAt)),
				counted(int(one.LagEvents), "event", "events"), counted(int(one.Outbox.Entries), "event", "events"),
				oldest(one.Outbox), counted(int(one.Parked), "saga", "sagas"))
		}
		for _, command := range one.Try {
			t.Line(out.S(out.Plain, "  try        %s", command))
		}
	}
	if len(w.Waits) == 0 && !w.Status.Ended() {
		t.Para("  ", "Nothing can be said of what it waits for: its definition is not published.")
	}
}

func oldest(o sagas.Outbox) string {
	if o.Entries == 0 {
		return ""
	}
	return fmt.Sprintf(" (oldest %s)", short(seconds(o.OldestSeconds)))
}

// hasEnded returns nil for a saga that completed, else an error of the code that scripts rely on.
func hasEnded(s *tracker.Snapshot) error {
	switch s.Status {
	case choreo.StatusCompleted:
		return nil
	case choreo.StatusCompensated, choreo.StatusFailed:
		says := fmt.Sprintf("the saga %s %s ended %s", s.Saga, s.ID, s.Status)
		if s.Cause != nil {
			says += ": " + causeOf(s.Cause)
		}
		return turned(strings.TrimSuffix(says, ": "))
	default:
		return nil
	}
}
