package choreotest

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An order: create, charge and reserve side by side, ship as the pivot, then a letter.
type (
	placed  struct{ Total int }
	created struct{ Total int }
	receipt struct{ Paid int }
)

var (
	create  = choreo.NewStep[placed, created]("create")
	charge  = choreo.NewStep[created, receipt]("charge")
	reserve = choreo.NewStep[created, receipt]("reserve")
	wrap    = choreo.NewStep[created, receipt]("wrap")
	ship    = choreo.NewStep[choreo.Join, receipt]("ship")
	letter  = choreo.NewStep[receipt, receipt]("letter")

	order = choreo.MustDefine[placed]("order", 1,
		create.OwnedBy("orders"),
		charge.OwnedBy("payments").After(create).Timeout(time.Second),
		reserve.OwnedBy("stock").After(create),
		wrap.OwnedBy("stock").After(create).Optional(),
		ship.OwnedBy("shipping").After(charge, reserve, wrap).Pivot(),
		letter.OwnedBy("orders").After(ship),
		choreo.Deadline(12*time.Hour),
	)
	everyStep = []string{"create", "charge", "reserve", "wrap", "ship", "letter"}
)

// books is a handler for any step: it notes in the step's table that it holds an effect.
type books[In, Out any] struct {
	answer func(call *participant.Call[In]) (Out, error)
}

func (b books[In, Out]) Execute(_ context.Context, tx *memory.Tx, call *participant.Call[In]) (out Out, err error) {
	if err := hold(tx, call.Step, call.SagaID, 1); err != nil || b.answer == nil {
		return out, err
	}
	return b.answer(call)
}

func (b books[In, Out]) Compensate(_ context.Context, tx *memory.Tx, call *participant.Call[In], _ Out) error {
	return hold(tx, call.Step, call.SagaID, -1)
}

func hold(tx *memory.Tx, step, id string, n int) error {
	value, _, err := tx.Get(step, id)
	if err != nil {
		return err
	}
	held, _ := strconv.Atoi(value)
	return tx.Put(step, id, strconv.Itoa(held+n))
}

// shop is the services' own code: how they register their handlers.
type shop struct {
	charge func(call *participant.Call[created]) (receipt, error)
	letter func(call *participant.Call[receipt]) (receipt, error)
}

func (s shop) orders(p *participant.Participant[*memory.Tx]) {
	participant.Handle(p, create, books[placed, created]{})
	participant.HandleForward(p, letter, books[receipt, receipt]{s.letter})
}

func (s shop) payments(p *participant.Participant[*memory.Tx]) {
	participant.Handle(p, charge, books[created, receipt]{s.charge})
}

func (s shop) stock(p *participant.Participant[*memory.Tx]) {
	participant.Handle(p, reserve, books[created, receipt]{})
	participant.Handle(p, wrap, books[created, receipt]{})
}

func (s shop) shipping(p *participant.Participant[*memory.Tx]) {
	participant.HandleForward(p, ship, books[choreo.Join, receipt]{})
}

// open serves all services and returns that of orders.
func (s shop) open(w *World) *Service[*memory.Tx] {
	Serve(w, "payments", s.payments)
	Serve(w, "stock", s.stock)
	Serve(w, "shipping", s.shipping)
	return Serve(w, "orders", s.orders)
}

// held returns which steps hold an effect, and fails where one does so more than once.
func held(w *World, id string) []string {
	var steps []string
	for _, step := range everyStep {
		value := w.Database(order.Step(step).Owner).Snapshot().Tables[step][id]
		switch value {
		case "", "0":
		case "1":
			steps = append(steps, step)
		default:
			w.T().Errorf("step %s is held %s times", step, value)
		}
	}
	return steps
}

// fakeTB is a test that is only played: it keeps what it is told.
type fakeTB struct {
	testing.TB // never called: what the kit uses is below
	mu         sync.Mutex
	said       []string
	skipped    string
	failed     bool
}

func (f *fakeTB) Helper()                   {}
func (f *fakeTB) Logf(string, ...any)       {}
func (f *fakeTB) Skipf(s string, a ...any)  { f.skipped = fmt.Sprintf(s, a...); runtime.Goexit() }
func (f *fakeTB) Fatalf(s string, a ...any) { f.Errorf(s, a...); runtime.Goexit() }
func (f *fakeTB) Errorf(s string, a ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = true
	f.said = append(f.said, fmt.Sprintf(s, a...))
}

func (f *fakeTB) text() string { return strings.Join(f.said, "\n") }

// play runs f with a world of a played test, to its end or its failure, and returns it.
func play(t *testing.T, sagas []choreo.AnySaga, f func(w *World)) *fakeTB {
	t.Helper()
	fake := &fakeTB{}
	synctest.Test(t, func(*testing.T) {
		done := make(chan struct{})
		go func() { // Fatalf ends this goroutine
			defer close(done)
			w := newWorld(fake, sagas, true)
			defer w.close()
			f(w)
		}()
		<-done
	})
	return fake
}

var orders = []choreo.AnySaga{order}

func TestASagaRunsWithItsOwnHandlersOnVirtualTime(t *testing.T) {
	begin := time.Now()
	Run(t, orders, func(w *World) {
		tries := 0
		s := shop{charge: func(*participant.Call[created]) (receipt, error) {
			if tries++; tries < 4 {
				return receipt{}, choreo.RetryAfter(time.Hour, fmt.Errorf("gateway is away"))
			}
			return receipt{}, nil
		}}.open(w)
		ref := Start(s, order, "o-1", placed{Total: 3})
		require.Equal(t, participant.Ref{Saga: "order", SagaID: "o-1", Created: true}, ref)
		in := w.Wait(ref)
		require.Equal(t, choreo.StatusCompleted, in.Status)
		require.Equal(t, 3*time.Hour, in.EndedAt.Sub(in.StartedAt).Round(time.Minute))
		w.AssertStatus(ref, choreo.StatusCompleted)
		w.AssertEventsInAnyOrder(ref,
			"started", "completed create", "completed charge", "completed reserve", "completed wrap",
			"completed ship", "completed letter")
		w.AssertRows(ref, "create completed", "charge completed", "reserve completed", "wrap completed",
			"ship completed", "letter completed")
		w.AssertOutboxEmpty()
		require.Equal(t, everyStep, held(w, "o-1"))
	})
	require.Less(t, time.Since(begin), 5*time.Second, "three hours are virtual")
}

func TestARefusalIsUndoneAndTold(t *testing.T) {
	Run(t, orders, func(w *World) {
		s := shop{charge: func(*participant.Call[created]) (receipt, error) {
			return receipt{}, choreo.Refusef("no-credit", "balance is 3")
		}}.open(w)
		ref := Start(s, order, "o-1", placed{})
		w.Wait(ref)
		w.AssertStatus(ref, choreo.StatusCompensated)
		require.Contains(t, w.Events(ref), "failed charge: refused no-credit")
		require.Contains(t, w.Story(ref), `"balance is 3"`)
		require.Empty(t, held(w, "o-1"))
		w.AssertOutboxEmpty()
	})
}

func TestADeadlineFiresWhenTimeIsAdvanced(t *testing.T) {
	Run(t, orders, func(w *World) {
		s := shop{}.open(w)
		ref := Start(s, order, "before", placed{})
		w.Wait(ref)
		s.Stop()
		s.Restart()
		gone := w.services["payments"].(*Service[*memory.Tx])
		gone.Kill()
		ref = Start(s, order, "o-1", placed{})
		w.Advance(11 * time.Hour)
		w.AssertStatus(ref, choreo.StatusRunning)
		w.Advance(2 * time.Hour)
		w.AssertStatus(ref, choreo.StatusCompensating)
		w.AssertRows(ref, "create undoing", "charge none", "reserve undone", "wrap undone", "ship skipped", "letter skipped")
		gone.Restart()
		w.Wait(ref)
		w.AssertStatus(ref, choreo.StatusCompensated)
		require.Contains(t, w.Events(ref), "aborted: timeout deadline")
		require.Empty(t, held(w, "o-1"))
	})
}

func TestAServiceThatIsNotSetUpFailsTheTest(t *testing.T) {
	fake := play(t, orders, func(w *World) {
		s := Serve(w, "orders", func(*participant.Participant[*memory.Tx]) {})
		w.Wait(Start(s, order, "o-1", placed{}))
	})
	require.Contains(t, fake.text(), `service orders: participant orders is not set up`)
	require.Contains(t, fake.text(), `step "create" of order/1 has no handler`)

	fake = play(t, orders, func(w *World) {
		Serve(w, "orders", shop{}.orders)
		Serve(w, "orders", shop{}.orders)
	})
	require.Equal(t, "choreotest: service orders is served twice in this world", fake.text())

	fake = play(t, nil, func(w *World) { Serve(w, "orders", shop{}.orders) })
	require.Equal(t, "choreotest: the world has no sagas", fake.text())
}

func TestASagaThatCannotRestTellsItsStory(t *testing.T) {
	fake := play(t, orders, func(w *World) {
		Serve(w, "stock", shop{}.stock)
		down := Serve(w, "shipping", shop{}.shipping)
		down.Stop()
		s := Serve(w, "orders", shop{}.orders)
		w.Patience = time.Hour
		w.Wait(Start(s, order, "o-1", placed{}))
		w.T().Errorf("not reached")
	})
	require.Len(t, fake.said, 1)
	for _, part := range []string{
		`saga order "o-1" did not come to rest: 1h0m0s have passed`,
		`saga order "o-1" (version 1) is running`,
		"    +0s  started            by orders\n",
		"completed create   by orders\n",
		"    charge   ready      of payments  row: unknown\n",
		"    reserve  completed  of stock     row: completed, attempt 1\n",
		"    ship     ready      of shipping  row: none\n",
		"  service payments is not served in this world\n",
		"  service shipping does not run\n",
	} {
		require.Contains(t, fake.text(), part)
	}

	fake = play(t, orders, func(w *World) {
		shop{}.open(w)
		w.Patience = time.Hour
		w.Wait(participant.Ref{Saga: "order", SagaID: "none"})
	})
	require.Contains(t, fake.text(), `saga order "none" has no event in the log`)
}

func TestAssertionsFailWithTheStory(t *testing.T) {
	simple := choreo.MustDefine[placed]("simple", 1, create.OwnedBy("orders"))
	fake := play(t, []choreo.AnySaga{simple}, func(w *World) {
		s := Serve(w, "orders", func(p *participant.Participant[*memory.Tx]) {
			participant.Handle(p, create, books[placed, created]{})
		})
		ref := Start(s, simple, "1", placed{})
		w.Wait(ref)
		w.AssertEvents(ref, "started", "failed create: refused", "completed create", "aborted")
		w.AssertEventsInAnyOrder(ref, "started")
		w.AssertRows(ref, "create undone")
		w.AssertStatus(ref, choreo.StatusFailed)
		w.Log().Disconnect(fmt.Errorf("broker is away"))
		Start(s, simple, "2", placed{})
		w.AssertOutboxEmpty()
		w.Database("orders").Stop()
		w.AssertOutboxEmpty()
		w.Database("orders").Start()
		w.Log().Reconnect()
	})
	require.Len(t, fake.said, 6)
	story := "saga simple \"1\" (version 1) is completed\n" +
		"  events:\n" +
		"    +0s  started           by orders\n" +
		"    +0s  completed create  by orders\n" +
		"  steps:\n" +
		"    create  completed  of orders  row: completed, attempt 1\n"
	require.Equal(t, "saga simple \"1\" has other events than expected\n"+
		"    started\n  - failed create: refused\n    completed create\n  - aborted\n"+story, fake.said[0])
	require.Equal(t, "saga simple \"1\" has other events, in any order, than expected\n"+
		"  + completed create\n    started\n"+story, fake.said[1])
	require.Equal(t, "saga simple \"1\" has other rows than expected\n"+
		"  - create undone\n  + create completed\n"+story, fake.said[2])
	require.Equal(t, "saga simple \"1\" should be failed\n"+story, fake.said[3])
	require.Regexp(t, `^the outboxes should be empty:\n  orders: 1 waiting, the oldest for [45]`, fake.said[4])
	require.Contains(t, fake.said[5], "look at the outbox of orders: ")
	require.Contains(t, fake.said[5], memory.ErrDown.Error())
}

func TestRealTimeHasAnEndToo(t *testing.T) {
	fake := &fakeTB{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w := newWorld(fake, orders, false)
		defer w.close()
		w.Patience = 50 * time.Millisecond
		s := Serve(w, "orders", shop{}.orders)
		w.Wait(Start(s, order, "o-1", placed{}))
	}()
	<-done
	require.Contains(t, fake.text(), `saga order "o-1" did not come to rest: 50ms have passed`)
	require.Contains(t, fake.text(), "service payments is not served in this world")
}

func TestManySagasInOneWorld(t *testing.T) {
	Run(t, orders, func(w *World) {
		s := shop{}.open(w)
		refs := make([]participant.Ref, 300)
		for i := range refs {
			refs[i] = Start(s, order, "o-"+strconv.Itoa(i), placed{})
		}
		for _, ref := range refs {
			require.Equal(w.T(), choreo.StatusCompleted, w.Wait(ref).Status)
		}
		for i := 0; i < len(refs); i += 50 {
			require.Equal(w.T(), everyStep, held(w, refs[i].SagaID))
		}
		w.AssertOutboxEmpty()
	})
}
