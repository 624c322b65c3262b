package choreo

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestMain lets rapid draw more than its default: these draws take microseconds.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue && !raceEnabled {
		_ = flag.Set("rapid.checks", "1000")
	}
	os.Exit(m.Run())
}

// anyDefinition draws a definition that passes the checks: any graph, any strategy,
// often a pivot.
func anyDefinition(t *rapid.T) *Definition {
	n := rapid.IntRange(1, maxSteps).Draw(t, "steps")
	d := &Definition{
		name: "drawn", version: 1,
		strategy: rapid.SampledFrom([]Strategy{ReverseOrder, ParallelOrder, BestEffort, CustomOrder}).Draw(t, "strategy"),
	}
	pivot := rapid.IntRange(-n, n-1).Draw(t, "pivot")
	order := rapid.Permutation(numbers(n)).Draw(t, "order of undoing")
	for i := range n {
		s := StepDef{
			Name: name(i), Pivot: i == pivot, UndoRetry: NoRetry(),
			Owner:        rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "owner"),
			Retry:        FixedRetry(rapid.IntRange(1, 2).Draw(t, "attempts"), 1),
			NoCompensate: rapid.IntRange(0, 5).Draw(t, "no compensation") == 0,
			Optional:     i != pivot && rapid.IntRange(0, 5).Draw(t, "optional") == 0,
		}
		if i != pivot && rapid.IntRange(0, 5).Draw(t, "when") == 0 {
			s.Condition = "asked-for"
		}
		if !s.Optional && rapid.IntRange(0, 5).Draw(t, "keeps") == 0 {
			s.CompensateIf = "worth-undoing"
			s.compensateErr = func(f *Failure) bool { return f.Code != keepCode }
		}
		for dep := range i {
			if rapid.IntRange(0, 2).Draw(t, "after") == 0 {
				s.After = append(s.After, name(dep))
			}
			if rapid.IntRange(0, 3).Draw(t, "uses") == 0 {
				s.Uses = append(s.Uses, name(dep))
			}
			if i != pivot && !s.NoCompensate && rapid.IntRange(0, 5).Draw(t, "undo uses") == 0 {
				s.UndoUses = append(s.UndoUses, name(dep))
			}
		}
		for u := range n {
			if d.strategy == CustomOrder && !s.NoCompensate && i != pivot && order[u] < order[i] && rapid.IntRange(0, 2).Draw(t, "undo after") == 0 {
				s.UndoAfter = append(s.UndoAfter, name(u))
			}
		}
		d.steps = append(d.steps, s)
	}
	return repaired(t, d)
}

// repaired takes out what the checks find: uses of what does not come before, steps
// beside the pivot, orders past it.
func repaired(t *rapid.T, d *Definition) *Definition {
	for {
		steps := slices.Clone(d.steps)
		err := d.finish()
		if err == nil {
			return d
		}
		var faults *DefinitionError
		if !errors.As(err, &faults) {
			t.Fatal(err)
		}
		for _, f := range faults.Faults {
			for i := range steps {
				switch s := &steps[i]; {
				case f.Code == "beside-pivot":
					s.Pivot = false
				case s.Name != f.Step:
				case f.Code == "uses":
					s.Uses = nil
				case f.Code == "undo-data":
					s.UndoUses = nil
				case f.Code == "past-pivot" || f.Code == "undo-after":
					s.UndoAfter, s.UndoUses, s.CompensateIf, s.compensateErr = nil, nil, "", nil
				default:
					t.Fatalf("drew a definition that cannot be repaired: %v", err)
				}
			}
		}
		d.steps = steps
	}
}

func name(i int) string { return string(rune('a' + i)) }

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// anyEvents draws any events in any order, most of which no real log would hold.
func anyEvents(t *rapid.T, d *Definition) []*Event {
	types := []EventType{
		Started, AbortRequested, Aborted, AbortRejected, StepCompleted, StepCompleted, StepCompleted,
		StepFailed, StepSkipped, StepStuck, StepCompensated, CompensationFailed,
		SagaParked, SagaReleased, ReleaseRequested, ReleaseRejected, StartRequested, StartRejected,
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *Event {
		ev := &Event{Type: rapid.SampledFrom(types).Draw(t, "type"), Partition: 3, Payload: []byte("x")}
		if ev.Type.OfStep() {
			ev.Step = name(rapid.IntRange(0, len(d.steps)-1).Draw(t, "step"))
		}
		switch ev.Type {
		case StepFailed:
			ev.Keep = rapid.IntRange(0, 3).Draw(t, "keep") == 0
		case AbortRequested, Aborted:
			ev.Force = rapid.Bool().Draw(t, "force")
			ev.Elsewhere = ev.Type == AbortRequested && rapid.IntRange(0, 3).Draw(t, "elsewhere") == 0
		}
		return ev
	}), 0, 30).Draw(t, "events")
}

// model says what a step's owner has to do about a history of events. It is written
// without rows: it looks the whole history over for each question, as the design's
// rules read when they are told as one story. It shares no code with the rules, not
// even the graph.
type model struct {
	d       *Definition
	step    StepDef
	history []*Event
	fails   bool   // how Execute ends
	code    string // with which it fails
}

// leads reports whether to follows from from, in any number of hops.
func leads(d *Definition, from, to string) bool {
	for i := range d.steps {
		if d.steps[i].Name == to {
			for _, dep := range d.steps[i].After {
				if dep == from || leads(d, from, dep) {
					return true
				}
			}
		}
	}
	return false
}

func (m *model) pivot() string {
	for i := range m.d.steps {
		if m.d.steps[i].Pivot {
			return m.d.steps[i].Name
		}
	}
	return ""
}

func (m *model) isPast() bool { return m.pivot() != "" && leads(m.d, m.pivot(), m.step.Name) }

// turned returns where the history turned back as the step's owner sees it, or its
// length.
func (m *model) turned() int {
	for i, ev := range m.history {
		switch {
		case ev.Type == Aborted, ev.Type == StepFailed && ev.Step != m.step.Name:
			return i
		case ev.Type == AbortRequested && m.step.Pivot && i < m.ran() && !m.deaf(i):
			return i
		}
	}
	return len(m.history)
}

// deaf reports whether event i asks for an abort from elsewhere, of a pivot's owner that has
// read nothing of the saga that would leave it a row.
func (m *model) deaf(i int) bool {
	if ev := m.history[i]; ev.Type != AbortRequested || !ev.Elsewhere {
		return false
	}
	for j, ev := range m.history[:i] {
		switch {
		case ev.Type == Started && len(m.step.After) == 0,
			ev.Type == StepCompleted && slices.Contains(m.step.After, ev.Step),
			ev.Type == StepFailed && ev.Step != m.step.Name, ev.Type == Aborted,
			ev.Type == AbortRequested && m.step.Pivot && !m.deaf(j):
			return false
		}
	}
	return true
}

// triggers returns where the step's triggers were first read.
func (m *model) triggers() []int {
	var first []int
	if len(m.step.After) == 0 {
		for i, ev := range m.history {
			if ev.Type == Started {
				return []int{i}
			}
		}
	}
	for _, dep := range m.step.After {
		for i, ev := range m.history {
			if ev.Type == StepCompleted && ev.Step == dep {
				first = append(first, i)
				break
			}
		}
	}
	return first
}

// ran returns where the last trigger came, whether or not the saga had turned then.
func (m *model) ran() int {
	first := m.triggers()
	if len(first) < max(len(m.step.After), 1) {
		return len(m.history)
	}
	return slices.Max(first)
}

// settled reports whether the steps that the undoing of this one waits for are all
// settled by the events from the turn up to and including one.
func (m *model) settled(upTo int) bool {
	wait := func(w string) bool {
		for _, ev := range m.history[m.turned() : upTo+1] {
			switch ev.Type {
			case StepFailed, StepSkipped:
				if ev.Type == StepFailed && ev.Step == m.step.Name {
					continue // its own answer, which no log holds beside its Completed
				}
				if ev.Step == w || leads(m.d, ev.Step, w) {
					return true
				}
			case StepCompensated:
				if ev.Step == w {
					return true
				}
			case CompensationFailed:
				if ev.Step == w && m.d.strategy == BestEffort {
					return true
				}
			}
		}
		return false
	}
	for i := range m.d.steps {
		other := m.d.steps[i]
		waits := slices.Contains(other.After, m.step.Name) && (m.d.strategy == ReverseOrder || m.d.strategy == BestEffort) ||
			slices.Contains(m.step.UndoAfter, other.Name)
		if waits && !wait(other.Name) {
			return false
		}
	}
	return true
}

// expected returns the row's state after the history, and what is emitted at each
// event.
func (m *model) expected() (RowState, [][]string) {
	emits := make([][]string, len(m.history))
	ran, turned := m.ran(), m.turned()
	say := func(i int, what EventType, flags ...string) {
		emits[i] = append(emits[i], eventName(what, m.step.Name, flags...))
	}
	state := RowNone
	switch {
	case ran < turned && m.fails && m.step.Optional:
		say(ran, StepCompleted, "bypassed")
		state = m.undo(emits)
	case ran < turned && m.fails && m.isPast():
		say(ran, StepStuck)
		state = RowRetrying
		if turned < len(m.history) {
			say(turned, StepSkipped)
			state = RowSkipped
		}
	case ran < turned && m.fails:
		say(ran, StepFailed, m.keeps())
		state = RowFailed
	case ran < turned:
		say(ran, StepCompleted)
		state = m.undo(emits)
	case turned < len(m.history):
		state = RowSkipped
		if first := m.triggers(); len(first) > 0 {
			say(max(turned, slices.Min(first)), StepSkipped)
		}
	case len(m.triggers()) > 0:
		state = RowWaiting
	}
	if m.step.Pivot {
		for i, answer := range m.answers() {
			if answer != "" {
				emits[i] = append([]string{answer}, emits[i]...)
			}
		}
	}
	return state, emits
}

// keeps says whether the step's own failure keeps what was done.
func (m *model) keeps() string {
	if m.step.CompensateIf != "" && m.code == keepCode {
		return "keep"
	}
	return ""
}

// mayKeep reports whether any failure of the saga may keep what was done.
func (m *model) mayKeep() bool {
	return slices.ContainsFunc(m.d.steps, func(s StepDef) bool { return s.CompensateIf != "" })
}

// answers returns what the pivot's owner says to the requests of the history, by place.
func (m *model) answers() []string {
	answers := make([]string, len(m.history))
	ran, turned := m.ran(), m.turned()
	how := "" // why it says no
	for i, ev := range m.history {
		other := (ev.Type == StepFailed && ev.Step != m.step.Name) || ev.Type == Aborted
		switch {
		case m.deaf(i):
		case ev.Type == AbortRequested && (how == "" || ev.Force && (how == "kept" || how == "unclear")):
			answers[i] = "Aborted"
			how = "aborted"
			if ev.Force {
				answers[i] += " force"
			} else if m.mayKeep() {
				how = "unclear"
			}
		case ev.Type == AbortRequested && how == "unclear":
			answers[i] = "AbortRejected aborted"
		case ev.Type == AbortRequested:
			answers[i] = "AbortRejected " + how
		case how == "" && i == ran && ran < turned:
			how = "committed"
			if m.fails {
				how = "aborted"
			}
			if m.fails && m.keeps() != "" {
				how = "kept"
			}
		case ran < turned && i > ran: // its own end decides
		case other:
			how = m.heard(how, ev)
		}
	}
	return answers
}

// heard says how a saga stands to its arbiter after a failure or an abort that it reads.
func (m *model) heard(how string, ev *Event) string {
	first := how == "" || how == "unclear"
	switch {
	case first && ev.Keep:
		return "kept"
	case first || how == "kept" && ev.Type == Aborted && ev.Force:
		return "aborted"
	}
	return how
}

// undo continues expected for a step that completed.
func (m *model) undo(emits [][]string) RowState {
	turned := m.turned()
	if turned < len(m.history) && m.history[turned].Keep {
		for turned++; turned < len(m.history); turned++ {
			if ev := m.history[turned]; ev.Type == Aborted && ev.Force {
				break
			}
		}
	}
	if turned == len(m.history) || m.step.Pivot || m.isPast() {
		return RowCompleted
	}
	for i := turned; i < len(m.history); i++ {
		if !m.settled(i) {
			continue
		}
		emits[i] = append(emits[i], eventName(StepCompensated, m.step.Name))
		return RowUndone
	}
	return RowUndoing
}

// drive lets the real rules read the history.
func drive(t *rapid.T, m *model) (RowState, [][]string) {
	var row Row
	var emits [][]string
	for _, ev := range m.history {
		before, beforeEv := deepCopy(row), *ev
		decision := React(m.d, m.step.Name, row, ev)
		again := React(m.d, m.step.Name, row, ev)
		if !reflect.DeepEqual(decision, again) || !reflect.DeepEqual(before, row) || !reflect.DeepEqual(beforeEv, *ev) {
			t.Fatalf("React is not pure at %s over %+v", ev.short(), before)
		}
		acts := decision.Changed || len(decision.Emit) > 0 || decision.Run != RunNothing
		if acts && !m.d.Reacts([]string{m.step.Name}, ev.Type, ev.Step) {
			t.Fatalf("Reacts says that %s cannot concern %s", ev.short(), m.step.Name)
		}
		if !acts && !reflect.DeepEqual(decision.Row.State, row.State) {
			t.Fatalf("%s changes the row and says that it does not", ev.short())
		}
		for decision.Run != RunNothing && rapid.Bool().Draw(t, "put off") {
			decision = putOff(t, m, decision)
		}
		if decision.Run != RunNothing {
			res := Result{Output: Output{Data: []byte(m.step.Name)}}
			if decision.Run == RunExecute && m.fails {
				res = Result{Err: Classify(Refuse(m.code, nil))}
			}
			given := deepCopy(decision.Row)
			concluded := Conclude(m.d, m.step.Name, decision.Row, decision.Run, res)
			if !reflect.DeepEqual(given, decision.Row) {
				t.Fatalf("Conclude changed the row that it was given")
			}
			decision = concluded
		}
		var said []string
		for i := range decision.Emit {
			e := &decision.Emit[i]
			said = append(said, eventName(e.Type, e.Step, e.flags()...))
		}
		emits = append(emits, said)
		if decision.Changed {
			row = decision.Row
		}
	}
	return row.State, emits
}

// putOff finds no place for a handler, and runs it when it is due: nothing is different.
func putOff(t *rapid.T, m *model, asked Decision) Decision {
	given := deepCopy(asked.Row)
	off := Defer(m.d, m.step.Name, asked.Row, asked.Run)
	if !off.Changed || !off.Again || off.Run != RunNothing || len(off.Emit) > 0 || off.Row.Attempt != asked.Row.Attempt {
		t.Fatalf("put off as %+v", off)
	}
	due := Resume(m.d, m.step.Name, off.Row)
	if due.Run != asked.Run || !reflect.DeepEqual(given, asked.Row) {
		t.Fatalf("%s was put off, and due is %q", asked.Run, due.Run)
	}
	return due
}

func deepCopy(r Row) Row {
	r.Noted, r.Settled, r.Inputs = slices.Clone(r.Noted), slices.Clone(r.Settled), slices.Clone(r.Inputs)
	return r
}

// TestReactAgreesWithTheModel compares the rules with the plain second reading of the
// design over any definitions and any events.
func TestReactAgreesWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDefinition(t)
		m := &model{
			d: d, step: d.steps[rapid.IntRange(0, len(d.steps)-1).Draw(t, "of")],
			history: anyEvents(t, d), fails: rapid.IntRange(0, 3).Draw(t, "fails") == 0,
			code: rapid.SampledFrom([]string{"no", keepCode}).Draw(t, "code"),
		}
		wantState, wantEmits := m.expected()
		gotState, gotEmits := drive(t, m)
		for i, ev := range m.history {
			if fmt.Sprint(gotEmits[i]) != fmt.Sprint(wantEmits[i]) {
				t.Fatalf("at event %d, %s, %s emits %v, want %v", i, ev.short(), m.step.Name, gotEmits[i], wantEmits[i])
			}
		}
		if gotState != wantState {
			t.Fatalf("row of %s is %q, want %q", m.step.Name, gotState, wantState)
		}
	})
}

// TestSagaRowAgreesWithTheModel does the same for the initiator's saga row.
func TestSagaRowAgreesWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDefinition(t)
		d.deadline = 1
		history := anyEvents(t, d)
		m := &model{d: d}
		pivot := m.pivot()
		closers := map[string]bool{} // by step: whether it is still awaited
		for i := range d.steps {
			sink := !slices.ContainsFunc(d.steps, func(s StepDef) bool { return slices.Contains(s.After, d.steps[i].Name) })
			if pivot == d.steps[i].Name || pivot == "" && sink {
				closers[d.steps[i].Name] = true
			}
		}
		row := Row{State: RowOpen, Home: AnyPartition}
		queued := rapid.IntRange(0, len(history)).Draw(t, "admitted at") // 0: never queued
		if queued > 0 {
			row = Row{State: RowQueued, Home: AnyPartition, Inputs: []Output{{Data: []byte("in")}}}
		}
		how := "" // why the initiator says no, once the saga is closed
		for i, ev := range history {
			want := "[]"
			switch {
			case ev.Type == AbortRequested && pivot != "" && ev.Elsewhere:
				want = "[AbortRequested]"
				if ev.Force {
					want = "[AbortRequested force]"
				}
			case ev.Type == AbortRequested && pivot != "":
			case ev.Type == AbortRequested && (how == "" || ev.Force && how != "aborted"):
				want = "[Aborted]"
				if ev.Force {
					want = "[Aborted force]"
				}
				if how = "aborted"; !ev.Force && i >= queued && m.mayKeep() {
					how = "unclear"
				}
			case ev.Type == AbortRequested && how == "unclear":
				want = "[AbortRejected aborted]"
			case ev.Type == AbortRequested:
				want = "[AbortRejected " + how + "]"
			case i < queued && how == "" && ev.Type != Aborted: // it has not begun
			case ev.Type == StepFailed || ev.Type == Aborted:
				how = m.heard(how, ev)
			case ev.Type == StepCompleted && how == "":
				if delete(closers, ev.Step); len(closers) == 0 {
					how = "completed"
				}
			}
			open := how == ""
			decision := React(d, SagaRow, row, ev)
			var said []string
			for j := range decision.Emit {
				said = append(said, eventName(decision.Emit[j].Type, "", decision.Emit[j].flags()...))
			}
			if (decision.Changed || len(said) > 0) && !d.ReactsSaga(ev.Type, ev.Step) {
				t.Fatalf("ReactsSaga says that %s cannot concern the saga row", ev.short())
			}
			if decision.Changed {
				row = decision.Row
			}
			if i+1 == queued {
				admitted := Admit(d, row)
				if admitted.Changed != open || admitted.Changed && string(admitted.Emit[0].Output.Data) != "in" {
					t.Fatalf("admitted as %+v, open=%v", admitted, open)
				}
				row = admitted.Row
			}
			if i < queued-1 && open {
				if row.State != RowQueued || fmt.Sprint(said) != want {
					t.Fatalf("at event %d, %s: a queued row becomes %s, emits %v", i, ev.short(), row.State, said)
				}
				continue
			}
			if kept := how == "kept" || how == "unclear"; row.Kept != kept {
				t.Fatalf("at event %d, %s: row %s, want kept=%v", i, ev.short(), rowText(&row), kept)
			}
			if fmt.Sprint(said) != want || (row.State == RowOpen) != open {
				t.Fatalf("at event %d, %s: row %s, emits %v; want %s and open=%v", i, ev.short(), row.State, said, want, open)
			}
		}
	})
}

// TestHomePartition demands that rows learn their home partition from the first event
// that they answer, and the saga row from Started where its start did not know it.
func TestHomePartition(t *testing.T) {
	d := definition(t, "a @one\nb @two after a pivot")
	for _, ev := range []Event{{Type: Started}, {Type: StepFailed, Step: "b"}, {Type: Aborted}} {
		ev.Partition = 7
		require.EqualValues(t, 7, React(d, "a", Row{}, &ev).Row.Home, ev.short())
	}
	require.EqualValues(t, 7, React(d, "b", Row{}, &Event{Type: AbortRequested, Partition: 7}).Row.Home)
	require.EqualValues(t, 7, React(d, "b", Row{State: RowWaiting, Home: 7}, &Event{Type: Aborted, Partition: 9}).Row.Home)

	started := &Event{Type: Started, Partition: 7}
	learnt := React(d, SagaRow, Row{State: RowOpen, Home: AnyPartition}, started)
	require.True(t, learnt.Changed)
	require.EqualValues(t, 7, learnt.Row.Home)
	require.Equal(t, RowOpen, learnt.Row.State)
	require.False(t, React(d, SagaRow, Row{State: RowOpen, Home: 7}, started).Changed)

	require.False(t, d.ReactsSaga(Started, ""), "without a deadline the saga row says nothing by itself")
	d.deadline = 1
	require.True(t, d.ReactsSaga(Started, ""))
}
