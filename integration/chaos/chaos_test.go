//go:build unix

package chaos

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/kafka"
)

// The flags of a run; their defaults are the short form.
var (
	flagSeed      = flag.Uint64("chaos.seed", 0, "where all draws come from; 0: another one each time")
	flagSagas     = flag.Int("chaos.sagas", 1500, "how many orders are placed")
	flagUnderWay  = flag.Int("chaos.under-way", 300, "how many of them are open at a time, at most")
	flagKills     = flag.Int("chaos.kills", 16, "how many processes are killed")
	flagStops     = flag.Int("chaos.stops", 3, "how many processes are stopped for longer than their session")
	flagKafkas    = flag.Int("chaos.kafkas", 2, "how often Kafka is restarted, every other time after a kill")
	flagDatabases = flag.Int("chaos.databases", 3, "how often PostgreSQL is restarted, every third time cleanly")
	flagSession   = flag.Duration("chaos.session", 6*time.Second, "session timeout of the services")
	flagWithin    = flag.Duration("chaos.within", 4*time.Minute, "how long a run may take until all faults are over")
	flagRest      = flag.Duration("chaos.rest", 2*time.Minute, "how long it may then take to come to rest")
	flagKeep      = flag.String("chaos.keep", "", "folder for logs, events and tables, which are then kept; else they are only after a failure")
)

func TestMain(m *testing.M) {
	if role := os.Getenv(processVariable); role != "" {
		os.Exit(runProcess(role))
	}
	flag.Parse()
	os.Exit(servers.Main(m))
}

// partitions of each topic: few, since a broker that was killed looks through all that it
// has before it serves again.
const partitions = 6

// run is one run of chaos.
type run struct {
	t        *testing.T
	seed     uint64
	dir      string
	began    time.Time
	names    topics.Names
	fleet    *fleet
	watch    *watch
	cluster  *cluster
	database *database
	load     *load
	chaos    *chaos
	records  []choreo.Record

	healed, rested time.Duration // since it began
}

func TestChaos(t *testing.T) {
	r := newRun(t)
	faults, counts := plan(r.seed, *flagSession, *flagKills, *flagStops, *flagKafkas, *flagDatabases)
	ctx, cancel := context.WithTimeoutCause(t.Context(), *flagWithin+*flagRest,
		fmt.Errorf("the run takes longer than %v", *flagWithin+*flagRest))
	defer cancel()
	if err := r.do(ctx, faults); err != nil {
		r.fail(nil, "%v", err)
	}
	remains, err := r.remains(ctx)
	require.NoError(t, err)
	findings, tally := remains.check()
	r.report(&tally)
	if *flagKeep != "" {
		r.keep(ctx)
	}
	if len(findings) > 0 {
		r.fail(findings, "%d findings", len(findings))
	}
	r.requireChaos(counts, &tally)
	require.NoError(t, r.logsAreClean())
}

func newRun(t *testing.T) *run {
	t.Helper()
	r := &run{t: t, seed: *flagSeed, dir: *flagKeep, began: time.Now(), watch: newWatch()}
	if r.seed == 0 {
		var random [4]byte
		_, _ = rand.Read(random[:]) // never fails
		r.seed = uint64(binary.BigEndian.Uint32(random[:]))
	}
	brokers, dsn := servers.Kafka(t), servers.Postgres(t)
	t.Logf("seed %d: the same draws by -chaos.seed=%d", r.seed, r.seed)
	r.chaos = &chaos{
		watch: r.watch, kafka: servers.KafkaControl(t), postgres: servers.PostgresControl(t),
		say: r.say, done: make(map[faultKind]int),
	}
	r.openDir()

	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	r.database = &database{pool}
	require.NoError(t, r.database.prepare(t.Context()))

	namespace := "chaos-" + strings.ToLower(rand.Text()[:8])
	r.names, err = topics.NewNames(namespace)
	require.NoError(t, err)
	log, err := kafka.New(kafka.Config{Brokers: brokers, ClientID: "watch"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = log.Close() })
	r.cluster = newCluster(brokers, r.names)
	topology := topics.Topology(r.names, definitions(), topics.TopologyOptions{Partitions: partitions})
	plan, err := topics.NewPlan(t.Context(), log, topology)
	require.NoError(t, err)
	require.NoError(t, plan.Apply(t.Context(), log))
	t.Cleanup(func() { r.cluster.remove(t, topology) })

	r.fleet = newFleet(t, r.dir, role{Brokers: brokers, Postgres: dsn, Namespace: namespace, Session: *flagSession})
	r.load = &load{fleet: r.fleet, watch: r.watch, seed: r.seed, accepted: make(map[sagaID]*accepted)}
	r.chaos.fleet, r.chaos.cluster, r.chaos.database = r.fleet, r.cluster, r.database
	watching, stop := context.WithCancel(context.Background())
	var watcher sync.WaitGroup
	watcher.Go(func() {
		if err := r.watch.run(watching, log, r.names); err != nil {
			r.fleet.failed <- err
		}
	})
	t.Cleanup(func() { stop(); watcher.Wait() })
	return r
}

// openDir makes the folder of the logs, which goes after a good run unless it was named.
func (r *run) openDir() {
	if r.dir != "" {
		require.NoError(r.t, os.MkdirAll(r.dir, 0o755))
		return
	}
	dir, err := os.MkdirTemp("", "choreo-chaos-")
	require.NoError(r.t, err)
	r.dir = dir
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Logf("kept in %s: the logs of the processes, the events and the tables", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
}

func (r *run) say(format string, args ...any) {
	now := r.watch.now()
	r.t.Logf("%7.1f s, %d of %d sagas have ended: %s", time.Since(r.began).Seconds(), now.ended, now.expected, fmt.Sprintf(format, args...))
}

// do places the orders and carries out the faults, then lets everything run and waits
// until it is at rest, and ends the processes.
func (r *run) do(ctx context.Context, faults []fault) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go r.supervise(ctx, cancel)
	for _, m := range r.fleet.members {
		if err := r.fleet.start(m); err != nil {
			return err
		}
	}
	if err := r.storm(ctx, faults); err != nil {
		return err
	}
	r.healed = time.Since(r.began)
	r.say("all faults are over and all orders placed")
	resting, stop := context.WithTimeoutCause(ctx, *flagRest, fmt.Errorf("not at rest within %v", *flagRest))
	defer stop()
	if err := r.rest(resting); err != nil {
		return err
	}
	r.rested = time.Since(r.began)
	r.say("at rest")
	return r.fleet.shutDown(30 * time.Second)
}

// stalled is how long no saga may end: longer than an outage, a deadline and a session.
const stalled = 4 * time.Minute

// supervise ends the run where a process ends by itself or nothing goes on.
func (r *run) supervise(ctx context.Context, fail context.CancelCauseFunc) {
	late := time.NewTimer(stalled)
	defer late.Stop()
	go func() {
		for ended := 0; ; ended = r.watch.now().ended {
			if r.watch.await(ctx, func(now *figures) bool { return now.ended != ended }) != nil {
				return
			}
			late.Reset(stalled)
		}
	}()
	select {
	case err := <-r.fleet.failed:
		fail(err)
	case <-late.C:
		fail(fmt.Errorf("no saga has ended for %v", stalled))
	case <-ctx.Done():
	}
}

// storm places the orders and carries out the faults.
func (r *run) storm(ctx context.Context, faults []fault) error {
	ctx, stop := context.WithTimeoutCause(ctx, *flagWithin, fmt.Errorf("not all faults are over within %v", *flagWithin))
	defer stop()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var placing sync.WaitGroup
	placing.Go(func() {
		if err := r.load.run(ctx, *flagSagas, *flagUnderWay); err != nil {
			fail(err)
		}
	})
	if err := r.chaos.run(ctx, faults, *flagSagas); err != nil {
		fail(err)
	}
	r.chaos.over()
	placing.Wait()
	return context.Cause(ctx)
}

// rest waits until every saga has ended, and nothing is left to do or to read.
func (r *run) rest(ctx context.Context) error {
	n := *flagSagas
	if err := r.watch.await(ctx, func(f *figures) bool { return f.expected == n && f.ended == n }); err != nil {
		return fmt.Errorf("%w: %d of %d sagas have ended", err, r.watch.now().ended, n)
	}
	for {
		// What is read may bring new entries, and these are read in turn: rest is where
		// there is nothing to do, then nothing to read, then still nothing to do.
		before, err := r.database.unsettled(ctx)
		var lag int64
		if err == nil {
			lag, err = r.cluster.lag(ctx)
		}
		after := 0
		if err == nil {
			after, err = r.database.unsettled(ctx)
		}
		if err == nil && before == 0 && lag == 0 && after == 0 {
			return nil
		}
		if paused := pause(ctx, 100*time.Millisecond); paused != nil {
			return errors.Join(fmt.Errorf("%w: %d and %d rows or entries are left, and %d records to read", paused, before, after, lag), err)
		}
	}
}

// remains gathers what the run has left.
func (r *run) remains(ctx context.Context) (*remains, error) {
	left := &remains{orders: r.load.accepted, events: make(map[sagaID][]*choreo.Event)}
	if err := r.database.gather(ctx, left); err != nil {
		return nil, err
	}
	var err error
	if r.records, err = r.cluster.read(ctx, append(r.cluster.events(), r.names.DeadLetters())...); err != nil {
		return nil, err
	}
	for i := range r.records {
		rec := &r.records[i]
		if rec.Topic == r.names.DeadLetters() {
			cause, _ := rec.Header("kafka_dlt-exception-message")
			left.letters = append(left.letters, fmt.Sprintf("dead letter of %s: %s", rec.Key, cause))
			continue
		}
		ev, err := topics.Decode(rec)
		if err != nil {
			left.letters = append(left.letters, fmt.Sprintf("offset %d of partition %d of %s: %v", rec.Offset, rec.Partition, rec.Topic, err))
			continue
		}
		id := sagaID{ev.Saga, ev.SagaID}
		left.events[id] = append(left.events[id], ev)
	}
	return left, nil
}

// report tells the figures of a run.
func (r *run) report(a *tally) {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("seed %d, %d sagas in %.1f s: %d completed, %d turned back", r.seed, len(r.load.accepted), r.rested.Seconds(), a.completed, a.compensated)
	for _, code := range slices.Sorted(maps.Keys(a.causes)) {
		say("  turned back by %-13s %6d", code, a.causes[code])
	}
	say("faults:")
	for _, kind := range faultKinds {
		say("  %-28s %4d", kind, r.chaos.done[kind])
	}
	met := &r.chaos.met
	say("  with a transaction open: %d kills, %d stops, %d outages of PostgreSQL; outages of Kafka in which outboxes filled: %d",
		met.killed, met.stopped, met.database, met.backlog)
	say("  stopped processes that their group gave up before they went on: %d (stopped during an outage of Kafka: %d)", met.evicted, met.blurred)
	say("requests for an abort: %d, of which %d deadlines; answers: %d aborted, %d rejected (%d of sagas that completed)",
		a.requests, a.deadlines, a.aborted, a.rejected, a.rejectedDone)
	say("steps shown as stuck: %d; that took several attempts: %d; completed from outside: %d", a.stuck, a.retried, a.answered)
	say("generations of the groups: %s", r.generations())
	say("at rest %.1f s after the last fault and order", (r.rested - r.healed).Seconds())
	say("compared: %d events (%d of them repetitions), %d rows, %d deeds, %d entries of books", a.events, a.repetitions, a.rows, a.deeds, a.entries)
	r.t.Logf("%s", b.String())
}

var generation = regexp.MustCompile(`"generation": (\d+)`)

// generations returns how often the groups of the services were assigned anew.
func (r *run) generations() string {
	last := make(map[string]int)
	for _, m := range r.fleet.members {
		text, _ := os.ReadFile(r.fleet.log(m)) // logsAreClean sees to what cannot be read
		for _, match := range generation.FindAllSubmatch(text, -1) {
			n, _ := strconv.Atoi(string(match[1])) // digits
			last[m.Service] = max(last[m.Service], n)
		}
	}
	var all []string
	for _, service := range services {
		all = append(all, fmt.Sprintf("%s %d", service, last[service]))
	}
	return strings.Join(all, ", ")
}

// requireChaos demands that the faults happened and met work under way.
func (r *run) requireChaos(counts map[faultKind]int, a *tally) {
	t := r.t
	for kind, n := range counts {
		require.Equal(t, n, r.chaos.done[kind], kind)
	}
	require.Zero(t, r.chaos.met.nothing, "faults that met no saga under way")
	require.NotZero(t, r.chaos.met.killed, "kills that met an open transaction")
	require.NotZero(t, r.chaos.met.database, "outages of PostgreSQL that met an open transaction")
	require.NotZero(t, r.chaos.met.backlog, "outages of Kafka in which outboxes filled")
	require.NotZero(t, r.chaos.met.evicted+r.chaos.met.blurred, "stopped processes that their group gave up before they went on")
	require.NotZero(t, a.completed)
	for _, code := range []string{"cancelled", "deadline", "timeout", declined, outOfStock} {
		require.NotZero(t, a.causes[code], "sagas turned back by %s", code)
	}
	require.NotZero(t, a.deadlines)
	require.NotZero(t, a.aborted)
	require.NotZero(t, a.rejected)
	require.NotZero(t, a.rejectedDone)
	require.NotZero(t, a.stuck, "steps past the pivot that were shown as stuck")
	require.NotZero(t, a.retried)
	require.NotZero(t, a.answered)
}

// logsAreClean looks for what no process may say.
func (r *run) logsAreClean() error {
	var faults []error
	for _, m := range r.fleet.members {
		text, err := os.ReadFile(r.fleet.log(m))
		if err != nil {
			return err
		}
		for _, bad := range []string{"DATA RACE", "panic", "\tERROR\t"} {
			if i := bytes.Index(text, []byte(bad)); i >= 0 {
				faults = append(faults, fmt.Errorf("%s says %q:\n%.2000s", m.Process, bad, text[i:]))
			}
		}
	}
	return errors.Join(faults...)
}

const (
	shownFindings = 30
	shownStories  = 4
)

// fail fails the run with all that a person needs to see what happened.
func (r *run) fail(findings []finding, format string, args ...any) {
	t := r.t
	t.Helper()
	t.Errorf("seed %d: %s", r.seed, fmt.Sprintf(format, args...))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, f := range findings[:min(len(findings), shownFindings)] {
		t.Log(f)
	}
	if r.records == nil {
		if _, err := r.remains(ctx); err != nil {
			t.Logf("what is left cannot be read: %v", err)
		}
	}
	var ids []sagaID
	for _, f := range findings {
		if f.saga != (sagaID{}) && !slices.Contains(ids, f.saga) {
			ids = append(ids, f.saga)
		}
	}
	if len(findings) == 0 {
		ids = r.watch.open(shownStories)
	}
	for _, id := range ids[:min(len(ids), shownStories)] {
		r.tell(ctx, id)
	}
	r.keep(ctx)
	t.FailNow()
}

// keep writes events and tables into the folder of the run.
func (r *run) keep(ctx context.Context) {
	if err := r.database.dump(ctx, r.dir); err != nil {
		r.t.Logf("the tables cannot be kept: %v", err)
	}
	if err := r.keepEvents(); err != nil {
		r.t.Logf("the events cannot be kept: %v", err)
	}
}

// tell tells what is known of a saga.
func (r *run) tell(ctx context.Context, id sagaID) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", id)
	if a := r.load.accepted[id]; a != nil {
		fmt.Fprintf(&b, "  order %+v, cancels after %v, %d of them accepted\n", a.Purchase, a.Cancels, a.cancelled)
	}
	in := choreo.NewInstance(sagas[id.saga].Definition)
	r.eachEvent(func(ev *choreo.Event) {
		if (sagaID{ev.Saga, ev.SagaID}) == id {
			in.Apply(ev)
			fmt.Fprintf(&b, "  %s\n", eventLine(ev))
		}
	})
	fmt.Fprintf(&b, "  the log says that it is %s:", cmp.Or(in.Status, "not started"))
	for i := range in.Steps {
		fmt.Fprintf(&b, " %s %s", in.Steps[i].Name, in.Steps[i].Status)
	}
	b.WriteByte('\n')
	rows, err := r.database.rowsOf(ctx, id)
	for _, row := range rows {
		fmt.Fprintf(&b, "  %s\n", row)
	}
	if err != nil {
		fmt.Fprintf(&b, "  rows: %v\n", err)
	}
	r.t.Log(b.String())
}

func (r *run) eachEvent(do func(*choreo.Event)) {
	for i := range r.records {
		if ev, err := topics.Decode(&r.records[i]); err == nil && r.records[i].Topic != r.names.DeadLetters() {
			do(ev)
		}
	}
}

func eventLine(ev *choreo.Event) string {
	return fmt.Sprintf("%d/%d %s %s, by %s, attempt %d, id %s because of %s",
		ev.Partition, ev.Offset, ev.Time.Format("15:04:05.000000"), line(ev), ev.Source, ev.Attempt, ev.ID, ev.CausationID)
}

func (r *run) keepEvents() error {
	var b strings.Builder
	r.eachEvent(func(ev *choreo.Event) { fmt.Fprintf(&b, "%s %s %s\n", ev.Saga, ev.SagaID, eventLine(ev)) })
	return os.WriteFile(filepath.Join(r.dir, "events.txt"), []byte(b.String()), 0o600)
}
