package cluster_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker/api"
	"github.com/choreo-go/choreo/tracker/cluster"
)

// event publishes an event of a saga.
func (w *world) event(ev choreo.Event) {
	w.Helper()
	ev.Saga, ev.Version, ev.Source, ev.Initiator, ev.Time = "order", 1, "orders", "orders", now
	ev.ContentType, ev.Payload = "application/json", []byte("{}")
	w.publish(topics.Encode(&ev, w.names.Events("order")))
}

func decoded(t *testing.T, rec *choreo.Record) *choreo.Event {
	t.Helper()
	require.NotNil(t, rec)
	ev, err := topics.Decode(rec)
	require.NoError(t, err)
	return ev
}

func TestTheAnswerToACommandIsFound(t *testing.T) {
	w := newWorld(t, saga())
	w.contract("orders", true, nil)
	c := w.cluster(cluster.Config{})
	s := w.started("1", 1)
	no := &choreo.Failure{Class: choreo.ClassRefused, Code: "completed", Message: "it is over"}
	id, err := c.Act(t.Context(), s, "ada", api.Action{Action: api.ActionCancel, Reason: "late"})
	require.NoError(t, err)
	found, err := c.Answer(t.Context(), "order", "1", id, s.Partition, 0)
	require.NoError(t, err)
	require.Equal(t, id, decoded(t, found.Command).ID)
	require.Nil(t, found.Record, "nobody has answered")

	w.event(choreo.Event{ID: "x", Type: choreo.AbortRejected, SagaID: "2", Partition: 1, CausationID: id, Failure: no})
	w.event(choreo.Event{ID: "no", Type: choreo.AbortRejected, SagaID: "1", Partition: 1, CausationID: id, Failure: no})
	another := w.cluster(cluster.Config{}) // which has not written the command
	for _, from := range []*cluster.Cluster{c, another} {
		found, err = from.Answer(t.Context(), "order", "1", id, s.Partition, time.Minute)
		require.NoError(t, err)
		require.Equal(t, "no", decoded(t, found.Record).ID)
	}

	for _, unknown := range []string{"e-1", "nothing"} { // an event, but no command
		_, err = c.Answer(t.Context(), "order", "1", unknown, s.Partition, time.Minute)
		require.ErrorIs(t, err, api.ErrNoCommand)
	}
	_, err = c.Answer(t.Context(), "refund", "1", id, s.Partition, time.Minute)
	require.ErrorIs(t, err, api.ErrNoCommand)

	// A command of a step is answered by the step's end, whatever has caused that.
	id, err = c.Act(t.Context(), s, "ada", api.Action{Action: api.ActionRetry, Step: "charge"})
	require.NoError(t, err)
	w.event(choreo.Event{ID: "a", Type: choreo.StepCompleted, Step: "create", SagaID: "1", Partition: 1})
	w.event(choreo.Event{ID: "b", Type: choreo.StepCompleted, Step: "charge", SagaID: "1", Partition: 1})
	found, err = c.Answer(t.Context(), "order", "1", id, s.Partition, 0)
	require.NoError(t, err)
	require.Equal(t, "b", decoded(t, found.Record).ID)

	// A start that is refused has no snapshot that tells the partition.
	id, err = c.Start(t.Context(), "order", "ada", api.Start{ID: "9", Input: json.RawMessage(`{}`)})
	require.NoError(t, err)
	w.event(choreo.Event{ID: "never", Type: choreo.StartRejected, SagaID: "9", Partition: topics.PartitionFor([]byte("9"), 2), CausationID: id, Failure: no})
	found, err = c.Answer(t.Context(), "order", "9", id, choreo.AnyPartition, time.Minute)
	require.NoError(t, err)
	require.Equal(t, choreo.StartRejected, decoded(t, found.Record).Type)
}

func TestAnAnswerIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, saga())
		w.contract("orders", true, nil)
		c := w.cluster(cluster.Config{})
		s := w.started("1", 1)
		id, err := c.Act(t.Context(), s, "ada", api.Action{Action: api.ActionCancel, Reason: "late"})
		require.NoError(t, err)
		began := time.Now()
		found, err := c.Answer(t.Context(), "order", "1", id, s.Partition, 5*time.Second)
		require.NoError(t, err)
		require.Nil(t, found.Record)
		require.Equal(t, 5*time.Second, time.Since(began))

		time.AfterFunc(2*time.Second, func() {
			w.event(choreo.Event{ID: "yes", Type: choreo.Aborted, SagaID: "1", Partition: 1, CausationID: id})
		})
		found, err = c.Answer(t.Context(), "order", "1", id, s.Partition, 5*time.Second)
		require.NoError(t, err)
		require.Equal(t, choreo.Aborted, decoded(t, found.Record).Type)
		require.Equal(t, 7*time.Second, time.Since(began))

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Answer(ctx, "order", "1", id, s.Partition, time.Second)
		require.ErrorIs(t, err, context.Canceled)
	})
}
