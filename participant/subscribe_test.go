package participant_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// listener is a subscription over a log in memory with the topics of two sagas.
type listener struct {
	t      *testing.T
	log    *memorylog.Log
	config participant.SubscribeConfig
	answer func(ctx context.Context, ev *choreo.Event) error // nil: takes all
	stop   func()
	ended  chan error

	mu  sync.Mutex
	got []string // "<id> <type> <step>"
	at  []time.Duration
}

func newListener(t *testing.T, config participant.SubscribeConfig) *listener {
	t.Helper()
	log := memorylog.New(memorylog.Options{})
	for _, name := range []string{"choreo.order.events", "choreo.refund.events", "choreo.dlq"} {
		require.NoError(t, log.CreateTopic(t.Context(), topics.TopicSpec{Name: name, Partitions: 3}))
	}
	config.Group = "mailer"
	if config.Sagas == nil {
		config.Sagas = []string{"order"}
	}
	l := &listener{t: t, log: log, config: config}
	t.Cleanup(func() {
		if l.stop != nil {
			l.halt()
		}
		require.NoError(t, log.Close())
	})
	return l
}

func (l *listener) start() {
	ctx, cancel := context.WithCancel(context.Background())
	began := time.Now()
	l.stop, l.ended = cancel, make(chan error, 1)
	go func() {
		l.ended <- participant.Subscribe(ctx, l.log, &l.config, func(ctx context.Context, ev *choreo.Event) error {
			l.mu.Lock()
			l.got = append(l.got, fmt.Sprintf("%s %s %s", ev.SagaID, ev.Type, ev.Step))
			l.at = append(l.at, time.Since(began))
			answer := l.answer
			l.mu.Unlock()
			if answer == nil {
				return nil
			}
			return answer(ctx, ev)
		})
	}()
	synctest.Wait()
}

func (l *listener) halt() {
	l.t.Helper()
	l.stop()
	require.NoError(l.t, <-l.ended)
	l.stop = nil
}

func (l *listener) heard() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}

// emit appends events to the log of their saga.
func (l *listener) emit(events ...*choreo.Event) {
	l.t.Helper()
	for _, ev := range events {
		require.Nil(l.t, l.log.Publish(l.t.Context(), []choreo.Record{topics.Encode(ev, "choreo."+ev.Saga+".events")}))
	}
	synctest.Wait()
}

func (l *listener) dead() []choreo.Record { return l.log.Records("choreo.dlq") }

func happened(t choreo.EventType, saga, id, step, source string) *choreo.Event {
	return &choreo.Event{
		ID: id + "/" + string(t) + step, Type: t, Saga: saga, Version: 1, SagaID: id, Step: step, Source: source,
		Initiator: "orders", Time: time.Unix(1_700_000_000, 0), ContentType: "application/json",
		Payload: []byte(`{"From":"here"}`), Partition: choreo.AnyPartition,
	}
}

func completedStep(id, step, source string) *choreo.Event {
	return happened(choreo.StepCompleted, "order", id, step, source)
}

func TestSubscribeConfigNamesEveryFault(t *testing.T) {
	err := participant.Subscribe(t.Context(), nil, &participant.SubscribeConfig{
		Sagas: []string{"a", "", "a"}, Filter: participant.Filter{Types: []choreo.EventType{"tea.ready"}},
		Retry: choreo.RetryPolicy{Attempts: -1}, Lanes: -1, InFlight: -1, SessionTimeout: -1, OutageBackoff: -1,
	}, nil)
	for _, field := range []string{
		"Group", "Sagas[1]", "Sagas[2]", "Filter.Types[0]", "Retry", "Lanes", "InFlight", "SessionTimeout", "OutageBackoff",
	} {
		require.ErrorContains(t, err, "SubscribeConfig."+field)
	}
	require.ErrorContains(t, err, "the handler is nil")
	require.ErrorContains(t, participant.Subscribe(t.Context(), nil, nil, nil), "SubscribeConfig.Sagas is empty")
	err = participant.Subscribe(t.Context(), nil, &participant.SubscribeConfig{
		Group: "g", Sagas: []string{"a"}, Namespace: "a b",
	}, func(context.Context, *choreo.Event) error { return nil })
	require.ErrorContains(t, err, "SubscribeConfig.Namespace")
}

func TestSubscribeFiltersCombine(t *testing.T) {
	tests := []struct {
		name   string
		filter participant.Filter
		sagas  []string
		want   []string
	}{
		{"none", participant.Filter{}, nil, []string{
			"o-1 choreo.saga.started ", "o-1 choreo.step.completed charge", "o-1 choreo.step.completed ship",
			"o-2 choreo.step.completed charge", "o-2 choreo.step.failed ship",
		}},
		{"another saga", participant.Filter{}, []string{"refund"}, []string{"o-1 choreo.step.completed charge"}},
		{"two sagas and a step", participant.Filter{Steps: []string{"charge"}}, []string{"refund", "order"}, []string{
			"o-1 choreo.step.completed charge", "o-1 choreo.step.completed charge", "o-2 choreo.step.completed charge",
		}},
		{"types", participant.Filter{Types: []choreo.EventType{choreo.StepFailed, choreo.Started}}, nil, []string{
			"o-1 choreo.saga.started ", "o-2 choreo.step.failed ship",
		}},
		{"ids", participant.Filter{SagaIDs: []string{"o-2", "o-3"}}, nil, []string{
			"o-2 choreo.step.completed charge", "o-2 choreo.step.failed ship",
		}},
		{"sources", participant.Filter{Sources: []string{"shipping"}}, nil, []string{
			"o-1 choreo.step.completed ship", "o-2 choreo.step.failed ship",
		}},
		{"all of them", participant.Filter{
			Types: []choreo.EventType{choreo.StepCompleted}, Steps: []string{"ship", "charge"},
			SagaIDs: []string{"o-1"}, Sources: []string{"payments"},
		}, nil, []string{"o-1 choreo.step.completed charge"}},
		{"that exclude each other", participant.Filter{
			Types: []choreo.EventType{choreo.Started}, Steps: []string{"charge"},
		}, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newListener(t, participant.SubscribeConfig{Filter: test.filter, Sagas: test.sagas})
				l.emit( // before it listens: a new group begins with the oldest
					happened(choreo.Started, "order", "o-1", "", "orders"),
					completedStep("o-1", "charge", "payments"),
				)
				l.start()
				l.emit(
					completedStep("o-1", "ship", "shipping"),
					completedStep("o-2", "charge", "payments"),
					happened(choreo.StepFailed, "order", "o-2", "ship", "shipping"),
					happened(choreo.StepCompleted, "refund", "o-1", "charge", "payments"),
				)
				got := l.heard()
				slices.Sort(got)
				require.Equal(t, test.want, got)
				require.Empty(t, l.dead())
				<-time.After(time.Second)
				require.Zero(t, l.log.Lag("choreo.subscribers.mailer"), "what does not match counts as handled")
			})
		})
	}
}

// What the filter leaves out is not decoded: a record that is no event only matters
// where it could be one that matches.
func TestSubscribeDeadLettersWhatIsNoEventOnce(t *testing.T) {
	broken := func(mend func(*choreo.Record)) choreo.Record {
		rec := topics.Encode(completedStep("o-1", "charge", "payments"), "choreo.order.events")
		mend(&rec)
		return rec
	}
	noType := broken(func(r *choreo.Record) { r.Headers = r.Headers[:1] })
	later := broken(func(r *choreo.Record) {
		for i := range r.Headers {
			if r.Headers[i].Key == "ce_type" {
				r.Headers[i].Value = []byte("choreo.saga.reconsidered")
			}
		}
	})
	tombstone := broken(func(r *choreo.Record) { r.Value = nil })
	tests := []struct {
		name   string
		filter participant.Filter
		want   int
	}{
		{"all", participant.Filter{}, 3},
		{"by id", participant.Filter{SagaIDs: []string{"o-2"}}, 0},
		{"by type", participant.Filter{Types: []choreo.EventType{choreo.StepCompleted}}, 2},
		{"by another step", participant.Filter{Steps: []string{"ship"}}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newListener(t, participant.SubscribeConfig{Filter: test.filter})
				l.start()
				for _, rec := range []choreo.Record{noType, later, tombstone} {
					require.Nil(t, l.log.Publish(t.Context(), []choreo.Record{rec}))
				}
				l.emit(completedStep("o-2", "ship", "shipping"))
				<-time.After(time.Second)
				require.Len(t, l.dead(), test.want)
				require.Equal(t, []string{"o-2 choreo.step.completed ship"}, l.heard(), "the next one has its turn")
				l.halt()
				l.start()
				<-time.After(time.Second)
				require.Len(t, l.dead(), test.want, "not again")
				for _, rec := range l.dead() {
					group, _ := rec.Header("kafka_dlt-original-consumer-group")
					require.Equal(t, "choreo.subscribers.mailer", string(group))
				}
			})
		})
	}
}

func TestSubscribeRetriesInOrderAndGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener(t, participant.SubscribeConfig{Retry: choreo.FixedRetry(3, time.Second), Lanes: 1})
		l.answer = func(_ context.Context, ev *choreo.Event) error {
			switch ev.Step {
			case "flaky":
				ev.Step = "changed by the handler" // which is its own copy
				return errors.New("the mail server is away")
			case "patient":
				return choreo.RetryAfter(time.Minute, errors.New("come back later"))
			case "refused":
				return choreo.Refusef("no-address", "nobody to write to")
			case "panics":
				panic("nil map")
			}
			return nil
		}
		l.start()
		l.emit(completedStep("o-1", "flaky", "x"), completedStep("o-1", "fine", "x"))
		<-time.After(time.Minute)
		require.Equal(t, []string{
			"o-1 choreo.step.completed flaky", "o-1 choreo.step.completed flaky", "o-1 choreo.step.completed flaky",
			"o-1 choreo.step.completed fine",
		}, l.heard())
		require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second, 2 * time.Second}, l.at)
		require.Len(t, l.dead(), 1)
		cause, _ := l.dead()[0].Header("kafka_dlt-exception-message")
		require.Equal(t, "retryable: the mail server is away", string(cause))

		l.got, l.at = nil, nil
		l.emit(completedStep("o-1", "refused", "x"), completedStep("o-1", "panics", "x"), completedStep("o-1", "patient", "x"))
		<-time.After(time.Hour)
		require.Len(t, l.heard(), 1+3+3)
		require.Equal(t, 2*time.Minute, l.at[6]-l.at[4])
		require.Len(t, l.dead(), 4)
		cause, _ = l.dead()[2].Header("kafka_dlt-exception-message")
		require.Contains(t, string(cause), "handler panicked: nil map")
		require.Zero(t, l.log.Lag("choreo.subscribers.mailer"))
	})
}

func TestSubscribeRetriesWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener(t, participant.SubscribeConfig{Retry: choreo.ExponentialRetry(math.MaxInt, time.Second, time.Minute)})
		healed := time.Now().Add(2 * time.Hour)
		l.answer = func(context.Context, *choreo.Event) error {
			if time.Now().Before(healed) {
				return errors.New("the mail server is away")
			}
			return nil
		}
		l.start()
		l.emit(completedStep("o-1", "a", "x"), completedStep("o-1", "b", "x"))
		<-time.After(3 * time.Hour)
		got := l.heard()
		require.Equal(t, []string{"o-1 choreo.step.completed a", "o-1 choreo.step.completed b"}, got[len(got)-2:])
		require.Greater(t, len(got), 2*60)
		require.Empty(t, l.dead())
	})
}

func TestSubscribeStopsGracefully(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener(t, participant.SubscribeConfig{Lanes: 1})
		release := make(chan struct{})
		l.answer = func(ctx context.Context, _ *choreo.Event) error {
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		l.emit(completedStep("o-1", "a", "x"), completedStep("o-1", "b", "x"))
		l.start()
		l.stop()
		synctest.Wait()
		require.Equal(t, []string{"o-1 choreo.step.completed a"}, l.heard())
		close(release) // within the stop timeout
		require.NoError(t, <-l.ended)
		require.Equal(t, []string{"o-1 choreo.step.completed a"}, l.heard(), "nothing new is begun")
		l.start()
		synctest.Wait()
		require.Contains(t, l.heard(), "o-1 choreo.step.completed b", "what was not begun comes to the next process")
		<-time.After(time.Second)
		l.halt()
		require.Zero(t, l.log.Lag("choreo.subscribers.mailer"))

		release = make(chan struct{})
		l.emit(completedStep("o-1", "c", "x"))
		l.start()
		began := time.Now()
		l.halt()
		require.Equal(t, 5*time.Second, time.Since(began), "half of a session, then its context ends")
		require.Empty(t, l.dead(), "a handler that was stopped has not failed")
		require.Equal(t, int64(1), l.log.Lag("choreo.subscribers.mailer"))
		l.answer = nil
		l.start()
		require.Equal(t, "o-1 choreo.step.completed c", l.heard()[len(l.heard())-1])
	})
}

func TestSubscribeStopsWhileItWaitsForARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener(t, participant.SubscribeConfig{Retry: choreo.FixedRetry(2, time.Hour)})
		l.answer = func(context.Context, *choreo.Event) error { return errors.New("no") }
		l.start()
		l.emit(completedStep("o-1", "a", "x"))
		began := time.Now()
		l.halt()
		require.Zero(t, time.Since(began))
		require.Empty(t, l.dead())
	})
}

func TestSubscribeWaitsOutAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener(t, participant.SubscribeConfig{})
		l.log.Disconnect(errors.New("connection refused"))
		l.start()
		<-time.After(time.Minute)
		l.log.Reconnect()
		<-time.After(time.Minute)
		l.emit(completedStep("o-1", "a", "x"))
		require.Equal(t, []string{"o-1 choreo.step.completed a"}, l.heard())

		refused := 3
		l.log.OnPublish(func(rec *choreo.Record) memorylog.Fault {
			if rec.Topic == "choreo.dlq" && refused > 0 {
				refused--
				return memorylog.Fault{Before: errors.New("leader away")}
			}
			return memorylog.Fault{}
		})
		l.answer = func(context.Context, *choreo.Event) error { return choreo.Permanent(errors.New("no")) }
		l.emit(completedStep("o-1", "b", "x"))
		<-time.After(time.Minute)
		require.Len(t, l.dead(), 1, "a dead letter is never dropped")
		require.Zero(t, l.log.Lag("choreo.subscribers.mailer"))
	})
}

func TestSubscribeNeedsItsTopics(t *testing.T) {
	log := memorylog.New(memorylog.Options{})
	defer func() { require.NoError(t, log.Close()) }()
	handle := func(context.Context, *choreo.Event) error { return nil }
	err := participant.Subscribe(t.Context(), log, &participant.SubscribeConfig{Group: "g", Sagas: []string{"order"}}, handle)
	require.ErrorContains(t, err, `["choreo.order.events" "choreo.dlq"] do not exist`)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	log.Disconnect(errors.New("away"))
	require.NoError(t, participant.Subscribe(ended, log, &participant.SubscribeConfig{Group: "g", Sagas: []string{"order"}}, handle))
}

func TestSubscribersOfAGroupShareAndOthersGetAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener(t, participant.SubscribeConfig{})
		l.start()
		var others [2][]string
		var mu sync.Mutex
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for i, group := range []string{"mailer", "audit"} {
			running.Go(func() {
				err := participant.Subscribe(ctx, l.log, &participant.SubscribeConfig{Group: group, Sagas: []string{"order"}},
					func(_ context.Context, ev *choreo.Event) error {
						mu.Lock()
						defer mu.Unlock()
						others[i] = append(others[i], ev.SagaID+ev.Step)
						return nil
					})
				if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		for n := range 60 {
			id := fmt.Sprint("o-", n%20)
			l.emit(completedStep(id, fmt.Sprint("/", n/20), "x"))
		}
		require.Len(t, others[1], 60)
		require.Equal(t, 60, len(l.heard())+len(others[0]))
		require.NotEmpty(t, l.heard())
		require.NotEmpty(t, others[0])
		last := make(map[string]string)
		for _, heard := range others[1] {
			id, step := heard[:len(heard)-2], heard[len(heard)-1:]
			require.Less(t, last[id], step, "in order")
			last[id] = step
		}
		stop()
		running.Wait()
	})
}

func TestEventPayload(t *testing.T) {
	ev := completedStep("o-1", "charge", "payments")
	got, err := participant.EventPayload[ticket](ev, schema.JSON{})
	require.NoError(t, err)
	require.Equal(t, ticket{From: "here"}, got)

	ev.Payload = []byte("{")
	_, err = participant.EventPayload[ticket](ev, schema.JSON{})
	require.Equal(t, choreo.ClassPermanent, choreo.Classify(err).Class)
	require.ErrorContains(t, err, `payload of choreo.step.completed of saga order "o-1"`)
	ev.ContentType = "avro/binary"
	_, err = participant.EventPayload[ticket](ev, schema.JSON{})
	require.ErrorContains(t, err, `"avro/binary"`)
}
