package choreo

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata print into them")

// TestRules plays the scripts in testdata: small stories about the rows of one saga.
// A script is a row of blocks: a command, ----, what it prints, an empty line.
//
//	define              the definition follows, a step a line (see parseDefinition)
//	start               the initiator's saga row is made
//	queue               it is made, and the saga is to start later
//	admit               a queued saga starts
//	read STEP EVENT     the owner of the step reads the event; "saga" is the saga row
//	ends STEP HOW       the handler that was asked for ends: ok, bypassed,
//	                    refuse CODE, fail (may be retried), give-up, put-off
//	timer STEP          the step's handler is due again
//	log                 folds the events that follow, one a line, into an instance
//
// Events are written as "Failed(b) keep", those of parking as "Parked by two" and, a
// second time, "Parked by two #2". Lines that begin with # are comments.
func TestRules(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			played := playScript(string(data))
			if *rewrite {
				require.NoError(t, os.WriteFile(file, []byte(played), 0o644))
				return
			}
			require.Equal(t, string(data), played, "run with -rewrite once you know that the new output is right")
		})
	}
}

// playScript returns the script with what its commands print.
func playScript(text string) string {
	var out strings.Builder
	s := script{rows: map[string]Row{}, asked: map[string]Decision{}}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			out.WriteString(lines[i] + "\n")
			i++
			continue
		}
		var command []string
		for ; i < len(lines) && lines[i] != "----"; i++ {
			command = append(command, lines[i])
		}
		for i++; i < len(lines) && lines[i] != ""; i++ { // what it printed before
		}
		out.WriteString(strings.Join(command, "\n") + "\n----\n" + s.play(command))
	}
	return out.String()
}

type script struct {
	def   *Definition
	rows  map[string]Row
	asked map[string]Decision // handlers that are under way
}

func (s *script) play(command []string) string {
	words := strings.Fields(command[0])
	rest := strings.Join(command[1:], "\n")
	if words[0] == "define" {
		d, err := parseDefinition(rest)
		if err != nil {
			return err.Error() + "\n"
		}
		*s = script{def: d, rows: map[string]Row{}, asked: map[string]Decision{}}
		return "ok\n"
	}
	if s.def == nil {
		return "no definition\n"
	}
	step := ""
	if len(words) > 1 && words[1] != "saga" {
		step = words[1]
	}
	if step != "" && s.def.Step(step) == nil {
		return "no such step\n"
	}
	switch {
	case words[0] == "start" && len(words) == 1:
		return s.store(SagaRow, Decision{Changed: true, Row: Row{State: RowOpen}})
	case words[0] == "queue" && len(words) == 1:
		return s.store(SagaRow, Decision{Changed: true, Row: Row{State: RowQueued, Inputs: []Output{{Data: []byte("in")}}}})
	case words[0] == "admit" && len(words) == 1:
		return s.store(SagaRow, Admit(s.def, s.rows[SagaRow]))
	case words[0] == "read" && len(words) > 2:
		ev, err := parseEvent(strings.Join(words[2:], " "))
		if err != nil {
			return err.Error() + "\n"
		}
		return s.store(step, React(s.def, step, s.rows[step], ev))
	case words[0] == "timer" && len(words) == 2:
		return s.store(step, Resume(s.def, step, s.rows[step]))
	case words[0] == "ends" && len(words) > 2:
		return s.ends(step, words[2:])
	case words[0] == "log":
		return s.fold(command[1:])
	}
	return "unknown command\n"
}

// store prints a decision and takes it over, unless it asks for a handler first.
func (s *script) store(step string, d Decision) string {
	before := s.rows[step]
	if d.Run != RunNothing {
		s.asked[step] = d
		return "run " + string(d.Run) + "\n"
	}
	var out strings.Builder
	switch from, to := rowText(&before), rowText(&d.Row); {
	case d.Changed:
		fmt.Fprintf(&out, "row %s → %s\n", from, to)
		s.rows[step] = d.Row
	case from != to:
		fmt.Fprintf(&out, "row %s → %s, NOT STORED\n", from, to)
	}
	for i := range d.Emit {
		e := &d.Emit[i]
		fmt.Fprintf(&out, "emit %s\n", eventName(e.Type, e.Step, e.flags()...))
	}
	if d.Again {
		out.WriteString("due again later\n")
	}
	if out.Len() == 0 {
		return "nothing\n"
	}
	return out.String()
}

func (s *script) ends(step string, how []string) string {
	asked, ok := s.asked[step]
	if !ok {
		return "no handler was asked for\n"
	}
	var res Result
	switch how[0] {
	case "ok":
	case "bypassed":
		res.Bypassed = true
	case "refuse":
		res.Err = Classify(Refuse(strings.Join(how[1:], " "), nil))
	case "fail":
		res.Err = Classify(errors.New("later"))
	case "give-up":
		res.Err = Classify(Permanent(errors.New("never")))
	case "put-off":
		delete(s.asked, step)
		return s.store(step, Defer(s.def, step, asked.Row, asked.Run))
	default:
		return "unknown ending\n"
	}
	delete(s.asked, step)
	return s.store(step, Conclude(s.def, step, asked.Row, asked.Run, res))
}

func (s *script) fold(events []string) string {
	in := NewInstance(s.def)
	var out strings.Builder
	for _, text := range events {
		ev, err := parseEvent(text)
		if err != nil {
			return err.Error() + "\n"
		}
		if !in.Apply(ev) {
			fmt.Fprintf(&out, "%s: no change\n", ev.short())
			continue
		}
		status := string(in.Status)
		if status == "" {
			status = "not started"
		}
		fmt.Fprintf(&out, "%s: %s;", ev.short(), status)
		for _, st := range in.Steps {
			fmt.Fprintf(&out, " %s %s", st.Name, st.Status)
		}
		for _, p := range in.Parked {
			fmt.Fprintf(&out, "; parked by %s", p.Service)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// parseEvent reads an event as stories write it.
func parseEvent(text string) (*Event, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil, errors.New("no event")
	}
	name, step, _ := strings.Cut(strings.TrimSuffix(words[0], ")"), "(")
	ev := &Event{Step: step, Payload: []byte{}, Time: storyTime}
	for t, short := range shortTypes {
		if short == name {
			ev.Type = t
		}
	}
	if ev.Type == "" || ev.Type.OfStep() != (step != "") {
		return nil, fmt.Errorf("no event %q", text)
	}
	ev.Keep = slices.Contains(words[1:], "keep")
	ev.Force = slices.Contains(words[1:], "force")
	ev.Bypassed = slices.Contains(words[1:], "bypassed")
	if ev.Type == RetryRequested || ev.Type == ResolveRequested {
		ev.ID, ev.By = strings.Join(words, "-"), "ada"
		ev.Resolve = Resolve(words[len(words)-1])
	}
	if by := slices.Index(words, "by"); by > 0 && by+1 < len(words) {
		ev.ID, ev.Source = text, words[by+1]
	}
	if ev.Type == StepFailed || ev.Type == AbortRequested {
		ev.Failure = &Failure{Class: ClassRefused, Code: "why"}
	}
	return ev, nil
}
