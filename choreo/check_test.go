package choreo

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type (
	tIn  struct{ A string }
	tOut struct{ B string }
)

var (
	tFirst  = NewStep[tIn, tOut]("first")
	tSecond = NewStep[tOut, tOut]("second")
	tThird  = NewStep[tOut, tOut]("third")
	tJoin   = NewStep[Join, tOut]("join")
)

func faultsOf(t *testing.T, err error) []Fault {
	t.Helper()
	var defErr *DefinitionError
	require.ErrorAs(t, err, &defErr)
	for _, f := range defErr.Faults {
		require.Contains(t, err.Error(), f.Text)
		require.Contains(t, err.Error(), "["+f.Code+"]")
		require.Contains(t, err.Error(), f.Step)
	}
	return defErr.Faults
}

// codes prints faults as "code step".
func codes(faults []Fault) []string {
	var list []string
	for _, f := range faults {
		list = append(list, strings.TrimSpace(f.Code+" "+f.Step))
	}
	return list
}

func TestDefineFaults(t *testing.T) {
	always := func(tIn) bool { return true }
	undo := func(*Failure) bool { return true }
	first := func() *StepOf[tIn, tOut] { return tFirst.OwnedBy("one") }
	second := func() *StepOf[tOut, tOut] { return tSecond.OwnedBy("two").After(tFirst) }
	long := strings.Repeat("x", maxName+1)
	for _, c := range []struct {
		name    string
		version int // default 1
		saga    string
		options []Option
		want    []string
	}{
		{name: "no steps", want: []string{"no-steps"}},
		{name: "saga name", saga: "Big Saga", options: []Option{first()}, want: []string{"name"}},
		{name: "empty saga name", saga: " ", options: []Option{first()}, want: []string{"name"}},
		{name: "version", version: -1, options: []Option{first()}, want: []string{"version"}},
		{name: "step name", options: []Option{NewStep[tIn, tOut]("first_").OwnedBy("one")}, want: []string{"name first_"}},
		{name: "long step name", options: []Option{NewStep[tIn, tOut](long).OwnedBy("one")}, want: []string{"name " + long}},
		{name: "owner name", options: []Option{tFirst.OwnedBy("One")}, want: []string{"name first"}},
		{name: "no owner", options: []Option{tFirst.OwnedBy("")}, want: []string{"no-owner first"}},
		{name: "twice", options: []Option{first(), first()}, want: []string{"duplicate-step first"}},
		{name: "unknown", options: []Option{tSecond.OwnedBy("two").After(tThird)}, want: []string{"unknown-step second"}},
		{name: "named twice", options: []Option{first(), second().After(tFirst)}, want: []string{"duplicate-reference second"}},
		{name: "itself", options: []Option{tThird.OwnedBy("two").After(tThird)}, want: []string{"cycle third"}},
		{name: "circle", options: []Option{tSecond.OwnedBy("two").After(tThird), tThird.OwnedBy("two").After(tSecond)}, want: []string{"cycle"}},
		{name: "two pivots", options: []Option{first().Pivot(), second().Pivot()}, want: []string{"pivots"}},
		{name: "optional pivot", options: []Option{first().Pivot().Optional()}, want: []string{"pivot first"}},
		{name: "conditional pivot", options: []Option{first().Pivot().When("always", always)}, want: []string{"pivot first"}},
		{
			name: "beside the pivot", options: []Option{
				first(), second().Pivot(), tThird.OwnedBy("two").After(tFirst),
			}, want: []string{"beside-pivot third"},
		},
		{
			name: "filter past the pivot", options: []Option{first().Pivot(), second().CompensateWhen("undo", undo)},
			want: []string{"past-pivot second"},
		},
		{
			name: "undo order past the pivot", options: []Option{
				Compensation(CustomOrder), first().Pivot(), second().UndoAfter(tFirst),
			}, want: []string{"past-pivot second"},
		},
		{
			name: "undo order of the pivot", options: []Option{
				Compensation(CustomOrder), first(), second().Pivot().UndoAfter(tFirst),
			}, want: []string{"undo-after second"},
		},
		{
			name: "undone after a step past the pivot", options: []Option{
				Compensation(CustomOrder), first().UndoAfter(tThird), second().Pivot(), tThird.OwnedBy("two").After(tSecond),
			}, want: []string{"undo-after first"},
		},
		{name: "uses what is not before it", options: []Option{first().Uses(tSecond), second()}, want: []string{"uses first"}},
		{name: "saga input", options: []Option{tSecond.OwnedBy("two")}, want: []string{"type second"}},
		{
			name: "input of one", options: []Option{first(), NewStep[tIn, tOut]("other").OwnedBy("two").After(tFirst)},
			want: []string{"type other"},
		},
		{
			name: "input of several", options: []Option{first(), second(), tThird.OwnedBy("two").After(tFirst, tSecond)},
			want: []string{"type third"},
		},
		{
			name: "input of a step that may be bypassed", options: []Option{first().Optional(), second()},
			want: []string{"type second"},
		},
		{
			name: "the same by a condition", options: []Option{first().When("always", always), second()},
			want: []string{"type second"},
		},
		{name: "strategy", options: []Option{Compensation("backwards"), first()}, want: []string{"strategy"}},
		{name: "undo order without custom", options: []Option{first(), second().UndoAfter(tFirst)}, want: []string{"undo-after second"}},
		{
			name: "undo circle", options: []Option{Compensation(CustomOrder), first().UndoAfter(tSecond), second().UndoAfter(tFirst)},
			want: []string{"undo-cycle first", "undo-cycle second"},
		},
		{
			name: "undo order of nothing", options: []Option{Compensation(CustomOrder), first(), second().UndoAfter(tFirst).NoCompensation()},
			want: []string{"undo-after second"},
		},
		{name: "deadline", options: []Option{Deadline(-time.Second), first()}, want: []string{"deadline"}},
		{name: "timeout", options: []Option{first().Timeout(-time.Second)}, want: []string{"timeout first"}},
		{name: "no attempts", options: []Option{first().Retry(FixedRetry(0, time.Second))}, want: []string{"retry first"}},
		{name: "unknown backoff", options: []Option{first().Retry(RetryPolicy{Backoff: "weekly", Attempts: 3})}, want: []string{"retry first"}},
		{name: "negative delay", options: []Option{first().Retry(FixedRetry(2, -1))}, want: []string{"retry first"}},
		{
			name: "factor and jitter", options: []Option{first().Retry(RetryPolicy{Backoff: BackoffExponential, Attempts: 2, Factor: 0.5, Jitter: 2})},
			want: []string{"retry first", "retry first"},
		},
		{name: "undo retry", options: []Option{first().UndoRetry(LinearRetry(-1, 1, 1))}, want: []string{"retry first"}},
		{name: "condition without a name", options: []Option{first().When("", always)}, want: []string{"condition first"}},
		{name: "condition without a function", options: []Option{first().When("always", nil)}, want: []string{"condition first"}},
		{name: "filter without a name", options: []Option{first().CompensateWhen("", undo)}, want: []string{"compensate-when first"}},
		{name: "filter without a function", options: []Option{first().CompensateWhen("undo", nil)}, want: []string{"compensate-when first"}},
		{
			name: "filter of a step that never fails", options: []Option{first().Optional().CompensateWhen("undo", undo)},
			want: []string{"compensate-when first"},
		},
		{
			name: "all at once", version: -3, saga: "S", options: []Option{
				Deadline(-1), Compensation("backwards"),
				tFirst.OwnedBy("").Timeout(-1).Retry(FixedRetry(0, 0)).Pivot().Optional(),
				tJoin.OwnedBy("UPPER").After(tFirst, tSecond),
				tSecond.OwnedBy("two").Uses(tJoin).CompensateWhen("undo", nil),
			},
			want: []string{
				"name", "version", "no-owner first", "name join", "deadline", "timeout first", "retry first", "strategy",
				"compensate-when second", "pivot first", "beside-pivot second", "type second", "uses second",
			},
		},
		{
			name: "undone with data that nobody carries", options: []Option{first().UndoUses(tSecond), second()},
			want: []string{"undo-data first"},
		},
		{
			name: "data for an undoing that never comes", options: []Option{first(), second().UndoUses(tFirst).NoCompensation()},
			want: []string{"undo-data second"},
		},
		{
			name: "data for an undoing past the pivot", options: []Option{first().Pivot(), second().UndoUses(tFirst)},
			want: []string{"past-pivot second"},
		},
		{
			name: "a refusal past the pivot", options: []Option{first().Pivot().Refuses("no"), second().Refuses("no")},
			want: []string{"past-pivot second"},
		},
		{name: "a refusal told twice", options: []Option{first().Refuses("no", "no")}, want: []string{"refusals first"}},
		{
			name: "two types of one payload name", options: []Option{first(), NewStep[tOut, tIn]("other").OwnedBy("one").After(tFirst).OutputName("tOut")},
			want: []string{"payload-name other"},
		},
		{
			name: "what needs no graph is reported beside what spoils it", options: []Option{
				Compensation("backwards"), first().Pivot().Optional(), tSecond.OwnedBy("two").After(tThird).Pivot(),
			},
			want: []string{"unknown-step second", "strategy", "pivots", "pivot first"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			name, version := c.saga, c.version
			if name == "" {
				name = "saga"
			}
			if version == 0 {
				version = 1
			}
			_, err := Define[tIn](name, version, c.options...)
			require.Error(t, err)
			require.ElementsMatch(t, c.want, codes(faultsOf(t, err)), err.Error())
		})
	}
}
