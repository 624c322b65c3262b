package participant

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// framed writes JSON behind a schema id, as codecs with a registry do.
type framed struct {
	schema.JSON
	media choreo.MediaType

	mu       sync.Mutex
	refuse   []error // what Prepare answers first
	attempts int
	prepared []string // "topic type"
}

var knownID = schema.ID{Framing: schema.Confluent, Number: 7}

func (f *framed) ContentType() string { return string(f.media) }

func (f *framed) Encode(v any) ([]byte, error) {
	data, err := f.JSON.Encode(v)
	return append(knownID.Append(nil), data...), err
}

func (f *framed) Decode(data []byte, into any) error {
	id, body, err := schema.ParseID(data)
	if err == nil && id != knownID {
		err = fmt.Errorf("schema id %s: %w", id, schema.ErrUnknownSchema)
	}
	if err != nil {
		return err
	}
	return f.JSON.Decode(body, into)
}

func (f *framed) Prepare(_ context.Context, topic string, types []reflect.Type) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.attempts++; len(f.refuse) > 0 {
		err := f.refuse[0]
		f.refuse = f.refuse[1:]
		return err
	}
	for _, t := range types {
		f.prepared = append(f.prepared, fmt.Sprintf("%s %s", topic, t.Name()))
	}
	slices.Sort(f.prepared)
	return nil
}

func frame(id uint64, body string) []byte {
	return append(schema.ID{Framing: schema.Confluent, Number: id}.Append(nil), body...)
}

// encoded is the order in Avro, but for the payment, which is in Protobuf.
var encoded = choreo.MustDefine[placed]("order", 1, choreo.Encoding(choreo.Avro),
	create.OwnedBy("orders"),
	charge.OwnedBy("payments").After(create).Encoding(choreo.Protobuf),
	ship.OwnedBy("shipping").After(charge).Uses(create).NoCompensation(),
)

func bothCodecs() (avro, proto *framed) {
	return &framed{media: choreo.Avro}, &framed{media: choreo.Protobuf}
}

func TestAPayloadIsWrittenAsTheDefinitionSaysAndReadAsItSays(t *testing.T) {
	avro, proto := bothCodecs()
	s := newPaymentsWith(t, memory.NewDatabase(), Config{Sagas: []choreo.AnySaga{encoded}, Codecs: []schema.Codec{avro, proto}})
	var got []int
	s.charge.execute = func(_ context.Context, _ *memory.Tx, call *Call[created]) (receipt, error) {
		got = append(got, call.Input.Total)
		return receipt{Charged: call.Input.Total}, nil
	}
	ev := createdEvent("17")
	ev.ContentType, ev.Payload = string(choreo.Avro), frame(7, `{"Total":42}`)
	s.read(ev)
	s.read(createdEvent("18")) // written before the definition said anything, in JSON
	require.Equal(t, []int{42, 42}, got)
	done := s.last()
	require.Equal(t, string(choreo.Protobuf), done.ContentType)
	require.Equal(t, frame(7, `{"Charged":42}`), done.Payload)
}

func TestAPayloadThatNoCodecReadsParksItsSaga(t *testing.T) {
	avro, proto := bothCodecs()
	for name, test := range map[string]struct {
		media   choreo.MediaType
		payload []byte
		says    string
	}{
		"unknown media type": {"text/csv", []byte("42"),
			`payload is "text/csv" and this participant reads "application/json", "application/protobuf", "application/vnd.apache.avro"`},
		"unknown schema": {choreo.Avro, frame(99, `{"Total":42}`), "schema id 99: unknown schema"},
		"no schema id":   {choreo.Avro, []byte(`{"Total":42}`), "no schema id in front of the payload"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPaymentsWith(t, memory.NewDatabase(), Config{Sagas: []choreo.AnySaga{encoded}, Codecs: []schema.Codec{avro, proto}})
			ev := createdEvent("17")
			ev.ContentType, ev.Payload = string(test.media), test.payload
			s.read(ev)
			row := marker(s.db, "17")
			require.Equal(t, choreo.RowParked, row.State)
			require.Equal(t, "undecodable-payload", row.Failure.Code)
			require.Contains(t, row.Failure.Message, test.says)
			require.Contains(t, row.Failure.Message, `step "charge" of order/1 cannot read the output of step "create"`)
			require.Empty(t, s.charge.executed)
		})
	}
}

func TestEncodingsNeedTheirCodecs(t *testing.T) {
	avro, proto := bothCodecs()
	try := func(service string, codec schema.Codec, codecs ...schema.Codec) error {
		_, err := New[*memory.Tx](&stubLog{}, memory.New(memory.NewDatabase()),
			&Config{Service: service, Sagas: []choreo.AnySaga{encoded}, Codec: codec, Codecs: codecs})
		return err
	}
	err := try("payments", nil)
	require.ErrorContains(t, err, `Config.Codecs: step "charge" of order/1 writes the output of step "charge" as "application/protobuf", and there is no codec for that: add one`)
	require.ErrorContains(t, err, `step "charge" of order/1 reads the output of step "create" as "application/vnd.apache.avro"`)
	require.NotContains(t, err.Error(), "ship")
	require.ErrorContains(t, try("orders", nil), `step "create" of order/1 reads the saga's input as "application/vnd.apache.avro"`)
	require.NoError(t, try("orders", avro), "it needs no other")
	require.NoError(t, try("payments", avro, proto))
	require.NoError(t, try("elsewhere", nil), "who owns no step may only look on")

	err = try("payments", avro, proto, nil, &framed{media: choreo.Avro}, &framed{media: choreo.Protobuf})
	require.ErrorContains(t, err, "Config.Codecs[1] is nil")
	require.ErrorContains(t, err, `Config.Codecs[2] is a second codec for "application/vnd.apache.avro", which Codec is for`)
	require.ErrorContains(t, err, `Config.Codecs[3] is a second codec for "application/protobuf", which Codecs[0] is for`)
}

// settled is a participant on a log of its own.
func settled(t *testing.T, cfg Config) (*Participant[*memory.Tx], *memory.Database) {
	t.Helper()
	log := memorylog.New(memorylog.Options{})
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	names, err := topics.NewNames("choreo")
	require.NoError(t, err)
	plan, err := topics.NewPlan(t.Context(), log, topics.Topology(names, cfg.Sagas, topics.TopologyOptions{Partitions: 2}))
	require.NoError(t, err)
	require.NoError(t, plan.Apply(t.Context(), log))
	db := memory.NewDatabase()
	p, err := New[*memory.Tx](log, memory.New(db), &cfg)
	require.NoError(t, err)
	return p, db
}

func TestStartPreparesItsCodecWhereRunHasNot(t *testing.T) {
	avro, _ := bothCodecs()
	p, db := settled(t, Config{Service: "orders", Sagas: []choreo.AnySaga{encoded}, Codecs: []schema.Codec{avro}})
	avro.refuse = []error{errors.New("not yet")}
	_, err := Start(t.Context(), p, encoded, "17", placed{Customer: "ada"})
	require.ErrorContains(t, err, "preparing to write application/vnd.apache.avro to topic choreo.order.events: not yet")
	require.Empty(t, db.Snapshot().Sagas)
	for _, id := range []string{"17", "18"} {
		_, err := Start(t.Context(), p, encoded, id, placed{Customer: "ada"})
		require.NoError(t, err)
	}
	require.Equal(t, 2, avro.attempts, "it is prepared once")
	require.Equal(t, []string{"choreo.order.events placed"}, avro.prepared)
	ev, err := topics.Decode(&db.Snapshot().Entries[0].Record)
	require.NoError(t, err)
	require.Equal(t, string(choreo.Avro), ev.ContentType)
	require.Equal(t, frame(7, `{"Customer":"ada"}`), ev.Payload)

	other := choreo.MustDefine[placed]("order", 2, choreo.Encoding("text/csv"), create.OwnedBy("else"))
	p, _ = settled(t, Config{Service: "orders", Sagas: []choreo.AnySaga{other}})
	_, err = Start(t.Context(), p, other, "17", placed{})
	require.ErrorContains(t, err, `order/2 has the saga's input as "text/csv", and this participant writes "application/json": add a codec to Config.Codecs`)
}

func TestRunPreparesAllThatTheServiceWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := choreo.MustDefine[placed]("order", 2, choreo.Encoding(choreo.Avro),
			create.OwnedBy("orders"), charge.OwnedBy("payments").After(create), ship.OwnedBy("orders").After(charge).NoCompensation())
		refund := choreo.MustDefine[receipt]("refund", 1, choreo.Encoding(choreo.Avro), choreo.NewStep[receipt, receipt]("pay-back").OwnedBy("bank"))
		avro, _ := bothCodecs()
		p, _ := settled(t, Config{Service: "orders", Sagas: []choreo.AnySaga{encoded, second, refund}, Codecs: []schema.Codec{avro}})
		Handle(p, create, &script[placed, created]{})
		HandleForward(p, ship, &script[receipt, receipt]{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		require.Equal(t, []string{
			"choreo.order.events created", "choreo.order.events placed", "choreo.order.events receipt",
			"choreo.refund.events receipt", // which it can only be there to start
		}, avro.prepared)
		require.Equal(t, 2, avro.attempts)
		_, err := Start(t.Context(), p, encoded, "17", placed{})
		require.NoError(t, err)
		require.Equal(t, 2, avro.attempts, "from then on nobody is asked")
		stop()
		require.NoError(t, <-ended)
	})
}

func TestRunWaitsForARegistryAndGivesUpWhereItRefuses(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for name, test := range map[string]struct {
		err   error
		waits bool
	}{
		"unreachable":          {refused, true},
		"not now":              {fmt.Errorf("503: %w", schema.ErrUnavailable), true},
		"timeout":              {fmt.Errorf("asking: %w", context.DeadlineExceeded), true},
		"incompatible":         {fmt.Errorf("created: %w", schema.ErrIncompatible), false},
		"one is incompatible":  {errors.Join(refused, schema.ErrIncompatible), false},
		"no such user":         {errors.New("401 unauthorized"), false},
		"not the one it seems": {&net.OpError{Op: "remote", Err: &tls.CertificateVerificationError{Err: errors.New("unknown authority")}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				avro, _ := bothCodecs()
				seen, logs := observer.New(zapcore.InfoLevel)
				p, _ := settled(t, Config{Service: "orders", Sagas: []choreo.AnySaga{encoded}, Codecs: []schema.Codec{avro}, Logger: zap.New(seen)})
				Handle(p, create, &script[placed, created]{})
				for range 6 {
					avro.refuse = append(avro.refuse, test.err)
				}
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				ended := make(chan error, 1)
				go func() { ended <- p.Run(ctx) }()
				if !test.waits {
					err := <-ended
					require.ErrorIs(t, err, test.err)
					require.ErrorContains(t, err, "participant orders: preparing to write application/vnd.apache.avro to topic choreo.order.events")
					require.Equal(t, 1, avro.attempts)
					return
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				require.Equal(t, 7, avro.attempts)
				require.Len(t, avro.prepared, 2)
				require.Equal(t, 1, logs.FilterMessage("schema registry does not answer: waiting for it").Len())
				require.Equal(t, 1, logs.FilterMessage("schema registry answers again").Len())
				require.Equal(t, 1, logs.FilterMessage("participant runs").Len())
				stop()
				require.NoError(t, <-ended)
			})
		})
	}
}

func TestRunEndsWhileItWaitsForARegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		avro, _ := bothCodecs()
		p, _ := settled(t, Config{Service: "orders", Sagas: []choreo.AnySaga{encoded}, Codecs: []schema.Codec{avro}})
		Handle(p, create, &script[placed, created]{})
		avro.refuse = slices.Repeat([]error{schema.ErrUnavailable}, 1000)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		require.NoError(t, p.Run(ctx))
	})
}

func TestAnswersAndCommandsAreEncodedByTheDefinition(t *testing.T) {
	avro, proto := bothCodecs()
	s := newPaymentsWith(t, memory.NewDatabase(), Config{Sagas: []choreo.AnySaga{encoded}, Codecs: []schema.Codec{avro, proto}})
	s.charge.execute = func(context.Context, *memory.Tx, *Call[created]) (receipt, error) {
		return receipt{}, Pending(time.Hour)
	}
	s.read(createdEvent("17"))
	require.NoError(t, CompleteStep(t.Context(), s.Participant, encoded, "17", charge, receipt{Charged: 5}))
	done := s.last()
	require.Equal(t, choreo.StepCompleted, done.Type)
	require.Equal(t, string(choreo.Protobuf), done.ContentType)
	require.Equal(t, frame(7, `{"Charged":5}`), done.Payload)

	require.NoError(t, ResolveDone(t.Context(), s.Participant, encoded, "17", ship, receipt{Charged: 5}, Operator{By: "ada"}))
	command := s.last()
	require.Equal(t, choreo.ResolveRequested, command.Type)
	require.Equal(t, string(choreo.Avro), command.ContentType)
	require.True(t, bytes.HasPrefix(command.Payload, frame(7, "{")))
	require.Equal(t, []string{"choreo.order.events receipt"}, avro.prepared, "also for a step of others")
	require.Equal(t, []string{"choreo.order.events receipt"}, proto.prepared)
}

func TestAnEventPayloadIsReadByTheCodecOfItsMediaType(t *testing.T) {
	avro, proto := bothCodecs()
	ev := createdEvent("17")
	got, err := EventPayload[created](ev)
	require.NoError(t, err)
	require.Equal(t, created{Total: 42}, got)
	ev.ContentType, ev.Payload = string(choreo.Avro), frame(7, `{"Total":43}`)
	got, err = EventPayload[created](ev, schema.JSON{}, proto, avro)
	require.NoError(t, err)
	require.Equal(t, created{Total: 43}, got)
	_, err = EventPayload[created](ev, proto)
	require.ErrorContains(t, err, `payload is "application/vnd.apache.avro" and this participant reads "application/protobuf"`)
}
