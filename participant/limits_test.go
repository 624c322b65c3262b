package participant

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

// A place that comes free goes to what has waited, and not to what has just been read.
func TestWhatIsReadGoesBehindWhatWaits(t *testing.T) {
	l := newLimits(map[string]int{"charge": 2}, "payments", []choreo.AnySaga{order, order2})
	due := outbox.Due{SagaID: outbox.SagaID{Saga: "order"}, Step: "charge", State: choreo.RowRetrying}
	require.True(t, l.take("ship"), "without a bound")
	require.False(t, l.give("ship"))
	require.True(t, l.take("charge"))
	require.True(t, l.take("charge"))
	require.True(t, l.full("charge"))
	require.False(t, l.take("charge"))
	require.Equal(t, []outbox.DueKind{
		{Saga: "order", Step: "charge", State: choreo.RowRetrying}, {Saga: "order", Step: "charge", State: choreo.RowUndoing},
	}, l.except(l.open()))

	require.True(t, l.give("charge"), "the clock is rung")
	require.Empty(t, l.except(l.open()))
	require.False(t, l.take("charge"), "a row waits")
	require.True(t, l.bounds(&due))
	require.True(t, l.takeDue("charge"))
	require.False(t, l.takeDue("charge"))
	require.True(t, l.give("charge"))
	require.True(t, l.give("charge"), "rows may wait still")
	l.caughtUp("charge")
	require.True(t, l.take("charge"))
	require.False(t, l.give("charge"))

	due.State = choreo.RowPending
	require.False(t, l.bounds(&due), "an answer that did not come takes no place")
}

// The row of the saga that is put off is committed like any other, or not at all.
func TestG1AtomicAHandlerThatIsPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{StepLimits: map[string]int{"charge": 1}}
		full := func(s *payments) { require.True(t, s.limits.take("charge")) }
		prepare := func(*memory.Database) {}
		crashAtEach(t, prepare, cfg, func(s *payments, ctx context.Context) {
			full(s)
			_ = s.handle(ctx, s.records(createdEvent("17")))
		}, func(db *memory.Database, at int) {
			next := newPaymentsWith(t, db, cfg)
			full(next)
			next.read(createdEvent("17"))
			row := next.row("17")
			require.Equal(t, choreo.RowRetrying, row.State, "crash point %d", at)
			require.Zero(t, row.Attempt)
			require.Empty(t, next.charge.executed)
			require.True(t, next.limits.give("charge"))
			<-time.After(time.Millisecond)
			next.act()
			require.Equal(t, []int{1}, next.charge.executed, "crash point %d", at)
			require.Equal(t, "1", next.held())
			require.Equal(t, []string{completedEvent}, next.emitted())
		})
	})
}

// shop is a service that starts orders and runs none of their steps.
func newShop(t *testing.T, db *memory.Database, bound int) (*Participant[*memory.Tx], *memory.Store) {
	t.Helper()
	store := memory.New(db)
	p, err := New[*memory.Tx](&stubLog{}, store, &Config{Service: "shop", Sagas: []choreo.AnySaga{order}, MaxOpenSagas: bound})
	require.NoError(t, err)
	return p, store
}

func statesOf(db *memory.Database) map[choreo.RowState]int {
	states := make(map[choreo.RowState]int)
	for _, row := range db.Snapshot().Sagas {
		states[row.State]++
	}
	return states
}

func TestG1AtomicAdmissionAtEveryCrashPoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for at, done := 1, false; !done; at++ {
			db := memory.NewDatabase()
			p, store := newShop(t, db, 3)
			for i := range 5 {
				_, err := Start(t.Context(), p, order, fmt.Sprint(i), placed{})
				require.NoError(t, err)
			}
			<-time.After(time.Millisecond)
			ctx, cancel := context.WithCancel(t.Context())
			seen := 0
			store.SetHook(func(memory.Effect) error {
				if seen++; seen == at {
					cancel()
					store.Kill()
					return memory.ErrConnectionLost
				}
				return nil
			})
			if due, _, err := p.look(ctx); err == nil {
				require.LessOrEqual(t, len(due), 1, "one for all")
				for _, row := range due {
					p.actOn(ctx, row)
				}
			}
			done = ctx.Err() == nil
			cancel()
			next, _ := newShop(t, db, 3)
			for range 3 {
				due, _, err := next.look(t.Context())
				require.NoError(t, err)
				for _, row := range due {
					next.actOn(t.Context(), row)
				}
			}
			require.Equal(t, map[choreo.RowState]int{choreo.RowOpen: 3, choreo.RowQueued: 2}, statesOf(db), "crash point %d", at)
			require.Len(t, db.Snapshot().Entries, 3, "crash point %d", at)
		}
	})
}

// A queue that cannot move keeps no due row from its turn, and is left alone until something
// closes, or until the next poll.
func TestG8IsolationAFullQueueHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memory.NewDatabase()
		p, store := newShop(t, db, 2)
		for i := range 500 {
			_, err := Start(t.Context(), p, order, fmt.Sprint(i), placed{})
			require.NoError(t, err)
		}
		<-time.After(time.Millisecond)
		round := func() (due []outbox.Due) {
			for range 3 {
				found, _, err := p.look(t.Context())
				require.NoError(t, err)
				for _, row := range found {
					p.actOn(t.Context(), row)
				}
				due = append(due, found...)
			}
			return due
		}
		round()
		require.Equal(t, 2, statesOf(db)[choreo.RowOpen])

		overdue := outbox.SagaID{Saga: "order", ID: "overdue"}
		unit, err := store.Begin(t.Context(), overdue)
		require.NoError(t, err)
		require.NoError(t, unit.Commit(t.Context(), outbox.Changes{Sagas: []outbox.SagaRow{
			{SagaID: overdue, Version: 1, DueIn: atOnce, Row: choreo.Row{State: choreo.RowOpen}},
		}}))
		<-time.After(time.Millisecond)
		require.Equal(t, []outbox.Due{{SagaID: overdue, Version: 1, State: choreo.RowOpen}}, round())
		require.Empty(t, round())

		s := &payments{t: t}
		for _, id := range []string{"0", "overdue"} {
			closing := event(choreo.StepCompleted, "ship", id, "{}")
			closing.Initiator = "shop"
			require.NoError(t, p.handle(t.Context(), s.records(closing)))
		}
		require.Equal(t, 1, statesOf(db)[choreo.RowOpen])
		round()
		require.Equal(t, 2, statesOf(db)[choreo.RowOpen], "two have closed of three: one is admitted")
		require.Empty(t, round())
		<-time.After(time.Second)
		require.Len(t, round(), 1, "by the next poll somebody else may have closed one")
		require.Equal(t, 497, statesOf(db)[choreo.RowQueued])
	})
}

// A saga closes after the open ones were counted, and before it is known that there is no room.
func TestNoClosingIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memory.NewDatabase()
		p, store := newShop(t, db, 1)
		for i := range 3 {
			_, err := Start(t.Context(), p, order, fmt.Sprint(i), placed{})
			require.NoError(t, err)
			<-time.After(time.Millisecond)
		}
		round := func() {
			due, _, err := p.look(t.Context())
			require.NoError(t, err)
			for _, row := range due {
				p.actOn(t.Context(), row)
			}
		}
		closes := func(id string) {
			closing := event(choreo.StepCompleted, "ship", id, "{}")
			closing.Initiator = "shop"
			require.NoError(t, p.handle(t.Context(), (&payments{t: t}).records(closing)))
		}
		round()
		closes("0")
		round()
		require.Equal(t, 1, statesOf(db)[choreo.RowOpen])
		store.SetHook(func(e memory.Effect) error {
			if e.Op == memory.OpCountOpen && e.After {
				store.SetHook(nil)
				closes("1")
			}
			return nil
		})
		round() // finds no room
		require.Equal(t, 0, statesOf(db)[choreo.RowOpen])
		round()
		require.Equal(t, map[choreo.RowState]int{choreo.RowClosed: 2, choreo.RowOpen: 1}, statesOf(db))
	})
}

func TestBoundsAreChecked(t *testing.T) {
	_, err := New[*memory.Tx](&stubLog{}, memory.New(memory.NewDatabase()), &Config{
		Service: "payments", Sagas: []choreo.AnySaga{order},
		StepLimits: map[string]int{"charge": 0, "ship": 2, "charge-back": 1}, MaxOpenSagas: -1,
	})
	for _, want := range []string{
		`Config.StepLimits["charge"] is 0: use a number of at least 1`,
		`Config.StepLimits["ship"]: service "payments" owns no such step`,
		`Config.StepLimits["charge-back"]: service "payments" owns no such step`,
		"Config.MaxOpenSagas is -1",
	} {
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, 4, strings.Count(err.Error(), "participant: Config."))
}
