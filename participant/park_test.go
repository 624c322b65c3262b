package participant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
)

var (
	order2 = choreo.MustDefine[placed]("order", 2,
		create.OwnedBy("orders"),
		charge.OwnedBy("payments").After(create).Retry(fast).UndoRetry(fast),
		ship.OwnedBy("shipping").After(charge).Uses(create).NoCompensation(),
	)
	both = Config{Sagas: []choreo.AnySaga{order, order2}}
)

// old is JSON to a build that cannot read what holds this word.
type oldCodec struct {
	schema.JSON
	word string
}

func (c oldCodec) Decode(data []byte, into any) error {
	if slices.Contains(words(data), c.word) {
		return fmt.Errorf("unknown word %q", c.word)
	}
	return c.JSON.Decode(data, into)
}

func words(data []byte) []string {
	return slices.Collect(func(yield func(string) bool) {
		begin := -1
		for i, b := range append(slices.Clone(data), ' ') {
			letter := b >= 'a' && b <= 'z'
			switch {
			case letter && begin < 0:
				begin = i
			case !letter && begin >= 0:
				if !yield(string(data[begin:i])) {
					return
				}
				begin = -1
			}
		}
	})
}

// euros is an output of the step before that an oldCodec cannot read.
const euros = `{"Total":42,"In":"euros"}`

// build is how the service stands before and after a deployment.
type build struct {
	name     string
	old, new Config
	version  int
	payload  string
	code     string
	says     string
}

// builds are the reasons why a build parks a saga that another can go on with.
var builds = []build{
	{
		name: "unknown version", new: both, version: 2, payload: `{"Total":42}`, code: "unknown-version",
		says: "version 2 of saga order is not known to this build. Run one whose Config.Sagas has it",
	},
	{
		name: "payload", old: Config{Codec: oldCodec{word: "euros"}}, version: 1, payload: euros, code: "undecodable-payload",
		says: `step "charge" of order/1 cannot read the output of step "create": unknown word "euros". Run a build that can`,
	},
	{
		name: "no handler", old: Config{ParkUnhandled: true}, version: 1, payload: `{"Total":42}`, code: "no-handler",
		says: `step "charge" of order/1 has no handler in this build. Run one that registers it with Handle`,
	},
}

// each runs a test for every reason.
func each(t *testing.T, f func(t *testing.T, b build)) {
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, b) }) })
	}
}

// trigger has the step run, failed has it undone.
func (b build) trigger(saga string) *choreo.Event {
	ev := createdEvent(saga)
	ev.Version, ev.Payload = b.version, []byte(b.payload)
	return ev
}

func (b build) failed(saga string) *choreo.Event {
	ev := event(choreo.StepFailed, "ship", saga, "{}")
	ev.Version = b.version
	ev.Failure = &choreo.Failure{Class: choreo.ClassRefused, Code: "no-van"}
	return ev
}

func (b build) releaseRequest(saga, note string) *choreo.Event {
	ev := event(choreo.ReleaseRequested, "", saga, "{}")
	ev.Version, ev.Target, ev.By, ev.Note, ev.Initiator = b.version, "payments", "ada", note, ""
	return ev
}

// act acts on what is due until nothing is.
func (s *payments) act() {
	s.t.Helper()
	for {
		due, _, err := s.look(s.t.Context())
		require.NoError(s.t, err)
		if len(due) == 0 {
			return
		}
		for _, row := range due {
			s.actOn(s.t.Context(), row)
		}
	}
}

// marker is the row of a saga that is parked.
func marker(db *memory.Database, saga string) choreo.Row {
	for _, row := range db.Snapshot().Steps {
		if row.SagaID.ID == saga && row.Step == choreo.ParkedRow {
			return row.Row
		}
	}
	return choreo.Row{}
}

// queue returns the types of the events that are parked of a saga.
func queue(t *testing.T, db *memory.Database, saga string) (list []choreo.EventType) {
	t.Helper()
	for _, p := range db.Snapshot().Parked {
		if p.SagaID.ID == saga {
			ev, err := topics.Decode(&p.Record)
			require.NoError(t, err)
			list = append(list, ev.Type)
		}
	}
	return list
}

const (
	parkedEvent      = "choreo.saga.parked "
	releasedEvent    = "choreo.saga.released "
	rejectedEvent    = "choreo.saga.release-rejected "
	completedEvent   = "choreo.step.completed charge"
	compensatedEvent = "choreo.step.compensated charge"
)

// goneThrough is what is emitted where a saga is parked, released, and then as if nothing had been.
var goneThrough = []string{parkedEvent, completedEvent, compensatedEvent, releasedEvent}

// last decodes the last entry of the outbox.
func (s *payments) last() *choreo.Event {
	s.t.Helper()
	entries := s.db.Snapshot().Entries
	ev, err := topics.Decode(&entries[len(entries)-1].Record)
	require.NoError(s.t, err)
	return ev
}

func TestASagaThatABuildCannotGoOnWithIsParkedUntilAnotherCan(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		db := memory.NewDatabase()
		s := newPaymentsWith(t, db, b.old)
		trigger := b.trigger("17")
		s.read(trigger)
		row := marker(db, "17")
		require.Equal(t, choreo.RowParked, row.State)
		require.Equal(t, b.code, row.Failure.Code)
		require.Contains(t, row.Failure.Message, b.says)
		require.Contains(t, row.Failure.Message, "the saga goes on by itself then")
		parked := s.last()
		require.Equal(t, choreo.SagaParked, parked.Type)
		require.Equal(t, "payments", parked.Source)
		require.Equal(t, row.Failure, parked.Failure)
		require.Equal(t, trigger.ID, parked.CausationID)
		require.Equal(t, b.version, parked.Version)
		require.Equal(t, int32(3), parked.Partition)

		s.read(b.failed("17"))
		s.act()
		require.Equal(t, []string{parkedEvent}, s.emitted(), "later events wait in silence")
		require.Equal(t, []choreo.EventType{choreo.StepCompleted, choreo.StepFailed}, queue(t, db, "17"))
		require.Empty(t, s.charge.executed)
		require.Equal(t, choreo.RowNone, s.row("17").State)

		next := newPaymentsWith(t, db, b.new)
		next.act()
		require.Equal(t, goneThrough, next.emitted())
		require.Equal(t, []int{1}, next.charge.executed)
		require.Equal(t, []int{1}, next.charge.undone)
		require.Equal(t, choreo.Row{Home: 3}, marker(db, "17"))
		require.Empty(t, queue(t, db, "17"))
		require.Empty(t, s.log.published)

		next.read(b.trigger("18"))
		require.Equal(t, "1", s.held(), "what comes later flows")
	})
}

// Whatever a build cannot go on with, sagas with which it can do not wait; nor do they in
// the batch in which it is read.
func TestG8IsolationAParkedSagaHoldsUpNoOther(t *testing.T) {
	refund := choreo.NewStep[created, receipt]("refund")
	refunds := choreo.MustDefine[placed]("refund", 1,
		create.OwnedBy("orders"), refund.OwnedBy("payments").After(create), ship.OwnedBy("shipping").After(refund))
	each(t, func(t *testing.T, b build) {
		if b.old.Sagas == nil {
			b.old.Sagas = []choreo.AnySaga{order}
		}
		b.old.Sagas = append(slices.Clone(b.old.Sagas), refunds)
		s := newPaymentsWith(t, memory.NewDatabase(), b.old)
		var other script[created, receipt]
		Handle(s.Participant, refund, &other)
		var events []*choreo.Event
		for i := range 20 {
			id := fmt.Sprint(i)
			first, second, next := b.trigger(id), b.failed(id), createdEvent(id)
			next.Saga = "refund"
			undo := event(choreo.StepFailed, "ship", id, "{}")
			undo.Saga = "refund"
			events = append(events, first, next, second, undo)
		}
		s.read(events...)
		s.read(events...)
		require.Len(t, other.executed, 20)
		require.Len(t, other.undone, 20)
		require.Empty(t, s.charge.executed)
		for i := range 20 {
			require.Len(t, queue(t, s.db, fmt.Sprint(i)), 2)
		}
		require.Len(t, s.emitted(), 20+2*20)
	})
}

func TestAParkedSagaIsTriedAgainEverMoreRarely(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		s := newPaymentsWith(t, memory.NewDatabase(), b.old)
		s.act() // what happens only at the start of a process
		s.read(b.trigger("17"))
		for tries, minutes := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			<-time.After(time.Duration(minutes)*time.Minute - time.Second)
			s.act()
			require.Equal(t, tries, marker(s.db, "17").Attempt)
			<-time.After(time.Second)
			s.act()
			require.Equal(t, tries+1, marker(s.db, "17").Attempt)
		}
		require.Equal(t, []string{parkedEvent}, s.emitted())
		require.Equal(t, b.code, marker(s.db, "17").Failure.Code)
	})
}

// The reason may change on the way.
func TestTheMarkerTellsWhyTheSagaStaysParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memory.NewDatabase()
		s := newPayments(t, db)
		b := builds[0]
		b.payload = euros
		s.read(b.trigger("17"), b.failed("17"))
		require.Equal(t, "unknown-version", marker(db, "17").Failure.Code)
		cfg := both
		cfg.Codec = oldCodec{word: "euros"}
		half := newPaymentsWith(t, db, cfg)
		half.act()
		require.Equal(t, "undecodable-payload", marker(db, "17").Failure.Code)
		require.Equal(t, 1, marker(db, "17").Attempt)
		require.Len(t, queue(t, db, "17"), 2)
		newPaymentsWith(t, db, both).act()
		require.Equal(t, goneThrough, s.emitted())
	})
}

// Two processes of different builds take turns at the same saga.
func TestG9OrderWithTwoBuildsSideBySide(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		db := memory.NewDatabase()
		s, next := newPaymentsWith(t, db, b.old), newPaymentsWith(t, db, b.new)
		s.act()
		next.act()
		trigger, failed := b.trigger("17"), b.failed("17")
		s.read(trigger)
		next.read(failed, trigger)
		require.Len(t, queue(t, db, "17"), 2, "what a build could handle does not overtake")
		require.Equal(t, []string{parkedEvent}, s.emitted())
		<-time.After(time.Minute)
		s.act() // has its turn first, in vain
		next.act()
		require.Len(t, s.emitted(), 1)
		<-time.After(2 * time.Minute)
		next.act()
		s.act()
		require.Equal(t, goneThrough, s.emitted())

		// Once more: what is read twice is parked again, and comes to nothing.
		s.read(trigger, failed)
		<-time.After(time.Minute)
		next.act()
		require.Equal(t, "0", s.held())
		require.Equal(t, []int{1}, next.charge.executed)
		require.Equal(t, choreo.RowUndone, s.row("17").State)
		require.Equal(t, choreo.RowNone, marker(db, "17").State)
	})
}

func TestG2OnceWhateverIsParkedTwice(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		db := memory.NewDatabase()
		s := newPaymentsWith(t, db, b.old)
		trigger, failed := b.trigger("17"), b.failed("17")
		s.read(trigger, failed)
		s.read(trigger, failed) // the same records
		require.Len(t, queue(t, db, "17"), 2)
		again := s.records(failed, trigger, failed) // the same events, published anew
		for i := range again {
			again[i].Offset += 10
		}
		require.NoError(t, s.handle(t.Context(), again))
		require.Len(t, queue(t, db, "17"), 4)
		next := newPaymentsWith(t, db, b.new)
		next.act()
		require.Equal(t, goneThrough, s.emitted())
		require.Equal(t, "0", s.held())
	})
}

// Every effect of parking and of the release is a crash point. Whoever comes after the
// crash knows nothing of it.
func TestG1AtomicParkingAtEveryCrashPoint(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		events := []*choreo.Event{b.trigger("17"), b.failed("17")}
		park := func(s *payments, ctx context.Context) { _ = s.handle(ctx, s.records(events...)) }
		check := func(db *memory.Database, at int) {
			next := newPaymentsWith(t, db, b.old)
			park(next, t.Context())
			require.Len(t, queue(t, db, "17"), 2, "crash point %d", at)
			require.Equal(t, []string{parkedEvent}, next.emitted(), "crash point %d", at)
			for _, p := range db.Snapshot().Steps {
				require.Equal(t, choreo.ParkedRow, p.Step, "crash point %d", at)
			}
		}
		crashAtEach(t, func(*memory.Database) {}, b.old, park, check)

		release := func(s *payments, ctx context.Context) {
			for range 5 {
				due, _, err := s.look(ctx)
				if err != nil {
					return
				}
				for _, row := range due {
					s.actOn(ctx, row)
				}
			}
		}
		parked := func(db *memory.Database) { park(newPaymentsWith(t, db, b.old), t.Context()) }
		crashAtEach(t, parked, b.new, release, func(db *memory.Database, at int) {
			next := newPaymentsWith(t, db, b.new)
			next.act()
			require.Equal(t, goneThrough, next.emitted(), "crash point %d", at)
			require.Equal(t, "0", next.held(), "crash point %d", at)
			require.Empty(t, queue(t, db, "17"), "crash point %d", at)
			require.Equal(t, choreo.RowNone, marker(db, "17").State, "crash point %d", at)
		})
	})
}

// crashAtEach has a process crash at each effect of what it does, and checks what is left.
func crashAtEach(t *testing.T, prepare func(*memory.Database), cfg Config, do func(*payments, context.Context), check func(db *memory.Database, at int)) {
	t.Helper()
	for at, done := 1, false; !done; at++ {
		db := memory.NewDatabase()
		prepare(db)
		s := newPaymentsWith(t, db, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		s.memory.SetHook(func(memory.Effect) error {
			if seen++; seen == at {
				cancel()
				s.memory.Kill()
				return errors.New("crash")
			}
			return nil
		})
		do(s, ctx)
		done = ctx.Err() == nil // it came to its end
		cancel()
		require.False(t, done && at < 12, "only %d effects", at)
		check(db, at)
	}
}

func TestAHandlersOwnCodeDoesNotPark(t *testing.T) {
	s := newPayments(t, memory.NewDatabase())
	s.charge.execute = func(context.Context, *memory.Tx, *Call[created]) (receipt, error) {
		return receipt{}, choreo.Refuse("undecodable-payload", errors.New("the bank's answer is no XML"))
	}
	s.read(createdEvent("17"))
	require.Equal(t, choreo.RowFailed, s.row("17").State)
	require.Equal(t, []string{"choreo.step.failed charge"}, s.emitted())
}

// A handler that finds an output of an earlier step unreadable has written before.
func TestAnOutputThatAHandlerCannotReadParks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		join := choreo.NewStep[choreo.Join, receipt]("charge")
		def := choreo.MustDefine[placed]("order", 1,
			create.OwnedBy("orders").Optional(), join.OwnedBy("payments").After(create), ship.OwnedBy("shipping").After(join))
		cfg := Config{Sagas: []choreo.AnySaga{def}, Codec: oldCodec{word: "euros"}, ParkUnhandled: true}
		db := memory.NewDatabase()
		handler := script[choreo.Join, receipt]{}
		handler.execute = func(_ context.Context, tx *memory.Tx, call *Call[choreo.Join]) (receipt, error) {
			in, _, err := choreo.OutputOf(call.Input.Outputs, create)
			if err != nil {
				return receipt{}, choreo.Permanent(fmt.Errorf("no order: %w", err))
			}
			return receipt{Charged: in.Total}, nil
		}
		s := newPaymentsWith(t, db, cfg)
		Handle(s.Participant, join, &handler)
		s.read(builds[1].trigger("17"))
		require.Equal(t, "undecodable-payload", marker(db, "17").Failure.Code)
		require.Empty(t, s.held(), "what it wrote is rolled back")
		require.Equal(t, []int{1}, handler.executed)
		s.read(builds[1].failed("17"))

		cfg.Codec = nil
		next := newPaymentsWith(t, db, cfg)
		Handle(next.Participant, join, &handler)
		next.act()
		require.Equal(t, goneThrough, s.emitted())
	})
}

// A condition cannot say that it could not read: it must not count as false for that.
func TestAnOutputThatAConditionCannotReadParks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		join := choreo.NewStep[choreo.Join, receipt]("charge")
		dear := func(in choreo.Join) bool {
			order, _, err := choreo.OutputOf(in.Outputs, create)
			return err == nil && order.Total > 40
		}
		def := choreo.MustDefine[placed]("order", 1,
			create.OwnedBy("orders").Optional(), join.OwnedBy("payments").After(create).When("dear", dear).NoCompensation())
		db := memory.NewDatabase()
		handler := script[choreo.Join, receipt]{}
		s := newPaymentsWith(t, db, Config{Sagas: []choreo.AnySaga{def}, Codec: oldCodec{word: "euros"}, ParkUnhandled: true})
		HandleForward(s.Participant, join, &handler)
		s.read(builds[1].trigger("17"))
		require.Equal(t, choreo.RowParked, marker(db, "17").State)
		require.Equal(t, "undecodable-payload", marker(db, "17").Failure.Code)

		next := newPaymentsWith(t, db, Config{Sagas: []choreo.AnySaga{def}, ParkUnhandled: true})
		HandleForward(next.Participant, join, &handler)
		next.act()
		require.Equal(t, []int{1}, handler.executed, "the condition holds")
	})
}

// What cannot matter to a service is not kept of a version that it does not know.
func TestNoticesAreNeverParked(t *testing.T) {
	s := newPayments(t, memory.NewDatabase())
	for typ, want := range map[choreo.EventType]bool{
		choreo.Started: true, choreo.StepCompleted: true, choreo.StepFailed: true, choreo.StepSkipped: true,
		choreo.StepCompensated: true, choreo.CompensationFailed: true, choreo.Aborted: true, choreo.AbortRequested: true,
		choreo.RetryRequested: true, choreo.ResolveRequested: true, choreo.ReleaseRequested: true,
		choreo.SagaParked: false, choreo.SagaReleased: false, choreo.ReleaseRejected: false,
		choreo.AbortRejected: false, choreo.StepStuck: false, choreo.CommandRejected: false,
	} {
		ev := event(typ, "", "17", "{}")
		ev.Version, ev.Target = 9, "payments"
		if typ.OfStep() {
			ev.Step = "charge"
		}
		rec := topics.Encode(ev, "choreo.order.events")
		require.Equal(t, want, s.concerns(&rec), typ)
		if typ == choreo.ReleaseRequested {
			ev.Target = "orders"
			rec = topics.Encode(ev, "choreo.order.events")
			require.False(t, s.concerns(&rec))
		}
	}
}

// Who asks for something may not know by which version the saga runs, nor who answers without
// having a row. An event that no participant has made may name any.
func TestASagaIsReadByTheVersionThatItRunsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for typ, step := range map[choreo.EventType]string{choreo.Aborted: "", choreo.StepFailed: "ship"} {
			s := newPayments(t, memory.NewDatabase())
			foreign := event(typ, step, "17", "{}")
			foreign.Version, foreign.Failure = 2, &choreo.Failure{Class: choreo.ClassCancelled}
			rec := topics.Encode(foreign, "choreo.order.events")
			require.True(t, s.concerns(&rec))
			s.read(createdEvent("17"), foreign)
			require.Equal(t, "0", s.held())
			require.Equal(t, []string{completedEvent, compensatedEvent}, s.emitted())
			require.Equal(t, 1, s.last().Version)
			require.Empty(t, s.log.published)
		}
	})
}

// An abort that names a version by guess does not make that the saga's.
func TestAGuessedVersionIsNotTheSagas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPaymentsWith(t, memory.NewDatabase(), both)
		guess := event(choreo.Aborted, "", "17", "{}")
		guess.Version, guess.Failure = 2, &choreo.Failure{Class: choreo.ClassCancelled}
		s.read(guess, createdEvent("17"))
		require.Equal(t, []string{"choreo.step.skipped charge"}, s.emitted())
		require.Equal(t, 1, s.last().Version)
		for _, row := range s.db.Snapshot().Steps {
			require.Equal(t, 1, row.Version)
		}
		require.NoError(t, Cancel(t.Context(), s.Participant, order2, "17", "again"))
		require.Equal(t, 1, s.last().Version)
	})
}

// A trigger that grew too old in the queue may be a duplicate like any other.
func TestG2OnceAStaleTriggerLeavesTheQueueForTheDeadLetters(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		db := memory.NewDatabase()
		s := newPaymentsWith(t, db, b.old)
		s.horizon = 24 * time.Hour
		trigger, failed := b.trigger("17"), b.failed("17")
		trigger.Time, failed.Time = time.Now(), time.Now()
		s.read(trigger, failed)
		<-time.After(25 * time.Hour)
		n, err := s.store.Prune(t.Context(), time.Hour, 100)
		require.NoError(t, err)
		require.Zero(t, n, "what is parked is kept")
		next := newPaymentsWith(t, db, b.new)
		next.horizon = s.horizon
		next.act()
		require.Empty(t, next.charge.executed)
		require.Empty(t, queue(t, db, "17"))
		require.Equal(t, choreo.RowSkipped, next.row("17").State)
		entries := db.Snapshot().Entries
		require.Len(t, entries, 3)
		letter := entries[1].Record
		require.Equal(t, "choreo.dlq", letter.Topic)
		require.Equal(t, b.payload, string(letter.Value))
		why, _ := letter.Header("kafka_dlt-exception-message")
		require.Contains(t, string(why), "older than Config.Horizon")
		require.Equal(t, choreo.SagaReleased, next.last().Type)
	})
}

// A step whose retry is due, and whose input this build cannot read, waits for one that can.
// Events of the saga that are read meanwhile go on with the release, whether the step does or not.
func TestADueStepThatDoesNotDecodeParksItsSaga(t *testing.T) {
	later := func(s *payments) {
		s.charge.execute = func(_ context.Context, _ *memory.Tx, call *Call[created]) (receipt, error) {
			if call.Attempt < 2 {
				return receipt{}, choreo.RetryAfter(time.Minute, errors.New("gateway is away"))
			}
			return receipt{}, nil
		}
	}
	for _, b := range builds[1:] {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := memory.NewDatabase()
				s := newPaymentsWith(t, db, b.new)
				later(s)
				s.read(b.trigger("17"))
				require.Equal(t, choreo.RowRetrying, s.row("17").State)
				old := newPaymentsWith(t, db, b.old)
				<-time.After(time.Minute)
				old.act()
				require.Equal(t, []string{"charge"}, marker(db, "17").Noted)
				require.Equal(t, []string{parkedEvent}, old.emitted())
				require.Equal(t, choreo.RowRetrying, old.row("17").State)
				require.Equal(t, 1, old.row("17").Attempt)
				<-time.After(59 * time.Second)
				due, _, err := old.look(t.Context())
				require.NoError(t, err)
				require.Empty(t, due, "the row waits with the saga")
				<-time.After(time.Second)
				old.act()
				require.Equal(t, 1, marker(db, "17").Attempt)
				require.Equal(t, b.code, marker(db, "17").Failure.Code)

				next := newPaymentsWith(t, db, b.new)
				next.act()
				require.Equal(t, []string{parkedEvent, completedEvent, releasedEvent}, next.emitted())
				require.Equal(t, []int{2}, next.charge.executed)
			})
			synctest.Test(t, func(t *testing.T) {
				db := memory.NewDatabase()
				s := newPaymentsWith(t, db, b.new)
				later(s)
				s.read(b.trigger("17"))
				old := newPaymentsWith(t, db, b.old)
				<-time.After(time.Minute)
				old.act()
				old.read(b.failed("17"))
				require.Equal(t, []choreo.EventType{choreo.StepFailed}, queue(t, db, "17"))
				<-time.After(time.Minute)
				old.act()
				require.Equal(t, choreo.RowSkipped, old.row("17").State, "the failure has ended the step")
				require.Equal(t, []string{parkedEvent, "choreo.step.skipped charge", releasedEvent}, old.emitted())
			})
		})
	}
}

// Due rows of a parked saga are acted on: the order between them and what is not yet read is
// open in any case.
func TestDueRowsOfAParkedSagaAreActedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPaymentsWith(t, memory.NewDatabase(), both)
		s.charge.execute = func(context.Context, *memory.Tx, *Call[created]) (receipt, error) {
			return receipt{}, Pending(time.Hour)
		}
		b := builds[0]
		s.read(b.trigger("17"))
		require.Equal(t, choreo.RowPending, s.row("17").State)
		old := newPayments(t, s.db)
		old.read(b.failed("17"))
		require.Equal(t, choreo.RowParked, marker(s.db, "17").State)
		<-time.After(time.Hour)
		due, _, err := s.look(t.Context())
		require.NoError(t, err)
		i := slices.IndexFunc(due, func(d outbox.Due) bool { return d.Step == "charge" })
		s.actOn(t.Context(), due[i])
		require.Equal(t, choreo.RowFailed, s.row("17").State)
		require.Equal(t, "timeout", s.row("17").Failure.Code)
	})
}

func TestQuietEventsOfParkedSagasJoinTheQueue(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		db := memory.NewDatabase()
		s, next := newPaymentsWith(t, db, b.old), newPaymentsWith(t, db, b.new)
		s.read(b.trigger("1"), b.trigger("2"))
		next.read(b.failed("1"), b.failed("2"), b.failed("3"), b.failed("4"))
		require.Len(t, queue(t, db, "1"), 2)
		require.Len(t, queue(t, db, "2"), 2)
		require.Equal(t, choreo.RowSkipped, next.row("3").State)
		require.Equal(t, choreo.RowSkipped, next.row("4").State)
		next.act()
		require.Equal(t, choreo.RowUndone, next.row("1").State)
		require.Equal(t, choreo.RowUndone, next.row("2").State)
	})
}
