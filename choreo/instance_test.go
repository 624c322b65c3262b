package choreo

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// told folds events, each a minute after the one before.
func told(t testing.TB, d *Definition, events ...Event) *Instance {
	t.Helper()
	in := NewInstance(d)
	for i := range events {
		events[i].Time = minute(i)
		in.Apply(&events[i])
	}
	return in
}

func minute(i int) time.Time { return storyTime.Add(time.Duration(i) * time.Minute) }

var no = &Failure{Class: ClassRefused, Code: "no", Message: "not today"}

func TestInstanceTellsTimesAttemptsAndErrors(t *testing.T) {
	d := definition(t, "a @one\nb @two after a\nc @three after a,b")
	in := told(t, d,
		Event{Type: Started, SagaID: "7", Initiator: "shop", Partition: 5},
		Event{Type: StepCompleted, Step: "a", Attempt: 3},
		Event{Type: StepCompleted, Step: "b", Attempt: 1},
		Event{Type: StepFailed, Step: "c", Attempt: 2, Failure: no},
		Event{Type: StepCompensated, Step: "b", Attempt: 4},
		Event{Type: CompensationFailed, Step: "a", Attempt: 10, Failure: no},
	)
	want := &Instance{
		ID: "7", Saga: "story", Version: 1, Initiator: "shop", Partition: 5, Status: StatusStuck,
		CauseStep: "c", Cause: no, StartedAt: minute(0), UpdatedAt: minute(5),
		Steps: []StepInstance{
			{Name: "a", Owner: "one", Status: StepUndoFailed, Attempts: 10, Failure: no, ReadyAt: minute(0), EndedAt: minute(1), UndoneAt: minute(5)},
			{Name: "b", Owner: "two", Status: StepUndone, Attempts: 4, ReadyAt: minute(1), EndedAt: minute(2), UndoneAt: minute(4)},
			{Name: "c", Owner: "three", Status: StepFailing, Attempts: 2, Failure: no, ReadyAt: minute(2), EndedAt: minute(3)},
		},
		def: d, turned: true,
	}
	require.Equal(t, want, in)

	resolved := Event{Type: StepCompensated, Step: "a", Time: minute(60), Attempt: 11}
	require.True(t, in.Apply(&resolved))
	require.Equal(t, StatusCompensated, in.Status)
	require.Equal(t, minute(60), in.EndedAt)
	require.Nil(t, in.Steps[0].Failure, "what an operator resolved is no fault any more")

	late := Event{Type: StepCompensated, Step: "a", Time: minute(99)}
	require.False(t, in.Apply(&late))
	require.Equal(t, minute(60), in.UpdatedAt)
}

// TestInstanceStatuses reaches every status of an instance and of a step.
func TestInstanceStatuses(t *testing.T) {
	event := func(typ EventType, step string) Event { return Event{Type: typ, Step: step} }
	started, done := event(Started, ""), func(s string) Event { return event(StepCompleted, s) }
	failed := func(s string) Event { return Event{Type: StepFailed, Step: s, Failure: no} }
	bypassed := func(s string) Event { return Event{Type: StepCompleted, Step: s, Bypassed: true} }
	kept := Event{Type: StepFailed, Step: "b", Failure: no, Keep: true}
	forced := Event{Type: Aborted, Force: true, Failure: no}
	linear, pivot, sinks := "a @one\nb @two after a", "a @one pivot\nb @two after a", "a @one\nb @two after a\nc @three after a"
	for _, c := range []struct {
		name   string
		def    string
		log    []Event
		status Status
		steps  []StepStatus
		ended  bool
	}{
		{"nothing yet", linear, nil, "", []StepStatus{StepIdle, StepIdle}, false},
		{"running", linear, []Event{started}, StatusRunning, []StepStatus{StepReady, StepIdle}, false},
		{"completed", linear, []Event{started, done("a"), done("b")}, StatusCompleted, []StepStatus{StepDone, StepDone}, true},
		{"bypassed", linear, []Event{started, bypassed("a"), done("b")}, StatusCompleted, []StepStatus{StepBypassed, StepDone}, true},
		{"cancelling", linear, []Event{started, event(AbortRequested, "")}, StatusCancelling, []StepStatus{StepReady, StepIdle}, false},
		{"a cancel before the start is in the log", linear, []Event{event(AbortRequested, ""), started}, StatusCancelling, []StepStatus{StepReady, StepIdle}, false},
		{"an answer to nobody", linear, []Event{started, event(AbortRejected, "")}, StatusRunning, []StepStatus{StepReady, StepIdle}, false},
		{
			"aborted, one to answer", linear, []Event{started, done("a"), event(Aborted, "")},
			StatusCompensating, []StepStatus{StepUndoing, StepReady}, false,
		},
		{
			"aborted, nothing ran", linear, []Event{started, event(Aborted, ""), event(StepSkipped, "a")},
			StatusCompensated, []StepStatus{StepNotRun, StepIdle}, true,
		},
		{"compensating", linear, []Event{started, done("a"), failed("b")}, StatusCompensating, []StepStatus{StepUndoing, StepFailing}, false},
		{
			"bypassed and going back", linear, []Event{started, bypassed("a"), failed("b")},
			StatusCompensating, []StepStatus{StepUndoing, StepFailing}, false,
		},
		{
			"compensated", linear, []Event{started, done("a"), failed("b"), event(StepCompensated, "a")},
			StatusCompensated, []StepStatus{StepUndone, StepFailing}, true,
		},
		{"failed and kept", linear, []Event{started, done("a"), kept}, StatusFailed, []StepStatus{StepDone, StepFailing}, true},
		{
			"kept, one to answer", sinks, []Event{started, done("a"), kept},
			StatusCompensating, []StepStatus{StepDone, StepFailing, StepReady}, false,
		},
		{
			"kept, and completed meanwhile", sinks, []Event{started, done("a"), kept, done("c")},
			StatusFailed, []StepStatus{StepDone, StepFailing, StepDone}, true,
		},
		{
			"completed, and aborted by force", linear, []Event{started, done("a"), done("b"), forced},
			StatusCompensating, []StepStatus{StepUndoing, StepUndoing}, false,
		},
		{
			"kept, and aborted by force", linear, []Event{started, done("a"), kept, event(Aborted, ""), forced},
			StatusCompensating, []StepStatus{StepUndoing, StepFailing}, false,
		},
		{
			"kept and undone", linear, []Event{started, done("a"), kept, forced, event(StepCompensated, "a"), kept, forced},
			StatusCompensated, []StepStatus{StepUndone, StepFailing}, true,
		},
		{
			"aborted by force before a failure that keeps", linear, []Event{started, done("a"), forced, kept},
			StatusCompensating, []StepStatus{StepUndoing, StepFailing}, false,
		},
		{
			"the first failure decides", sinks, []Event{started, done("a"), failed("c"), kept},
			StatusCompensating, []StepStatus{StepUndoing, StepFailing, StepFailing}, false,
		},
		{
			"stuck at once under reverse order", sinks, []Event{started, done("a"), done("b"), failed("c"), {Type: CompensationFailed, Step: "b"}},
			StatusStuck, []StepStatus{StepUndoing, StepUndoFailed, StepFailing}, false,
		},
		{
			"stuck at the end under best effort", "strategy best-effort\n" + sinks,
			[]Event{started, done("a"), done("b"), failed("c"), {Type: CompensationFailed, Step: "b"}, event(StepCompensated, "a")},
			StatusStuck, []StepStatus{StepUndone, StepUndoFailed, StepFailing}, false,
		},
		{
			"compensating meanwhile", "strategy best-effort\n" + sinks,
			[]Event{started, done("a"), done("b"), failed("c"), {Type: CompensationFailed, Step: "b"}},
			StatusCompensating, []StepStatus{StepUndoing, StepUndoFailed, StepFailing}, false,
		},
		{"stuck past the pivot", pivot, []Event{started, done("a"), event(StepStuck, "b")}, StatusStuck, []StepStatus{StepDone, StepRetried}, false},
		{
			"no longer stuck", pivot, []Event{started, done("a"), event(StepStuck, "b"), done("b")},
			StatusCompleted, []StepStatus{StepDone, StepDone}, true,
		},
		{
			"no cancel past the pivot", pivot, []Event{started, event(AbortRequested, ""), done("a"), event(AbortRequested, "")},
			StatusRunning, []StepStatus{StepDone, StepReady}, false,
		},
		{"a step of another definition", linear, []Event{started, done("z")}, StatusRunning, []StepStatus{StepReady, StepIdle}, false},
		{"a step before the start", linear, []Event{done("a")}, "", []StepStatus{StepIdle, StepIdle}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := told(t, definition(t, c.def), c.log...)
			var steps []StepStatus
			for _, s := range in.Steps {
				steps = append(steps, s.Status)
			}
			require.Equal(t, c.status, in.Status)
			require.Equal(t, c.steps, steps)
			require.Equal(t, c.ended, in.Status.Ended())
			require.Equal(t, c.ended, !in.EndedAt.IsZero())
		})
	}
}

// An abort by force opens an instance that had ended, and is then why it turned back.
func TestInstanceAbortedByForce(t *testing.T) {
	forced := &Failure{Class: ClassCancelled, Code: "forced"}
	in := told(t, definition(t, "a @one\nb @two after a keeps"),
		Event{Type: Started}, Event{Type: StepCompleted, Step: "a"},
		Event{Type: StepFailed, Step: "b", Failure: no, Keep: true},
		Event{Type: AbortRequested, Force: true},
	)
	require.Equal(t, StatusFailed, in.Status, "it is the arbiter who decides")
	require.Equal(t, minute(2), in.EndedAt)
	require.Equal(t, "b", in.CauseStep)

	require.True(t, in.Apply(&Event{Type: Aborted, Force: true, Failure: forced, Time: minute(4)}))
	require.Equal(t, StatusCompensating, in.Status)
	require.Zero(t, in.EndedAt)
	require.Empty(t, in.CauseStep)
	require.Equal(t, forced, in.Cause)
	require.Equal(t, no, in.Steps[1].Failure, "the step tells what had failed")

	require.True(t, in.Apply(&Event{Type: StepCompensated, Step: "a", Time: minute(5)}))
	require.Equal(t, minute(5), in.EndedAt)
}

// TestInstanceTellsWhoHasParkedIt: in the order in which they said so, with why and since when.
func TestInstanceTellsWhoHasParkedIt(t *testing.T) {
	d := definition(t, "a @one\nb @two after a")
	in := told(t, d,
		Event{Type: SagaParked, ID: "1", Source: "two", Failure: no},
		Event{Type: Started},
		Event{Type: SagaParked, ID: "2", Source: "one"},
	)
	require.Equal(t, StatusParked, in.Status)
	require.False(t, in.Status.Ended())
	require.Equal(t, []ParkedAt{{Service: "two", Failure: no, Since: minute(0)}, {Service: "one", Since: minute(2)}}, in.Parked)

	require.True(t, in.Apply(&Event{Type: SagaReleased, ID: "3", Source: "two", Time: minute(3)}))
	require.Equal(t, []ParkedAt{{Service: "one", Since: minute(2)}}, in.Parked)
	require.Equal(t, minute(3), in.UpdatedAt)
	require.False(t, in.Apply(&Event{Type: SagaParked, ID: "1", Source: "two"}), "a stale duplicate")
	require.True(t, in.Apply(&Event{Type: SagaReleased, Source: "one"}))
	require.Equal(t, StatusRunning, in.Status)
	require.Empty(t, in.Parked)
	require.True(t, in.Apply(&Event{Type: SagaParked, Source: "one"}), "without an id a duplicate is not told")
}

// An instance does not need its events to have times, as logs of tests may not.
func TestInstanceNeedsNoTimes(t *testing.T) {
	in := NewInstance(definition(t, "a @one"))
	require.True(t, in.Apply(&Event{Type: Started}))
	require.True(t, in.Apply(&Event{Type: StepCompleted, Step: "a"}))
	require.Equal(t, StatusCompleted, in.Status)
}

// TestInstanceIgnoresDuplicates takes the log of a real path through any saga, and
// puts duplicates of earlier events anywhere into it: the instance, with all its
// times, is that of the log without them.
func TestInstanceIgnoresDuplicates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDefinition(t)
		log := anyLog(t, d)
		plain, doubled := NewInstance(d), NewInstance(d)
		for i := range log {
			log[i].Time = minute(i)
			before := *plain
			before.Steps = append([]StepInstance(nil), plain.Steps...)
			if changed := plain.Apply(&log[i]); changed == reflect.DeepEqual(&before, plain) {
				t.Fatalf("Apply(%s) reports %v", log[i].short(), changed)
			}
			doubled.Apply(&log[i])
			for range rapid.IntRange(0, 2).Draw(t, "duplicates") {
				again := log[rapid.IntRange(0, i).Draw(t, "of")]
				again.Time = again.Time.Add(time.Second) // a copy has the same, but nothing may hang on it
				doubled.Apply(&again)
				if !reflect.DeepEqual(plain, doubled) {
					t.Fatalf("%s once more, after %d events, changed\n%+v\ninto\n%+v", again.short(), i+1, plain, doubled)
				}
			}
		}
	})
}

// anyLog returns the log of a path through a saga without faults but cancels.
func anyLog(t *rapid.T, d *Definition) []Event {
	x := newExplorer(d, "shop", realRules())
	x.endless, x.keepLog = maxLog, true
	end, broken, story := wander(x, bounds{cancels: 2, forces: 1, retries: 1, undoFails: 1, parks: 2}, func(n int) int {
		if n == 1 {
			return 0
		}
		return rapid.IntRange(0, n-1).Draw(t, "move")
	})
	if broken != "" {
		t.Fatalf("%s\n%s", broken, story)
	}
	var log []Event
	for _, ev := range end.log.at[:end.log.n] {
		log = append(log, x.events[ev])
	}
	return log
}
