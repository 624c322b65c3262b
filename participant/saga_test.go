package participant_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A trip: flight and hotel side by side, joined by the payment, then the documents.
type (
	trip   struct{ Refuse string } // the step that refuses
	ticket struct{ From string }
)

var (
	flight    = choreo.NewStep[trip, ticket]("flight")
	hotel     = choreo.NewStep[trip, ticket]("hotel")
	pay       = choreo.NewStep[choreo.Join, ticket]("pay")
	documents = choreo.NewStep[ticket, ticket]("documents")
	review    = choreo.NewStep[ticket, ticket]("review")

	travel = choreo.MustDefine[trip]("travel", 1,
		flight.OwnedBy("air"),
		hotel.OwnedBy("stay"),
		pay.OwnedBy("bank").After(flight, hotel),
		documents.OwnedBy("air").After(pay),
		review.OwnedBy("stay").After(documents).NoCompensation(),
	)
	tripSteps = []string{"flight", "hotel", "pay", "documents", "review"}
)

// world is three services over one log in memory.
type world struct {
	t    *testing.T
	log  *memorylog.Log
	dbs  map[string]*memory.Database
	run  map[string]*process
	gate func(service string, sagaID string) error // asked by every handler

	sagas  map[string]*choreo.Instance // what fold has folded
	folded int                         // so many records
}

type process struct {
	p     *participant.Participant[*memory.Tx]
	store *memory.Store
	stop  context.CancelFunc
	ended chan error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, log: memorylog.New(memorylog.Options{}), dbs: make(map[string]*memory.Database),
		run: make(map[string]*process), gate: func(string, string) error { return nil },
		sagas: make(map[string]*choreo.Instance),
	}
	names, err := topics.NewNames("choreo")
	require.NoError(t, err)
	plan, err := topics.NewPlan(t.Context(), w.log, topics.Topology(names, []choreo.AnySaga{travel}, topics.TopologyOptions{Partitions: 4}))
	require.NoError(t, err)
	require.NoError(t, plan.Apply(t.Context(), w.log))
	for _, service := range travel.Services() {
		w.dbs[service] = memory.NewDatabase()
		w.start(service)
	}
	return w
}

func (w *world) start(service string) *process {
	w.t.Helper()
	store := memory.New(w.dbs[service])
	p, err := participant.New[*memory.Tx](w.log, store, &participant.Config{
		Service: service, Sagas: []choreo.AnySaga{travel},
	})
	require.NoError(w.t, err)
	h := func(step string) handler { return handler{w, service, step} }
	switch service {
	case "air":
		participant.Handle(p, flight, tripHandler{h("flight")})
		participant.Handle(p, documents, ticketHandler{h("documents")})
	case "stay":
		participant.Handle(p, hotel, tripHandler{h("hotel")})
		participant.HandleForward(p, review, ticketHandler{h("review")})
	case "bank":
		participant.Handle(p, pay, joinHandler{h("pay")})
	}
	ctx, stop := context.WithCancel(context.Background())
	proc := &process{p: p, store: store, stop: stop, ended: make(chan error, 1)}
	go func() { proc.ended <- p.Run(ctx) }()
	w.run[service] = proc
	return proc
}

// halt stops a service gracefully.
func (w *world) halt(service string) {
	w.t.Helper()
	w.run[service].stop()
	require.NoError(w.t, <-w.run[service].ended)
	delete(w.run, service)
}

// kill ends a service as kill -9 does: what it still tries reaches nothing.
func (w *world) kill(service string) {
	w.run[service].store.Kill()
	w.run[service].stop()
	require.NoError(w.t, <-w.run[service].ended)
	delete(w.run, service)
}

func (w *world) close() {
	w.t.Helper()
	for service := range w.run {
		w.halt(service)
	}
	require.NoError(w.t, w.log.Close())
}

func (w *world) begin(id string, in trip) {
	w.t.Helper()
	_, err := participant.Start(w.t.Context(), w.run["air"].p, travel, id, in)
	require.NoError(w.t, err)
}

// fold returns the sagas as the log tells them.
func (w *world) fold() map[string]*choreo.Instance {
	w.t.Helper()
	records := w.log.Records("choreo.travel.events")
	for _, rec := range records[w.folded:] {
		ev, err := topics.Decode(&rec)
		require.NoError(w.t, err)
		if w.sagas[ev.SagaID] == nil {
			w.sagas[ev.SagaID] = choreo.NewInstance(travel.Definition)
		}
		w.sagas[ev.SagaID].Apply(ev)
	}
	w.folded = len(records)
	return w.sagas
}

// rest waits until n sagas have ended.
func (w *world) rest(n int) map[string]*choreo.Instance {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // of virtual time
	defer cancel()
	var sagas map[string]*choreo.Instance
	err := w.log.WaitUntil(ctx, func() bool {
		sagas = w.fold()
		ended := 0
		for _, in := range sagas {
			if in.Status.Ended() {
				ended++
			}
		}
		return ended == n
	})
	if err != nil {
		for id, in := range sagas {
			if !in.Status.Ended() {
				w.t.Errorf("saga %s is %s: %+v", id, in.Status, in.Steps)
			}
		}
	}
	require.NoError(w.t, err)
	return sagas
}

// audit checks the effects that the databases hold against the outcomes.
func (w *world) audit(sagas map[string]*choreo.Instance) {
	w.t.Helper()
	for id, in := range sagas {
		for _, step := range tripSteps {
			service := travel.Step(step).Owner
			want := ""
			switch in.Status {
			case choreo.StatusCompleted:
				want = "1"
			case choreo.StatusCompensated:
				if s := w.dbs[service].Snapshot().Tables[step][id]; s == "0" {
					want = "0" // held once, and undone
				}
			default:
				require.Failf(w.t, "not at rest", "saga %s is %s", id, in.Status)
			}
			require.Equal(w.t, want, w.dbs[service].Snapshot().Tables[step][id], "saga %s (%s): step %s", id, in.Status, step)
		}
	}
}

type handler struct {
	w             *world
	service, step string
}

func (h handler) change(tx *memory.Tx, id string, n int) error {
	if err := h.w.gate(h.service, id); err != nil {
		return err
	}
	value, _, err := tx.Get(h.step, id)
	if err != nil {
		return err
	}
	held, _ := strconv.Atoi(value)
	return tx.Put(h.step, id, strconv.Itoa(held+n))
}

type tripHandler struct{ handler }

func (h tripHandler) Execute(_ context.Context, tx *memory.Tx, call *participant.Call[trip]) (ticket, error) {
	if call.Input.Refuse == h.step {
		return ticket{}, choreo.Refusef("sold-out", "no room")
	}
	return ticket{From: h.step + ">" + call.Input.Refuse}, h.change(tx, call.SagaID, 1)
}

func (h tripHandler) Compensate(_ context.Context, tx *memory.Tx, call *participant.Call[trip], _ ticket) error {
	return h.change(tx, call.SagaID, -1)
}

type joinHandler struct{ handler }

func (h joinHandler) Execute(_ context.Context, tx *memory.Tx, call *participant.Call[choreo.Join]) (ticket, error) {
	a, okA, errA := choreo.OutputOf(call.Input.Outputs, flight)
	b, okB, errB := choreo.OutputOf(call.Input.Outputs, hotel)
	if err := errors.Join(errA, errB); err != nil || !okA || !okB {
		return ticket{}, choreo.Permanent(fmt.Errorf("outputs are missing: %v %v %w", okA, okB, err))
	}
	if a.From == "flight>"+h.step && b.From == "hotel>"+h.step {
		return ticket{}, choreo.Refusef("no-credit", "refused")
	}
	return ticket{From: a.From}, h.change(tx, call.SagaID, 1)
}

func (h joinHandler) Compensate(_ context.Context, tx *memory.Tx, call *participant.Call[choreo.Join], _ ticket) error {
	return h.change(tx, call.SagaID, -1)
}

type ticketHandler struct{ handler }

func (h ticketHandler) Execute(_ context.Context, tx *memory.Tx, call *participant.Call[ticket]) (ticket, error) {
	if call.Input.From == "flight>"+h.step {
		return ticket{}, choreo.Refusef("no-paper", "refused")
	}
	return call.Input, h.change(tx, call.SagaID, 1)
}

func (h ticketHandler) Compensate(_ context.Context, tx *memory.Tx, call *participant.Call[ticket], _ ticket) error {
	return h.change(tx, call.SagaID, -1)
}

func TestG3AllOrUndoneARefusalAtEachStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.begin("none", trip{})
		for _, step := range tripSteps {
			w.begin(step, trip{Refuse: step})
		}
		sagas := w.rest(len(tripSteps) + 1)
		require.Equal(t, choreo.StatusCompleted, sagas["none"].Status)
		for _, step := range tripSteps {
			require.Equal(t, choreo.StatusCompensated, sagas[step].Status, step)
			require.Equal(t, step, sagas[step].CauseStep)
			require.Equal(t, choreo.ClassRefused, sagas[step].Cause.Class)
		}
		w.audit(sagas)
	})
}

// load is how many sagas the tests under faults run; every fifth is refused somewhere.
const load = 120

func (w *world) load() {
	w.t.Helper()
	for i := range load {
		in := trip{}
		if i%5 == 0 {
			in.Refuse = tripSteps[i/5%len(tripSteps)]
		}
		w.begin(fmt.Sprintf("trip-%03d", i), in)
	}
}

func TestG6AgreementUnderRebalancesAndRedelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		handled := 0
		var mu sync.Mutex
		w.gate = func(service, _ string) error {
			mu.Lock()
			defer mu.Unlock()
			if handled++; handled%25 == 0 {
				w.log.Rebalance("choreo." + service)
			}
			if handled%60 == 0 {
				w.log.Rewind("choreo.bank", "choreo.travel.events", int32(handled%4), 0)
			}
			return nil
		}
		w.load()
		sagas := w.rest(load)
		w.gate = func(string, string) error { return nil }
		w.audit(sagas)
	})
}

func TestG7NoLossWhileTheBrokerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.load()
		w.log.Disconnect(errors.New("broker is away"))
		<-time.After(10 * time.Minute)
		w.log.Reconnect()
		w.audit(w.rest(load))
	})
}

func TestG7NoLossWhenAcknowledgementsAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		n := 0
		var mu sync.Mutex
		w.log.OnPublish(func(*choreo.Record) memorylog.Fault {
			mu.Lock()
			defer mu.Unlock()
			switch n++; {
			case n%7 == 0:
				return memorylog.Fault{After: errors.New("acknowledgement lost")}
			case n%11 == 0:
				return memorylog.Fault{Before: errors.New("not written")}
			case n%13 == 0:
				return memorylog.Fault{Twice: true}
			}
			return memorylog.Fault{}
		})
		w.load()
		w.audit(w.rest(load))
	})
}

func TestG2OnceWhenProcessesAreKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.load()
		for i := range 12 {
			service := travel.Services()[i%3]
			<-time.After(time.Duration(i) * time.Millisecond)
			w.kill(service)
			w.start(service)
		}
		w.audit(w.rest(load))
	})
}

func TestG8IsolationAFailingSagaHoldsUpNoOtherLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.gate = func(service, id string) error {
			if service == "bank" && id == "poisoned" {
				return choreo.RetryAfter(time.Hour, errors.New("gateway is down"))
			}
			return nil
		}
		w.begin("poisoned", trip{})
		for i := range 40 {
			w.begin(fmt.Sprintf("trip-%d", i), trip{})
		}
		<-time.After(time.Minute)
		completed := 0
		for _, in := range w.fold() {
			if in.Status == choreo.StatusCompleted {
				completed++
			}
		}
		require.GreaterOrEqual(t, completed, 36, "only sagas of the same lane may wait")
		require.Equal(t, choreo.StatusRunning, w.fold()["poisoned"].Status)
	})
}

func TestG10NoCoordinatorAServiceThatIsGoneStopsOnlyItsOwnSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.halt("bank")
		w.begin("refused", trip{Refuse: "hotel"})
		w.begin("waits", trip{})
		<-time.After(time.Minute)
		sagas := w.fold()
		require.Equal(t, choreo.StepUndone, sagas["refused"].Steps[0].Status, "undoing the flight needs no bank")
		require.Equal(t, choreo.StatusRunning, sagas["waits"].Status)
		w.start("bank")
		sagas = w.rest(2)
		require.Equal(t, choreo.StatusCompensated, sagas["refused"].Status)
		require.Equal(t, choreo.StatusCompleted, sagas["waits"].Status)
	})
}

func TestHealthTellsWhatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		air := w.run["air"].p
		w.begin("1", trip{})
		w.rest(1)
		h := air.Health(t.Context())
		require.True(t, h.Ready, "%+v", h)
		require.Equal(t, 4, h.Partitions)

		w.dbs["air"].Stop()
		require.ErrorIs(t, air.Health(t.Context()).Store, memory.ErrDown)
		require.False(t, air.Health(t.Context()).Ready)
		w.dbs["air"].Start()

		w.log.Disconnect(errors.New("broker is away"))
		synctest.Wait()
		require.ErrorContains(t, air.Health(t.Context()).Log, "broker is away")
		w.log.Reconnect()
		synctest.Wait()
		require.True(t, air.Health(t.Context()).Ready)
	})
}

func TestMissingTopicsAreNamed(t *testing.T) {
	log := memorylog.New(memorylog.Options{})
	defer func() { require.NoError(t, log.Close()) }()
	p, err := participant.New[*memory.Tx](log, memory.New(memory.NewDatabase()), &participant.Config{
		Service: "watcher", Sagas: []choreo.AnySaga{travel},
	})
	require.NoError(t, err)
	require.ErrorContains(t, p.Run(t.Context()), `"choreo.travel.events" "choreo.dlq"`)
	require.ErrorContains(t, p.Run(t.Context()), "called before")
}
