package topics_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

func ExampleEncode() {
	rec := topics.Encode(&choreo.Event{
		ID: "01923b2c-7a55-7c3f-9c1e-000000000001", Type: choreo.StepCompleted,
		Saga: "order", Version: 1, SagaID: "o-1", Step: "charge-payment",
		Source: "payments", Initiator: "orders", Attempt: 1,
		Time:        time.Date(2026, 3, 4, 5, 6, 7, 89_000, time.UTC),
		ContentType: "application/json", Payload: []byte(`{"receipt":"r-1"}`),
		Carried:   []choreo.Output{{Step: "create-order", ContentType: "application/json", Data: []byte(`{}`)}},
		Partition: 3,
	}, "shop.order.events")
	fmt.Printf("%s/%d %s %s\n", rec.Topic, rec.Partition, rec.Key, rec.Value)
	for _, h := range rec.Headers {
		fmt.Printf("%s: %q\n", h.Key, h.Value)
	}
	// Output:
	// shop.order.events/3 o-1 {"receipt":"r-1"}
	// ce_specversion: "1.0"
	// ce_id: "01923b2c-7a55-7c3f-9c1e-000000000001"
	// ce_source: "payments"
	// ce_type: "choreo.step.completed"
	// ce_time: "2026-03-04T05:06:07.000089Z"
	// ce_subject: "o-1"
	// ce_saga: "order"
	// ce_sagaversion: "1"
	// ce_step: "charge-payment"
	// ce_attempt: "1"
	// ce_initiator: "orders"
	// content-type: "application/json"
	// choreo-output-create-order: "application/json\n{}"
}

var eventTypes = []choreo.EventType{
	choreo.Started, choreo.AbortRequested, choreo.Aborted, choreo.AbortRejected,
	choreo.StepCompleted, choreo.StepFailed, choreo.StepSkipped, choreo.StepStuck,
	choreo.StepCompensated, choreo.CompensationFailed,
	choreo.RetryRequested, choreo.ResolveRequested, choreo.CommandRejected,
	choreo.SagaParked, choreo.SagaReleased, choreo.ReleaseRequested, choreo.ReleaseRejected,
	choreo.StartRequested, choreo.StartRejected,
}

func TestEveryEventComesBackAsItWas(t *testing.T) {
	name := rapid.StringMatching(`[a-z0-9]+(-[a-z0-9]+){0,2}`)
	word := rapid.StringOfN(rapid.Rune().Filter(nonControl), 1, 40, 200)
	maybe := func(g *rapid.Generator[string]) *rapid.Generator[string] {
		return rapid.OneOf(rapid.Just(""), g)
	}
	media := rapid.SampledFrom([]string{"", "application/json", "application/x-protobuf", "avro/binary"})
	body := rapid.SliceOfN(rapid.Byte(), 0, 60)
	tagsOf := rapid.MapOfN(rapid.StringMatching(`[a-z0-9_.-]{1,8}`), word, 0, choreo.MaxTags)
	output := rapid.Custom(func(t *rapid.T) choreo.Output {
		return choreo.Output{Step: name.Draw(t, "of"), ContentType: media.Draw(t, "media"), Data: body.Draw(t, "data")}
	})
	var many topics.Decoder
	rapid.Check(t, func(t *rapid.T) {
		ev := &choreo.Event{
			ID: word.Draw(t, "id"), Type: rapid.SampledFrom(eventTypes).Draw(t, "type"),
			Saga: name.Draw(t, "saga"), Version: rapid.IntRange(1, 1<<31).Draw(t, "version"),
			SagaID: word.Draw(t, "saga id"), Source: name.Draw(t, "source"), Initiator: name.Draw(t, "initiator"),
			CausationID: maybe(word).Draw(t, "causation"), Attempt: rapid.IntRange(0, 99).Draw(t, "attempt"),
			Time:     time.UnixMicro(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "time")).UTC(),
			Bypassed: rapid.Bool().Draw(t, "bypassed"), Keep: rapid.Bool().Draw(t, "keep"),
			Force:       rapid.Bool().Draw(t, "force"),
			Elsewhere:   rapid.Bool().Draw(t, "elsewhere"),
			ContentType: media.Draw(t, "media"), Payload: body.Draw(t, "payload"),
			By: maybe(word).Draw(t, "by"), Note: maybe(word).Draw(t, "note"),
			Resolve:     rapid.SampledFrom([]choreo.Resolve{"", choreo.ResolveDone, choreo.ResolveUndone}).Draw(t, "resolve"),
			TraceParent: maybe(word).Draw(t, "parent"), TraceState: maybe(word).Draw(t, "state"),
			Partition: rapid.Int32Range(choreo.AnyPartition, 100).Draw(t, "partition"), Offset: rapid.Int64Range(0, 1<<60).Draw(t, "offset"),
		}
		if ev.Type.OfStep() {
			ev.Step = name.Draw(t, "step")
		}
		if tags := tagsOf.Draw(t, "tags"); len(tags) > 0 {
			ev.Tags = tags
		}
		if ev.Type == choreo.ReleaseRequested || ev.Type == choreo.StartRequested || rapid.Bool().Draw(t, "targeted") {
			ev.Target = name.Draw(t, "target")
		}
		if rapid.Bool().Draw(t, "failed") {
			ev.Failure = &choreo.Failure{
				Class: choreo.Class(name.Draw(t, "class")), Code: maybe(name).Draw(t, "code"),
				Message: maybe(word).Draw(t, "message") + rapid.SampledFrom([]string{"", "\nsecond line"}).Draw(t, "more"),
			}
		}
		if carried := rapid.SliceOfN(output, 0, 3).Draw(t, "carried"); len(carried) > 0 {
			ev.Carried = carried
		}

		rec := topics.Encode(ev, "topic")
		require.Equal(t, "topic", rec.Topic)
		require.Equal(t, ev.SagaID, string(rec.Key))
		require.Equal(t, ev.Partition, rec.Partition)
		for _, h := range rec.Headers {
			require.NotEmpty(t, h.Value, h.Key)
		}

		rec.Partition, rec.Offset = ev.Partition, ev.Offset
		got, err := topics.Decode(&rec)
		require.NoError(t, err)
		require.Equal(t, ev, got)
		for range 2 { // what it has seen, it knows
			got, err = many.Decode(&rec)
			require.NoError(t, err)
			require.Equal(t, ev, got)
		}
		head, err := topics.ReadHead(&rec)
		require.NoError(t, err)
		require.Equal(t, topics.Head{
			Type: ev.Type, Saga: ev.Saga, Version: ev.Version, Step: ev.Step, Initiator: ev.Initiator, Source: ev.Source,
			Target: ev.Target,
		}, head)
	})
}

func nonControl(r rune) bool { return r >= ' ' && (r < 0x7F || r > 0x9F) && r != 0xFFFD }

func completed() *choreo.Event {
	return &choreo.Event{
		ID: "e-1", Type: choreo.StepCompleted, Saga: "order", Version: 2, SagaID: "o-1", Step: "charge-payment",
		Source: "payments", Initiator: "orders", Attempt: 1, Time: time.UnixMicro(1).UTC(),
		ContentType: "application/json", Payload: []byte(`{}`), TraceParent: "00-a-b-01",
	}
}

func TestAnEventWithoutPayloadIsNoTombstone(t *testing.T) {
	ev := completed()
	ev.Payload, ev.ContentType = nil, ""
	rec := topics.Encode(ev, "topic")
	require.Equal(t, "{}", string(rec.Value))
	require.Equal(t, "application/json", headers(rec)["content-type"])

	ev.Payload, ev.ContentType = []byte{}, "application/x-protobuf"
	rec = topics.Encode(ev, "topic")
	require.NotNil(t, rec.Value, "an empty message is a payload")
	require.Empty(t, rec.Value)
	require.Equal(t, "application/x-protobuf", headers(rec)["content-type"])
}

func TestAbsentFieldsProduceNoHeader(t *testing.T) {
	rec := topics.Encode(&choreo.Event{
		ID: "e-1", Type: choreo.Started, Saga: "order", Version: 1, SagaID: "o-1", Source: "orders", Initiator: "orders",
		Payload: []byte("x"),
	}, "topic")
	require.Equal(t, map[string]string{
		"ce_specversion": "1.0", "ce_id": "e-1", "ce_source": "orders", "ce_type": "choreo.saga.started",
		"ce_subject": "o-1", "ce_saga": "order", "ce_sagaversion": "1", "ce_initiator": "orders",
	}, headers(rec))
}

func TestDecodeTakesTheRecordsTimeWhereTheEventHasNone(t *testing.T) {
	ev := completed()
	ev.Time = time.Time{}
	rec := topics.Encode(ev, "topic")
	rec.Time = time.UnixMilli(1234)
	got, err := topics.Decode(&rec)
	require.NoError(t, err)
	require.Equal(t, rec.Time, got.Time)
}

func TestDecoderHoldsOnToNoRecord(t *testing.T) {
	rec := topics.Encode(&choreo.Event{
		ID: "e-1", Type: choreo.StepCompleted, Saga: "order", Version: 1, SagaID: "o-1", Step: "ship", Source: "shipping", Initiator: "orders",
	}, "topic")
	var d topics.Decoder
	got, err := d.Decode(&rec)
	require.NoError(t, err)
	want := *got
	for _, h := range rec.Headers {
		for i := range h.Value {
			h.Value[i] = 'x'
		}
	}
	require.Equal(t, [5]string{"order", "o-1", "ship", "shipping", "orders"}, [5]string{got.Saga, got.SagaID, got.Step, got.Source, got.Initiator})
	require.Equal(t, want, *got)
}

func TestDecodeIgnoresWhatItDoesNotKnow(t *testing.T) {
	rec := topics.Encode(completed(), "topic")
	rec.Headers = append(rec.Headers,
		choreo.Header{Key: "ce_future", Value: []byte{0xFF}},
		choreo.Header{Key: "x-vendor", Value: nil},
		choreo.Header{Key: "ce_step", Value: []byte("a-second-header-of-a-key")})
	got, err := topics.Decode(&rec)
	require.NoError(t, err)
	require.Equal(t, completed(), got)
	head, err := topics.ReadHead(&rec)
	require.NoError(t, err)
	require.Equal(t, "charge-payment", head.Step, "the first header of a key counts")
}

func TestFailureTextsAreFitForADatabase(t *testing.T) {
	ev := completed()
	ev.Failure = &choreo.Failure{Class: choreo.ClassRefused, Message: "a\x00b\xFFc\nd"}
	rec := topics.Encode(ev, "topic")
	require.Equal(t, "a\uFFFDb\uFFFDc\nd", headers(rec)["ce_errormessage"])
}

func TestDecodeNamesTheHeaderThatIsWrong(t *testing.T) {
	set := func(key, value string) func(*choreo.Record) {
		return func(r *choreo.Record) {
			for i := range r.Headers {
				if r.Headers[i].Key == key {
					r.Headers[i].Value = []byte(value)
					return
				}
			}
			r.Headers = append(r.Headers, choreo.Header{Key: key, Value: []byte(value)})
		}
	}
	untargeted := func(target string) func(*choreo.Record) {
		return func(r *choreo.Record) {
			set("ce_type", string(choreo.ReleaseRequested))(r)
			set("ce_target", target)(r)
			set("ce_step", "")(r)
		}
	}
	tests := []struct {
		header string
		spoil  func(*choreo.Record)
		head   bool // ReadHead sees it too
	}{
		{"ce_specversion", set("ce_specversion", ""), true},
		{"ce_specversion", set("ce_specversion", "0.3"), true},
		{"ce_type", set("ce_type", ""), true},
		{"ce_type", set("ce_type", "\xFF"), true},
		{"ce_type", set("ce_type", "choreo.step.teleported"), true},
		{"ce_saga", set("ce_saga", ""), true},
		{"ce_saga", set("ce_saga", "a\x00b"), true},
		{"ce_sagaversion", set("ce_sagaversion", ""), true},
		{"ce_sagaversion", set("ce_sagaversion", "0"), true},
		{"ce_sagaversion", set("ce_sagaversion", "one"), true},
		{"ce_sagaversion", set("ce_sagaversion", "99999999999999999999"), true},
		{"ce_step", set("ce_step", ""), true},
		{"ce_step", set("ce_type", "choreo.saga.started"), true},
		{"ce_initiator", set("ce_initiator", ""), true},
		{"ce_target", untargeted(""), true},
		{"ce_target", untargeted("a\x00b"), true},
		{"ce_id", set("ce_id", ""), false},
		{"ce_id", set("ce_id", "line\nbreak"), false},
		{"ce_source", set("ce_source", ""), false},
		{"ce_subject", set("ce_subject", ""), false},
		{"ce_subject", set("ce_subject", string(make([]byte, 513))), false},
		{"ce_causationid", set("ce_causationid", "\xC3\x28"), false},
		{"ce_time", set("ce_time", "yesterday"), false},
		{"ce_time", set("ce_time", "9999-12-31T23:59:59-23:00"), false},
		{"ce_attempt", set("ce_attempt", "-1"), false},
		{"content-type", set("content-type", "a\x00"), false},
		{"choreo-output-a", set("choreo-output-a", "no line feed"), false},
		{"key", func(r *choreo.Record) { r.Key = []byte("o-2") }, false},
		{"value", func(r *choreo.Record) { r.Value = nil }, false},
	}
	for _, tt := range tests {
		rec := topics.Encode(completed(), "topic")
		tt.spoil(&rec)
		_, err := topics.Decode(&rec)
		var wrong *topics.DecodeError
		require.ErrorAs(t, err, &wrong, tt.header)
		require.Equal(t, tt.header, wrong.Header, err)
		_, err = topics.ReadHead(&rec)
		require.Equal(t, tt.head, err != nil, "ReadHead: %v", tt.header)
	}
}

func TestAnUnknownTypeIsTold(t *testing.T) {
	ev := completed()
	ev.Type = "choreo.step.teleported"
	rec := topics.Encode(ev, "topic")
	_, err := topics.Decode(&rec)
	require.ErrorIs(t, err, topics.ErrUnknownType)
	require.ErrorContains(t, err, "choreo.step.teleported")

	ev.Type = choreo.StepFailed
	rec = topics.Encode(ev, "topic")
	rec.Headers[0].Value = nil
	_, err = topics.Decode(&rec)
	require.Error(t, err)
	require.NotErrorIs(t, err, topics.ErrUnknownType)
}

func TestReadHeadAllocatesNothing(t *testing.T) {
	rec := topics.Encode(completed(), "topic")
	var head topics.Head
	var err error
	require.Zero(t, testing.AllocsPerRun(100, func() { head, err = topics.ReadHead(&rec) }))
	require.NoError(t, err)
	require.Equal(t, "order", head.Saga)
}

func FuzzDecode(f *testing.F) {
	ev := completed()
	ev.Carried = []choreo.Output{{Step: "a", ContentType: "application/json", Data: []byte("1")}}
	ev.Failure = &choreo.Failure{Class: choreo.ClassTimeout, Code: "late", Message: "m"}
	for _, h := range topics.Encode(ev, "topic").Headers {
		f.Add([]byte("o-1"), []byte("{}"), h.Key, h.Value, "x", []byte("y"))
	}
	f.Add([]byte("\x00"), []byte(nil), "ce_subject", []byte("\x00"), "ce_time", []byte("0000-01-01T00:00:00+23:00"))
	f.Fuzz(func(t *testing.T, key, value []byte, k1 string, v1 []byte, k2 string, v2 []byte) {
		rec := topics.Encode(completed(), "topic")
		rec.Key, rec.Value = key, value
		rec.Headers = append([]choreo.Header{{Key: k1, Value: v1}, {Key: k2, Value: v2}}, rec.Headers...)
		got, err := topics.Decode(&rec)
		if err != nil {
			var wrong *topics.DecodeError
			require.ErrorAs(t, err, &wrong)
			return
		}
		// What was understood survives being written and read again.
		again := topics.Encode(got, "topic")
		again.Partition = got.Partition
		second, err := topics.Decode(&again)
		require.NoError(t, err)
		got.Time = got.Time.Truncate(time.Microsecond)
		require.Equal(t, got, second)
	})
}

func BenchmarkReadHead(b *testing.B) {
	rec := topics.Encode(completed(), "topic")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := topics.ReadHead(&rec); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	rec := topics.Encode(completed(), "topic")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := topics.Decode(&rec); err != nil {
			b.Fatal(err)
		}
	}
}
