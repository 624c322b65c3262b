package participant_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// A loan: a check, an approval that may take days, the pay-out.
type loan struct{ Amount int }

var (
	check   = choreo.NewStep[loan, loan]("check")
	approve = choreo.NewStep[loan, loan]("approve")
	payOut  = choreo.NewStep[loan, loan]("pay-out")

	loans = choreo.MustDefine[loan]("loan", 1,
		check.OwnedBy("bank").Retry(choreo.FixedRetry(4, time.Minute)),
		approve.OwnedBy("bank").After(check),
		payOut.OwnedBy("bank").After(approve).NoCompensation(),
		choreo.Deadline(6*time.Hour),
	)
)

// desk is the bank: one service, of which several processes may run, and what its
// handlers answer.
type desk struct {
	t        *testing.T
	log      *memorylog.Log
	db       *memory.Database
	answer   func(step string, call *participant.Call[loan]) error
	undo     func(call *participant.Call[loan]) error
	executed atomic.Int64
	stops    []func()
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{
		t: t, log: memorylog.New(memorylog.Options{}), db: memory.NewDatabase(),
		answer: func(string, *participant.Call[loan]) error { return nil },
		undo:   func(*participant.Call[loan]) error { return nil },
	}
	names, err := topics.NewNames("choreo")
	require.NoError(t, err)
	plan, err := topics.NewPlan(t.Context(), d.log, topics.Topology(names, []choreo.AnySaga{loans}, topics.TopologyOptions{}))
	require.NoError(t, err)
	require.NoError(t, plan.Apply(t.Context(), d.log))
	return d
}

type clerk struct{ d *desk }

func (c clerk) Execute(_ context.Context, tx *memory.Tx, call *participant.Call[loan]) (loan, error) {
	c.d.executed.Add(1)
	if err := tx.Put(call.Step, call.SagaID, "done"); err != nil {
		return loan{}, err
	}
	return call.Input, c.d.answer(call.Step, call)
}

func (c clerk) Compensate(_ context.Context, tx *memory.Tx, call *participant.Call[loan], _ loan) error {
	if err := tx.Put(call.Step, call.SagaID, "undone"); err != nil {
		return err
	}
	return c.d.undo(call)
}

// answers is an answer of the desk: this error at one step, and nil at the others.
func answers(at string, err error) func(string, *participant.Call[loan]) error {
	return func(step string, _ *participant.Call[loan]) error {
		if step == at {
			return err
		}
		return nil
	}
}

// open starts a process of the bank.
func (d *desk) open() *participant.Participant[*memory.Tx] {
	d.t.Helper()
	return d.openWith(participant.Config{RelayPoll: time.Second, ClockPoll: time.Second})
}

// closeAll stops all processes.
func (d *desk) closeAll() {
	for _, stop := range d.stops {
		stop()
	}
	d.stops = nil
}

func (d *desk) close() {
	d.closeAll()
	require.NoError(d.t, d.log.Close())
}

func (d *desk) events() []string {
	var out []string
	for _, rec := range d.log.Records("choreo.loan.events") {
		ev, err := topics.Decode(&rec)
		require.NoError(d.t, err)
		out = append(out, fmt.Sprintf("%s %s", ev.Type, ev.Step))
	}
	return out
}

func (d *desk) instance() *choreo.Instance {
	in := choreo.NewInstance(loans.Definition)
	for _, rec := range d.log.Records("choreo.loan.events") {
		ev, err := topics.Decode(&rec)
		require.NoError(d.t, err)
		in.Apply(ev)
	}
	return in
}

func (d *desk) begin(p *participant.Participant[*memory.Tx]) {
	d.t.Helper()
	_, err := participant.Start(d.t.Context(), p, loans, "7", loan{Amount: 10})
	require.NoError(d.t, err)
}

func (d *desk) row(step string) choreo.Row {
	for _, row := range d.db.Snapshot().Steps {
		if row.Step == step {
			return row.Row
		}
	}
	return choreo.Row{}
}

func TestARetryOutlivesItsProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = func(_ string, call *participant.Call[loan]) error {
			if call.Attempt < 3 {
				return errors.New("register is closed")
			}
			return nil
		}
		begin := time.Now()
		d.begin(d.open())
		<-time.After(time.Second)
		require.Equal(t, choreo.RowRetrying, d.row("check").State)
		require.Equal(t, "register is closed", d.row("check").Failure.Message)
		require.Empty(t, d.db.Snapshot().Tables["check"], "the failed attempt left nothing")
		d.closeAll()

		<-time.After(10 * time.Minute)
		require.EqualValues(t, 1, d.executed.Load())
		d.answer = func(_ string, call *participant.Call[loan]) error {
			if call.Step == "check" && call.Attempt < 3 {
				return errors.New("register is closed")
			}
			return nil
		}
		d.open()
		<-time.After(30 * time.Second)
		require.EqualValues(t, 2, d.executed.Load(), "due while nobody ran: at once")
		<-time.After(31 * time.Second)
		require.Equal(t, choreo.StatusCompleted, d.instance().Status)
		require.Equal(t, 3, d.instance().Steps[0].Attempts)
		require.Less(t, time.Since(begin), 12*time.Minute)
	})
}

func TestARetryHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = func(_ string, call *participant.Call[loan]) error {
			if call.SagaID == "7" {
				return choreo.RetryAfter(time.Hour, errors.New("slow down"))
			}
			return nil
		}
		p := d.open()
		d.begin(p)
		for i := range 100 {
			_, err := participant.Start(t.Context(), p, loans, fmt.Sprint("other-", i), loan{})
			require.NoError(t, err)
		}
		<-time.After(time.Second)
		done := 0
		for _, row := range d.db.Snapshot().Sagas {
			if row.State == choreo.RowClosed {
				done++
			}
		}
		require.Equal(t, 100, done)
		require.EqualValues(t, 301, d.executed.Load())
		<-time.After(3*time.Hour + time.Second)
		require.EqualValues(t, 304, d.executed.Load())
		require.Equal(t, choreo.RowFailed, d.row("check").State)
	})
}

func TestAnAbortSkipsADueRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = answers("approve", choreo.RetryAfter(time.Hour, errors.New("slow down")))
		p := d.open()
		d.begin(p)
		<-time.After(time.Second)
		require.Equal(t, choreo.RowRetrying, d.row("approve").State)
		require.NoError(t, participant.Cancel(t.Context(), p, loans, "7", "customer changed her mind"))
		<-time.After(time.Second)
		in := d.instance()
		require.Equal(t, choreo.StatusCompensated, in.Status)
		require.Equal(t, &choreo.Failure{Class: choreo.ClassCancelled, Code: "cancelled", Message: "customer changed her mind"}, in.Cause)
		require.Equal(t, "undone", d.db.Snapshot().Tables["check"]["7"])
		<-time.After(2 * time.Hour)
		require.EqualValues(t, 2, d.executed.Load(), "the retry is gone")

		require.NoError(t, participant.Cancel(t.Context(), p, loans, "7", "again"))
		<-time.After(time.Second)
		require.Contains(t, d.events(), "choreo.saga.abort-rejected ")
	})
}

func TestACompensationIsRetriedDurably(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = answers("approve", choreo.Refuse("declined", nil))
		var undone []int
		d.undo = func(call *participant.Call[loan]) error {
			if undone = append(undone, call.Attempt); call.Attempt < 3 {
				return errors.New("register is closed")
			}
			return nil
		}
		d.begin(d.open())
		<-time.After(30 * time.Second)
		d.closeAll()
		d.open()
		<-time.After(3 * time.Minute)
		require.Equal(t, []int{1, 2, 3}, undone)
		require.Equal(t, choreo.StatusCompensated, d.instance().Status)
	})
}

func TestTheDeadlineAbortsASagaThatIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = answers("approve", participant.Pending(24*time.Hour))
		p := d.open()
		d.begin(p)
		<-time.After(6*time.Hour - time.Minute)
		require.Equal(t, choreo.StatusRunning, d.instance().Status)
		<-time.After(2 * time.Minute)
		in := d.instance()
		require.Equal(t, choreo.StatusCompensated, in.Status)
		require.Equal(t, "deadline", in.Cause.Code)
		require.Equal(t, choreo.ClassTimeout, in.Cause.Class)

		err := participant.CompleteStep(t.Context(), p, loans, "7", approve, loan{})
		var state *participant.StepStateError
		require.ErrorAs(t, err, &state)
		require.Equal(t, choreo.RowSkipped, state.State)
	})
}

func TestTheDeadlineGoesWithTheSaga(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.begin(d.open())
		<-time.After(time.Second)
		n := len(d.events())
		<-time.After(7 * time.Hour)
		require.Len(t, d.events(), n)
		require.Equal(t, choreo.StatusCompleted, d.instance().Status)
	})
}

func TestAPendingStepIsAnsweredFromOutside(t *testing.T) {
	pending := answers("approve", participant.Pending(time.Hour))
	t.Run("completed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t)
			defer d.close()
			d.answer = pending
			p := d.open()
			var state *participant.StepStateError
			require.ErrorAs(t, participant.CompleteStep(t.Context(), p, loans, "7", approve, loan{}), &state)
			require.Equal(t, choreo.RowNone, state.State)
			d.begin(p)
			<-time.After(time.Minute)
			require.Equal(t, "done", d.db.Snapshot().Tables["approve"]["7"], "what Execute wrote is kept")
			q := d.open() // another process
			require.NoError(t, participant.CompleteStep(t.Context(), q, loans, "7", approve, loan{Amount: 9}))
			require.NoError(t, participant.CompleteStep(t.Context(), p, loans, "7", approve, loan{Amount: 8}), "once more")
			<-time.After(time.Second)
			require.Equal(t, choreo.StatusCompleted, d.instance().Status)
			require.EqualValues(t, 3, d.executed.Load())
			<-time.After(2 * time.Hour)
			require.Equal(t, choreo.StatusCompleted, d.instance().Status)
		})
	})
	t.Run("in the caller's transaction", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t)
			defer d.close()
			d.answer = pending
			p := d.open()
			d.begin(p)
			<-time.After(time.Minute)
			for _, commit := range []bool{false, true} {
				tx, err := memory.New(d.db).BeginTx(t.Context())
				require.NoError(t, err)
				require.NoError(t, participant.CompleteStepTx(t.Context(), p, tx, loans, "7", approve, loan{}))
				if !commit {
					require.NoError(t, tx.Rollback(t.Context()))
					<-time.After(time.Minute)
					require.Equal(t, choreo.RowPending, d.row("approve").State)
					continue
				}
				require.NoError(t, tx.Commit(t.Context()))
			}
			<-time.After(2 * time.Second)
			require.Equal(t, choreo.StatusCompleted, d.instance().Status)
		})
	})
	t.Run("refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t)
			defer d.close()
			d.answer = pending
			p := d.open()
			d.begin(p)
			<-time.After(time.Minute)
			require.ErrorContains(t, participant.RefuseStep(t.Context(), p, loans, "7", approve, nil), "needs an error")
			require.NoError(t, participant.RefuseStep(t.Context(), p, loans, "7", approve, choreo.Refusef("declined", "too much")))
			require.NoError(t, participant.RefuseStep(t.Context(), p, loans, "7", approve, choreo.Refusef("declined", "too much")))
			<-time.After(time.Second)
			require.Equal(t, choreo.StatusCompensated, d.instance().Status)
			require.Equal(t, "declined", d.instance().Cause.Code)
		})
	})
	t.Run("not in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t)
			defer d.close()
			d.answer = pending
			d.begin(d.open())
			<-time.After(59 * time.Minute)
			require.Equal(t, choreo.StatusRunning, d.instance().Status)
			<-time.After(2 * time.Minute)
			require.Equal(t, choreo.StatusCompensated, d.instance().Status)
			require.Equal(t, choreo.ClassTimeout, d.instance().Cause.Class)
		})
	})
}

// Three processes look for due rows at the same moment. A handler that fails may have been
// called by several of them, since its unit is rolled back before its failure is recorded;
// the failure counts once, and so does a success.
func TestG2OnceARetryOfTwoProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = answers("check", errors.New("register is closed"))
		p := d.open()
		d.open()
		d.open()
		d.begin(p)
		<-time.After(10 * time.Minute)
		require.Equal(t, choreo.RowFailed, d.row("check").State)
		require.Equal(t, 4, d.row("check").Attempt, "as many as the policy has")
		require.LessOrEqual(t, d.executed.Load(), int64(3*4))
		require.Equal(t, []string{"choreo.saga.started ", "choreo.step.failed check"}, d.events())

		d.answer = func(_ string, call *participant.Call[loan]) error {
			if call.Step == "check" && call.Attempt < 3 {
				return errors.New("register is closed")
			}
			return nil
		}
		_, err := participant.Start(t.Context(), p, loans, "8", loan{})
		require.NoError(t, err)
		<-time.After(10 * time.Minute)
		require.Equal(t, []string{
			"choreo.saga.started ", "choreo.step.completed check", "choreo.step.completed approve", "choreo.step.completed pay-out",
		}, d.events()[2:])
	})
}

func TestAnOperatorRetriesAStuckCompensation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = answers("approve", choreo.Refuse("declined", nil))
		d.undo = func(*participant.Call[loan]) error { return choreo.Permanent(errors.New("register is gone")) }
		p := d.open()
		d.begin(p)
		<-time.After(time.Second)
		require.Equal(t, choreo.StatusStuck, d.instance().Status)

		ada := participant.Operator{By: "ada", Note: "register is back"}
		require.ErrorContains(t, participant.RetryStep(t.Context(), p, loans, "7", check, participant.Operator{}), "Operator.By")
		require.NoError(t, participant.RetryStep(t.Context(), p, loans, "7", check, ada))
		<-time.After(time.Second)
		require.Equal(t, choreo.StatusStuck, d.instance().Status, "it is still gone")
		d.undo = func(*participant.Call[loan]) error { return nil }
		require.NoError(t, participant.RetryStep(t.Context(), p, loans, "7", check, ada))
		<-time.After(time.Second)
		require.Equal(t, choreo.StatusCompensated, d.instance().Status)
		require.Equal(t, "undone", d.db.Snapshot().Tables["check"]["7"])

		n := len(d.events())
		require.NoError(t, participant.RetryStep(t.Context(), p, loans, "7", check, ada))
		<-time.After(time.Second)
		require.Equal(t, []string{"choreo.step.retry-requested check", "choreo.step.command-rejected check"}, d.events()[n:])
		last := d.log.Records("choreo.loan.events")
		rejected, err := topics.Decode(&last[len(last)-1])
		require.NoError(t, err)
		require.Equal(t, "ada", rejected.By)
		require.Contains(t, rejected.Failure.Message, "is undone: only a step that")
	})
}

// More rows than the clock looks at in one go are due of a version that this build does
// not know: they keep no other from its turn, and wait for a build that knows them.
func TestDueRowsOfAnotherVersionHoldUpNobody(t *testing.T) {
	next := choreo.MustDefine[loan]("loan", 2,
		check.OwnedBy("bank").Retry(choreo.FixedRetry(4, time.Minute)),
		approve.OwnedBy("bank").After(check),
		payOut.OwnedBy("bank").After(approve).NoCompensation(),
	)
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = func(_ string, call *participant.Call[loan]) error {
			if call.Step == "check" && call.Attempt == 1 {
				return errors.New("register is closed")
			}
			return nil
		}
		old := d.open()
		const n = 100
		for i := range n {
			_, err := participant.Start(t.Context(), old, loans, fmt.Sprint("old-", i), loan{})
			require.NoError(t, err)
		}
		<-time.After(time.Second)
		d.closeAll()
		<-time.After(10 * time.Minute) // all are due

		p := d.openWith(participant.Config{Sagas: []choreo.AnySaga{next}, RelayPoll: time.Second, ClockPoll: time.Second})
		_, err := participant.Start(t.Context(), p, next, "new", loan{})
		require.NoError(t, err)
		<-time.After(90 * time.Second)
		require.EqualValues(t, n+4, d.executed.Load(), "the new saga has had its retry")
		d.closeAll()

		d.open()
		<-time.After(3 * time.Minute)
		require.EqualValues(t, 4*n+4, d.executed.Load(), "the old ones have had theirs")
	})
}

// Many rows fall due at once, more than one look returns; the next poll is far off.
func TestAllThatIsDueAtOnceIsActedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = func(step string, call *participant.Call[loan]) error {
			if step == "check" && call.Attempt == 1 {
				return errors.New("register is closed")
			}
			return nil
		}
		p := d.openWith(participant.Config{Lanes: 4})
		for i := range 100 {
			_, err := participant.Start(t.Context(), p, loans, fmt.Sprint(i), loan{})
			require.NoError(t, err)
		}
		<-time.After(time.Minute + time.Second)
		require.EqualValues(t, 400, d.executed.Load())
	})
}

func TestASenselessCommandLeavesARetryDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = func(step string, call *participant.Call[loan]) error {
			if step == "check" && call.Attempt == 1 {
				return errors.New("register is closed")
			}
			return nil
		}
		p := d.open()
		d.begin(p)
		<-time.After(time.Second)
		require.NoError(t, participant.ResolveUndone(t.Context(), p, loans, "7", check, participant.Operator{By: "ada"}))
		<-time.After(time.Second)
		require.Equal(t, "choreo.step.command-rejected check", d.events()[len(d.events())-1])
		<-time.After(time.Minute)
		require.Equal(t, choreo.StatusCompleted, d.instance().Status)
	})
}

func TestAnOperatorTriesARetryNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = func(step string, call *participant.Call[loan]) error {
			if step == "check" && call.Attempt == 1 {
				return choreo.RetryAfter(5*time.Hour, errors.New("register is closed"))
			}
			return nil
		}
		p := d.open()
		d.begin(p)
		<-time.After(time.Second)
		require.NoError(t, participant.RetryStep(t.Context(), p, loans, "7", check, participant.Operator{By: "ada"}))
		<-time.After(time.Second)
		require.Equal(t, choreo.StatusCompleted, d.instance().Status)
	})
}

func TestAnOperatorResolvesByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = answers("approve", choreo.Refuse("declined", nil))
		d.undo = func(*participant.Call[loan]) error { return choreo.Permanent(errors.New("register is gone")) }
		p := d.open()
		d.begin(p)
		<-time.After(time.Second)
		ada := participant.Operator{By: "ada", Note: "paid back in cash"}
		require.NoError(t, participant.ResolveDone(t.Context(), p, loans, "7", check, loan{}, ada))
		<-time.After(time.Second)
		require.Equal(t, choreo.StatusStuck, d.instance().Status, "a compensation cannot be done, only undone")
		require.NoError(t, participant.ResolveUndone(t.Context(), p, loans, "7", check, ada))
		<-time.After(time.Second)
		require.Equal(t, choreo.StatusCompensated, d.instance().Status)
		records := d.log.Records("choreo.loan.events")
		ev, err := topics.Decode(&records[len(records)-1])
		require.NoError(t, err)
		require.Equal(t, choreo.StepCompensated, ev.Type)
		require.Equal(t, "ada: paid back in cash", ev.By+": "+ev.Note)
		require.ErrorContains(t, participant.RetryStep(t.Context(), p, loans, "7", choreo.NewStep[loan, loan]("none"), ada), "no such step")
	})
}
