package choreo

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestDefinitionAccessors(t *testing.T) {
	// Written out of order: each step comes after those that it waits for, and
	// otherwise as written.
	saga := MustDefine[tIn]("order", 2,
		tJoin.OwnedBy("two").After(tThird, tSecond).Timeout(time.Second).NoCompensation(),
		tThird.OwnedBy("one").After(tFirst),
		tSecond.OwnedBy("three").After(tFirst),
		tFirst.OwnedBy("one"),
		Deadline(time.Minute), Compensation(BestEffort),
	)
	d := saga.Def()
	require.Same(t, saga.Definition, d)
	var names []string
	for _, s := range d.Steps() {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{"first", "third", "second", "join"}, names)
	require.Equal(t, "order", d.Name())
	require.Equal(t, 2, d.Version())
	require.Equal(t, "order/2", d.String())
	require.Equal(t, BestEffort, d.Strategy())
	require.Equal(t, time.Minute, d.Deadline())
	require.Equal(t, reflect.TypeFor[tIn](), d.Input())
	require.Equal(t, []string{"first", "third"}, d.StepsOf("one"))
	require.Empty(t, d.StepsOf("nobody"))
	require.Equal(t, []string{"one", "three", "two"}, d.Services())
	require.Equal(t, []string{"join"}, d.Sinks())
	require.Equal(t, []string{"third", "second"}, d.Dependents("first"))
	require.Empty(t, d.Dependents("nobody"))
	require.Empty(t, d.Pivot())
	require.Nil(t, d.Step("nobody"))
	require.Equal(t, time.Second, d.Step("join").Timeout)
	require.Equal(t, reflect.TypeFor[Join](), d.Step("join").In)
	require.True(t, d.Compensates("first"))
	require.False(t, d.Compensates("join"), "it says so")
	require.False(t, d.Compensates("nobody"))

	pivot := MustDefine[tIn]("order", 1, tFirst.OwnedBy("one"), tSecond.OwnedBy("two").After(tFirst).Pivot(), tThird.OwnedBy("two").After(tSecond))
	require.Equal(t, "second", pivot.Pivot())
	require.True(t, pivot.Compensates("first"))
	require.False(t, pivot.Compensates("second"), "the pivot is never undone")
	require.False(t, pivot.Compensates("third"), "nor is what comes after it")
}

func TestMustDefinePanicsOnFaults(t *testing.T) {
	require.Panics(t, func() { MustDefine[tIn]("order", 0) })
}

// A definition must not change when the options that it was made of are used again.
func TestDefinitionKeepsItsOwnLists(t *testing.T) {
	second := tSecond.OwnedBy("two").After(tFirst)
	saga := MustDefine[tIn]("order", 1, tFirst.OwnedBy("one"), second)
	second.After(tThird)
	require.Equal(t, []string{"first"}, saga.Step("second").After)
}

func TestConditionAndFilter(t *testing.T) {
	saga := MustDefine[tIn]("order", 1,
		tFirst.OwnedBy("one").When("asked-for", func(in tIn) bool { return in.A == "yes" }).
			CompensateWhen("worth-undoing", func(f *Failure) bool { return f.Code != keepCode }))
	step := saga.Step("first")
	require.True(t, step.RunsOn(tIn{A: "yes"}))
	require.False(t, step.RunsOn(tIn{A: "no"}))
	require.Equal(t, "asked-for", step.Condition)
	require.Equal(t, "worth-undoing", step.CompensateIf)

	for code, keep := range map[string]bool{keepCode: true, "other": false} {
		decision := Conclude(saga.Def(), "first", Row{}, RunExecute, Result{Err: Classify(Refuse(code, nil))})
		require.Equal(t, keep, decision.Emit[0].Keep)
	}
	require.True(t, (&StepDef{}).RunsOn(nil), "without a condition a step always runs")
}

// carriers says which steps pass the output of u on: those between u and a step that
// uses it without waiting for it.
func carriers(d *Definition, u string) []string {
	var names []string
	for i := range d.steps {
		s := d.steps[i].Name
		between := slices.ContainsFunc(d.steps, func(reader StepDef) bool {
			return (slices.Contains(reader.Uses, u) || slices.Contains(reader.UndoUses, u)) && !slices.Contains(reader.After, u) &&
				leads(d, u, s) && leads(d, s, reader.Name)
		})
		if between {
			names = append(names, s)
		}
	}
	return names
}

// TestUsesCarriesExactlyWhatIsAskedFor runs any saga forward: each step gets the
// outputs that it waits for or uses, and no event carries one further than its last
// reader.
func TestUsesCarriesExactlyWhatIsAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDefinition(t)
		bypassed := map[string]bool{}
		for i := range d.steps {
			bypassed[d.steps[i].Name] = !d.steps[i].Pivot && rapid.IntRange(0, 4).Draw(t, "bypassed") == 0
		}
		log := []*Event{{Type: Started, ContentType: "c", Payload: []byte("input")}}
		rows := map[string]Row{}
		for next := 0; next < len(log); next++ {
			for i := range d.steps {
				s := &d.steps[i]
				decision := React(d, s.Name, rows[s.Name], log[next])
				if decision.Run == RunExecute {
					checkInputs(t, d, s, &decision.Row, bypassed)
					decision = Conclude(d, s.Name, decision.Row, RunExecute, Result{
						Bypassed: bypassed[s.Name], Output: Output{ContentType: "c", Data: []byte("of " + s.Name)},
					})
					log = append(log, checkCarried(t, d, s.Name, &decision, bypassed))
				}
				if decision.Changed {
					rows[s.Name] = decision.Row
				}
			}
		}
		if len(log) != len(d.steps)+1 {
			t.Fatalf("%d of %d steps ran", len(log)-1, len(d.steps))
		}
	})
}

func checkInputs(t *rapid.T, d *Definition, s *StepDef, row *Row, bypassed map[string]bool) {
	want := map[string]string{}
	if len(s.After) == 0 {
		want[""] = "input"
	}
	for i := range d.steps {
		from := d.steps[i].Name
		wanted := slices.Contains(s.After, from) || slices.Contains(s.Uses, from) ||
			slices.Contains(s.UndoUses, from) || slices.Contains(carriers(d, from), s.Name)
		if wanted && !bypassed[from] {
			want[from] = "of " + from
		}
	}
	got := map[string]string{}
	for _, in := range row.Inputs {
		if _, twice := got[in.Step]; twice {
			t.Fatalf("%s gets %q twice", s.Name, in.Step)
		}
		got[in.Step] = string(in.Data)
		if in.ContentType != "c" {
			t.Fatalf("%s gets %q as %q", s.Name, in.Step, in.ContentType)
		}
	}
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("%s gets %v, want %v\n%s", s.Name, got, want, definitionText(d))
	}
}

func checkCarried(t *rapid.T, d *Definition, step string, decision *Decision, bypassed map[string]bool) *Event {
	e := decision.Emit[0]
	var want, got []string
	for i := range d.steps {
		if u := d.steps[i].Name; slices.Contains(carriers(d, u), step) && !bypassed[u] {
			want = append(want, u)
		}
	}
	for _, o := range e.Carried {
		got = append(got, o.Step)
	}
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Fatalf("Completed(%s) carries %v, want %v\n%s", step, got, want, definitionText(d))
	}
	if !d.Compensates(step) && (decision.Row.Inputs != nil || decision.Row.Output.Data != nil) {
		t.Fatalf("the row of %s keeps what nothing will read", step)
	}
	if d.Compensates(step) && !bypassed[step] && string(decision.Row.Output.Data) != "of "+step {
		t.Fatalf("the row of %s lost its output, which Compensate gets", step)
	}
	return &Event{
		Type: e.Type, Step: e.Step, Bypassed: e.Bypassed, Carried: e.Carried,
		ContentType: e.Output.ContentType, Payload: e.Output.Data,
	}
}

// What is carried is for those who ask: an event that carries more is not kept.
func TestRowKeepsOnlyWhatIsAskedFor(t *testing.T) {
	d := definition(t, "a @one\nb @two after a")
	row := React(d, "b", Row{}, &Event{
		Type: StepCompleted, Step: "a", Payload: []byte("x"), Carried: []Output{{Step: "z", Data: []byte("secret")}},
	}).Row
	require.Equal(t, []Output{{Step: "a", Data: []byte("x")}}, row.Inputs)
	got, ok := row.Input("a")
	require.True(t, ok)
	require.Equal(t, "x", string(got.Data))
	_, ok = row.Input("z")
	require.False(t, ok)
}

// A row that will not run any more gives up the payloads that it kept.
func TestRowDropsWhatNobodyReads(t *testing.T) {
	d := definition(t, "a @one attempts 2\nb @two\nc @three after a,b pivot\nd @one after c")
	waiting := React(d, "c", Row{}, &Event{Type: StepCompleted, Step: "a", Payload: []byte("x")}).Row
	require.NotEmpty(t, waiting.Inputs)
	for name, row := range map[string]Row{
		"skipped by a failure": React(d, "c", waiting, &Event{Type: StepFailed, Step: "b"}).Row,
		"skipped by an abort":  React(d, "c", waiting, &Event{Type: AbortRequested}).Row,
		"failed":               Conclude(d, "c", waiting, RunExecute, Result{Err: Classify(Refuse("no", nil))}).Row,
		"completed pivot":      Conclude(d, "c", waiting, RunExecute, Result{Output: Output{Data: []byte("y")}}).Row,
	} {
		require.Empty(t, row.Inputs, name)
		require.Empty(t, row.Output, name)
	}
	undone := Conclude(d, "a", Row{
		State: RowUndoing, Inputs: []Output{{Data: []byte("x")}}, Output: Output{Data: []byte("y")}, Settled: []string{"c"},
	}, RunCompensate, Result{}).Row
	require.Equal(t, Row{State: RowUndone, Attempt: 1}, undone)
}

// fakeOutputs is what a participant gives a handler.
type fakeOutputs map[string]string

func (f fakeOutputs) Decode(step string, into any) (bool, error) {
	text, ok := f[step]
	if !ok {
		return false, ErrNotCarried
	}
	*into.(*tOut) = tOut{B: text}
	return text != "", nil
}

func TestOutputOf(t *testing.T) {
	from := fakeOutputs{"first": "done", "second": ""}
	out, ran, err := OutputOf(from, tFirst)
	require.NoError(t, err)
	require.True(t, ran)
	require.Equal(t, tOut{B: "done"}, out)
	_, ran, err = OutputOf(from, tSecond)
	require.NoError(t, err)
	require.False(t, ran)
	_, _, err = OutputOf(from, tThird)
	require.ErrorIs(t, err, ErrNotCarried)
}

func TestEventTypes(t *testing.T) {
	for typ := range shortTypes {
		require.True(t, typ.Known())
		require.Equal(t, typ.OfStep(), len(typ) > 12 && typ[:12] == "choreo.step.")
	}
	require.False(t, EventType("choreo.step.exploded").Known())
	require.False(t, EventType("choreo.step.exploded").OfStep())
}

func TestRecordHeader(t *testing.T) {
	r := &Record{Headers: []Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}}}
	got, ok := r.Header("a")
	require.True(t, ok)
	require.Equal(t, "1", string(got))
	_, ok = r.Header("b")
	require.False(t, ok)
}
