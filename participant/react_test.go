package participant

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant/internal/drive"
	"github.com/choreo-go/choreo/topics"
)

func TestAStepRunsAndItsEventIsInTheOutbox(t *testing.T) {
	s := newPayments(t, memory.NewDatabase())
	s.charge.execute = func(_ context.Context, _ *memory.Tx, call *Call[created]) (receipt, error) {
		require.Equal(t, 42, call.Input.Total)
		require.Equal(t, "17/charge/execute", call.IdempotencyKey)
		return receipt{Charged: call.Input.Total}, nil
	}
	cause := createdEvent("17")
	cause.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	cause.Carried = []choreo.Output{{Step: "create", ContentType: "application/json", Data: []byte(`{}`)}}
	s.read(cause)

	require.Equal(t, choreo.RowCompleted, s.row("17").State)
	require.Equal(t, "1", s.held())
	entries := s.db.Snapshot().Entries
	require.Len(t, entries, 1)
	ev, err := topics.Decode(&entries[0].Record)
	require.NoError(t, err)
	require.Equal(t, choreo.StepCompleted, ev.Type)
	require.JSONEq(t, `{"Charged":42}`, string(ev.Payload))
	require.Equal(t, "payments", ev.Source)
	require.Equal(t, "orders", ev.Initiator)
	require.Equal(t, cause.ID, ev.CausationID)
	require.Equal(t, 1, ev.Attempt)
	require.Equal(t, int32(3), entries[0].Record.Partition, "events go to the home partition")
	require.Equal(t, cause.TraceParent, ev.TraceParent)
	require.Equal(t, entries[0].ID, ev.ID)
	require.Equal(t, "choreo.order.events", entries[0].Record.Topic)
}

func TestG1AtomicARefusalLeavesNoBusinessWrite(t *testing.T) {
	s := newPayments(t, memory.NewDatabase())
	s.charge.execute = func(context.Context, *memory.Tx, *Call[created]) (receipt, error) {
		return receipt{}, choreo.Refusef("insufficient-funds", "balance is 3")
	}
	s.read(createdEvent("17"))
	require.Empty(t, s.held(), "the handler had written before it refused")
	require.Equal(t, []int{1}, s.charge.executed)
	row := s.row("17")
	require.Equal(t, choreo.RowFailed, row.State)
	require.Equal(t, &choreo.Failure{Class: choreo.ClassRefused, Code: "insufficient-funds", Message: "balance is 3"}, row.Failure)
	require.Equal(t, []string{"choreo.step.failed charge"}, s.emitted())
}

// Every effect of the unit is a crash point, before and after it. Then the event is
// read again by a process that knows nothing of the first.
func TestG1AtomicAtEveryCrashPoint(t *testing.T) {
	crash := errors.New("crash")
	var effects int
	count := newPayments(t, memory.NewDatabase())
	count.memory.SetHook(func(memory.Effect) error { effects++; return nil })
	count.read(createdEvent("17"))
	require.Greater(t, effects, 8)

	for at := range effects {
		db := memory.NewDatabase()
		s := newPayments(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		s.memory.SetHook(func(memory.Effect) error {
			if seen++; seen == at+1 {
				cancel()
				s.memory.Kill()
				return crash
			}
			return nil
		})
		require.Error(t, s.handle(ctx, s.records(createdEvent("17"))), "crash point %d", at)
		cancel()

		half := s.row("17").State == choreo.RowCompleted
		require.Equal(t, half, s.held() == "1", "crash point %d: row and business write", at)
		require.Equal(t, half, len(s.emitted()) == 1, "crash point %d: row and event", at)

		next := newPayments(t, db)
		next.read(createdEvent("17"))
		require.Equal(t, "1", next.held(), "crash point %d", at)
		require.Equal(t, []string{"choreo.step.completed charge"}, next.emitted(), "crash point %d", at)
	}
}

func TestG2OnceUnderRedeliveryAndStaleDuplicates(t *testing.T) {
	s := newPayments(t, memory.NewDatabase())
	first := createdEvent("17")
	s.read(first, first)
	s.read(first)
	failed := event(choreo.StepFailed, "ship", "17", "{}")
	s.read(failed, failed, first)
	s.read(first, failed)
	require.Equal(t, "0", s.held())
	require.Equal(t, []int{1}, s.charge.executed)
	require.Equal(t, []int{1}, s.charge.undone)
	require.Equal(t, []string{"choreo.step.completed charge", "choreo.step.compensated charge"}, s.emitted())
}

// Two processes of one service hold the same partition for a moment and read the same
// events, each in its own order of batches.
func TestG2OnceWithTwoProcesses(t *testing.T) {
	db := memory.NewDatabase()
	a, b := newPayments(t, db), newPayments(t, db)
	var batch []*choreo.Event
	for i := range 40 {
		batch = append(batch, createdEvent(strings.Repeat("x", i+1)))
	}
	var wg sync.WaitGroup
	for _, s := range []*payments{a, b, a, b} {
		wg.Go(func() {
			for _, ev := range batch {
				if err := s.handle(t.Context(), s.records(ev)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, "40", a.held())
	require.Len(t, a.emitted(), 40)
}

func TestAHandlersFaultIsRetriedInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		fails := 2
		s.charge.execute = func(context.Context, *memory.Tx, *Call[created]) (receipt, error) {
			if fails--; fails >= 0 {
				return receipt{}, errors.New("gateway timeout")
			}
			return receipt{}, nil
		}
		begin := time.Now()
		s.read(createdEvent("17"))
		require.Equal(t, 20*time.Millisecond, time.Since(begin))
		require.Equal(t, []int{1, 2, 3}, s.charge.executed)
		require.Equal(t, "1", s.held())
		require.Equal(t, choreo.RowCompleted, s.row("17").State)
		require.Equal(t, 3, s.row("17").Attempt)
	})
}

func TestRetriesRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		s.charge.execute = func(context.Context, *memory.Tx, *Call[created]) (receipt, error) {
			return receipt{}, errors.New("gateway timeout")
		}
		s.read(createdEvent("17"))
		require.Equal(t, []int{1, 2, 3}, s.charge.executed)
		require.Equal(t, choreo.RowFailed, s.row("17").State)
		require.Empty(t, s.held())
		require.Equal(t, []string{"choreo.step.failed charge"}, s.emitted())
	})
}

func TestAPanicIsAFaultOfTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		s.charge.execute = func(context.Context, *memory.Tx, *Call[created]) (receipt, error) {
			panic("index out of range")
		}
		s.read(createdEvent("17"))
		require.Len(t, s.charge.executed, 3)
		require.Equal(t, "panic", s.row("17").Failure.Code)
		require.Contains(t, s.row("17").Failure.Message, "index out of range")
	})
}

func TestATimeoutIsClassedAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		s.charge.execute = func(ctx context.Context, _ *memory.Tx, _ *Call[created]) (receipt, error) {
			<-ctx.Done()
			return receipt{}, ctx.Err()
		}
		begin := time.Now()
		s.read(createdEvent("17"))
		require.Equal(t, 3*time.Second+20*time.Millisecond, time.Since(begin))
		require.Equal(t, choreo.ClassTimeout, s.row("17").Failure.Class)
	})
}

func TestACompensationThatRunsOutOfRetriesIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		s.charge.compensate = func(context.Context, *memory.Tx, *Call[created], receipt) error {
			return errors.New("gateway is closed")
		}
		s.read(createdEvent("17"), event(choreo.StepFailed, "ship", "17", "{}"))
		require.Equal(t, []int{1, 2, 3}, s.charge.undone)
		require.Equal(t, "1", s.held(), "the effect is still held")
		require.Equal(t, choreo.RowUndoFailed, s.row("17").State)
		require.Equal(t, []string{"choreo.step.completed charge", "choreo.step.compensation-failed charge"}, s.emitted())
	})
}

func TestAnOutageOfTheDatabaseIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		s.charge.execute = func(_ context.Context, tx *memory.Tx, _ *Call[created]) (receipt, error) {
			if len(s.charge.executed) == 1 {
				s.db.Stop() // in the middle of the handler
				time.AfterFunc(time.Hour, s.db.Start)
			}
			return receipt{}, tx.Put("mark", "x", "y")
		}
		s.read(createdEvent("17"))
		require.Equal(t, []int{1, 1}, s.charge.executed, "the outage used up no attempt")
		require.Equal(t, "1", s.held())
		require.Equal(t, choreo.RowCompleted, s.row("17").State)
	})
}

func TestACommitOfUnknownOutcomeIsLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		lost := false
		s.memory.SetHook(func(e memory.Effect) error {
			if e.Op == memory.OpCommit && e.After && !lost {
				lost = true
				return memory.ErrConnectionLost
			}
			return nil
		})
		s.read(createdEvent("17"))
		require.True(t, lost)
		require.Equal(t, []int{1}, s.charge.executed)
		require.Equal(t, "1", s.held())
		require.Len(t, s.emitted(), 1)
	})
}

func TestAStopLetsTheHandlerFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		ctx, cancel := context.WithCancel(t.Context())
		s.charge.execute = func(ctx context.Context, _ *memory.Tx, _ *Call[created]) (receipt, error) {
			cancel()
			return receipt{}, drive.Sleep(ctx, time.Second)
		}
		err := s.handle(ctx, s.records(createdEvent("17"), createdEvent("18")))
		require.ErrorIs(t, err, context.Canceled, "the second event was not begun")
		require.Equal(t, choreo.RowCompleted, s.row("17").State)
		require.Equal(t, choreo.RowNone, s.row("18").State)
	})
}

func TestAStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		ctx, cancel := context.WithCancel(t.Context())
		s.charge.execute = func(ctx context.Context, _ *memory.Tx, _ *Call[created]) (receipt, error) {
			cancel()
			<-ctx.Done()
			return receipt{}, ctx.Err()
		}
		s.cfg.StopTimeout = 3 * time.Second
		begin := time.Now()
		require.ErrorIs(t, s.handle(ctx, s.records(createdEvent("17"))), context.Canceled)
		require.Less(t, time.Since(begin), 4*time.Second)
		require.Equal(t, choreo.RowNone, s.row("17").State)
		require.Empty(t, s.emitted())
	})
}

func TestWhatCannotBeReadIsDeadLettered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		s.log.fail = 3
		unknown := createdEvent("17")
		unknown.Saga = "refund"
		batch := s.records(unknown, createdEvent("18"))
		batch = append(batch, choreo.Record{Topic: "choreo.order.events", Partition: 3, Offset: 7, Key: []byte("k"), Value: []byte("junk")})
		for i := range batch {
			require.True(t, s.concerns(&batch[i]))
		}
		require.NoError(t, s.handle(t.Context(), batch))
		require.Len(t, s.log.published, 2)
		for _, letter := range s.log.published {
			require.Equal(t, "choreo.dlq", letter.Topic)
		}
		require.Equal(t, "junk", string(s.log.published[1].Value))
		why, _ := s.log.published[0].Header("kafka_dlt-exception-message")
		require.Contains(t, string(why), "refund/1")
		require.Equal(t, choreo.RowCompleted, s.row("18").State, "the others flow on")
	})
}

func TestEventsThatDoNotConcernTheServiceAreSkipped(t *testing.T) {
	s := newPayments(t, memory.NewDatabase())
	for ev, want := range map[*choreo.Event]bool{
		event(choreo.Started, "", "1", "{}"):                false,
		event(choreo.StepCompleted, "create", "1", "{}"):    true,
		event(choreo.StepCompleted, "charge", "1", "{}"):    false,
		event(choreo.StepCompleted, "ship", "1", "{}"):      false,
		event(choreo.StepFailed, "create", "1", "{}"):       true,
		event(choreo.Aborted, "", "1", "{}"):                true,
		event(choreo.StepSkipped, "ship", "1", "{}"):        true,
		event(choreo.StepCompensated, "ship", "1", "{}"):    true,
		event(choreo.StepCompensated, "create", "1", "{}"):  false,
		event(choreo.AbortRequested, "", "1", "{}"):         false,
		event(choreo.CompensationFailed, "ship", "1", "{}"): false,
	} {
		rec := topics.Encode(ev, "choreo.order.events")
		require.Equal(t, want, s.concerns(&rec), "%s %s", ev.Type, ev.Step)
	}
}

func TestEventsWithoutHandlersShareAUnit(t *testing.T) {
	db := memory.NewDatabase()
	store := memory.New(db)
	p, err := New[*memory.Tx](&stubLog{}, store, &Config{Service: "shop", Sagas: []choreo.AnySaga{order}})
	require.NoError(t, err)
	var batch []choreo.Record
	for _, id := range []string{"1", "2", "3"} {
		_, err := Start(t.Context(), p, order, id, placed{})
		require.NoError(t, err)
		ev := event(choreo.StepCompleted, "ship", id, "{}")
		ev.Initiator = "shop"
		rec := topics.Encode(ev, "choreo.order.events")
		require.True(t, p.concerns(&rec))
		batch = append(batch, rec)
	}
	commits := 0
	store.SetHook(func(e memory.Effect) error {
		if e.Op == memory.OpCommit && e.After {
			commits++
		}
		return nil
	})
	require.NoError(t, p.handle(t.Context(), batch))
	require.Equal(t, 1, commits)
	for _, row := range db.Snapshot().Sagas {
		require.Equal(t, choreo.RowClosed, row.State)
	}
}

func TestStartIsIdempotentByItsID(t *testing.T) {
	db := memory.NewDatabase()
	store := memory.New(db)
	p, err := New[*memory.Tx](&stubLog{}, store, &Config{Service: "shop", Sagas: []choreo.AnySaga{order}})
	require.NoError(t, err)
	ref, err := Start(t.Context(), p, order, "17", placed{Customer: "ada"})
	require.NoError(t, err)
	require.Equal(t, Ref{Saga: "order", SagaID: "17", Created: true}, ref)
	ref, err = Start(t.Context(), p, order, "17", placed{Customer: "bob"})
	require.NoError(t, err)
	require.False(t, ref.Created)
	require.Len(t, db.Snapshot().Entries, 1)

	ref, err = Start(t.Context(), p, order, "", placed{})
	require.NoError(t, err)
	require.Len(t, ref.SagaID, 36)

	for _, id := range []string{strings.Repeat("x", 256), "a\nb", "\xff"} {
		_, err = Start(t.Context(), p, order, id, placed{})
		require.ErrorContains(t, err, "saga id")
	}
	other := choreo.MustDefine[placed]("other", 1, create.OwnedBy("orders"))
	_, err = Start(t.Context(), p, other, "1", placed{})
	require.ErrorContains(t, err, "Config.Sagas")
}

func TestStartTxFollowsTheCallersTransaction(t *testing.T) {
	db := memory.NewDatabase()
	store := memory.New(db)
	p, err := New[*memory.Tx](&stubLog{}, store, &Config{Service: "shop", Sagas: []choreo.AnySaga{order}})
	require.NoError(t, err)
	for _, commit := range []bool{false, true} {
		tx, err := store.BeginTx(t.Context())
		require.NoError(t, err)
		require.NoError(t, tx.Put("orders", "17", "pending"))
		_, err = StartTx(t.Context(), p, tx, order, "17", placed{})
		require.NoError(t, err)
		require.Empty(t, db.Snapshot().Entries)
		if commit {
			require.NoError(t, tx.Commit(t.Context()))
		} else {
			require.NoError(t, tx.Rollback(t.Context()))
		}
	}
	snapshot := db.Snapshot()
	require.Len(t, snapshot.Entries, 1)
	require.Equal(t, "pending", snapshot.Tables["orders"]["17"])
	require.Equal(t, choreo.RowOpen, snapshot.Sagas[0].State)
}

func TestSetupFaultsAreAllNamed(t *testing.T) {
	_, err := New[*memory.Tx](&stubLog{}, memory.New(memory.NewDatabase()), &Config{Lanes: -1, Sagas: []choreo.AnySaga{order, order}})
	for _, want := range []string{"Config.Service", "Config.Lanes", "Sagas[1]"} {
		require.ErrorContains(t, err, want)
	}
	_, err = New[*memory.Tx](&stubLog{}, memory.New(memory.NewDatabase()), nil)
	require.ErrorContains(t, err, "Config.Sagas is empty")

	p, err := New[*memory.Tx](&stubLog{}, memory.New(memory.NewDatabase()), &Config{Service: "payments", Sagas: []choreo.AnySaga{order}})
	require.NoError(t, err)
	HandleForward(p, charge, &script[created, receipt]{})
	Handle(p, create, &script[placed, created]{})
	Handle(p, choreo.NewStep[placed, receipt]("charge"), &script[placed, receipt]{})
	err = p.Run(t.Context())
	for _, want := range []string{
		`"charge": order/1 defines it with a compensation`, `service "payments" owns no such step`,
		"defines it from participant.created to participant.receipt, the handler from participant.placed",
		`step "charge" of order/1 has no handler`,
	} {
		require.ErrorContains(t, err, want)
	}
}

// What a handler writes can be refused by the database when it commits, as by a deferred constraint. Such
// attempts count, too: the policy runs out.
func TestAttemptsWhoseCommitIsRefusedCount(t *testing.T) {
	for name, options := range map[string][]HandleOption{"alone": nil, "local": {Local()}} {
		synctest.Test(t, func(t *testing.T) {
			s := newPaymentsBound(t, memory.NewDatabase(), Config{}, options...)
			require.NoError(t, s.checkHandlers())
			runs, ran := 0, false
			s.charge.execute = func(context.Context, *memory.Tx, *Call[created]) (receipt, error) {
				runs++
				ran = true
				return receipt{}, nil
			}
			s.memory.SetHook(func(e memory.Effect) error {
				switch {
				case e.Op == memory.OpBegin && !e.After:
					ran = false
				case e.Op == memory.OpCommit && !e.After && ran && runs < 10:
					return errors.New("refused")
				}
				return nil
			})
			s.read(trigger("1")...)
			require.Equal(t, choreo.RowFailed, s.row("1").State, name)
			require.Equal(t, 3, s.row("1").Attempt, name)
			require.LessOrEqual(t, runs, 4, "and once in a group")
		})
	}
}
