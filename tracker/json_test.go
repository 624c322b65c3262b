package tracker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

// drawnSnapshot is any snapshot that JSON can tell.
func drawnSnapshot(t *rapid.T) *tracker.Snapshot {
	text := rapid.SampledFrom([]string{"", "a", "order", "Zoë", "a\"b\\c\n<&>\u2028", strings.Repeat("long ", 99)})
	at := rapid.Custom(func(t *rapid.T) *time.Time {
		if rapid.Bool().Draw(t, "none") {
			return nil
		}
		at := start.Add(time.Duration(rapid.Int64Range(-1e18, 1e18).Draw(t, "at")))
		return &at
	})
	failed := rapid.Custom(func(t *rapid.T) *tracker.Error {
		if rapid.Bool().Draw(t, "none") {
			return nil
		}
		return &tracker.Error{Class: choreo.Class(text.Draw(t, "class")), Code: text.Draw(t, "code"), Message: text.Draw(t, "message")}
	})
	s := &tracker.Snapshot{
		ID: "7", Saga: text.Draw(t, "saga"), Version: rapid.IntRange(1, 9).Draw(t, "version"), Status: choreo.StatusStuck,
		Initiator: text.Draw(t, "initiator"), StartedAt: start, UpdatedAt: start.Add(time.Nanosecond), EndedAt: at.Draw(t, "ended"),
		Deadline: at.Draw(t, "deadline"), Unknown: rapid.Bool().Draw(t, "unknown"), Offset: rapid.Int64Range(0, 1<<60).Draw(t, "offset"),
		TraceID:   rapid.SampledFrom([]string{"", "x", "4bf92f3577b34da6a3ce929d0e0e4736", "4BF92F3577B34DA6A3CE929D0E0E4736"}).Draw(t, "trace"),
		Partition: rapid.Int32Range(0, 99).Draw(t, "partition"), Events: rapid.Int64Range(0, 99).Draw(t, "events"), Steps: []tracker.Step{},
	}
	if tags := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b.c", "d"}), text, 0, 3).Draw(t, "tags"); len(tags) > 0 {
		s.Tags = tags
	}
	if rapid.Bool().Draw(t, "cause") {
		s.Cause = &tracker.Cause{Step: text.Draw(t, "step"), Code: text.Draw(t, "code"), By: text.Draw(t, "by"), Note: text.Draw(t, "note")}
	}
	for range rapid.IntRange(0, 2).Draw(t, "parked") {
		s.Parked = append(s.Parked, tracker.Parked{Service: text.Draw(t, "service"), Since: start, Error: failed.Draw(t, "error")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "steps") {
		s.Steps = append(s.Steps, tracker.Step{
			Name: text.Draw(t, "name"), Service: text.Draw(t, "service"), Status: choreo.StepDone, Pivot: rapid.Bool().Draw(t, "pivot"),
			Attempts: rapid.IntRange(0, 9).Draw(t, "attempts"), ReadyAt: at.Draw(t, "ready"), EndedAt: at.Draw(t, "ended"),
			UndoneAt: at.Draw(t, "undone"), Seconds: rapid.Float64Range(0, 1e9).Draw(t, "seconds"), Error: failed.Draw(t, "error"),
		})
		s.Next = append(s.Next, tracker.Next{
			Step: text.Draw(t, "next"), Run: choreo.RunCompensate, Ready: rapid.Bool().Draw(t, "is ready"),
			WaitsFor: rapid.SampledFrom([][]string{nil, {"a"}, {"a", "Zoë"}}).Draw(t, "waits"),
		})
	}
	if rapid.Bool().Draw(t, "fold") {
		s.Fold = &tracker.Fold{
			First: rapid.Int64Range(0, 99).Draw(t, "first"), Requested: rapid.Bool().Draw(t, "requested"), Turned: rapid.Bool().Draw(t, "turned"),
			Kept: rapid.Bool().Draw(t, "kept"), Parkings: rapid.SampledFrom([][]string{nil, {"id"}}).Draw(t, "parkings"),
		}
	}
	return s
}

func TestASnapshotsJSONIsThatOfItsType(t *testing.T) {
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(tracker.JSONSchema()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	require.NoError(t, compiler.AddResource("snapshot.json", schema))
	compiled, err := compiler.Compile("snapshot.json")
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		s := drawnSnapshot(t)
		want, err := json.Marshal(s)
		require.NoError(t, err)
		got := tracker.AppendJSON(nil, s)
		require.JSONEq(t, string(want), string(got))
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(got)))
		require.NoError(t, err)
		require.NoError(t, compiled.Validate(value))
		var back tracker.Snapshot
		require.NoError(t, json.Unmarshal(got, &back))
		require.Equal(t, s, &back)
	})
}

// TestTheSchemaNamesEveryField fails when a field is added to the type and not to the schema.
func TestTheSchemaNamesEveryField(t *testing.T) {
	at := start
	e := &tracker.Error{Class: "c", Code: "c", Message: "m"}
	full := &tracker.Snapshot{
		ID: "7", Saga: "s", Version: 1, Status: choreo.StatusStuck, Initiator: "i", Tags: map[string]string{}, StartedAt: at, UpdatedAt: at,
		EndedAt: &at, Deadline: &at, Cause: &tracker.Cause{Step: "s", Class: "c", Code: "c", Message: "m", By: "b", Note: "n"},
		Parked: []tracker.Parked{{Service: "s", Since: at, Error: e}},
		Steps: []tracker.Step{{
			Name: "n", Service: "s", Status: choreo.StepDone, Pivot: true, Attempts: 1, ReadyAt: &at, EndedAt: &at, UndoneAt: &at, Seconds: 1, Error: e,
		}},
		Next:    []tracker.Next{{Step: "s", Service: "s", Run: choreo.RunExecute, WaitsFor: []string{"a"}}},
		TraceID: "t", Unknown: true, Fold: &tracker.Fold{Requested: true, Turned: true, Kept: true, Parkings: []string{"p"}},
	}
	full.Tags["a"] = "b"
	var schema, value map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(tracker.JSONSchema()), &schema))
	require.NoError(t, json.Unmarshal(tracker.AppendJSON(nil, full), &value))
	var properties map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(schema["properties"], &properties))
	for name := range value {
		require.Contains(t, properties, name)
	}
	for name := range properties {
		require.Contains(t, value, name, "the schema has a field that the type has not")
	}
	nested := func(property, path string, of json.RawMessage) {
		var object struct {
			Properties map[string]json.RawMessage
			Items      struct{ Properties map[string]json.RawMessage }
		}
		require.NoError(t, json.Unmarshal(properties[property], &object))
		known := object.Properties
		if path == "items" {
			known = object.Items.Properties
			var list []json.RawMessage
			require.NoError(t, json.Unmarshal(of, &list))
			of = list[0]
		}
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(of, &fields))
		for name := range fields {
			require.Contains(t, known, name, property)
		}
		require.Len(t, known, len(fields), property)
	}
	nested("cause", "", value["cause"])
	nested("fold", "", value["fold"])
	nested("parked", "items", value["parked"])
	nested("steps", "items", value["steps"])
	nested("next", "items", value["next"])
}

func TestAPackedSnapshotIsUnpackedAsItWas(t *testing.T) {
	p := tracker.NewPacker()
	rapid.Check(t, func(t *rapid.T) {
		s := drawnSnapshot(t)
		packed := p.Pack(nil, s)
		back, err := p.Unpack(s.ID, packed)
		require.NoError(t, err)
		require.Equal(t, s, back)
		require.Equal(t, s.Unknown, tracker.PackedUnknown(packed))
		_, err = p.Unpack(s.ID, packed[:rapid.IntRange(0, len(packed)-1).Draw(t, "cut")])
		require.Error(t, err)
	})
}

func TestExplain(t *testing.T) {
	ready := start
	s := &tracker.Snapshot{
		ID: "7", Saga: "order", Version: 1, Status: choreo.StatusRunning, StartedAt: start, UpdatedAt: start, Partition: 3,
		Steps: []tracker.Step{{Name: "charge-payment", Service: "payments", Status: choreo.StepReady, ReadyAt: &ready}},
		Next:  []tracker.Next{{Step: "charge-payment", Service: "payments", Run: choreo.RunExecute, Ready: true}},
	}
	now := start.Add(14 * time.Minute)
	row := tracker.WaitingRow{
		Saga: "order", ID: "7", Step: "charge-payment", State: choreo.RowRetrying, Attempt: 7, DueAt: now.Add(40 * time.Second),
		Error: &tracker.Error{Message: "card gateway timeout"},
	}
	pending := tracker.WaitingRow{Saga: "order", ID: "7", Step: "charge-payment", State: choreo.RowPending, DueAt: now.Add(time.Hour)}
	for _, c := range []struct {
		services []tracker.Service
		reason   tracker.Reason
		sentence string
	}{
		{nil, tracker.ReasonRunning, "running: waits for 14 min for charge-payment in payments"},
		{[]tracker.Service{{Name: "payments", Waiting: []tracker.WaitingRow{row}}}, tracker.ReasonRetrying,
			"running: waits for 14 min at charge-payment in payments: card gateway timeout, attempt 7, next in 40 s"},
		{[]tracker.Service{{Name: "payments", Waiting: []tracker.WaitingRow{pending}}}, tracker.ReasonPending,
			"running: waits for 14 min for an answer from outside to charge-payment in payments, which is due in 60 min"},
		{[]tracker.Service{{Name: "payments", Gone: true, SeenAt: now.Add(-5 * time.Minute)}}, tracker.ReasonGone,
			"running: waits for charge-payment in payments, of which no process has been heard for 5 min"},
		{[]tracker.Service{{Name: "payments", Lag: map[int32]int64{3: 12}}}, tracker.ReasonLag,
			"running: waits for 14 min for charge-payment in payments, which is 12 events behind in partition 3"},
		{[]tracker.Service{{Name: "payments", OutboxEntries: 1, OutboxOldest: now.Add(-time.Minute)}}, tracker.ReasonOutbox,
			"running: waits for charge-payment in payments, whose outbox has not been published for 60 s"},
	} {
		v := tracker.Explain(s, c.services, now)
		require.Equal(t, c.reason, v.Why.Reason)
		require.Equal(t, c.sentence, v.Sentence)
		require.Equal(t, "payments", v.Why.Service)
		require.EqualValues(t, 3, v.Why.Partition)
	}
	s.Status, s.Steps[0].Status = choreo.StatusStuck, choreo.StepRetried
	v := tracker.Explain(s, []tracker.Service{{Name: "payments", Waiting: []tracker.WaitingRow{row}}}, now)
	require.Equal(t, "stuck for 14 min at charge-payment in payments: card gateway timeout, attempt 7, next in 40 s", v.Sentence)
	s.Status, s.Steps[0].Status, s.EndedAt = choreo.StatusCompensated, choreo.StepUndone, &now
	s.Cause = &tracker.Cause{By: "ann", Note: "a mistake"}
	require.Equal(t, "compensated after 14 min: aborted by ann (a mistake)", tracker.Explain(s, nil, now).Sentence)
}
