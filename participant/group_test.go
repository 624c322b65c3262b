package participant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
)

// sharing is a payments service whose handler is local, and a count of what its store does.
type sharing struct {
	*payments
	mu   sync.Mutex
	done map[memory.Op]int
	hook memory.Hook // called after the count; nil: none
	ran  map[string]int
	fate map[string]func(attempt int) error // by saga; none: it succeeds
}

func newSharing(t *testing.T, db *memory.Database, cfg Config) *sharing {
	t.Helper()
	s := &sharing{done: make(map[memory.Op]int), ran: make(map[string]int), fate: make(map[string]func(int) error)}
	s.payments = newPaymentsBound(t, db, cfg, Local())
	require.NoError(t, s.checkHandlers())
	s.charge.execute = func(_ context.Context, tx *memory.Tx, call *Call[created]) (receipt, error) {
		s.mu.Lock()
		s.ran[call.SagaID]++
		fate := s.fate[call.SagaID]
		s.mu.Unlock()
		if err := tx.Put("charged", call.SagaID, fmt.Sprint(call.Attempt)); err != nil {
			return receipt{}, err
		}
		if fate != nil {
			return receipt{}, fate(call.Attempt)
		}
		return receipt{Charged: call.Input.Total}, nil
	}
	s.memory.SetHook(func(e memory.Effect) error {
		s.mu.Lock()
		if e.After {
			s.done[e.Op]++
		}
		hook := s.hook
		s.mu.Unlock()
		if hook != nil {
			return hook(e)
		}
		return nil
	})
	return s
}

// count returns how often an operation was done since the last count of it.
func (s *sharing) count(op memory.Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.done[op]
	delete(s.done, op)
	return n
}

func (s *sharing) setHook(hook memory.Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// trigger returns events that have sagas charged.
func trigger(sagas ...string) []*choreo.Event {
	events := make([]*choreo.Event, len(sagas))
	for i, id := range sagas {
		events[i] = createdEvent(id)
	}
	return events
}

// charged returns which sagas' effects are committed, sorted.
func (s *sharing) charged() string {
	var ids []string
	for id := range s.db.Snapshot().Tables["charged"] {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// states returns how the sagas' rows stand, and requires that effects and events say the same.
func (s *sharing) states(sagas ...string) string {
	s.t.Helper()
	var states []string
	emitted := strings.Join(s.emitted(), "\n")
	var completed []string
	failed := 0
	for _, row := range s.db.Snapshot().Steps {
		switch {
		case row.State == choreo.RowCompleted:
			completed = append(completed, row.SagaID.ID)
		case row.State == choreo.RowFailed:
			failed++
		}
	}
	require.Equal(s.t, s.charged(), strings.Join(completed, " "), "G1: effects, and rows")
	require.Equal(s.t, len(completed), strings.Count(emitted, "completed charge"), "G2")
	require.Equal(s.t, failed, strings.Count(emitted, "failed charge"), "G2")
	for _, id := range sagas {
		states = append(states, string(s.row(id).State))
	}
	return strings.Join(states, " ")
}

func refuses(int) error { return choreo.Refusef("insufficient-funds", "balance is 3") }

func TestLocalStepsOfManySagasShareACommit(t *testing.T) {
	s := newSharing(t, memory.NewDatabase(), Config{})
	s.read(trigger("a", "b", "c", "d", "e")...)
	require.Equal(t, 1, s.count(memory.OpCommit))
	require.Equal(t, "completed completed completed completed completed", s.states("a", "b", "c", "d", "e"))
	require.Equal(t, "5", s.held())

	s.read(trigger("f")...)
	require.Equal(t, 1, s.count(memory.OpCommit), "one that is alone has its own at once")
}

func TestWhoDoesNotSayLocalSharesNothing(t *testing.T) {
	for name, s := range map[string]*sharing{
		"Groups is negative": newSharing(t, memory.NewDatabase(), Config{Groups: -1}),
		"no Local":           {payments: newPayments(t, memory.NewDatabase())},
	} {
		commits := 0
		s.memory.SetHook(func(e memory.Effect) error {
			if e.Op == memory.OpCommit && e.After {
				commits++
			}
			return nil
		})
		s.read(trigger("a", "b", "c")...)
		require.Equal(t, 3, commits, name)
	}
}

// A refusal, an error that is retried on the spot, one that is retried later, and a panic: each
// costs only its own saga, whether the handler is made undoable beforehand or not.
func TestG1AtomicWhatFailsInAGroupCostsOnlyItsOwnSaga(t *testing.T) {
	for name, test := range map[string]struct {
		fate    func(attempt int) error
		state   choreo.RowState
		tried   int
		commits int // one of the group, and one more where the saga goes on by itself
	}{
		"refusal": {refuses, choreo.RowFailed, 1, 1},
		"retry on the spot": {func(attempt int) error {
			if attempt < 3 {
				return errors.New("gateway timeout")
			}
			return nil
		}, choreo.RowCompleted, 3, 2},
		"retry later": {func(int) error { return choreo.RetryAfter(time.Hour, errors.New("slow down")) }, choreo.RowRetrying, 1, 1},
		"panic":       {func(int) error { panic("index out of range") }, choreo.RowFailed, 3, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSharing(t, memory.NewDatabase(), Config{})
				s.fate["b"], s.fate["y"] = test.fate, test.fate
				s.read(trigger("a", "b", "c")...)
				want := "completed " + string(test.state) + " completed"
				require.Equal(t, want, s.states("a", "b", "c"))
				require.Equal(t, test.tried, s.ran["b"])
				require.Equal(t, 2, s.ran["a"], "the group began anew")
				s.count(memory.OpCommit)

				s.read(trigger("x", "y", "z")...)
				require.Equal(t, want, s.states("x", "y", "z"))
				require.Equal(t, test.tried, s.ran["y"])
				require.Equal(t, 1, s.ran["x"], "now it was known that the handler may fail")
				require.Equal(t, 1, s.ran["z"])
				require.Equal(t, test.commits, s.count(memory.OpCommit), "none for the verdict alone")
				require.Equal(t, test.tried, s.row("y").Attempt)
			})
		})
	}
}

// A handler that fails again and again is not asked for more than its policy says.
func TestAttemptsInAGroupCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharing(t, memory.NewDatabase(), Config{})
		var attempts []int
		s.fate["b"] = func(attempt int) error {
			attempts = append(attempts, attempt)
			return errors.New("gateway timeout")
		}
		s.read(trigger("a", "b")...)
		require.Equal(t, []int{1, 2, 3}, attempts)
		require.Equal(t, "completed failed", s.states("a", "b"))
	})
}

// Every effect of a group in which one refuses is a crash point, before and after it. Then the
// events are read again by a process that knows nothing of the first.
func TestG1AtomicAGroupAtEveryCrashPoint(t *testing.T) {
	events := trigger("a", "b", "c")
	crash := errors.New("crash")
	for at := 0; ; at++ {
		db := memory.NewDatabase()
		s := newSharing(t, db, Config{})
		s.fate["b"] = refuses
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		s.setHook(func(memory.Effect) error {
			if seen++; seen == at+1 {
				cancel()
				s.memory.Kill()
				return crash
			}
			return nil
		})
		err := s.handle(ctx, s.records(events...))
		cancel()
		if seen <= at {
			require.NoError(t, err)
			require.Greater(t, at, 40)
			return
		}
		require.Error(t, err, "crash point %d", at)
		require.Contains(t, []string{"  ", "completed failed completed"}, s.states("a", "b", "c"), "crash point %d", at)

		next := newSharing(t, db, Config{})
		next.fate["b"] = refuses
		next.read(events...)
		require.Equal(t, "completed failed completed", next.states("a", "b", "c"), "crash point %d", at)
		require.Equal(t, "2", next.held(), "crash point %d", at)
	}
}

func TestG2OnceOneSagaTwiceInAGroup(t *testing.T) {
	s := newSharing(t, memory.NewDatabase(), Config{})
	first, failed := createdEvent("17"), event(choreo.StepFailed, "ship", "17", "{}")
	other := createdEvent("18")
	s.read(first, other, first, failed, first, failed)
	require.Equal(t, 1, s.count(memory.OpCommit))
	s.read(failed, other, first)
	require.Equal(t, []int{1}, s.charge.undone)
	require.Equal(t, 1, s.ran["17"])
	require.Equal(t, "1", s.held(), "of 18")
	require.Equal(t, []string{"choreo.step.completed charge", "choreo.step.compensated charge", "choreo.step.completed charge"}, s.emitted())
}

// A retry that is due later, and in the same batch what makes it idle.
func TestWhatIsSkippedInItsGroupIsNotDue(t *testing.T) {
	s := newSharing(t, memory.NewDatabase(), Config{})
	s.fate["a"] = func(int) error { return choreo.RetryAfter(time.Hour, errors.New("slow down")) }
	s.read(createdEvent("a"), event(choreo.Aborted, "", "a", "{}"), createdEvent("b"))
	require.Equal(t, choreo.RowSkipped, s.row("a").State)
	for _, row := range s.db.Snapshot().Steps {
		require.Zero(t, row.DueIn, row.SagaID.ID)
	}
}

// The commit of a group succeeds and its answer is lost, or it fails for a reason of its own. Each
// saga is then looked at by itself.
func TestG2OnceAGroupsCommitOfUnknownOutcome(t *testing.T) {
	for name, after := range map[string]bool{"unknown outcome": true, "failure": false} {
		synctest.Test(t, func(t *testing.T) {
			s := newSharing(t, memory.NewDatabase(), Config{})
			s.fate["b"] = refuses
			s.read(trigger("b")...) // so that no group begins anew
			lost := 1
			s.setHook(func(e memory.Effect) error {
				if e.Op == memory.OpCommit && e.After == after && lost > 0 {
					lost--
					return errors.New("connection reset")
				}
				return nil
			})
			s.read(trigger("a", "c", "d")...)
			require.Zero(t, lost, name)
			require.Equal(t, "completed failed completed completed", s.states("a", "b", "c", "d"), name)
			require.Equal(t, "3", s.held(), name)
			if after {
				require.Equal(t, 1, s.ran["a"], "its row said that it is done")
			}
		})
	}
}

// Conflicts are tried again by groups that take turns, then by smaller ones, and in the end one by
// one; when there are no more of them, groups grow again.
func TestGroupsShrinkUnderConflictsAndGrowAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharing(t, memory.NewDatabase(), Config{GroupMax: 8})
		largest := 0
		s.setHook(func(e memory.Effect) error {
			if e.Op == memory.OpCommit && !e.After {
				largest = max(largest, len(e.Sagas))
				if len(e.Sagas) > 1 {
					return memory.ErrConflict
				}
			}
			return nil
		})
		sagas := strings.Split("a b c d e f g h i j k l m n o p", " ")
		s.read(trigger(sagas...)...)
		require.Equal(t, strings.TrimSuffix(strings.Repeat("completed ", 16), " "), s.states(sagas...))
		require.Equal(t, 8, largest)
		require.Equal(t, 1, s.groups.pace.size())
		require.True(t, s.groups.pace.takesTurns(time.Now()))

		<-time.After(mostTurns)
		require.False(t, s.groups.pace.takesTurns(time.Now()))
		s.setHook(nil)
		for i := range 4 * calmGroups {
			s.read(createdEvent(fmt.Sprint("later ", i)))
		}
		require.Equal(t, 8, s.groups.pace.size())
		s.count(memory.OpCommit)
		s.read(trigger("q", "r", "s", "t", "u", "v", "w", "x")...)
		require.Equal(t, 1, s.count(memory.OpCommit))
	})
}

// A handler changes the rows of another saga that is in its group. The group, which has read them
// before, does not write over that.
func TestAHandlerThatActsOnAnotherSagaOfItsGroup(t *testing.T) {
	s := newSharing(t, memory.NewDatabase(), Config{})
	s.fate["parent"] = func(int) error { return Pending(time.Hour) }
	s.read(trigger("parent")...)
	s.charge.execute = func(ctx context.Context, tx *memory.Tx, call *Call[created]) (receipt, error) {
		if call.SagaID == "other" {
			return receipt{}, nil
		}
		return receipt{}, CompleteStepTx(ctx, s.Participant, tx, order, "parent", charge, receipt{Charged: 1})
	}
	s.read(createdEvent("child"), event(choreo.StepFailed, "ship", "parent", "{}"), createdEvent("other"))
	require.Equal(t, choreo.RowCompleted, s.row("child").State)
	require.Equal(t, choreo.RowCompleted, s.row("other").State)
	completed := slices.DeleteFunc(s.emitted(), func(e string) bool { return e != "choreo.step.completed charge" })
	require.Contains(t, []int{2, 3}, len(completed), "the parent's may have been skipped before")
	require.Contains(t, []choreo.RowState{choreo.RowUndone, choreo.RowSkipped}, s.row("parent").State)
}

// What comes while a transaction is under way waits, and shares the next.
func TestWhatQueuesUpDuringACommitIsTheNextGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharing(t, memory.NewDatabase(), Config{StopTimeout: -1})
		let := make(chan struct{})
		var sizes []int
		s.setHook(func(e memory.Effect) error {
			if e.Op == memory.OpCommit && !e.After {
				sizes = append(sizes, len(e.Sagas))
				if len(sizes) == 1 {
					<-let
				}
			}
			return nil
		})
		var lanes sync.WaitGroup
		lane := func(ctx context.Context, want error, sagas ...string) {
			lanes.Go(func() {
				if err := s.handle(ctx, s.records(trigger(sagas...)...)); !errors.Is(err, want) {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		lane(t.Context(), nil, "a")
		lane(t.Context(), nil, "b", "c")
		lane(t.Context(), nil, "d")
		gone, cancel := context.WithCancel(t.Context())
		lane(gone, context.Canceled, "e", "f")
		lane(t.Context(), nil, "c") // read by two sessions
		lane(t.Context(), nil, "g")
		cancel()
		synctest.Wait()
		require.Equal(t, []int{1}, sizes)
		close(let)
		lanes.Wait()
		require.Equal(t, "a b c d g", s.charged(), "what a lane has given up is not done for it")
		require.Equal(t, "completed completed completed completed completed", s.states("a", "b", "c", "d", "g"))
		require.Equal(t, []int{1, 4}, sizes[:2], "b, c, d and g")
		require.Equal(t, 1, s.ran["c"])
	})
}

// While a group is at work and something has come since it was taken, nothing more is read.
func TestNothingIsReadThatWouldWaitBehindAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharing(t, memory.NewDatabase(), Config{})
		let := make(chan struct{})
		s.setHook(func(e memory.Effect) error {
			if e.Op == memory.OpCommit && !e.After {
				<-let
			}
			return nil
		})
		var lanes sync.WaitGroup
		arrive := func(event *choreo.Event) {
			records := s.records(event)
			for i := range records {
				require.True(t, s.keep(&records[i]))
			}
			lanes.Go(func() { require.NoError(t, s.handle(t.Context(), records)) })
			synctest.Wait()
		}
		closed := func(c <-chan struct{}) bool {
			select {
			case <-c:
				return true
			default:
				return false
			}
		}
		require.Nil(t, s.groups.busy())
		arrive(createdEvent("a"))
		require.Nil(t, s.groups.busy(), "all that came is at work")
		arrive(createdEvent("b"))
		busy := s.groups.busy()
		require.NotNil(t, busy)
		let <- struct{}{}
		synctest.Wait()
		require.True(t, closed(busy), "b is at work")
		require.Nil(t, s.groups.busy())

		stays := s.records(createdEvent("c")) // as in a lane that the group keeps waiting
		require.True(t, s.keep(&stays[0]))
		busy = s.groups.busy()
		require.NotNil(t, busy)
		let <- struct{}{}
		lanes.Wait()
		require.True(t, closed(busy), "no group is at work")
		require.Nil(t, s.groups.busy())
	})
}

// A stop lets the handler finish that is under way, commits what was done by then, and begins
// nothing new.
func TestAStopInAGroup(t *testing.T) {
	s := newSharing(t, memory.NewDatabase(), Config{})
	ctx, cancel := context.WithCancel(t.Context())
	s.fate["b"] = func(int) error { cancel(); return nil }
	require.ErrorIs(t, s.handle(ctx, s.records(trigger("a", "b", "c")...)), context.Canceled)
	require.Equal(t, "completed completed ", s.states("a", "b", "c"))
}

// A handler that is not as quick as it says holds up those that were read with it, for a time,
// and no others.
func TestG8IsolationASlowLocalHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharing(t, memory.NewDatabase(), Config{})
		s.charge.execute = nil
		s.cfg.Intercept = func(ctx context.Context, call CallInfo, next func(context.Context) error) error {
			if call.SagaID == "slow" {
				<-time.After(900 * time.Millisecond) // the step's timeout is a second
			}
			return next(ctx)
		}
		begin := time.Now()
		var lanes sync.WaitGroup
		lanes.Go(func() { s.read(trigger("slow", "beside")...) })
		synctest.Wait()
		lanes.Go(func() { s.read(trigger("waits")...) })
		synctest.Wait()
		<-time.After(groupTime + time.Millisecond)
		synctest.Wait()
		require.Equal(t, choreo.RowCompleted, s.row("waits").State)
		s.read(trigger("comes")...)
		require.Less(t, time.Since(begin), 2*groupTime)
		lanes.Wait()
		for _, saga := range []string{"slow", "beside"} {
			require.Equal(t, choreo.RowCompleted, s.row(saga).State)
		}
	})
}

func TestStepLimitsHoldInGroups(t *testing.T) {
	s := newSharing(t, memory.NewDatabase(), Config{StepLimits: map[string]int{"charge": 1}})
	s.limits.take("charge")
	s.read(trigger("a", "b")...)
	require.Equal(t, 1, s.count(memory.OpCommit))
	require.Equal(t, "retrying retrying", s.states("a", "b"))
	require.Empty(t, s.ran)
}

// What cannot be read parks its saga, and only that.
func TestAnObstacleInAGroup(t *testing.T) {
	s := newSharing(t, memory.NewDatabase(), Config{})
	s.read(createdEvent("a"), event(choreo.StepCompleted, "create", "b", "no JSON"), createdEvent("c"))
	require.Equal(t, "completed  completed", s.states("a", "b", "c"))
	require.Len(t, s.db.Snapshot().Parked, 1)
	require.Equal(t, 0, s.ran["b"])
	s.read(createdEvent("a"), createdEvent("b"), createdEvent("d"))
	require.Len(t, s.db.Snapshot().Parked, 2, "it waits behind the other")
	require.Equal(t, "completed  completed completed", s.states("a", "b", "c", "d"))
}

// A handler that ends the transaction breaks the group, and nobody is taken for done by that.
func TestAHandlerThatCommitsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharing(t, memory.NewDatabase(), Config{})
		s.charge.execute = func(ctx context.Context, tx *memory.Tx, call *Call[created]) (receipt, error) {
			if call.SagaID == "a" && call.Attempt == 1 {
				return receipt{}, tx.Commit(ctx)
			}
			return receipt{}, nil
		}
		s.read(trigger("a", "b", "c")...)
		for _, saga := range []string{"a", "b", "c"} {
			require.Equal(t, choreo.RowCompleted, s.row(saga).State, saga)
		}
		require.Len(t, s.emitted(), 3)
	})
}

func TestG2OnceGroupsOfTwoProcesses(t *testing.T) {
	db := memory.NewDatabase()
	var events []*choreo.Event
	for i := range 40 {
		events = append(events, createdEvent(fmt.Sprint(i)))
	}
	a, b := newPaymentsBound(t, db, Config{}, Local()), newPaymentsBound(t, db, Config{Groups: 2}, Local())
	require.NoError(t, a.checkHandlers())
	require.NoError(t, b.checkHandlers())
	var wg sync.WaitGroup
	for i, s := range []*payments{a, b, a, b} {
		wg.Go(func() {
			for batch := range slices.Chunk(events, 3+i) {
				if err := s.handle(t.Context(), s.records(batch...)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, "40", a.held())
	require.Len(t, a.emitted(), 40)
}

func TestPaceTakesTurnsBeforeItShrinks(t *testing.T) {
	now := time.Now()
	p := newPace(64)
	p.ill(64, false, now)
	require.Equal(t, 64, p.size())
	require.True(t, p.takesTurns(now.Add(leastTurns-1)))
	require.False(t, p.takesTurns(now.Add(leastTurns)))
	for range 3 {
		now = now.Add(time.Millisecond)
		p.ill(64, true, now)
	}
	require.Equal(t, 8, p.size())
	p.ill(2, true, now)
	require.Equal(t, 1, p.size())
	now = now.Add(leastTurns)
	p.ill(1, false, now) // again, as soon as they ended
	require.True(t, p.takesTurns(now.Add(2*leastTurns-1)))
	now = now.Add(time.Hour)
	p.ill(1, false, now)
	require.False(t, p.takesTurns(now.Add(leastTurns)), "and after a long time as at first")
	p.well(1, 1)
	require.Equal(t, 1, p.size())
	p = newPace(64)
	p.well(3, 64)
	require.Equal(t, 3, p.size(), "there is time for no more")
}
