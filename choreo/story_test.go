package choreo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// keepCode is the refusal that the CompensateWhen filters of these tests keep.
const keepCode = "keep"

// parseDefinition reads a definition as the tests of this package write it: one step
// a line, with its owner, then its properties, and at most one strategy line.
//
//	reserve @stock after create uses quote attempts 2
//	strategy best-effort
//
// Properties: after, uses and undo-after with steps joined by commas; attempts and
// undo-attempts with a number (default 1); pivot, optional, when, keeps (a refusal
// with code "keep" undoes nothing), no-compensation.
func parseDefinition(text string) (*Definition, error) {
	d := &Definition{name: "story", version: 1, strategy: ReverseOrder}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "strategy" && len(words) == 2:
			d.strategy = Strategy(words[1])
		default:
			step, err := parseStep(words)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
			}
			d.steps = append(d.steps, step)
		}
	}
	if err := d.finish(); err != nil {
		return nil, err
	}
	return d, nil
}

func parseStep(words []string) (StepDef, error) {
	s := StepDef{Name: words[0], Retry: NoRetry(), UndoRetry: NoRetry()}
	rest := words[1:]
	next := func() string {
		if len(rest) == 0 {
			return ""
		}
		word := rest[0]
		rest = rest[1:]
		return word
	}
	for len(rest) > 0 {
		switch word := next(); {
		case strings.HasPrefix(word, "@"):
			s.Owner = word[1:]
		case word == "after":
			s.After = strings.Split(next(), ",")
		case word == "uses":
			s.Uses = strings.Split(next(), ",")
		case word == "undo-after":
			s.UndoAfter = strings.Split(next(), ",")
		case word == "attempts" || word == "undo-attempts":
			n, err := strconv.Atoi(next())
			if err != nil {
				return s, err
			}
			if word == "attempts" {
				s.Retry = FixedRetry(n, time.Second)
			} else {
				s.UndoRetry = FixedRetry(n, time.Second)
			}
		case word == "pivot":
			s.Pivot = true
		case word == "optional":
			s.Optional = true
		case word == "when":
			s.Condition = "asked-for"
		case word == "no-compensation":
			s.NoCompensate = true
		case word == "keeps":
			s.CompensateIf = "worth-undoing"
			s.compensateErr = func(f *Failure) bool { return f.Code != keepCode }
		default:
			return s, fmt.Errorf("unknown property %q", word)
		}
	}
	return s, nil
}

func definition(t testing.TB, text string) *Definition {
	t.Helper()
	d, err := parseDefinition(text)
	require.NoError(t, err)
	return d
}

// Short names, for stories that people read.
var shortTypes = map[EventType]string{
	Started: "Started", AbortRequested: "AbortRequested", Aborted: "Aborted", AbortRejected: "AbortRejected",
	StepCompleted: "Completed", StepFailed: "Failed", StepSkipped: "Skipped", StepStuck: "Stuck",
	StepCompensated: "Compensated", CompensationFailed: "CompensationFailed",
	RetryRequested: "RetryRequested", ResolveRequested: "ResolveRequested", CommandRejected: "CommandRejected",
	SagaParked: "Parked", SagaReleased: "Released", ReleaseRequested: "ReleaseRequested", ReleaseRejected: "ReleaseRejected",
	StartRequested: "StartRequested", StartRejected: "StartRejected",
}

// eventName prints an event as stories write it: "Failed(b) keep".
func eventName(t EventType, step string, flags ...string) string {
	name := shortTypes[t]
	if step != "" {
		name += "(" + step + ")"
	}
	for _, f := range flags {
		if f != "" {
			name += " " + f
		}
	}
	return name
}

func (e *Emission) flags() []string {
	var flags []string
	if e.Bypassed {
		flags = append(flags, "bypassed")
	}
	if e.Keep {
		flags = append(flags, "keep")
	}
	if e.Force {
		flags = append(flags, "force")
	}
	if e.Type == AbortRejected && e.Failure != nil {
		flags = append(flags, e.Failure.Code)
	}
	return flags
}

func (ev *Event) short() string {
	e := Emission{Type: ev.Type, Bypassed: ev.Bypassed, Keep: ev.Keep, Force: ev.Force, Failure: ev.Failure}
	name := eventName(ev.Type, ev.Step, e.flags()...)
	if ev.Resolve != "" {
		name += " as " + string(ev.Resolve)
	}
	if ev.Type == SagaParked || ev.Type == SagaReleased {
		name += " by " + ev.Source
	}
	return name
}

// rowText prints what of a row the rules look at. Two rows with the same text are
// the same to them.
func rowText(r *Row) string {
	var b strings.Builder
	state := string(r.State)
	if r.State == RowNone {
		state = "none"
	}
	b.WriteString(state)
	for _, f := range []struct {
		set  bool
		name string
	}{{r.Announced, "announced"}, {r.Kept, "kept"}, {r.Bypassed, "bypassed"}, {r.Stuck, "stuck"}} {
		if f.set {
			b.WriteString(" " + f.name)
		}
	}
	if r.Attempt > 0 {
		fmt.Fprintf(&b, " attempt=%d", r.Attempt)
	}
	for _, l := range []struct {
		name  string
		steps []string
	}{{"noted", r.Noted}, {"settled", r.Settled}} {
		if len(l.steps) > 0 {
			fmt.Fprintf(&b, " %s=%s", l.name, strings.Join(sortedNames(l.steps), ","))
		}
	}
	if r.Failure != nil {
		fmt.Fprintf(&b, " failure=%s", r.Failure.Code)
	}
	if r.Origin.Commands != "" {
		fmt.Fprintf(&b, " command=%s", strings.ReplaceAll(r.Origin.Commands, "\n", ","))
	}
	return b.String()
}

// sortedNames gives the trigger of a root, which has no step, a name.
func sortedNames(steps []string) []string {
	names := slices.Clone(steps)
	for i, n := range names {
		if n == "" {
			names[i] = "start"
		}
	}
	slices.Sort(names)
	return names
}
