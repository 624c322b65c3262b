package topics

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
)

// envelope returns how many bytes of a record are not its payload: its key, and the names and values
// of its headers.
func envelope(rec *choreo.Record) int {
	n := len(rec.Key)
	for i := range rec.Headers {
		n += len(rec.Headers[i].Key) + len(rec.Headers[i].Value)
	}
	return n
}

// The log holds each event's envelope once for each replica, and every service of the saga reads it.
// The names are of a usual length, and all ids are UUIDs.
func TestTheEnvelopeIsSmall(t *testing.T) {
	const id = "0190b6b1-5c1e-7c3e-9f4e-2f1f4a5d6c7b"
	base := choreo.Event{
		ID: id, Saga: "order", Version: 12, SagaID: id, Source: "inventory", Initiator: "orders",
		Time: time.Date(2026, 11, 29, 20, 0, 0, 123_456_000, time.UTC), ContentType: "application/json", Payload: []byte("{}"),
	}
	for _, test := range []struct {
		name   string
		change func(*choreo.Event)
	}{
		{"started", func(e *choreo.Event) { e.Type = choreo.Started }},
		{"completed", func(e *choreo.Event) {
			e.Type, e.Step, e.CausationID, e.Attempt = choreo.StepCompleted, "reserve-stock", id, 1
		}},
		{"compensated", func(e *choreo.Event) {
			e.Type, e.Step, e.CausationID, e.Attempt = choreo.StepCompensated, "reserve-stock", id, 1
		}},
	} {
		ev := base
		test.change(&ev)
		rec := Encode(&ev, "choreo.order.events")
		withoutKey := envelope(&rec) - len(rec.Key)
		require.LessOrEqual(t, withoutKey, 350, test.name)

		ev.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		traced := Encode(&ev, "choreo.order.events")
		require.Equal(t, len(hTraceParent)+len(ev.TraceParent), envelope(&traced)-envelope(&rec), "a trace costs its header alone")
	}
}
