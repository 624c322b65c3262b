package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/schema"
	schemas "github.com/choreo-go/choreo/schema/registry/memory"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/memory"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
	"github.com/choreo-go/choreo/tracker/cluster"
)

type order struct{ Total int }

var (
	create = choreo.NewStep[order, order]("create")
	charge = choreo.NewStep[order, order]("charge")
	now    = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
)

func saga(options ...choreo.Option) *choreo.Saga[order] {
	parts := []choreo.Option{create.OwnedBy("orders").NoCompensation(), charge.OwnedBy("payments").After(create).NoCompensation()}
	return choreo.MustDefine[order]("order", 1, append(parts, options...)...)
}

// world is a log with the topics of a saga.
type world struct {
	*testing.T
	log   topics.Log
	names topics.Names
	saga  *choreo.Saga[order]
}

func newWorld(t *testing.T, saga *choreo.Saga[order]) *world {
	t.Helper()
	names, err := topics.NewNames("choreo")
	require.NoError(t, err)
	w := &world{T: t, log: memory.New(memory.Options{}), names: names, saga: saga}
	t.Cleanup(func() { require.NoError(t, w.log.Close()) })
	plan, err := topics.NewPlan(t.Context(), w.log, topics.Topology(names, []choreo.AnySaga{saga}, topics.TopologyOptions{Partitions: 2}))
	require.NoError(t, err)
	require.NoError(t, plan.Apply(t.Context(), w.log))
	return w
}

func (w *world) publish(records ...choreo.Record) {
	w.Helper()
	require.Nil(w, w.log.Publish(w.Context(), records))
}

// contract publishes what a service does; change may add to it.
func (w *world) contract(service string, starts bool, change func(*definition.Contract)) {
	w.Helper()
	doc, err := definition.FromGo(w.saga, nil)
	require.NoError(w, err)
	config := definition.ContractConfig{Service: service, Build: "v1"}
	if starts {
		config.Starts = []string{"order"}
	}
	contract, err := definition.NewContract([]*definition.Document{doc}, config)
	require.NoError(w, err)
	if change != nil {
		change(&contract)
	}
	value, err := contract.Encode()
	require.NoError(w, err)
	w.publish(choreo.Record{Topic: w.names.Definitions(), Partition: choreo.AnyPartition, Key: []byte(contract.Key()), Value: value})
}

func (w *world) status(s topics.Status) {
	w.Helper()
	rec, err := topics.EncodeStatus(&s, w.names.Participants())
	require.NoError(w, err)
	w.publish(rec)
}

func (w *world) cluster(config cluster.Config) *cluster.Cluster {
	config.Fresh, config.Now = -1, func() time.Time { return now }
	return cluster.New(w.log, w.names, &config)
}

func (w *world) started(id string, partition int32) *tracker.Snapshot {
	w.Helper()
	ev := &choreo.Event{
		ID: "e-" + id, Type: choreo.Started, Saga: "order", Version: 1, SagaID: id, Source: "orders", Initiator: "orders",
		Time: now, ContentType: "application/json", Payload: []byte(`{"Total":3}`), Partition: partition,
	}
	w.publish(topics.Encode(ev, w.names.Events("order")))
	return &tracker.Snapshot{
		ID: id, Saga: "order", Version: 1, Status: choreo.StatusRunning, Initiator: "orders", StartedAt: now.Add(-time.Minute), UpdatedAt: now,
		Steps: []tracker.Step{{Name: "create", Service: "orders", Status: choreo.StepReady, ReadyAt: &now}, {Name: "charge", Service: "payments", Status: choreo.StepIdle}},
		Next:  []tracker.Next{{Step: "create", Service: "orders", Run: choreo.RunExecute, Ready: true}}, Partition: partition,
	}
}

func Example() {
	log := memory.New(memory.Options{})
	defer log.Close()
	names, _ := topics.NewNames("choreo")
	c := cluster.New(log, names, nil)
	published, err := c.Definitions(context.Background())
	fmt.Println(len(published), err)
	// Output: 0 <nil>
}

func TestDefinitionsAreThoseOfAllServices(t *testing.T) {
	w := newWorld(t, saga())
	w.contract("payments", false, nil)
	w.contract("orders", true, nil)
	w.publish(choreo.Record{Topic: w.names.Definitions(), Partition: choreo.AnyPartition, Key: []byte("contract/broken"), Value: []byte("{")})
	published, err := w.cluster(cluster.Config{}).Definitions(t.Context())
	require.NoError(t, err)
	require.Len(t, published, 1)
	require.Equal(t, "order/1", published[0].Document.Definition.String())
	require.Equal(t, []string{"orders", "payments"}, []string{published[0].By[0].Service, published[0].By[1].Service})
	require.True(t, published[0].By[0].Starts)
	require.False(t, published[0].By[1].Starts)
}

func TestEventsAreThoseOfOneSaga(t *testing.T) {
	w := newWorld(t, saga())
	one, other := w.started("1", 1), w.started("2", 1)
	w.started("1", 0) // what somebody has put elsewhere is not in the saga's log
	c := w.cluster(cluster.Config{})
	records, more, err := c.Events(t.Context(), one, 10)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, records, 1)
	records, more, err = c.Events(t.Context(), other, 0)
	require.NoError(t, err)
	require.True(t, more)
	require.Empty(t, records)
	records, _, err = c.EventsOf(t.Context(), "order", "1", 10)
	require.NoError(t, err)
	require.Len(t, records, 2)
	_, _, err = c.EventsOf(t.Context(), "refund", "1", 10)
	require.ErrorIs(t, err, topics.ErrUnknownTopic)
}

func TestParticipantsTellWhoIsGone(t *testing.T) {
	w := newWorld(t, saga())
	w.contract("orders", true, nil)
	old := now.Add(-time.Minute)
	w.status(topics.Status{Service: "payments", Instance: "p1", At: now.Add(-5 * time.Second), EverySeconds: 10, Partitions: 2, Parked: 3,
		Outbox:  topics.StatusOutbox{Entries: 2, OldestAt: &old},
		Waiting: []topics.StatusRow{{Saga: "order", ID: "1", Step: "charge", State: "retrying", Attempt: 2, DueAt: &now, Since: old, Error: &topics.StatusError{Code: "gateway"}}}})
	w.status(topics.Status{Service: "payments", Instance: "p0", At: old, EverySeconds: 10})
	w.status(topics.Status{Service: "payments", Instance: "p2", At: now, EverySeconds: 10, Stopping: true})
	w.publish(choreo.Record{Topic: w.names.Participants(), Partition: choreo.AnyPartition, Key: []byte("x"), Value: []byte("no status")})
	all, err := w.cluster(cluster.Config{}).Participants(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "orders", all[0].Service)
	require.Empty(t, all[0].Instances, "it has published, and told nothing")
	payments := all[1]
	require.Equal(t, now, payments.LastSeen)
	var alive []string
	for _, in := range payments.Instances {
		if !in.Gone {
			alive = append(alive, in.Instance)
			require.EqualValues(t, 2, in.Outbox.Entries)
			require.InDelta(t, 60, in.Outbox.OldestSeconds, 0.1)
			require.Equal(t, "gateway", in.Waiting[0].Error.Code)
		}
	}
	require.Equal(t, []string{"p1"}, alive)
}

func TestExplainJoinsWhatServicesTell(t *testing.T) {
	w := newWorld(t, saga())
	w.contract("orders", true, nil)
	c := w.cluster(cluster.Config{})
	s := w.started("1", 1)
	v, err := c.Explain(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, "create", v.Why.Step)
	require.NotEqual(t, tracker.ReasonGone, v.Why.Reason, "nobody tells of itself: that says nothing")

	w.status(topics.Status{Service: "payments", Instance: "p", At: now, EverySeconds: 10})
	v, err = c.Explain(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, tracker.ReasonGone, v.Why.Reason, "%s", v.Sentence)

	w.status(topics.Status{Service: "orders", Instance: "o", At: now, EverySeconds: 10,
		Waiting: []topics.StatusRow{{Saga: "order", ID: "1", Step: "create", State: "retrying", Attempt: 4, DueAt: &now, Since: now, Error: &topics.StatusError{Message: "disk full"}}}})
	v, err = c.Explain(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, tracker.ReasonRetrying, v.Why.Reason, "%s", v.Sentence)
	require.Equal(t, 4, v.Why.Attempt)
	require.Contains(t, v.Sentence, "disk full")
}

// last returns the last event of a saga.
func (w *world) last(c *cluster.Cluster, id string) *choreo.Event {
	w.Helper()
	records, _, err := c.EventsOf(w.Context(), "order", id, 100)
	require.NoError(w, err)
	require.NotEmpty(w, records)
	ev, err := topics.Decode(&records[len(records)-1])
	require.NoError(w, err)
	return ev
}

func TestCommandsGoToTheSagasLog(t *testing.T) {
	w := newWorld(t, saga())
	w.contract("orders", true, nil)
	c := w.cluster(cluster.Config{Source: "test"})
	s := w.started("1", 1)
	for _, test := range []struct {
		action api.Action
		want   choreo.EventType
		check  func(*choreo.Event)
	}{
		{api.Action{Action: api.ActionCancel}, choreo.AbortRequested, func(ev *choreo.Event) { require.False(t, ev.Force) }},
		{api.Action{Action: api.ActionForceAbort}, choreo.AbortRequested, func(ev *choreo.Event) { require.True(t, ev.Force) }},
		{api.Action{Action: api.ActionRetry, Step: "charge"}, choreo.RetryRequested, func(ev *choreo.Event) { require.Equal(t, "charge", ev.Step) }},
		{api.Action{Action: api.ActionRelease, Service: "payments"}, choreo.ReleaseRequested, func(ev *choreo.Event) { require.Equal(t, "payments", ev.Target) }},
		{api.Action{Action: api.ActionResolve, Step: "charge", Resolve: choreo.ResolveUndone}, choreo.ResolveRequested,
			func(ev *choreo.Event) { require.Equal(t, choreo.ResolveUndone, ev.Resolve) }},
		{api.Action{Action: api.ActionResolve, Step: "charge", Resolve: choreo.ResolveDone, Output: json.RawMessage(`{"Total":1}`)}, choreo.ResolveRequested,
			func(ev *choreo.Event) { require.JSONEq(t, `{"Total":1}`, string(ev.Payload)) }},
	} {
		test.action.Reason = "because"
		id, err := c.Act(t.Context(), s, "ada", test.action)
		require.NoError(t, err, test.action.Action)
		ev := w.last(c, "1")
		require.Equal(t, id, ev.ID)
		require.Equal(t, test.want, ev.Type)
		require.Equal(t, []string{"test", "ada", "because"}, []string{ev.Source, ev.By, ev.Note})
		require.EqualValues(t, 1, ev.Partition, "its home partition")
		test.check(ev)
	}
	_, err := c.Act(t.Context(), s, "ada", api.Action{Action: "explode"})
	require.ErrorAs(t, err, new(*api.RefusedError))
}

func TestAStartGoesToWhoStartsSuchSagas(t *testing.T) {
	w := newWorld(t, saga())
	c := w.cluster(cluster.Config{})
	start := api.Start{ID: "9", Input: json.RawMessage(`{"Total":3}`), Tags: map[string]string{"customer": "c-1"}}
	var refused *api.RefusedError
	_, err := c.Start(t.Context(), "order", "ada", start)
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Why, "no service has published saga order")
	w.contract("payments", false, nil)
	_, err = c.Start(t.Context(), "order", "ada", start)
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Why, "no service says that it starts")
	w.contract("orders", true, nil)
	id, err := c.Start(t.Context(), "order", "ada", start)
	require.NoError(t, err)
	ev := w.last(c, "9")
	require.Equal(t, id, ev.ID)
	require.Equal(t, choreo.StartRequested, ev.Type)
	require.Equal(t, "orders", ev.Target)
	require.Equal(t, start.Tags, ev.Tags)
}

const avroOrder = `{"type":"record","name":"Order","fields":[{"name":"Total","type":"int"}]}`

func TestPayloadsAreEncodedAsTheDefinitionSays(t *testing.T) {
	w := newWorld(t, saga(choreo.Encoding(choreo.Avro)))
	written := schema.Schema{Kind: schema.Avro, Name: "Order", Text: avroOrder}
	w.contract("orders", true, func(c *definition.Contract) { require.NoError(t, c.SetWrite("order", 1, "", written)) })
	registry, err := schemas.New(nil)
	require.NoError(t, err)
	c := w.cluster(cluster.Config{Registry: registry})
	start := api.Start{ID: "9", Input: json.RawMessage(`{"Total":3}`)}
	_, err = c.Start(t.Context(), "order", "ada", start)
	require.Error(t, err, "nobody has registered the schema")
	id, err := registry.Register(t.Context(), schema.Subject(w.names.Events("order"), "Order"), written)
	require.NoError(t, err)
	_, err = c.Start(t.Context(), "order", "ada", start)
	require.NoError(t, err)
	ev := w.last(c, "9")
	require.Equal(t, string(choreo.Avro), ev.ContentType)
	require.Equal(t, append(id.Append(nil), 6), ev.Payload, "3 is 6 in zigzag")

	// Who may see payloads sees JSON again.
	var shown any
	require.NoError(t, c.Source(nil).Codecs[0].Decode(ev.Payload, &shown))
	text, err := json.Marshal(shown)
	require.NoError(t, err)
	require.JSONEq(t, `{"Total":3}`, string(text))

	start.Input = json.RawMessage(`{"Total":"much"}`)
	_, err = c.Start(t.Context(), "order", "ada", start)
	require.ErrorAs(t, err, new(*api.RefusedError))
}

func TestDeadLetters(t *testing.T) {
	w := newWorld(t, saga())
	c := w.cluster(cluster.Config{})
	groups, err := c.Groups(t.Context())
	require.NoError(t, err)
	require.Empty(t, groups)
	_, err = c.Letters(t.Context(), "x", 10)
	require.ErrorIs(t, err, api.ErrNoGroup)
	s := w.started("1", 1)
	records, _, err := c.Events(t.Context(), s, 10)
	require.NoError(t, err)
	w.publish(topics.DeadLetter(&records[0], w.names.DeadLetters(), w.names.Group("payments"), errors.New("no schema 17")))

	groups, err = c.Groups(t.Context())
	require.NoError(t, err)
	require.Len(t, groups, 1)
	require.Equal(t, "payments", groups[0].Service)
	require.Equal(t, "1", groups[0].Sample.Key)
	dry, err := c.Redrive(t.Context(), "ada", api.Redrive{Group: groups[0].Group, DryRun: true})
	require.NoError(t, err)
	require.EqualValues(t, 1, dry.Redriven)
	did, err := c.Redrive(t.Context(), "ada", api.Redrive{Group: groups[0].Group})
	require.NoError(t, err)
	require.EqualValues(t, 1, did.Redriven)
	did, err = c.Redrive(t.Context(), "ada", api.Redrive{Group: groups[0].Group})
	require.NoError(t, err)
	require.Zero(t, did.Redriven)
	require.Len(t, did.Skipped, 1)
	letters, err := c.Letters(t.Context(), groups[0].Group, 10)
	require.NoError(t, err)
	require.True(t, letters[0].Redriven)
	_, err = c.Redrive(t.Context(), "ada", api.Redrive{Group: "x"})
	require.ErrorIs(t, err, api.ErrNoGroup)
	records, _, err = c.Events(t.Context(), s, 10)
	require.NoError(t, err)
	require.Len(t, records, 2, "it is in the log once more")
}
