package participant

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant/internal/drive"
	"github.com/choreo-go/choreo/topics"
)

type (
	placed  struct{ Customer string }
	created struct{ Total int }
	receipt struct{ Charged int }
)

var (
	create = choreo.NewStep[placed, created]("create")
	charge = choreo.NewStep[created, receipt]("charge")
	ship   = choreo.NewStep[receipt, receipt]("ship")

	fast = choreo.FixedRetry(3, 10*time.Millisecond)

	order = choreo.MustDefine[placed]("order", 1,
		create.OwnedBy("orders"),
		charge.OwnedBy("payments").After(create).Retry(fast).UndoRetry(fast).Timeout(time.Second),
		ship.OwnedBy("shipping").After(charge).Uses(create).NoCompensation(),
	)
)

// script is a handler whose answers a test writes.
type script[In, Out any] struct {
	mu         sync.Mutex
	execute    func(ctx context.Context, tx *memory.Tx, call *Call[In]) (Out, error)
	compensate func(ctx context.Context, tx *memory.Tx, call *Call[In], out Out) error
	executed   []int // the attempts
	undone     []int
}

func (s *script[In, Out]) Execute(ctx context.Context, tx *memory.Tx, call *Call[In]) (Out, error) {
	s.mu.Lock()
	s.executed = append(s.executed, call.Attempt)
	f := s.execute
	s.mu.Unlock()
	if err := add(tx, call.Step, 1); err != nil || f == nil {
		var out Out
		return out, err
	}
	return f(ctx, tx, call)
}

func (s *script[In, Out]) Compensate(ctx context.Context, tx *memory.Tx, call *Call[In], out Out) error {
	s.mu.Lock()
	s.undone = append(s.undone, call.Attempt)
	f := s.compensate
	s.mu.Unlock()
	if err := add(tx, call.Step, -1); err != nil || f == nil {
		return err
	}
	return f(ctx, tx, call, out)
}

// add changes the business counter of a step: how often its effect is held.
func add(tx *memory.Tx, step string, n int) error {
	value, _, err := tx.Get("held", step)
	if err != nil {
		return err
	}
	held, _ := strconv.Atoi(value)
	return tx.Put("held", step, strconv.Itoa(held+n))
}

// payments is a participant of the payments service on a memory store, without a log
// to read from: tests hand it records.
type payments struct {
	*Participant[*memory.Tx]
	t      *testing.T
	db     *memory.Database
	memory *memory.Store
	log    *stubLog
	charge script[created, receipt]
}

func newPayments(t *testing.T, db *memory.Database) *payments {
	t.Helper()
	s := newPaymentsWith(t, db, Config{})
	require.NoError(t, s.checkHandlers())
	return s
}

// newPaymentsWith has what is not set in the configuration from newPayments.
func newPaymentsWith(t *testing.T, db *memory.Database, cfg Config) *payments {
	t.Helper()
	return newPaymentsBound(t, db, cfg)
}

// newPaymentsBound says more of its handler.
func newPaymentsBound(t *testing.T, db *memory.Database, cfg Config, options ...HandleOption) *payments {
	t.Helper()
	s := &payments{t: t, db: db, memory: memory.New(db), log: &stubLog{}}
	cfg.Service = "payments"
	if cfg.Sagas == nil {
		cfg.Sagas = []choreo.AnySaga{order}
	}
	var err error
	s.Participant, err = New[*memory.Tx](s.log, s.memory, &cfg)
	require.NoError(t, err)
	if !cfg.ParkUnhandled {
		Handle(s.Participant, charge, &s.charge, options...)
	}
	return s
}

// read hands an event to the participant as its log would.
func (s *payments) read(events ...*choreo.Event) {
	s.t.Helper()
	require.NoError(s.t, s.handle(s.t.Context(), s.records(events...)))
}

// records are events as they stand in the log: each has its own place there.
func (s *payments) records(events ...*choreo.Event) []choreo.Record {
	batch := make([]choreo.Record, len(events))
	for i, ev := range events {
		place := fnv.New32()
		_, err := place.Write([]byte(ev.ID))
		require.NoError(s.t, err)
		batch[i] = topics.Encode(ev, "choreo.order.events")
		batch[i].Offset = int64(place.Sum32())
	}
	return batch
}

func (s *payments) row(saga string) choreo.Row {
	for _, row := range s.db.Snapshot().Steps {
		if row.SagaID.ID == saga && row.Step == "charge" {
			return row.Row
		}
	}
	return choreo.Row{}
}

// emitted returns type and step of what stands in the outbox.
func (s *payments) emitted() []string {
	var out []string
	for _, e := range s.db.Snapshot().Entries {
		ev, err := topics.Decode(&e.Record)
		require.NoError(s.t, err)
		out = append(out, fmt.Sprintf("%s %s", ev.Type, ev.Step))
	}
	return out
}

func (s *payments) held() string {
	return s.db.Snapshot().Tables["held"]["charge"]
}

func event(t choreo.EventType, step, saga, payload string) *choreo.Event {
	return &choreo.Event{
		ID: drive.Real().NewID(), Type: t, Saga: "order", Version: 1, SagaID: saga, Step: step,
		Source: "orders", Initiator: "orders", Time: time.Unix(1_700_000_000, 0),
		ContentType: "application/json", Payload: []byte(payload), Partition: 3,
	}
}

func createdEvent(saga string) *choreo.Event {
	return event(choreo.StepCompleted, "create", saga, `{"Total":42}`)
}

// stubLog takes what is published.
type stubLog struct {
	topics.Log
	mu        sync.Mutex
	published []choreo.Record
	fail      int // so many calls fail first
}

func (l *stubLog) Publish(_ context.Context, records []choreo.Record) []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail > 0 {
		l.fail--
		errs := make([]error, len(records))
		for i := range errs {
			errs[i] = fmt.Errorf("broker is away")
		}
		return errs
	}
	l.published = append(l.published, records...)
	return nil
}
