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
	"github.com/choreo-go/choreo/topics"
)

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
		handler.execute = func(_ context.Context, _ *memory.Tx, call *Call[choreo.Join]) (receipt, error) {
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
		choreo.StartRequested: true, choreo.StartRejected: false,
		choreo.AbortRejected: false, choreo.StepStuck: false, choreo.CommandRejected: false,
	} {
		ev := event(typ, "", "17", "{}")
		ev.Version, ev.Target = 9, "payments"
		if typ.OfStep() {
			ev.Step = "charge"
		}
		rec := topics.Encode(ev, "choreo.order.events")
		require.Equal(t, want, s.concerns(&rec), typ)
		if typ == choreo.ReleaseRequested || typ == choreo.StartRequested {
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
		for _, test := range []struct {
			typ  choreo.EventType
			step string
			cfg  Config
		}{{choreo.Aborted, "", Config{}}, {choreo.Aborted, "", both}, {choreo.StepFailed, "ship", Config{}}} {
			s := newPaymentsWith(t, memory.NewDatabase(), test.cfg)
			foreign := event(test.typ, test.step, "17", "{}")
			foreign.Version, foreign.Failure = 2, &choreo.Failure{Class: choreo.ClassCancelled}
			rec := topics.Encode(foreign, "choreo.order.events")
			require.True(t, s.concerns(&rec))
			s.read(createdEvent("17"), foreign)
			require.Equal(t, 1, s.db.Snapshot().Steps[0].Version)
			s.read(event(choreo.StepSkipped, "ship", "17", "{}"))
			require.Equal(t, "0", s.held())
			require.Equal(t, []string{completedEvent, compensatedEvent}, s.emitted())
			require.Equal(t, 1, s.last().Version)
			require.Empty(t, s.log.published)
		}
	})
}

// A request is kept where it may concern the service by any version: one that names another
// than the saga's must not be lost.
func TestARequestMayConcernByAnyVersion(t *testing.T) {
	pivot := func(number int, owner string) *choreo.Saga[placed] {
		return choreo.MustDefine[placed]("order", number,
			create.OwnedBy("orders"), charge.OwnedBy("payments").After(create).NoCompensation(),
			ship.OwnedBy(owner).After(charge).Pivot())
	}
	s := newPaymentsWith(t, memory.NewDatabase(), Config{Sagas: []choreo.AnySaga{pivot(1, "payments"), pivot(2, "shipping")}})
	for _, number := range []int{1, 2} {
		request := event(choreo.AbortRequested, "", "17", "{}")
		request.Version, request.Initiator = number, "orders"
		rec := topics.Encode(request, "choreo.order.events")
		require.True(t, s.concerns(&rec), number)
	}
	other := newPayments(t, memory.NewDatabase())
	request := event(choreo.AbortRequested, "", "17", "{}")
	rec := topics.Encode(request, "choreo.order.events")
	require.False(t, other.concerns(&rec), "no version has it answer")
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

// What is read and does not end the step that waits leaves it to the release.
func TestASagaIsNotReleasedWithoutTheStepsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, db := builds[1], memory.NewDatabase()
		s := newPaymentsWith(t, db, b.new)
		s.charge.execute = func(context.Context, *memory.Tx, *Call[created]) (receipt, error) {
			return receipt{}, choreo.RetryAfter(time.Minute, errors.New("gateway is away"))
		}
		trigger := b.trigger("17")
		s.read(trigger)
		old := newPaymentsWith(t, db, b.old)
		<-time.After(time.Minute)
		old.act()
		old.read(trigger)
		require.Len(t, queue(t, db, "17"), 1)
		<-time.After(time.Minute)
		old.act()
		require.Empty(t, queue(t, db, "17"), "a duplicate")
		require.Equal(t, choreo.RowParked, marker(db, "17").State)
		old.read(trigger)
		next := newPaymentsWith(t, db, b.new)
		next.act()
		require.Equal(t, []string{parkedEvent, completedEvent, releasedEvent}, next.emitted())
		require.Equal(t, []int{2}, next.charge.executed)
	})
}

// Two processes have found the same marker due. What the one has tried, the other leaves.
func TestATryThatIsInVainCountsOnce(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		db := memory.NewDatabase()
		s, other := newPaymentsWith(t, db, b.old), newPaymentsWith(t, db, b.old)
		s.act()
		other.act()
		s.read(b.trigger("17"))
		<-time.After(time.Minute)
		var found []outbox.Due
		for _, p := range []*payments{s, other} {
			due, _, err := p.look(t.Context())
			require.NoError(t, err)
			require.Len(t, due, 1)
			found = append(found, due...)
		}
		s.actOn(t.Context(), found[0])
		other.actOn(t.Context(), found[1])
		require.Equal(t, 1, marker(db, "17").Attempt)
	})
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
