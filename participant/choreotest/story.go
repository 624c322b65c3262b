package choreotest

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant"
)

// Line returns an event as one line of a saga's story: what happened, to which step,
// and the class and code of a failure. So "completed create-order", "completed gift-wrap
// (bypassed)", "failed charge-card: refused no-credit", "aborted: timeout deadline", "parked
// in payments: permanent unknown-version".
func Line(ev *choreo.Event) string {
	line := string(ev.Type)
	line = strings.TrimPrefix(line, "choreo.saga.")
	line = strings.TrimPrefix(line, "choreo.step.")
	if ev.Step != "" {
		line += " " + ev.Step
	}
	switch ev.Type {
	case choreo.SagaParked, choreo.SagaReleased, choreo.ReleaseRejected, choreo.StartRejected:
		line += " in " + ev.Source
	case choreo.ReleaseRequested, choreo.StartRequested:
		line += " in " + ev.Target
	}
	if ev.Bypassed {
		line += " (bypassed)"
	}
	if ev.Keep {
		line += " (nothing undone)"
	}
	if f := ev.Failure; f != nil {
		line += strings.TrimRight(": "+string(f.Class)+" "+f.Code, " ")
	}
	return line
}

// Events returns a [Line] for each event of the saga, in the order of the log, leaving
// out repetitions.
func (w *World) Events(ref participant.Ref) []string {
	w.quiesce()
	var lines []string
	for _, ev := range w.fold(sagaID{ref.Saga, ref.SagaID}) {
		lines = append(lines, Line(ev))
	}
	return lines
}

// Rows returns a line for each step of the saga, in the definition's order, with the
// state of its row in its owner's database, such as "charge-card completed", or "none".
// A database that cannot be read fails the test.
func (w *World) Rows(ref participant.Ref) []string {
	w.t.Helper()
	w.quiesce()
	id := sagaID{ref.Saga, ref.SagaID}
	in := w.instance(w.fold(id))
	if in == nil {
		return nil
	}
	var lines []string
	owners := w.owners()
	for i := range in.Steps {
		step := &in.Steps[i]
		state := choreo.RowState("not served")
		if s := owners[step.Owner]; s != nil {
			rows, err := s.rows(id)
			if err != nil {
				w.t.Fatalf("choreotest: service %s: look at saga %s %q: %v", step.Owner, id.saga, id.id, err)
			}
			state = cmp.Or(rows.Steps[step.Name].State, "none")
		}
		lines = append(lines, step.Name+" "+string(state))
	}
	return lines
}

func (w *World) owners() map[string]server {
	owners := make(map[string]server)
	for _, s := range w.list() {
		owners[s.service()] = s
	}
	return owners
}

// Story tells all that is known of a saga: its events, its steps, what the services hold
// of it. Failures show it.
func (w *World) Story(ref participant.Ref) string {
	w.quiesce()
	return w.story(sagaID{ref.Saga, ref.SagaID})
}

func (w *World) story(id sagaID) string {
	var b strings.Builder
	events := w.fold(id)
	in := w.instance(events)
	if in == nil {
		fmt.Fprintf(&b, "saga %s %q has no event in the log\n", id.saga, id.id)
	} else {
		fmt.Fprintf(&b, "saga %s %q (version %d) is %s\n", id.saga, id.id, in.Version, cmp.Or(in.Status, "not started"))
		w.tellEvents(&b, events)
		w.tellSteps(&b, id, in)
	}
	for _, where := range w.held(id) {
		fmt.Fprintf(&b, "  %s\n", where)
	}
	owners := w.owners()
	for _, def := range w.defs {
		if def.Name() != id.saga || (in != nil && def.Version() != in.Version) {
			continue
		}
		for _, name := range def.Services() {
			if s := owners[name]; s == nil {
				fmt.Fprintf(&b, "  service %s is not served in this world\n", name)
			} else if !s.running() {
				fmt.Fprintf(&b, "  service %s does not run\n", name)
			}
		}
	}
	for _, s := range w.list() {
		backlog, err := s.backlog()
		switch {
		case err != nil:
			fmt.Fprintf(&b, "  service %s cannot be looked at: %v\n", s.service(), err)
		case backlog.Entries > 0:
			fmt.Fprintf(&b, "  outbox of %s: %d waiting, the oldest for %v\n",
				s.service(), backlog.Entries, backlog.Oldest.Round(time.Millisecond))
		}
	}
	return b.String()
}

// held tells where the saga waits for a build that can go on with it, or for its start.
func (w *World) held(id sagaID) (where []string) {
	for _, s := range w.list() {
		rows, err := s.rows(id)
		if err != nil {
			continue // told elsewhere
		}
		if marker := rows.Steps[choreo.ParkedRow]; marker.State == choreo.RowParked {
			where = append(where, fmt.Sprintf("service %s has parked it (%s, tried again %d times): %s",
				s.service(), marker.Failure.Code, marker.Attempt, marker.Failure.Message))
		}
		if rows.Saga != nil && rows.Saga.State == choreo.RowQueued {
			where = append(where, fmt.Sprintf("service %s has it in its queue: Config.MaxOpenSagas (%d) others are open",
				s.service(), w.Config.MaxOpenSagas))
		}
	}
	return where
}

// tellEvents tells the events, with times from the first one on.
func (w *World) tellEvents(b *strings.Builder, events []*choreo.Event) {
	b.WriteString("  events:\n")
	var table table
	for _, ev := range events {
		message := ""
		if ev.Failure != nil && ev.Failure.Message != "" {
			message = fmt.Sprintf("%q", ev.Failure.Message)
		}
		table.add("+"+ev.Time.Sub(events[0].Time).Round(time.Millisecond).String(), Line(ev), "by "+ev.Source, message)
	}
	table.write(b)
}

// tellSteps tells the steps as the log shows them, beside the rows of their owners.
func (w *World) tellSteps(b *strings.Builder, id sagaID, in *choreo.Instance) {
	b.WriteString("  steps:\n")
	var table table
	owners := w.owners()
	for i := range in.Steps {
		step := &in.Steps[i]
		row, failure := "unknown", ""
		if s := owners[step.Owner]; s != nil {
			if rows, err := s.rows(id); err == nil {
				held := rows.Steps[step.Name]
				row = cmp.Or(string(held.State), "none")
				if held.Attempt > 0 {
					row += fmt.Sprintf(", attempt %d", held.Attempt)
				}
				if held.Failure != nil {
					failure = fmt.Sprintf("%s: %q", held.Failure.Class, held.Failure.Message)
				}
			}
		}
		table.add(step.Name, string(step.Status), "of "+step.Owner, "row: "+row, failure)
	}
	table.write(b)
}

// table aligns columns.
type table [][]string

func (t *table) add(cells ...string) { *t = append(*t, cells) }

func (t table) write(b *strings.Builder) {
	var widths []int
	for _, row := range t {
		widths = append(widths, make([]int, max(len(row)-len(widths), 0))...)
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range t {
		line := "  "
		for i, cell := range row {
			line += fmt.Sprintf("  %-*s", widths[i], cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}
