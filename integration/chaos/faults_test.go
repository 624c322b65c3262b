//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/choreo-go/choreo/integration/internal/servers"
)

// fault is one thing that goes wrong.
type fault struct {
	kind faultKind
	draw uint64        // decides which process is meant
	long time.Duration // a process is away, stopped, or a server down for so long
	// with: it does not wait for its turn, but happens together with the one before.
	with bool
}

type faultKind string

const (
	killProcess       faultKind = "kill -9 of a process"
	stopProcess       faultKind = "process stopped"
	restartKafka      faultKind = "Kafka restarted"
	killKafka         faultKind = "Kafka killed"
	restartPostgres   faultKind = "PostgreSQL restarted"
	immediatePostgres faultKind = "PostgreSQL shut down at once"
	killPostgres      faultKind = "PostgreSQL killed"
)

var faultKinds = []faultKind{
	killProcess, stopProcess, restartKafka, killKafka, restartPostgres, immediatePostgres, killPostgres,
}

// plan draws the faults of a run in their order, and returns them with how many of each
// kind there are. Servers are restarted cleanly and by force in turns.
func plan(seed uint64, session time.Duration, kills, stops, kafkas, databases int) ([]fault, map[faultKind]int) {
	counts := map[faultKind]int{killProcess: kills, stopProcess: stops}
	for i := range kafkas {
		counts[[]faultKind{killKafka, restartKafka}[i%2]]++
	}
	for i := range databases {
		counts[[]faultKind{immediatePostgres, restartPostgres, killPostgres}[i%3]]++
	}
	r := rand.New(rand.NewPCG(seed, 1<<40)) // apart from those of all errands
	var faults []fault
	for _, kind := range faultKinds {
		for range counts[kind] {
			f := fault{kind: kind, draw: r.Uint64(), long: spread(r, 10*time.Millisecond, 3*time.Second), with: r.Float64() < 0.25}
			if kind == stopProcess {
				f.long += session + 2*time.Second
			}
			faults = append(faults, f)
		}
	}
	r.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	if len(faults) > 0 {
		faults[0].with = false // there is none before it
	}
	return faults, counts
}

// chaos carries out faults.
type chaos struct {
	fleet           *fleet
	watch           *watch
	cluster         *cluster
	database        *database
	kafka, postgres *servers.Control
	say             func(format string, args ...any)

	running       sync.WaitGroup // faults of servers
	kafkaFault    sync.Mutex     // one at a time
	postgresFault sync.Mutex

	mu      sync.Mutex // over the rest
	done    map[faultKind]int
	met     met
	outages int // of Kafka that have begun or ended
}

// met is the work that faults met.
type met struct {
	nothing  int // faults while no saga was under way
	killed   int // processes killed with a transaction open
	stopped  int // processes stopped with a transaction open
	evicted  int // processes that their group had given up before they went on
	blurred  int // stops during an outage of Kafka, of which groups do not count the time
	database int // outages of PostgreSQL with transactions open
	backlog  int // outages of Kafka in which outboxes filled
}

// run carries out the faults, evenly spread over the first four fifths of the sagas, of
// which there are n. It returns when the last has begun.
func (c *chaos) run(ctx context.Context, faults []fault, n int) error {
	for i, f := range faults {
		if !f.with {
			due := n * (i + 1) * 4 / (5 * len(faults))
			if err := c.watch.await(ctx, func(now *figures) bool { return now.ended >= due }); err != nil {
				return err
			}
		}
		now := c.watch.now()
		if now.expected == now.ended {
			c.count(func() { c.met.nothing++ })
		}
		if err := c.begin(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f.kind, err)
		}
	}
	return nil
}

func (c *chaos) count(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
}

// tell counts a fault that has happened, and whether it met something.
func (c *chaos) tell(f fault, met *int, n int) {
	c.count(func() {
		c.done[f.kind]++
		if n > 0 {
			*met++
		}
	})
}

func (c *chaos) begin(ctx context.Context, f fault) error {
	switch f.kind {
	case killProcess:
		m, err := c.pick(ctx, f, down, func(*member) bool { return true })
		if err != nil {
			return err
		}
		busy := await(ctx, killWithin, func() int { return c.database.busy(ctx, m.Process) })
		c.say("%s: %s, away for %v", f.kind, m.Process, f.long)
		if err := c.fleet.kill(ctx, m, f.long); err != nil {
			return err
		}
		c.tell(f, &c.met.killed, busy)
	case stopProcess:
		m, err := c.pick(ctx, f, stopped, func(m *member) bool { return !m.Desk })
		if err != nil {
			return err
		}
		c.say("%s: %s, for %v", f.kind, m.Process, f.long)
		outages := c.kafkaOutages()
		if err := c.fleet.stop(ctx, m, f.long, func() {
			evicted := c.cluster.evicted(ctx, m)
			c.count(func() {
				if c.outages != outages || c.outages%2 == 1 {
					c.met.blurred++
				}
			})
			c.tell(f, &c.met.evicted, map[bool]int{true: 1}[evicted])
		}); err != nil {
			return err
		}
		if c.database.busy(ctx, m.Process) > 0 { // it stays as it is while it is stopped
			c.count(func() { c.met.stopped++ })
		}
	case restartKafka:
		c.kafkaOutage(ctx, f, c.kafka.Stop)
	case killKafka:
		c.kafkaOutage(ctx, f, c.kafka.Kill)
	case restartPostgres:
		c.postgresOutage(ctx, f, c.postgres.Stop)
	case immediatePostgres:
		c.postgresOutage(ctx, f, c.postgres.Immediate)
	case killPostgres:
		c.postgresOutage(ctx, f, c.postgres.Kill)
	}
	return nil
}

// pick waits until a process suits.
func (c *chaos) pick(ctx context.Context, f fault, next memberState, suits func(*member) bool) (*member, error) {
	for {
		if m := c.fleet.pick(f.draw, next, suits); m != nil {
			return m, nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (c *chaos) kafkaOutages() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outages
}

func (c *chaos) postgresOutage(ctx context.Context, f fault, end func(context.Context) error) {
	c.outage(f, &c.postgresFault, func() error {
		busy := c.database.busy(ctx, "")
		if err := end(ctx); err != nil {
			return err
		}
		_ = pause(ctx, f.long)
		c.tell(f, &c.met.database, busy)
		return c.postgres.Start(context.WithoutCancel(ctx)) // a run that fails looks at what is left
	})
}

func (c *chaos) kafkaOutage(ctx context.Context, f fault, end func(context.Context) error) {
	c.outage(f, &c.kafkaFault, func() error {
		c.count(func() { c.outages++ })
		defer c.count(func() { c.outages++ })
		if err := end(ctx); err != nil {
			return err
		}
		_ = pause(ctx, f.long)
		c.tell(f, &c.met.backlog, await(ctx, fillWithin, func() int { return c.database.backlog(ctx) }))
		return c.kafka.Start(context.WithoutCancel(ctx))
	})
}

const (
	// killWithin is how long the kill of a process waits for it to be in the middle of a
	// transaction.
	killWithin = 500 * time.Millisecond
	// fillWithin is how long Kafka stays away until an outbox fills: pending steps are
	// answered within a few seconds.
	fillWithin = 5 * time.Second
)

// await waits a little until there is something, and returns how much.
func await(ctx context.Context, within time.Duration, count func() int) int {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		n := count()
		if n > 0 || pause(ctx, 5*time.Millisecond) != nil {
			return n
		}
	}
}

// outage takes a server away, after one that it is away already.
func (c *chaos) outage(f fault, server *sync.Mutex, do func() error) {
	c.running.Go(func() {
		server.Lock()
		defer server.Unlock()
		c.say("%s: away for %v and as long as it takes", f.kind, f.long)
		began := time.Now()
		if err := do(); err != nil {
			c.fleet.failed <- fmt.Errorf("%s: %w", f.kind, err)
			return
		}
		c.say("%s: it serves again after %.1f s", f.kind, time.Since(began).Seconds())
	})
}

// over waits until what was begun is over: all processes run, and both servers.
func (c *chaos) over() {
	c.running.Wait()
	c.fleet.busy.Wait()
}
