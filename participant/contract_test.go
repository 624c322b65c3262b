package participant

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

const definitionsTopic = "choreo.definitions"

// market is a log with all topics, on which services start.
type market struct {
	t    *testing.T
	log  *memorylog.Log
	logs *observer.ObservedLogs
	zap  *zap.Logger
}

func newMarket(t *testing.T) *market {
	t.Helper()
	m := &market{t: t, log: memorylog.New(memorylog.Options{})}
	t.Cleanup(func() { require.NoError(t, m.log.Close()) })
	core, logs := observer.New(zapcore.InfoLevel)
	m.logs, m.zap = logs, zap.New(core)
	names, err := topics.NewNames("choreo")
	require.NoError(t, err)
	plan, err := topics.NewPlan(t.Context(), m.log, topics.Topology(names, []choreo.AnySaga{order}, topics.TopologyOptions{Partitions: 2}))
	require.NoError(t, err)
	require.NoError(t, plan.Apply(t.Context(), m.log))
	return m
}

// described is a codec that tells the schema of a type by a table.
type described struct {
	schema.JSON
	schemas map[reflect.Type]string
}

func (d described) Schema(t reflect.Type) (schema.Schema, error) {
	text, ok := d.schemas[t]
	if !ok {
		return schema.Schema{}, fmt.Errorf("no schema of %v", t)
	}
	return schema.Schema{Kind: schema.Avro, Name: t.Name(), Text: text}, nil
}

func avroRecord(name string, fields ...string) string {
	return fmt.Sprintf(`{"type":"record","name":%q,"fields":[%s]}`, name, strings.Join(fields, ","))
}

var (
	total    = `{"name":"total","type":"long"}`
	currency = `{"name":"currency","type":"string"}`
	speaks   = described{schemas: map[reflect.Type]string{
		reflect.TypeFor[placed](): avroRecord("placed"), reflect.TypeFor[created](): avroRecord("created", total),
		reflect.TypeFor[receipt](): avroRecord("receipt"),
	}}
	// demands reads a field that those who speak otherwise do not write.
	demands = described{schemas: map[reflect.Type]string{
		reflect.TypeFor[placed](): avroRecord("placed"), reflect.TypeFor[created](): avroRecord("created", total, currency),
		reflect.TypeFor[receipt](): avroRecord("receipt"),
	}}
)

// start runs a service until it has started, and returns why it has not.
func (m *market) start(log topics.Log, cfg Config) error {
	m.t.Helper()
	cfg.Logger = m.zap
	p, err := New[*memory.Tx](log, memory.New(memory.NewDatabase()), &cfg)
	require.NoError(m.t, err)
	for _, s := range cfg.Sagas[:1] {
		for _, step := range s.Def().StepsOf(cfg.Service) {
			switch step {
			case "create":
				Handle(p, create, &script[placed, created]{})
			case "charge":
				Handle(p, charge, &script[created, receipt]{})
			case "ship":
				HandleForward(p, ship, &script[receipt, receipt]{})
			}
		}
	}
	ctx, stop := context.WithCancel(m.t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	synctest.Wait()
	time.Sleep(time.Minute) // outages pass
	synctest.Wait()
	stop()
	return <-ended
}

// published returns what stands in the topic of definitions, "key build".
func (m *market) published() (list []string) {
	for _, rec := range m.log.Records(definitionsTopic) {
		if rec.Value == nil {
			list = append(list, string(rec.Key)+" gone")
			continue
		}
		c, err := definition.DecodeContract(rec.Value)
		require.NoError(m.t, err)
		list = append(list, fmt.Sprint(string(rec.Key), " ", c.Build))
	}
	return list
}

var onlyOrder = []choreo.AnySaga{order}

func TestAContractIsPublishedWhereItIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMarket(t)
		orders := Config{Service: "orders", Sagas: onlyOrder, Codec: speaks, Build: "1.0"}
		for range 3 {
			require.NoError(t, m.start(m.log, orders))
		}
		require.Equal(t, []string{"contract/orders 1.0"}, m.published())
		rec := m.log.Records(definitionsTopic)[0]
		media, _ := rec.Header("content-type")
		require.Equal(t, "application/json", string(media))
		c, err := definition.DecodeContract(rec.Value)
		require.NoError(t, err)
		require.Equal(t, "orders", c.Service)
		require.Len(t, c.Definitions, 1)
		def := c.Definitions[0]
		require.Equal(t, definition.Fingerprint(order.Definition), def.Fingerprint)
		require.Equal(t, []string{"create"}, def.Owns)
		require.True(t, def.Starts)
		require.Len(t, def.Writes, 2, "the output and the input")
		require.Len(t, def.Reads, 1)

		require.NoError(t, m.start(m.log, Config{Service: "payments", Sagas: onlyOrder, Codec: speaks, Build: "7"}))
		orders.Build = "1.1"
		require.NoError(t, m.start(m.log, orders))
		require.Equal(t, []string{"contract/orders 1.0", "contract/payments 7", "contract/orders 1.1"}, m.published())
		require.Empty(t, m.logs.FilterMessageSnippet("contract").All())
	})
}

// another is order/1 with another course.
var another = choreo.MustDefine[placed]("order", 1,
	create.OwnedBy("orders"),
	ship.OwnedBy("shipping").After(charge).Uses(create).NoCompensation(),
	charge.OwnedBy("payments").After(create), choreo.Compensation(choreo.ParallelOrder),
)

func TestAServiceDoesNotStartAgainstTheContractsOfOthers(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  Config
		says []string
	}{
		"another definition under the version": {Config{Service: "payments", Sagas: []choreo.AnySaga{another}, Codec: speaks},
			[]string{"saga order/1", "orders (build 1) runs another definition under this version"}},
		"a payload that it cannot read": {Config{Service: "payments", Sagas: onlyOrder, Codec: demands},
			[]string{`step "charge"`, `the output of "create" is written by orders (build 1) as created`, "currency"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMarket(t)
				require.NoError(t, m.start(m.log, Config{Service: "orders", Sagas: onlyOrder, Codec: speaks, Build: "1"}))
				test.cfg.Build = "2"
				err := m.start(m.log, test.cfg)
				for _, says := range append(test.says, "participant payments: its contract contradicts those of other services", "or set Config.IgnoreContracts") {
					require.ErrorContains(t, err, says)
				}
				require.Equal(t, []string{"contract/orders 1"}, m.published(), "nothing is published")

				test.cfg.IgnoreContracts = true
				require.NoError(t, m.start(m.log, test.cfg))
				require.Equal(t, []string{"contract/orders 1", "contract/payments 2"}, m.published(), "it runs: the others are to know")
				ignored := m.logs.FilterMessageSnippet("Config.IgnoreContracts").All()
				require.NotEmpty(t, ignored)
				require.Contains(t, ignored[0].ContextMap()["error"], test.says[0])

				require.Error(t, m.start(m.log, Config{Service: "orders", Sagas: onlyOrder, Codec: speaks, Build: "1"}), "and they do")
			})
		})
	}
}

func TestWithoutATopicThereIsNoContract(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMarket(t)
		m.log = memorylog.New(memorylog.Options{})
		defer m.log.Close()
		for _, topic := range []string{"choreo.order.events", "choreo.dlq"} {
			require.NoError(t, m.log.CreateTopic(t.Context(), topics.TopicSpec{Name: topic, Partitions: 1}))
		}
		require.NoError(t, m.start(m.log, Config{Service: "orders", Sagas: onlyOrder}))
		warned := m.logs.FilterMessageSnippet("contracts are neither published nor checked: their topic does not exist").All()
		require.Len(t, warned, 1)
		require.Equal(t, definitionsTopic, warned[0].ContextMap()["topic"])
	})
}

// between is a log on which something happens right before or after the first contract of a
// service is published.
type between struct {
	*memorylog.Log
	service       string
	before, after func()
}

func (b *between) Publish(ctx context.Context, records []choreo.Record) []error {
	if string(records[0].Key) != "contract/"+b.service {
		return b.Log.Publish(ctx, records)
	}
	before, after := b.before, b.after
	b.before, b.after = nil, nil
	if before != nil {
		before()
	}
	errs := b.Log.Publish(ctx, records)
	if after != nil {
		after()
	}
	return errs
}

// contractOf returns what a service publishes.
func contractOf(t *testing.T, cfg Config) []choreo.Record {
	t.Helper()
	m := newMarket(t)
	require.NoError(t, m.start(m.log, cfg))
	return m.log.Records(definitionsTopic)
}

func TestOfTwoThatStartAtOnceTheLaterGivesWay(t *testing.T) {
	payments := Config{Service: "payments", Sagas: onlyOrder, Codec: demands, Build: "2"}
	for name, earlier := range map[string][]string{"the first time": nil, "with a contract from before": {"contract/orders 0"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMarket(t)
				orders := Config{Service: "orders", Sagas: onlyOrder, Codec: demands, Build: "0"}
				if earlier != nil {
					require.NoError(t, m.start(m.log, orders))
				}
				orders.Build, orders.Codec = "1", speaks
				theirs := contractOf(t, payments)
				late := &between{Log: m.log, service: "orders", before: func() { require.Nil(t, m.log.Publish(t.Context(), theirs)) }}
				require.ErrorContains(t, m.start(late, orders), `the output of "create" is written by orders as created and read by payments (build 2)`)
				back := "contract/orders gone"
				if earlier != nil {
					back = earlier[0]
				}
				require.Equal(t, append(earlier, "contract/payments 2", "contract/orders 1", back), m.published())
			})
		})
	}
}

func TestOfTwoThatStartAtOnceTheEarlierStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMarket(t)
		theirs := contractOf(t, Config{Service: "payments", Sagas: onlyOrder, Codec: demands, Build: "2"})
		early := &between{Log: m.log, service: "orders", after: func() { require.Nil(t, m.log.Publish(t.Context(), theirs)) }}
		orders := Config{Service: "orders", Sagas: onlyOrder, Codec: speaks, Build: "1"}
		require.NoError(t, m.start(early, orders))
		require.Equal(t, []string{"contract/orders 1", "contract/payments 2"}, m.published())
		require.Error(t, m.start(m.log, orders), "had it come later, it would not have started")
	})
}

func TestABuildThatComesAndGoesIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMarket(t)
		require.NoError(t, m.start(m.log, Config{Service: "payments", Sagas: onlyOrder, Build: "7"}))
		before := Config{Service: "orders", Sagas: onlyOrder, Build: "1"}
		after := Config{Service: "orders", Sagas: []choreo.AnySaga{order, order2}, Build: "2"}
		for _, cfg := range []Config{before, after, before, after, after, before, before} {
			require.NoError(t, m.start(m.log, cfg))
			require.NoError(t, m.start(m.log, Config{Service: "payments", Sagas: onlyOrder, Build: "7"}))
		}
		require.Equal(t, []string{
			"contract/payments 7", "contract/orders 1", "contract/orders 2", "contract/orders 1", "contract/orders 2", "contract/orders 1",
		}, m.published())
	})
}

func TestWhatIsNoContractIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMarket(t)
		require.Nil(t, m.log.Publish(t.Context(), []choreo.Record{
			{Topic: definitionsTopic, Key: []byte("contract/broken"), Value: []byte("{")},
			{Topic: definitionsTopic, Key: []byte("contract/later"), Value: []byte(`{"format":99,"service":"later"}`)},
			{Topic: definitionsTopic, Key: []byte("something/else"), Value: []byte("{")},
		}))
		require.NoError(t, m.start(m.log, Config{Service: "orders", Sagas: onlyOrder}))
		var keys []any
		for _, entry := range m.logs.FilterMessageSnippet("a contract cannot be read").All() {
			keys = append(keys, entry.ContextMap()["key"])
		}
		require.Equal(t, []any{"contract/broken", "contract/later"}, keys)
	})
}

func TestAContractWaitsForTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMarket(t)
		fails := 6
		m.log.OnPublish(func(r *choreo.Record) memorylog.Fault {
			if fails--; r.Topic == definitionsTopic && fails >= 0 {
				return memorylog.Fault{Before: errors.New("no leader")}
			}
			return memorylog.Fault{}
		})
		require.NoError(t, m.start(m.log, Config{Service: "orders", Sagas: onlyOrder, Build: "1"}))
		require.Equal(t, []string{"contract/orders 1"}, m.published())
		require.Equal(t, 1, m.logs.FilterMessage("broker does not answer: waiting for it").Len())
	})
}

func TestAContractThatCannotBeMadeOrPublishedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMarket(t)
		cfg := Config{Service: "orders", Sagas: onlyOrder, Codec: described{}, Build: "1"}
		require.ErrorContains(t, m.start(m.log, cfg), "participant orders: its contract cannot be made")
		cfg.IgnoreContracts = true
		require.NoError(t, m.start(m.log, cfg))

		require.NoError(t, m.log.SetConfig(t.Context(), definitionsTopic, map[string]string{"max.message.bytes": "100"}))
		cfg = Config{Service: "orders", Sagas: onlyOrder, Build: "1"}
		err := m.start(m.log, cfg)
		require.ErrorIs(t, err, topics.ErrRecordTooLarge)
		require.ErrorContains(t, err, "its contract cannot be published to topic choreo.definitions")
		cfg.IgnoreContracts = true
		require.NoError(t, m.start(m.log, cfg))
		require.Empty(t, m.published())
	})
}
