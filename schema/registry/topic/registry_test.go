package topic_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/registrytest"
	"github.com/choreo-go/choreo/schema/registry/topic"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/memory"
)

func names(t require.TestingT) topics.Names {
	n, err := topics.NewNames("choreo")
	require.NoError(t, err)
	return n
}

const schemas = "choreo.schemas"

func newLog(t require.TestingT) *memory.Log {
	log := memory.New(memory.Options{})
	require.NoError(t, log.CreateTopic(context.Background(), topics.TopicSpec{Name: schemas, Partitions: 1}))
	return log
}

func open(t require.TestingT, log topics.Log, config topic.Config) *topic.Registry {
	r, err := topic.New(context.Background(), log, names(t), &config)
	require.NoError(t, err)
	return r
}

func Example() {
	ctx := context.Background()
	names, err := topics.NewNames("choreo")
	if err != nil {
		fmt.Println(err)
		return
	}
	log := memory.New(memory.Options{Partitions: 1})
	if err := log.CreateTopic(ctx, topics.TopicSpec{Name: names.Schemas(), Partitions: 1}); err != nil {
		fmt.Println(err)
		return
	}
	orders, err := topic.New(ctx, log, names, &topic.Config{RegisteredBy: "orders"})
	if err != nil {
		fmt.Println(err)
		return
	}
	payments, err := topic.New(ctx, log, names, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	id, err := orders.Register(ctx, schema.Subject(names.Events("order"), "shop.Order"), schema.Schema{
		Kind: schema.Avro,
		Text: `{"type":"record","name":"shop.Order","fields":[{"name":"cents","type":"long"}]}`,
	})
	fmt.Printf("%s % x %v\n", id, id.Append(nil), err)
	found, err := payments.Schema(ctx, id)
	fmt.Println(found.Name, err)
	// Output:
	// 70b792938fe3b5e4 c3 01 e4 b5 e3 8f 93 92 b7 70 <nil>
	// shop.Order <nil>
}

// noMore says what a registry under BACKWARD would: fields without a default were added.
func noMore(s schema.Schema, earlier []schema.Schema) error {
	fields := func(s schema.Schema) int { return strings.Count(s.Text, `"long"`) }
	if len(earlier) > 0 && fields(s) > fields(earlier[len(earlier)-1]) {
		return fmt.Errorf("fields without a default were added: %s", s.Text)
	}
	return nil
}

func TestConformance(t *testing.T) {
	var log *memory.Log
	var strict string
	registrytest.Exercise(t, registrytest.Harness{
		Framing: schema.SingleObject,
		New: func(t *testing.T) func(*testing.T) schema.Registry {
			log = newLog(t)
			return func(t *testing.T) schema.Registry {
				return open(t, log, topic.Config{ReadTimeout: 500 * time.Millisecond, Check: func(s schema.Schema, earlier []schema.Schema) error {
					if s.Name != strict {
						return nil
					}
					return noMore(s, earlier)
				}})
			}
		},
		Strict: func(_ *testing.T, _ schema.Registry, subject string) { _, strict, _ = strings.Cut(subject, "-") },
		Away: func(t *testing.T) {
			log.Disconnect(errors.New("the broker is away"))
			t.Cleanup(log.Reconnect)
		},
	})
}

func record(fields ...string) schema.Schema {
	var list []string
	for _, f := range fields {
		list = append(list, fmt.Sprintf(`{"name":%q,"type":"long"}`, f))
	}
	return schema.Schema{Kind: schema.Avro, Name: "shop.Order",
		Text: `{"type":"record","name":"shop.Order","fields":[` + strings.Join(list, ",") + `]}`}
}

func register(t require.TestingT, r schema.Registry, subject string, s schema.Schema) schema.ID {
	id, err := r.Register(context.Background(), subject, s)
	require.NoError(t, err)
	return id
}

// records returns what is in the topic.
func records(t require.TestingT, log topics.Log) []choreo.Record {
	var all []choreo.Record
	require.NoError(t, log.Read(context.Background(), topics.ReadConfig{Topic: schemas, ToEnd: true},
		func(_ context.Context, batch []choreo.Record) error {
			all = append(all, batch...)
			return nil
		}))
	return all
}

// compacted returns a log as it may be after the records before an offset were compacted.
func compacted(t require.TestingT, log topics.Log, before int) *memory.Log {
	all := records(t, log)
	last := make(map[string]int)
	for i, rec := range all[:before] {
		last[string(rec.Key)] = i
	}
	other := newLog(t)
	for i, rec := range all {
		if i < before && last[string(rec.Key)] != i {
			continue
		}
		rec.Offset, rec.Time = 0, time.Time{}
		require.Nil(t, other.Publish(context.Background(), []choreo.Record{rec}))
	}
	return other
}

func versions(t require.TestingT, r schema.Registry, subject string) []schema.Version {
	all, err := r.Versions(context.Background(), subject)
	require.NoError(t, err)
	return all
}

// meddling lets something happen right before the first record is written.
type meddling struct {
	topics.Log
	once   sync.Once
	before func()
}

func (m *meddling) Publish(ctx context.Context, records []choreo.Record) []error {
	m.once.Do(m.before)
	return m.Log.Publish(ctx, records)
}

func TestTheOrderInTheTopicDecides(t *testing.T) {
	log := newLog(t)
	second := open(t, log, topic.Config{})
	first := open(t, &meddling{Log: log, before: func() { register(t, second, "s", record("b")) }}, topic.Config{})
	a := register(t, first, "s", record("a"))
	b := register(t, second, "s", record("b"))
	for _, r := range []schema.Registry{first, second, open(t, log, topic.Config{})} {
		got := versions(t, r, "s")
		require.Len(t, got, 2)
		require.Equal(t, []any{1, b, 2, a}, []any{got[0].Number, got[0].ID, got[1].Number, got[1].ID}, "b was written first")
	}
	require.Len(t, records(t, log), 3, "a is written again with the number that it has")
	got := versions(t, open(t, compacted(t, log, 3), topic.Config{}), "s")
	require.Equal(t, []any{1, b, 2, a}, []any{got[0].Number, got[0].ID, got[1].Number, got[1].ID})
}

func TestTheSameSchemaTwiceAtOnceIsOneVersion(t *testing.T) {
	log := newLog(t)
	second := open(t, log, topic.Config{})
	var second1, second2 schema.ID
	first := open(t, &meddling{Log: log, before: func() {
		second1 = register(t, second, "s", record("a"))
		second2 = register(t, second, "s", record("a", "b"))
	}}, topic.Config{})
	require.Equal(t, second1, register(t, first, "s", record("a")))
	want := versions(t, second, "s")
	require.Len(t, want, 2)
	require.Equal(t, second2, want[1].ID)
	for cut := range records(t, log) {
		require.Equal(t, want, versions(t, open(t, compacted(t, log, cut+1), topic.Config{}), "s"), "the second record of a is behind that of b")
	}
}

func TestALoserThatIsIncompatibleIsRefused(t *testing.T) {
	log := newLog(t)
	config := topic.Config{Check: noMore}
	second := open(t, log, config)
	var winner schema.ID
	first := open(t, &meddling{Log: log, before: func() { winner = register(t, second, "s", record("a")) }}, config)
	lost := record("a", "b")
	_, err := first.Register(t.Context(), "s", lost)
	require.ErrorIs(t, err, schema.ErrIncompatible)
	require.ErrorContains(t, err, "fields without a default were added")
	_, err = first.Register(t.Context(), "s", lost)
	require.ErrorIs(t, err, schema.ErrIncompatible, "it is so the next time, too")

	id := register(t, second, "other", lost)
	for _, l := range []topics.Log{log, compacted(t, log, 3)} {
		for _, r := range []*topic.Registry{first, open(t, l, config)} {
			got := versions(t, r, "s")
			require.Len(t, got, 1)
			require.Equal(t, winner, got[0].ID)
			_, err = r.Schema(t.Context(), id)
			require.NoError(t, err, "its id can be told: a payload may have been written by it")
		}
	}
	// Another check may let it in, with a number of its own.
	require.Equal(t, id, register(t, open(t, log, topic.Config{}), "s", lost))
	require.Equal(t, 2, versions(t, second, "s")[1].Number)
}

// gate lets writers write only when all of them want to: each has then decided by what it
// read before the others wrote.
type gate struct {
	mu      sync.Mutex
	writers int
	waiting []chan struct{}
	faults  []memory.Fault // of the next writes
}

func (g *gate) publish(*choreo.Record) memory.Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	var fault memory.Fault
	if len(g.faults) > 0 {
		fault, g.faults = g.faults[0], g.faults[1:]
	}
	wait := make(chan struct{})
	fault.Wait = wait
	g.waiting = append(g.waiting, wait)
	g.open()
	return fault
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.writers--
	g.open()
}

func (g *gate) open() {
	if len(g.waiting) < g.writers {
		return
	}
	for _, wait := range g.waiting {
		close(wait)
	}
	g.waiting = nil
}

// However registrations interleave, are repeated or lose their acknowledgement, all agree on the
// versions, and no compaction changes them.
func TestVersionsOutliveCompaction(t *testing.T) {
	faults := []memory.Fault{{}, {}, {Twice: true},
		{Before: errors.New("it is not written")}, {After: errors.New("its acknowledgement is lost")}}
	rapid.Check(t, func(t *rapid.T) {
		log := newLog(t)
		orders := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 4), 1, 8), 1, 4).Draw(t, "schemas by process")
		g := &gate{writers: len(orders), faults: rapid.SliceOfN(rapid.SampledFrom(faults), 0, 30).Draw(t, "faults")}
		log.OnPublish(g.publish)
		registries := make([]*topic.Registry, len(orders))
		var writing sync.WaitGroup
		for i, order := range orders {
			registries[i] = open(t, log, topic.Config{})
			writing.Go(func() {
				defer g.leave()
				for _, field := range order {
					for range 100 {
						if _, err := registries[i].Register(context.Background(), "s", record(fmt.Sprint("f", field))); err == nil {
							break
						}
					}
				}
			})
		}
		writing.Wait()
		want := versions(t, registries[0], "s")
		for i, v := range want {
			require.Equal(t, i+1, v.Number)
		}
		for _, r := range registries {
			require.Equal(t, want, versions(t, r, "s"))
		}
		require.Equal(t, want, versions(t, open(t, log, topic.Config{}), "s"))
		all := compacted(t, log, len(records(t, log)))
		require.Equal(t, want, versions(t, open(t, all, topic.Config{}), "s"))
	})
}

func TestTheRecordIsWhatTheDocsSay(t *testing.T) {
	log := newLog(t)
	r := open(t, log, topic.Config{RegisteredBy: "orders"})
	register(t, r, "base", schema.Schema{Kind: schema.JSONType, Text: `{"type":"string"}`})
	id := register(t, r, "a/b", schema.Schema{Kind: schema.JSONType, Name: "shop.Order", Text: `{"$ref":"base.json"}`,
		References: []schema.Reference{{Name: "base.json", Subject: "base", Version: 1}}})
	last := records(t, log)[1]
	require.Equal(t, "a/b/"+id.String(), string(last.Key))
	require.JSONEq(t, `{"subject":"a/b","version":1,"kind":"JSON","name":"shop.Order","text":"{\"$ref\":\"base.json\"}",
		"references":[{"name":"base.json","subject":"base","version":1,"text":"{\"type\":\"string\"}"}],"registered_by":"orders"}`, string(last.Value))
}

func TestWhatIsNoSchemaIsPassedOver(t *testing.T) {
	log := newLog(t)
	r := open(t, log, topic.Config{})
	id := register(t, r, "s", record("a"))
	good := records(t, log)[0]
	var fields map[string]any
	require.NoError(t, json.Unmarshal(good.Value, &fields))
	with := func(key string, value any) []byte {
		changed := map[string]any{}
		for k, v := range fields {
			changed[k] = v
		}
		changed[key] = value
		data, err := json.Marshal(changed)
		require.NoError(t, err)
		return data
	}
	for _, bad := range []choreo.Record{
		{Key: nil, Value: good.Value},
		{Key: []byte("s/0123456789abcdef"), Value: good.Value},
		{Key: good.Key, Value: []byte("{")},
		{Key: good.Key, Value: []byte{}},
		{Key: good.Key, Value: with("version", 0)},
		{Key: good.Key, Value: with("version", 1<<40)},
		{Key: good.Key, Value: with("subject", "")},
		{Key: good.Key, Value: with("subject", "t")},
		{Key: good.Key, Value: with("kind", "XML")},
		{Key: good.Key, Value: with("text", `"long"`)},
		{Key: good.Key, Value: with("references", []any{map[string]any{"name": "x"}})},
		{Key: []byte("s"), Value: nil},
		{Key: []byte("s/xyz"), Value: nil},
	} {
		bad.Topic = schemas
		require.Nil(t, log.Publish(t.Context(), []choreo.Record{bad}))
	}
	core, lines := observer.New(zap.WarnLevel)
	fresh := open(t, log, topic.Config{Logger: zap.New(core)})
	require.Equal(t, 11, lines.Len())
	require.Equal(t, versions(t, r, "s"), versions(t, fresh, "s"))
	require.Equal(t, id, register(t, fresh, "s", record("a")))

	require.Nil(t, log.Publish(t.Context(), []choreo.Record{{Topic: schemas, Key: good.Key}}))
	_, err := fresh.Versions(t.Context(), "s")
	require.ErrorIs(t, err, schema.ErrUnknownSchema, "a null value takes it away")
	_, err = fresh.Schema(t.Context(), id)
	require.NoError(t, err, "what was seen is there")
	_, err = open(t, compacted(t, log, 15), topic.Config{}).Schema(t.Context(), id)
	require.ErrorIs(t, err, schema.ErrUnknownSchema)
}

func TestTheTopicMustBeThereWithOnePartition(t *testing.T) {
	log := memory.New(memory.Options{})
	_, err := topic.New(t.Context(), log, names(t), nil)
	require.ErrorIs(t, err, topics.ErrUnknownTopic)
	require.NoError(t, log.CreateTopic(t.Context(), topics.TopicSpec{Name: schemas, Partitions: 2}))
	_, err = topic.New(t.Context(), log, names(t), nil)
	require.ErrorContains(t, err, "make it anew with one")
	_, err = topic.New(t.Context(), newLog(t), names(t), &topic.Config{ReadTimeout: -1})
	require.ErrorContains(t, err, "Config.ReadTimeout is -1ns")
}
