package participant

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/topics"
)

func TestAnOperatorReleasesAParkedSaga(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		db := memory.NewDatabase()
		s, next := newPaymentsWith(t, db, b.old), newPaymentsWith(t, db, b.new)
		s.act()
		next.act()
		request := b.releaseRequest("17", "deployed")
		s.read(b.trigger("17"), b.failed("17"))
		next.read(request)
		require.Equal(t, goneThrough, next.emitted(), "the command does not wait behind what is parked")
		released := next.last()
		require.Equal(t, "ada: deployed", released.By+": "+released.Note)
		require.Equal(t, request.ID, released.CausationID)
		require.Equal(t, request.ID, marker(db, "17").Origin.Commands)
		require.Equal(t, choreo.RowNone, marker(db, "17").State)

		next.read(request)
		s.read(request)
		require.Len(t, next.emitted(), 4, "a command is answered once")
	})
}

func TestAReleaseThatIsInVainIsRejectedWithWhy(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		db := memory.NewDatabase()
		s := newPaymentsWith(t, db, b.old)
		s.act()
		s.read(b.trigger("17"), b.failed("17"))
		request := b.releaseRequest("17", "deployed?")
		s.read(request, request)
		s.read(request)
		require.Equal(t, []string{parkedEvent, rejectedEvent}, s.emitted())
		rejected := s.last()
		require.Equal(t, b.code, rejected.Failure.Code)
		require.Contains(t, rejected.Failure.Message, b.says)
		require.Equal(t, "ada: deployed?", rejected.By+": "+rejected.Note)
		require.Equal(t, request.ID, rejected.CausationID)
		require.Equal(t, b.version, rejected.Version)
		require.Equal(t, 1, marker(db, "17").Attempt)
		require.Len(t, queue(t, db, "17"), 2)

		<-time.After(2 * time.Minute) // the next try comes by itself
		newPaymentsWith(t, db, b.new).act()
		require.Equal(t, []string{parkedEvent, rejectedEvent, completedEvent, compensatedEvent, releasedEvent}, s.emitted())
		require.Empty(t, s.last().By)
		s.read(request)
		require.Len(t, s.emitted(), 5, "the command is known also when the saga is not parked any more")
	})
}

func TestAReleaseOfWhatIsNotParkedIsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		b := builds[0] // the operator does not know the version
		for _, saga := range []string{"17", "18"} {
			if saga == "18" {
				s.read(createdEvent(saga))
			}
			n := len(s.emitted())
			request := b.releaseRequest(saga, "")
			s.read(request, request)
			require.Equal(t, []string{rejectedEvent}, s.emitted()[n:])
			require.Equal(t, "not-parked", s.last().Failure.Code)
			require.Equal(t, choreo.ClassRefused, s.last().Failure.Class)
			require.Contains(t, s.last().Failure.Message, "service payments has not parked the saga")
			require.Equal(t, int32(3), s.last().Partition)
		}
		// What the command claims of the version is nobody's knowledge.
		s.read(createdEvent("17"))
		require.NoError(t, Cancel(t.Context(), s.Participant, order, "17", "changed her mind"))
		require.Equal(t, 1, s.last().Version)
		require.Equal(t, "2", s.held())
	})
}

func TestCommandsOfOneBatchAreAllAnswered(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		db := memory.NewDatabase()
		newPaymentsWith(t, db, b.old).read(b.trigger("17"), b.trigger("18"))
		next := newPaymentsWith(t, db, b.new)
		next.read(b.releaseRequest("17", ""), b.releaseRequest("18", ""), b.releaseRequest("19", ""))
		require.Equal(t, []string{
			parkedEvent, parkedEvent, completedEvent, releasedEvent, completedEvent, releasedEvent, rejectedEvent,
		}, next.emitted())
	})
}

func TestAReleaseIsForOneService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		b := builds[0]
		s.read(b.trigger("17"))
		request := b.releaseRequest("17", "")
		request.Target = "shipping"
		s.read(request)
		require.Equal(t, []string{parkedEvent}, s.emitted())
		require.Len(t, queue(t, s.db, "17"), 1)
	})
}

// Whoever reads the command after the crash knows nothing of it.
func TestACommandIsAnsweredOnceAtEveryCrashPoint(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		request := b.releaseRequest("17", "")
		parked := func(db *memory.Database) { newPaymentsWith(t, db, b.old).read(b.trigger("17"), b.failed("17")) }
		for _, cfg := range []Config{b.new, b.old} {
			crashAtEach(t, parked, cfg, func(s *payments, ctx context.Context) {
				_ = s.handle(ctx, s.records(request))
			}, func(db *memory.Database, at int) {
				next := newPaymentsWith(t, db, cfg)
				next.read(request)
				if want := []string{parkedEvent, rejectedEvent}; marker(db, "17").State == choreo.RowParked {
					require.Equal(t, want, next.emitted(), "crash point %d", at)
					next = newPaymentsWith(t, db, b.new)
					next.act()
					require.Len(t, next.emitted(), 5, "crash point %d", at)
				} else {
					require.Equal(t, goneThrough, next.emitted(), "crash point %d", at)
					require.Equal(t, request.ID, next.last().CausationID, "crash point %d", at)
				}
				require.Equal(t, "0", next.held(), "crash point %d", at)
				require.Empty(t, queue(t, db, "17"), "crash point %d", at)
			})
		}
	})
}

// The service that gives the command need not know the version, if it knows the saga.
func TestReleaseIsAnEventOfTheSaga(t *testing.T) {
	s := newPayments(t, memory.NewDatabase())
	ada := Operator{By: "ada", Note: "deployed"}
	require.ErrorContains(t, Release(t.Context(), s.Participant, order, "17", "", ada), "name the one that has parked it")
	require.ErrorContains(t, Release(t.Context(), s.Participant, order, "17", "payments", Operator{}), "Operator.By")
	s.read(builds[0].trigger("17"))
	require.NoError(t, Release(t.Context(), s.Participant, order, "17", "shipping", ada))
	ev := s.last()
	require.Equal(t, choreo.ReleaseRequested, ev.Type)
	require.Equal(t, "shipping", ev.Target)
	require.Equal(t, 2, ev.Version, "that of the saga")
	require.Equal(t, int32(3), ev.Partition)
	require.Equal(t, "ada: deployed", ev.By+": "+ev.Note)
	rec := topics.Encode(ev, "choreo.order.events")
	require.False(t, s.concerns(&rec))
	require.ErrorContains(t, Cancel(t.Context(), s.Participant, order, "17", "no"), "version 2 is not among")
}

// Two processes read one command. What the second one could not handle must not count as
// handled because the first one has answered meanwhile.
func TestG7NoLossWhenTwoProcessesTryToRelease(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		db := memory.NewDatabase()
		first, second := newPaymentsWith(t, db, b.old), newPaymentsWith(t, db, b.old)
		first.read(b.trigger("17"), b.failed("17"))
		request := b.releaseRequest("17", "")
		begun := 0
		second.memory.SetHook(func(e memory.Effect) error {
			if e.Op == memory.OpBegin && !e.After {
				if begun++; begun == 2 {
					first.read(request)
				}
			}
			return nil
		})
		second.read(request)
		second.memory.SetHook(nil)
		require.Len(t, queue(t, db, "17"), 2)

		<-time.After(2 * time.Minute)
		next := newPaymentsWith(t, db, b.new)
		next.act()
		require.Equal(t, "0", next.held(), "executed, and undone")
		require.Equal(t, releasedEvent, next.emitted()[len(next.emitted())-1])
	})
}

// The transaction that would have ended the queue fails, and by the next attempt something
// has joined the queue.
func TestACommandIsAnsweredWhateverJoinsTheQueue(t *testing.T) {
	each(t, func(t *testing.T, b build) {
		db := memory.NewDatabase()
		newPaymentsWith(t, db, b.old).read(b.trigger("17"))
		next, other := newPaymentsWith(t, db, b.new), newPaymentsWith(t, db, b.new)
		failed := false
		next.memory.SetHook(func(e memory.Effect) error {
			switch {
			case e.Op == memory.OpCommit && !e.After && !failed:
				failed = true
				return memory.ErrConnectionLost
			case e.Op == memory.OpBegin && !e.After && failed:
				next.memory.SetHook(nil)
				other.read(b.failed("17"))
			}
			return nil
		})
		request := b.releaseRequest("17", "deployed")
		next.read(request)
		require.True(t, failed)
		require.Equal(t, goneThrough, next.emitted())
		require.Equal(t, request.ID, next.last().CausationID)
		require.Empty(t, queue(t, db, "17"))
	})
}
