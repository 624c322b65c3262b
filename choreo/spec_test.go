package choreo

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A definition that is made of another one's data is the same: its steps, its graph, and
// what each event means to it.
func TestADefinitionIsMadeOfItsData(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDefinition(t)
		again, err := FromSpec(d.Spec())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(d.graph, again.graph) || !reflect.DeepEqual(d.index, again.index) {
			t.Fatalf("another graph: %v, want %v", again.graph, d.graph)
		}
		for i := range d.steps {
			want, got := d.steps[i], again.steps[i]
			want.compensateErr, got.compensateErr = nil, nil // functions are never equal
			if !reflect.DeepEqual(want, got) {
				t.Fatalf("another step: %+v, want %+v", got, want)
			}
		}
	})
}

func TestSpecOfGo(t *testing.T) {
	saga := MustDefine[tIn]("order", 2, Encoding(Avro), Deadline(time.Minute),
		tFirst.OwnedBy("one").Refuses("no").Encoding(JSON),
		tSecond.OwnedBy("two").After(tFirst).OutputName("Renamed"),
		NewStep[tOut, struct{}]("last").OwnedBy("two").After(tSecond).UndoUses(tFirst))
	spec := saga.Spec()
	require.Equal(t, "order", spec.Name)
	require.Equal(t, 2, spec.Version)
	require.Equal(t, ReverseOrder, spec.Strategy)
	require.Equal(t, Avro, spec.Encoding)
	require.Equal(t, "tIn", spec.Input)
	require.Equal(t, "tIn", saga.InputName())
	require.Equal(t, []string{"tOut", "Renamed", ""}, []string{spec.Steps[0].Output, spec.Steps[1].Output, spec.Steps[2].Output})
	require.Equal(t, []string{"no"}, spec.Steps[0].Refusals)
	require.Equal(t, JSON, saga.EncodingOf("first"))
	require.Equal(t, Avro, saga.EncodingOf("second"))
	require.Equal(t, Avro, saga.EncodingOf(""), "the input")
	require.Equal(t, []string{"first"}, saga.Step("last").Reads())

	spec.Steps[0].Refusals[0] = "changed"
	require.Equal(t, []string{"no"}, saga.Step("first").Refusals, "the data are a copy")
}

func TestABindingGivesANameItsFunction(t *testing.T) {
	spec := Spec{Name: "order", Version: 1, Steps: []StepDef{
		{Name: "first", Owner: "one", Condition: "asked-for", CompensateIf: "worth-undoing"},
	}}
	unbound, err := FromSpec(spec)
	require.NoError(t, err, "other services need no functions")
	require.Equal(t, []string{"asked-for", "worth-undoing"}, unbound.Step("first").Unbound())
	require.Nil(t, unbound.Step("first").ConditionInput())

	bound, err := FromSpec(spec,
		BindWhen("asked-for", func(in tIn) bool { return in.A == "yes" }),
		BindCompensateWhen("worth-undoing", func(f *Failure) bool { return f.Code != keepCode }))
	require.NoError(t, err)
	step := bound.Step("first")
	require.Empty(t, step.Unbound())
	require.Equal(t, reflect.TypeFor[tIn](), step.ConditionInput())
	require.True(t, step.RunsOn(tIn{A: "yes"}))
	require.False(t, step.RunsOn(tIn{A: "no"}))
	decision := Conclude(bound, "first", Row{}, RunExecute, Result{Err: Classify(Refuse(keepCode, nil))})
	require.True(t, decision.Emit[0].Keep)

	_, err = FromSpec(spec, BindWhen("asked-fro", func(tIn) bool { return true }),
		BindCompensateWhen("asked-for", func(*Failure) bool { return true }))
	require.Equal(t, []string{"binding", "binding"}, codes(faultsOf(t, err)))
}

func TestFromSpecNamesEveryFault(t *testing.T) {
	_, err := FromSpec(Spec{Name: "order", Strategy: "sideways", Steps: []StepDef{{Name: "first"}, {Name: "second", Owner: "two", After: []string{"third"}}}})
	require.ElementsMatch(t, []string{"version", "no-owner first", "unknown-step second", "strategy"}, codes(faultsOf(t, err)))
}
