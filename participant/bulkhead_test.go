package participant_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
)

// gauge counts the handlers of a step that run at once in a process.
type gauge struct {
	step      string
	takes     time.Duration
	mu        sync.Mutex
	now, most int
	calls     int
}

func (g *gauge) intercept(ctx context.Context, call participant.CallInfo, next func(context.Context) error) error {
	if call.Step != g.step {
		return next(ctx)
	}
	g.mu.Lock()
	g.now++
	g.calls++
	g.most = max(g.most, g.now)
	g.mu.Unlock()
	<-time.After(g.takes)
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
	}()
	return next(ctx)
}

func (d *desk) startAll(p *participant.Participant[*memory.Tx], name string, n int) {
	d.t.Helper()
	for i := range n {
		_, err := participant.Start(d.t.Context(), p, loans, fmt.Sprintf("%s-%03d", name, i), loan{})
		require.NoError(d.t, err)
	}
}

// statuses counts the sagas by how they stand.
func (d *desk) statuses() map[choreo.Status]int {
	sagas := make(map[string]*choreo.Instance)
	for _, rec := range d.log.Records(loanEvents) {
		ev, err := topics.Decode(&rec)
		require.NoError(d.t, err)
		if sagas[ev.SagaID] == nil {
			sagas[ev.SagaID] = choreo.NewInstance(loans.Definition)
		}
		sagas[ev.SagaID].Apply(ev)
	}
	count := make(map[choreo.Status]int)
	for _, in := range sagas {
		count[in.Status]++
	}
	return count
}

// Half of the sagas go backwards again, so that Execute and Compensate share the bound. What
// waits is not waited for by polls: the clock's is an hour.
func TestAStepLimitIsNeverExceededAndEverythingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = func(step string, call *participant.Call[loan]) error {
			if step == "approve" && call.SagaID >= "saga-030" {
				return choreo.Refuse("declined", nil)
			}
			return nil
		}
		g := &gauge{step: "check", takes: time.Second}
		p := d.openWith(participant.Config{StepLimits: map[string]int{"check": 3}, Intercept: g.intercept})
		begin := time.Now()
		d.startAll(p, "saga", 60)
		<-time.After(32 * time.Second)
		require.Equal(t, map[choreo.Status]int{choreo.StatusCompleted: 30, choreo.StatusCompensated: 30}, d.statuses())
		require.Equal(t, 3, g.most)
		require.Equal(t, 60+30, g.calls)
		require.Less(t, time.Since(begin), 33*time.Second, "90 calls of a second, three at once")
		for _, row := range d.db.Snapshot().Steps {
			if row.Step == "check" && row.State == choreo.RowCompleted {
				require.Equal(t, 1, row.Attempt, "to wait is no attempt")
			}
		}
	})
}

func TestStepLimitsOfTwoProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		gauges := []*gauge{{step: "check", takes: time.Second}, {step: "check", takes: time.Second}}
		var p *participant.Participant[*memory.Tx]
		for i, g := range gauges {
			p = d.openWith(participant.Config{
				StepLimits: map[string]int{"check": i + 1}, Intercept: g.intercept, ClockPoll: time.Second, RelayPoll: time.Second,
			})
		}
		d.startAll(p, "saga", 60)
		<-time.After(30 * time.Second)
		require.Equal(t, map[choreo.Status]int{choreo.StatusCompleted: 60}, d.statuses())
		require.Equal(t, 1, gauges[0].most)
		require.Equal(t, 2, gauges[1].most)
		require.Equal(t, 60, gauges[0].calls+gauges[1].calls, "each is called once")
	})
}

// The step is full for an hour, and there are fewer lanes than sagas that want it.
func TestG8IsolationAFullStepHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		g := &gauge{step: "approve", takes: 5 * time.Hour}
		retried := 0
		d.answer = func(step string, call *participant.Call[loan]) error {
			if step == "check" && call.Attempt == 1 {
				retried++
				return errors.New("register is closed")
			}
			return nil
		}
		p := d.openWith(participant.Config{StepLimits: map[string]int{"approve": 1}, Intercept: g.intercept, Lanes: 8})
		d.startAll(p, "saga", 100)
		<-time.After(2 * time.Minute)
		require.Equal(t, 1, g.calls)
		require.Equal(t, 100, retried, "neither lanes nor due rows of other steps wait")
		checked, waiting := 0, 0
		for _, row := range d.db.Snapshot().Steps {
			switch {
			case row.Step == "check" && row.State == choreo.RowCompleted:
				checked++
			case row.Step == "approve" && row.State == choreo.RowRetrying:
				waiting++
			}
		}
		require.Equal(t, 100, checked)
		require.Greater(t, waiting, 75, "but for those of the lane in which it runs")
		g.takes = 0
		<-time.After(5 * time.Hour)
		require.Equal(t, map[choreo.Status]int{choreo.StatusCompleted: 100}, d.statuses())
		require.Equal(t, 1, g.most)
	})
}

// While a step is full, nobody looks for what waits, and what waits is not written again.
func TestWhatWaitsForAPlaceCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		g := &gauge{step: "check", takes: time.Hour}
		store := memory.New(d.db)
		p := d.makeOn(store, participant.Config{StepLimits: map[string]int{"check": 1}, Intercept: g.intercept, RelayPoll: time.Hour, ClockPoll: time.Minute})
		var mu sync.Mutex
		ops := make(map[memory.Op]int)
		store.SetHook(func(e memory.Effect) error {
			mu.Lock()
			defer mu.Unlock()
			if e.After {
				ops[e.Op]++
			}
			return nil
		})
		d.runs(p)
		d.startAll(p, "saga", 50)
		<-time.After(time.Minute)
		mu.Lock()
		before := ops[memory.OpCommit]
		clear(ops)
		mu.Unlock()
		require.GreaterOrEqual(t, before, 50+49)
		<-time.After(30 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		require.Zero(t, ops[memory.OpCommit])
		require.LessOrEqual(t, ops[memory.OpDue], 31, "only by ClockPoll")
	})
}

func TestWhatWaitsForAPlaceOutlivesItsProcessOrIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		g := &gauge{step: "approve", takes: 4 * time.Second}
		limited := participant.Config{StepLimits: map[string]int{"approve": 1}, Intercept: g.intercept}
		p := d.openWith(limited)
		d.startAll(p, "saga", 10)
		<-time.After(time.Second)
		require.NoError(t, participant.Cancel(t.Context(), p, loans, "saga-007", "changed her mind"))
		<-time.After(time.Second)
		require.Equal(t, 1, d.statuses()[choreo.StatusCompensated])
		d.closeAll() // when the first is done
		require.Equal(t, 1, g.calls)
		d.openWith(limited)
		<-time.After(40 * time.Second)
		require.Equal(t, map[choreo.Status]int{choreo.StatusCompleted: 9, choreo.StatusCompensated: 1}, d.statuses())
		require.Equal(t, 9, g.calls)
		require.Equal(t, 1, g.most)
	})
}

// watchOpen fails where more sagas are open than the bound allows, after any commit.
func (d *desk) watchOpen(store *memory.Store, bound int) {
	store.SetHook(func(e memory.Effect) error {
		if e.Op != memory.OpCommit || !e.After {
			return nil
		}
		open := 0
		for _, row := range d.db.Snapshot().Sagas {
			if row.State == choreo.RowOpen {
				open++
			}
		}
		if open > bound {
			d.t.Errorf("%d sagas are open", open)
		}
		return nil
	})
}

func TestTheBoundOnOpenSagasIsNeverExceededAndEverythingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		g := &gauge{step: "check", takes: time.Second}
		var starters []*participant.Participant[*memory.Tx]
		for range 2 {
			store := memory.New(d.db)
			d.watchOpen(store, 5)
			p := d.makeOn(store, participant.Config{MaxOpenSagas: 5, Intercept: g.intercept, ClockPoll: time.Second, RelayPoll: time.Second})
			d.runs(p)
			starters = append(starters, p)
		}
		begin := time.Now()
		for i, p := range starters {
			d.startAll(p, fmt.Sprint("saga-", i), 30)
		}
		require.Empty(t, d.log.Records(loanEvents))
		<-time.After(15 * time.Second)
		require.Equal(t, map[choreo.Status]int{choreo.StatusCompleted: 60}, d.statuses())
		require.Less(t, time.Since(begin), 16*time.Second, "five at once, a second each")
		require.Equal(t, 5, g.most)
	})
}

func TestQueuedSagasAreAdmittedInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		g := &gauge{step: "pay-out", takes: time.Second}
		p := d.openWith(participant.Config{MaxOpenSagas: 1, Intercept: g.intercept})
		var want []string
		for i := range 20 {
			id := fmt.Sprint(20 - i)
			want = append(want, id)
			ref, err := participant.Start(t.Context(), p, loans, id, loan{Amount: i})
			require.NoError(t, err)
			require.True(t, ref.Created)
			<-time.After(time.Millisecond)
		}
		ref, err := participant.Start(t.Context(), p, loans, "1", loan{})
		require.NoError(t, err)
		require.False(t, ref.Created, "it is in the queue")
		<-time.After(time.Minute)
		var started []string
		for _, rec := range d.log.Records(loanEvents) {
			ev, err := topics.Decode(&rec)
			require.NoError(t, err)
			if ev.Type == choreo.Started {
				started = append(started, ev.SagaID)
				require.Equal(t, "bank", ev.Initiator)
				require.JSONEq(t, fmt.Sprintf(`{"Amount":%d}`, len(started)-1), string(ev.Payload))
			}
		}
		require.Equal(t, want, started)
		require.Equal(t, map[choreo.Status]int{choreo.StatusCompleted: 20}, d.statuses())
	})
}

func TestTheDeadlineCountsFromTheAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = answers("approve", participant.Pending(24*time.Hour))
		p := d.openWith(participant.Config{MaxOpenSagas: 1, ClockPoll: time.Second, RelayPoll: time.Second})
		d.startAll(p, "saga", 2)
		for _, want := range []map[choreo.Status]int{
			{choreo.StatusRunning: 1},
			{choreo.StatusCompensated: 1, choreo.StatusRunning: 1}, // the deadline is six hours
			{choreo.StatusCompensated: 2},
		} {
			<-time.After(5 * time.Hour)
			require.Equal(t, want, d.statuses())
			<-time.After(time.Hour + 5*time.Second)
		}
	})
}

func TestACancelTakesASagaOutOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		g := &gauge{step: "check", takes: time.Minute}
		p := d.openWith(participant.Config{MaxOpenSagas: 1, Intercept: g.intercept})
		d.startAll(p, "saga", 3)
		<-time.After(time.Second)
		require.NoError(t, participant.Cancel(t.Context(), p, loans, "saga-001", "changed her mind"))
		<-time.After(time.Second)
		for _, row := range d.db.Snapshot().Sagas {
			if row.SagaID.ID == "saga-001" {
				require.Equal(t, choreo.RowClosed, row.State)
				require.Zero(t, row.DueIn)
			}
		}
		<-time.After(3 * time.Minute)
		require.Equal(t, 2, d.statuses()[choreo.StatusCompleted])
		require.Equal(t, 2, g.calls)
		for _, rec := range d.log.Records(loanEvents) {
			ev, err := topics.Decode(&rec)
			require.NoError(t, err)
			require.False(t, ev.SagaID == "saga-001" && ev.Type == choreo.Started)
		}
	})
}

func TestStartTxIsAdmittedSoonAfterTheCallersCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		p := d.openWith(participant.Config{MaxOpenSagas: 1})
		for i := range 3 {
			tx, err := memory.New(d.db).BeginTx(t.Context())
			require.NoError(t, err)
			_, err = participant.StartTx(t.Context(), p, tx, loans, fmt.Sprint(i), loan{})
			require.NoError(t, err)
			<-time.After(100 * time.Millisecond)
			require.NoError(t, tx.Commit(t.Context()))
			<-time.After(200 * time.Millisecond)
			require.Equal(t, map[choreo.Status]int{choreo.StatusCompleted: i + 1}, d.statuses())
		}
	})
}

// What a process without a bound finds in the queue it admits, many in one commit.
func TestAProcessWithoutABoundEmptiesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.startAll(d.make(participant.Config{MaxOpenSagas: 1}), "saga", 200) // does not run
		<-time.After(time.Millisecond)
		store := memory.New(d.db)
		admissions, queued := 0, 200
		store.SetHook(func(e memory.Effect) error {
			if e.Op == memory.OpCommit && e.After {
				now := 0
				for _, row := range d.db.Snapshot().Sagas {
					if row.State == choreo.RowQueued {
						now++
					}
				}
				if now < queued {
					admissions++
				}
				queued = now
			}
			return nil
		})
		d.runs(d.makeOn(store, participant.Config{}))
		<-time.After(time.Second)
		require.Equal(t, map[choreo.Status]int{choreo.StatusCompleted: 200}, d.statuses())
		require.LessOrEqual(t, admissions, 5)
	})
}
