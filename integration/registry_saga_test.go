package integration

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/kafka"
)

type (
	ticketWanted struct {
		Guest string `avro:"guest"`
	}
	ticketHeld struct {
		Seat int32 `avro:"seat"`
	}
	ticketSold struct {
		Number string `avro:"number"`
	}
)

var (
	holdSeat   = choreo.NewStep[ticketWanted, ticketHeld]("hold-seat")
	sellTicket = choreo.NewStep[ticketHeld, ticketSold]("sell-ticket")
	ticket     = choreo.MustDefine[ticketWanted]("ticket", 1, choreo.Encoding(choreo.Avro),
		holdSeat.OwnedBy("hall").NoCompensation(),
		sellTicket.OwnedBy("office").After(holdSeat).NoCompensation(),
	)
)

// ticketing is two services whose payloads are Avro, with the schemas in a real registry.
type ticketing struct {
	t     *testing.T
	log   topics.Log
	names topics.Names
	hall  *participant.Participant[*memory.Tx]

	mu     sync.Mutex
	events map[string]*choreo.Event // by saga id and type, the last
	came   chan struct{}
}

func newTicketing(t *testing.T) *ticketing {
	t.Helper()
	url := servers.Registry(t)
	log := openKafka(t, kafka.Config{Brokers: servers.Kafka(t)})
	names, err := topics.NewNames("tickets-" + rand.Text())
	require.NoError(t, err)
	plan, err := topics.NewPlan(t.Context(), log, topics.Topology(names, []choreo.AnySaga{ticket}, topics.TopologyOptions{Partitions: 3}))
	require.NoError(t, err)
	require.NoError(t, plan.Apply(t.Context(), log))
	s := &ticketing{t: t, log: log, names: names, events: make(map[string]*choreo.Event), came: make(chan struct{}, 1)}
	service := func(name string) *participant.Participant[*memory.Tx] {
		codec, err := avro.New(openRegistry(t, url), nil)
		require.NoError(t, err)
		p, err := participant.New(log, memory.New(memory.NewDatabase()), &participant.Config{
			Service: name, Sagas: []choreo.AnySaga{ticket}, Namespace: nameOf(names), Codecs: []schema.Codec{codec},
		})
		require.NoError(t, err)
		return p
	}
	s.hall = service("hall")
	participant.HandleForward(s.hall, holdSeat, participant.ExecuteFunc[*memory.Tx, ticketWanted, ticketHeld](
		func(context.Context, *memory.Tx, *participant.Call[ticketWanted]) (ticketHeld, error) {
			return ticketHeld{Seat: 12}, nil
		}))
	office := service("office")
	participant.HandleForward(office, sellTicket, participant.ExecuteFunc[*memory.Tx, ticketHeld, ticketSold](
		func(_ context.Context, _ *memory.Tx, call *participant.Call[ticketHeld]) (ticketSold, error) {
			return ticketSold{Number: fmt.Sprint("seat ", call.Input.Seat)}, nil
		}))
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	for _, run := range []func(context.Context) error{s.hall.Run, office.Run, s.watch} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("ended: %v", err)
			}
		})
	}
	return s
}

// nameOf returns the namespace: what stands before the suffix of a topic.
func nameOf(names topics.Names) string {
	const suffix = ".dlq"
	topic := names.DeadLetters()
	return topic[:len(topic)-len(suffix)]
}

func (s *ticketing) watch(ctx context.Context) error {
	return s.log.Read(ctx, topics.ReadConfig{Topic: s.names.Events(ticket.Name())}, func(_ context.Context, batch []choreo.Record) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range batch {
			ev, err := topics.Decode(&batch[i])
			if err != nil {
				return err
			}
			s.events[ev.SagaID+" "+string(ev.Type)+" "+ev.Step] = ev
		}
		select {
		case s.came <- struct{}{}:
		default:
		}
		return nil
	})
}

// wait waits for an event of a saga.
func (s *ticketing) wait(id string, typ choreo.EventType, step string) *choreo.Event {
	s.t.Helper()
	late := time.After(time.Minute)
	for {
		s.mu.Lock()
		ev := s.events[id+" "+string(typ)+" "+step]
		s.mu.Unlock()
		if ev != nil {
			return ev
		}
		select {
		case <-s.came:
		case <-late:
			require.Fail(s.t, "the event did not come", "%s %s %s", id, typ, step)
		}
	}
}

func (s *ticketing) sell(from, to int) {
	s.t.Helper()
	for i := from; i < to; i++ {
		_, err := participant.Start(s.t.Context(), s.hall, ticket, fmt.Sprint(i), ticketWanted{Guest: "ann"})
		require.NoError(s.t, err)
	}
	for i := from; i < to; i++ {
		sold := s.wait(fmt.Sprint(i), choreo.StepCompleted, sellTicket.Name())
		require.Equal(s.t, string(choreo.Avro), sold.ContentType)
	}
}

// Services that have started go on while the registry is away.
func TestSagasGoOnWithoutTheRegistry(t *testing.T) {
	s, control := newTicketing(t), servers.RegistryControl(t)
	s.sell(0, 10)
	require.NoError(t, control.Kill(t.Context()))
	defer func() { require.NoError(t, control.Start(t.Context())) }()
	s.sell(10, 30)
}

// A payload with an id that the registry does not have parks its saga, with the id named, and
// holds up no other.
func TestAnUnknownSchemaIDParksItsSaga(t *testing.T) {
	s := newTicketing(t)
	s.sell(0, 1)
	strange := &choreo.Event{
		ID: rand.Text(), Type: choreo.StepCompleted, Saga: ticket.Name(), Version: 1, SagaID: "strange", Step: holdSeat.Name(),
		Source: "hall", Initiator: "hall", Time: time.Now(), Partition: choreo.AnyPartition, ContentType: string(choreo.Avro),
		Payload: append(schema.ID{Framing: schema.Confluent, Number: 1_999_999_999}.Append(nil), 24),
	}
	require.Nil(t, s.log.Publish(t.Context(), []choreo.Record{topics.Encode(strange, s.names.Events(ticket.Name()))}))
	parked := s.wait("strange", choreo.SagaParked, "")
	require.Equal(t, "office", parked.Source)
	require.Equal(t, "undecodable-payload", parked.Failure.Code)
	require.Contains(t, parked.Failure.Message, "1999999999")
	s.sell(1, 20)
}
