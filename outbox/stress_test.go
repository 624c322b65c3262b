package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

// scenario is what one run of the stress test does to the processes of a service. All
// chances are in percent.
type scenario struct {
	Seed       uint64
	Processes  int
	Writers    int // of each process
	Units      int // of each writer
	Sagas      int
	BatchMax   int
	StoreFault int
	Refused    int
	AnswerLost int
	Twice      int
	Late       int
	Crashes    []int // process n dies at its place here, in milliseconds
	BrokerAway []int // starts and ends of outages, in milliseconds
	StoreDown  []int
}

func drawScenario(t *rapid.T) scenario {
	percent := rapid.IntRange(0, 15)
	times := rapid.SliceOfN(rapid.IntRange(1, 400), 0, 6)
	return scenario{
		Seed:       rapid.Uint64().Draw(t, "seed"),
		Processes:  rapid.IntRange(1, 3).Draw(t, "processes"),
		Writers:    rapid.IntRange(1, 3).Draw(t, "writers"),
		Units:      rapid.IntRange(1, 15).Draw(t, "units"),
		Sagas:      rapid.IntRange(1, 5).Draw(t, "sagas"),
		BatchMax:   rapid.IntRange(1, 8).Draw(t, "batch"),
		StoreFault: percent.Draw(t, "store faults"),
		Refused:    percent.Draw(t, "refused"),
		AnswerLost: percent.Draw(t, "answers lost"),
		Twice:      percent.Draw(t, "twice"),
		Late:       percent.Draw(t, "late"),
		Crashes:    times.Draw(t, "crashes"),
		BrokerAway: times.Draw(t, "broker away"),
		StoreDown:  times.Draw(t, "store down"),
	}
}

// faultPhase is how long things go wrong, longer than all times of a scenario.
const faultPhase = 500 * time.Millisecond

// world runs a scenario in virtual time.
type world struct {
	scenario
	db       *memory.Database
	spoil    func(outbox.Queue) outbox.Queue // a planted fault, or nil
	handed   uint64                          // entries that were published from memory
	mu       sync.Mutex
	rand     *rand.Rand
	healed   bool
	away     bool
	appended []string // the log: what was written, in order
	writers  sync.WaitGroup
	flying   sync.WaitGroup // what reaches the log late
}

func (w *world) chance(percent int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.healed && w.rand.IntN(100) < percent
}

func (w *world) below(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

func (w *world) append(values ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.appended = append(w.appended, values...)
}

func delay(d time.Duration) { <-time.After(d) }

var errUnlucky = errors.New("unlucky")

// Publish is a broker that refuses, repeats, loses answers and lets records fly on
// after the caller has given them up. What is of one key and call stays in order.
func (w *world) Publish(ctx context.Context, records []choreo.Record) []error {
	delay(time.Duration(w.below(4)) * time.Millisecond)
	errs := make([]error, len(records))
	failed := make(map[string]bool)
	flying := make(map[string]bool)
	var late []string
	for i := range records {
		key, value := string(records[i].Key), string(records[i].Value)
		w.mu.Lock()
		away := w.away && !w.healed
		w.mu.Unlock()
		switch {
		case flying[key]:
			late = append(late, value)
			errs[i] = errUnlucky
		case failed[key]:
			errs[i] = errUnlucky
		case away, w.chance(w.Refused):
			failed[key] = true
			errs[i] = errUnlucky
		case w.chance(w.Late):
			flying[key] = true
			late = append(late, value)
			errs[i] = errUnlucky
		case w.chance(w.AnswerLost):
			failed[key] = true
			w.append(value)
			errs[i] = errUnlucky
		case w.chance(w.Twice):
			w.append(value, value)
		default:
			w.append(value)
		}
	}
	if len(late) > 0 {
		if w.chance(50) { // it gave no answer at all
			<-ctx.Done()
		}
		w.flying.Go(func() {
			delay(time.Duration(w.below(50)) * time.Millisecond)
			w.append(late...)
		})
	}
	if !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		return nil
	}
	return errs
}

// process is a service's process: killed, it comes back as a new one.
type process struct {
	*world
	mu    sync.Mutex
	store *memory.Store
	relay context.CancelFunc
	wg    sync.WaitGroup
}

// start must be called with the process locked, or before others know it.
func (p *process) start() {
	store := memory.New(p.db)
	store.SetHook(func(memory.Effect) error {
		if p.chance(p.StoreFault) {
			if p.chance(50) {
				store.Disconnect()
			}
			return fmt.Errorf("%w: %w", errUnlucky, memory.ErrConnectionLost)
		}
		return nil
	})
	queue := outbox.Queue(lateHandover{store, p.world})
	if p.spoil != nil {
		queue = p.spoil(store)
	}
	config := outbox.RelayConfig{
		BatchMax: p.BatchMax, Poll: 100 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
		PublishTimeout: 20 * time.Millisecond, StopTimeout: -1,
	}
	relay := outbox.NewRelay(queue, p.world, &config)
	ctx, cancel := context.WithCancel(context.Background())
	p.wg.Go(func() {
		_ = relay.Run(ctx) // fails only where it runs twice
		p.world.mu.Lock()
		defer p.world.mu.Unlock()
		p.handed += relay.Stats().Handed
	})
	p.store, p.relay = store, cancel
}

// lateHandover has units offer what they committed a while after, when later units of the same
// sagas may have committed and offered.
type lateHandover struct {
	outbox.Queue
	w *world
}

func (l lateHandover) HandTo(h outbox.Handover) {
	if h == nil {
		l.Queue.HandTo(nil)
		return
	}
	l.Queue.HandTo(intercepted{h, func(entries []outbox.Entry, older map[string][]int64) bool {
		delay(time.Duration(l.w.below(3)) * time.Millisecond)
		return h.Offer(entries, older)
	}})
}

// intercepted is a handover with another way to offer.
type intercepted struct {
	outbox.Handover
	offer func(entries []outbox.Entry, older map[string][]int64) bool
}

func (i intercepted) Offer(entries []outbox.Entry, older map[string][]int64) bool {
	return i.offer(entries, older)
}

// crash kills the process and starts it again.
func (p *process) crash() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.store.Kill()
	p.relay()
	p.start()
}

// end kills the process for good.
func (p *process) end() {
	p.now().Kill()
	p.relay()
	p.wg.Wait()
}

func (p *process) now() *memory.Store {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.store
}

// write does units until enough have committed, as far as the writer knows.
func (p *process) write() {
	for done := 0; done < p.Units; {
		saga := outbox.SagaID{Saga: "order", ID: fmt.Sprint("s", p.below(p.Sagas))}
		other := outbox.SagaID{Saga: "order", ID: fmt.Sprint("s", p.below(p.Sagas))}
		if p.unit(p.now(), slices.Compact([]outbox.SagaID{saga, other})) == nil {
			done++
		}
		delay(time.Duration(p.below(20)) * time.Millisecond)
	}
}

// unit counts sagas up and emits what it counted, in a transaction of its own or of a caller.
func (p *process) unit(store *memory.Store, sagas []outbox.SagaID) error {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	var u outbox.Unit[*memory.Tx]
	tx, err := store.BeginTx(ctx)
	if err != nil {
		return err
	}
	joined := p.below(2) == 0
	if joined {
		u, err = store.Join(ctx, tx, sagas...)
	} else {
		_ = tx.Rollback(ctx) // unused
		u, err = store.Begin(ctx, sagas...)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	var changes outbox.Changes
	for _, saga := range sagas {
		row := u.Rows(saga).Steps["count"]
		row.State, row.Attempt = choreo.RowRetrying, row.Attempt+1
		changes.Steps = append(changes.Steps, outbox.StepRow{SagaID: saga, Step: "count", Version: 1, Row: row})
		emitted, _ := changesOf([]string{fmt.Sprintf("%s#%d", saga.ID, row.Attempt)})
		changes.Entries = append(changes.Entries, emitted.Entries...)
	}
	delay(time.Duration(p.below(3)) * time.Millisecond)
	if err := u.Commit(ctx, changes); err != nil || !joined {
		return err
	}
	delay(time.Duration(p.below(30)) * time.Millisecond) // others take numbers and commit meanwhile
	if p.chance(10) {
		return errors.Join(errUnlucky, tx.Rollback(ctx))
	}
	return tx.Commit(ctx)
}

// run plays the scenario, heals everything, waits for rest and audits.
func (w *world) run() []string {
	w.db = memory.NewDatabase()
	w.rand = rand.New(rand.NewPCG(w.Seed, 1))
	processes := make([]*process, w.Processes)
	for i := range processes {
		p := &process{world: w}
		processes[i] = p
		p.start()
		for range w.Writers {
			w.writers.Go(p.write)
		}
	}
	var faults sync.WaitGroup
	faults.Go(func() { delay(faultPhase) })
	for i, at := range w.Crashes {
		p := processes[i%len(processes)]
		faults.Go(func() {
			delay(time.Duration(at) * time.Millisecond)
			p.crash()
		})
	}
	faults.Go(func() { toggle(w.StoreDown, w.db.Stop, w.db.Start) })
	faults.Go(func() {
		set := func(away bool) func() {
			return func() { w.mu.Lock(); defer w.mu.Unlock(); w.away = away }
		}
		toggle(w.BrokerAway, set(true), set(false))
	})
	faults.Wait()
	w.mu.Lock()
	w.healed = true
	w.mu.Unlock()
	w.writers.Wait()
	w.flying.Wait()
	delay(time.Minute)
	for _, p := range processes {
		p.end()
	}
	return audit(w.db.Snapshot(), w.appended)
}

// toggle calls on and off in turns at the times, and ends with off.
func toggle(times []int, on, off func()) {
	var now int
	for i, at := range slices.Sorted(slices.Values(times)) {
		delay(time.Duration(at-now) * time.Millisecond)
		now = at
		if i%2 == 0 {
			on()
		} else {
			off()
		}
	}
	off()
}

// audit compares what the database counted with what the log holds. It knows nothing of
// relays: committed numbers of a saga run from 1 to its count, since the count is read and
// written in the transaction that emits.
func audit(end memory.Snapshot, log []string) (violations []string) {
	if len(end.Entries) > 0 {
		violations = append(violations, fmt.Sprintf("G7: %d entries are left in the outbox at rest", len(end.Entries)))
	}
	first := make(map[string]int) // value → where it first stands in the log
	for at, value := range slices.Backward(log) {
		first[value] = at
	}
	var committed int
	for _, row := range end.Steps {
		before := -1
		for n := 1; n <= row.Attempt; n++ {
			committed++
			value := fmt.Sprintf("%s#%d", row.SagaID.ID, n)
			at, found := first[value]
			if !found {
				violations = append(violations, fmt.Sprintf("G7: %s was committed and never published", value))
				continue
			}
			if at < before {
				violations = append(violations, fmt.Sprintf("G9: %s was published before an earlier one", value))
			}
			before = max(before, at)
		}
	}
	if committed != len(first) {
		violations = append(violations, fmt.Sprintf("G1: %d entries were published, %d committed", len(first), committed))
	}
	return violations
}

// TestG7G9UnderStress: whatever dies, stalls, repeats or answers wrongly, what was
// committed is published, and each saga's entries for the first time in commit order.
func TestG7G9UnderStress(t *testing.T) {
	var handed uint64
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{scenario: drawScenario(rt)}
		var violations []string
		synctest.Test(t, func(*testing.T) { violations = w.run() })
		if len(violations) > 0 {
			rt.Fatalf("%+v\n%q", w.scenario, violations)
		}
		handed += w.handed
	})
	require.NotZero(t, handed, "nothing was published from memory")
}

// spoilt is a queue with a planted fault.
type spoilt struct {
	outbox.Queue
	claim func(q outbox.Queue, ctx context.Context, limit int, except []string) (outbox.Claim, error)
}

func (s spoilt) Claim(ctx context.Context, limit int, except []string) (outbox.Claim, error) {
	return s.claim(s.Queue, ctx, limit, except)
}

// spoiltHanding is a queue with a planted fault in what it hands over.
type spoiltHanding struct {
	outbox.Queue
	offer func(q outbox.Queue, h outbox.Handover) func([]outbox.Entry, map[string][]int64) bool
}

func (s spoiltHanding) HandTo(h outbox.Handover) {
	if h != nil {
		h = intercepted{h, s.offer(s.Queue, h)}
	}
	s.Queue.HandTo(h)
}

type spoiltClaim struct {
	outbox.Claim
	entries []outbox.Entry
	done    func(claimed []outbox.Entry, seqs []int64) []int64
}

func (c spoiltClaim) Entries() []outbox.Entry { return c.entries }

func (c spoiltClaim) Done(ctx context.Context, seqs []int64) error {
	return c.Claim.Done(ctx, c.done(c.Claim.Entries(), seqs))
}

func same(_ []outbox.Entry, seqs []int64) []int64 { return seqs }

// TestAuditFindsPlantedFaults proves that the stress test can fail.
func TestAuditFindsPlantedFaults(t *testing.T) {
	edit := func(change func([]outbox.Entry) []outbox.Entry, done func([]outbox.Entry, []int64) []int64) func() func(outbox.Queue) outbox.Queue {
		return func() func(outbox.Queue) outbox.Queue {
			return func(q outbox.Queue) outbox.Queue {
				return spoilt{q, func(q outbox.Queue, ctx context.Context, limit int, except []string) (outbox.Claim, error) {
					c, err := q.Claim(ctx, limit, except)
					if err != nil {
						return nil, err
					}
					return spoiltClaim{c, change(slices.Clone(c.Entries())), done}, nil
				}}
			}
		}
	}
	keep := func(entries []outbox.Entry) []outbox.Entry { return entries }
	faults := map[string]func() func(outbox.Queue) outbox.Queue{
		"newest first": edit(func(entries []outbox.Entry) []outbox.Entry {
			slices.Reverse(entries)
			return entries
		}, same),
		"failed entries are deleted": edit(keep, func(claimed []outbox.Entry, _ []int64) []int64 {
			var all []int64
			for _, e := range claimed {
				all = append(all, e.Seq)
			}
			return all
		}),
		"held keys are not left out, from their second entry on": edit(func(entries []outbox.Entry) []outbox.Entry {
			if len(entries) > 1 && entries[0].Key() == entries[1].Key() {
				return entries[1:]
			}
			return entries
		}, same),
		"a cursor over seq": func() func(outbox.Queue) outbox.Queue {
			var mu sync.Mutex
			var cursor int64
			return edit(func(entries []outbox.Entry) []outbox.Entry {
				mu.Lock()
				defer mu.Unlock()
				entries = slices.DeleteFunc(entries, func(e outbox.Entry) bool { return e.Seq < cursor })
				for _, e := range entries {
					cursor = max(cursor, e.Seq)
				}
				return entries
			}, same)()
		},
	}
	handing := func(offer func(q outbox.Queue, h outbox.Handover) func([]outbox.Entry, map[string][]int64) bool) func() func(outbox.Queue) outbox.Queue {
		return func() func(outbox.Queue) outbox.Queue {
			return func(q outbox.Queue) outbox.Queue { return spoiltHanding{q, offer} }
		}
	}
	faults["handed over without a look at older rows"] = handing(func(_ outbox.Queue, h outbox.Handover) func([]outbox.Entry, map[string][]int64) bool {
		return func(entries []outbox.Entry, _ map[string][]int64) bool { return h.Offer(entries, nil) }
	})
	faults["handed over newer before older"] = handing(func(_ outbox.Queue, h outbox.Handover) func([]outbox.Entry, map[string][]int64) bool {
		var mu sync.Mutex
		var held []outbox.Entry
		return func(entries []outbox.Entry, _ map[string][]int64) bool {
			mu.Lock()
			defer mu.Unlock()
			if held == nil {
				held = entries
				return true
			}
			entries, held = append(entries, held...), nil
			return h.Offer(entries, nil)
		}
	})
	faults["what is handed over is deleted before the acknowledgement"] = handing(func(q outbox.Queue, h outbox.Handover) func([]outbox.Entry, map[string][]int64) bool {
		return func(entries []outbox.Entry, older map[string][]int64) bool {
			var list []int64
			for _, e := range entries {
				list = append(list, e.Seq)
			}
			_ = q.Delete(context.Background(), list) // if it fails this time, the next will do
			return h.Offer(entries, older)
		}
	})
	for name, plant := range faults {
		t.Run(name, func(t *testing.T) {
			var found bool
			for seed := uint64(1); seed <= 20 && !found; seed++ {
				w := &world{spoil: plant(), scenario: scenario{
					Seed: seed, Processes: 2, Writers: 3, Units: 10, Sagas: 3, BatchMax: 4,
					StoreFault: 2, Refused: 10, AnswerLost: 5, Late: 5,
				}}
				synctest.Test(t, func(*testing.T) { found = len(w.run()) > 0 })
			}
			require.True(t, found)
		})
	}
}
