package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/integration/internal/servers"
)

// shop is the order example as its users run it: processes on real servers.
type shop struct {
	t        *testing.T
	binary   string
	brokers  []string
	postgres string
	dir      string // of input files
	db       *pgxpool.Pool
}

// outcome is what the example prints as JSON.
type outcome struct {
	Orders           int     `json:"orders"`
	Rejected         int     `json:"rejected"`
	Completed        int     `json:"completed"`
	Compensated      int     `json:"compensated"`
	Stuck            int     `json:"stuck"`
	DurationSeconds  float64 `json:"duration_seconds"`
	StepsExecuted    int     `json:"steps_executed"`
	StepsCompensated int     `json:"steps_compensated"`
	BooksBalance     bool    `json:"books_balance"`
}

var buildShop = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "choreo-order-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "order")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "../examples/order")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the order example: %w\n%s", err, out)
	}
	return binary, nil
})

// newShop returns a shop with an empty database of its own and n orders to do.
func newShop(t *testing.T, n int) *shop {
	t.Helper()
	s := &shop{t: t, brokers: servers.Kafka(t), postgres: servers.Postgres(t), dir: t.TempDir()}
	var err error
	s.binary, err = buildShop()
	require.NoError(t, err)
	s.db, err = pgxpool.New(t.Context(), s.postgres)
	require.NoError(t, err)
	t.Cleanup(s.db.Close)
	s.writeInput(n)
	return s
}

// writeInput makes orders of which about one in six is refused, at each of the steps
// that can refuse.
func (s *shop) writeInput(n int) {
	s.t.Helper()
	const skus, customers = 40, 100
	random := rand.New(rand.NewPCG(1, uint64(n)))
	var orders, stock, accounts strings.Builder
	stock.WriteString("sku,on_hand\n")
	for i := range skus {
		onHand := 10 * n
		if i < 4 {
			onHand = n / 80 // runs out
		}
		fmt.Fprintf(&stock, "sku-%02d,%d\n", i, onHand)
	}
	accounts.WriteString("customer,balance\n")
	for i := range customers {
		balance := "100000000.00"
		if i < 5 {
			balance = "120.00" // soon spent
		}
		fmt.Fprintf(&accounts, "customer-%02d,%s\n", i, balance)
	}
	countries := []string{"DE", "FR", "US", "CH", "JP", "DE", "FR", "US", "CH", "JP", "DE", "FR", "US", "CH", "AQ"}
	for i := range n {
		first, second := random.IntN(skus), random.IntN(skus-1)
		if second >= first {
			second++
		}
		fmt.Fprintf(&orders,
			`{"order_id":"o-%05d","customer":"customer-%02d","items":[{"sku":"sku-%02d","quantity":%d,"unit_price":"9.90"},{"sku":"sku-%02d","quantity":1,"unit_price":"24.50"}],"ship_to":"%s"}`+"\n",
			i, random.IntN(customers), first, 1+random.IntN(3), second, countries[random.IntN(len(countries))])
	}
	for name, text := range map[string]string{"orders.jsonl": orders.String(), "none.jsonl": "", "stock.csv": stock.String(), "accounts.csv": accounts.String()} {
		require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600))
	}
}

func (s *shop) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{
		"--brokers", strings.Join(s.brokers, ","), "--postgres", s.postgres, "--output", "json",
		"--stock", filepath.Join(s.dir, "stock.csv"), "--accounts", filepath.Join(s.dir, "accounts.csv"),
	}, args...)
	return exec.CommandContext(ctx, s.binary, args...)
}

// setUp makes databases and topics with a run that has no orders. Services that run
// alone afterwards find the topics that the databases remember.
func (s *shop) setUp() {
	s.t.Helper()
	s.run("--orders", filepath.Join(s.dir, "none.jsonl"))
}

// run runs the example to its end, which must be a good one.
func (s *shop) run(args ...string) outcome {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := s.command(s.t.Context(), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(s.t, cmd.Run(), "%s", &stderr)
	var o outcome
	require.NoError(s.t, json.Unmarshal(stdout.Bytes(), &o), "%s", &stdout)
	return o
}

// running is a process of the shop.
type running struct {
	s      *shop
	name   string
	cmd    *exec.Cmd
	stdout bytes.Buffer
	log    *logTail
	ended  chan error
}

// start starts a service alone.
func (s *shop) start(service string, args ...string) *running {
	s.t.Helper()
	r := &running{s: s, name: service, ended: make(chan error, 1), log: newLogTail()}
	r.cmd = s.command(context.Background(), append([]string{"--service", service}, args...)...)
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, r.log
	require.NoError(s.t, r.cmd.Start())
	go func() { r.ended <- r.cmd.Wait() }()
	s.t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // it may have ended
		if s.t.Failed() {
			s.t.Logf("last lines of %s:\n%s", service, r.log)
		}
	})
	return r
}

// kill ends the process with SIGKILL.
func (r *running) kill() {
	r.s.t.Helper()
	require.NoError(r.s.t, r.cmd.Process.Kill())
	require.Error(r.s.t, <-r.ended)
}

// joined waits until the process has partitions assigned.
func (r *running) joined() {
	r.s.t.Helper()
	select {
	case <-r.log.reading:
	case err := <-r.ended:
		require.Failf(r.s.t, "ended before it joined its group", "%s: %v: %s", r.name, err, r.log)
	case <-time.After(time.Minute):
		require.Failf(r.s.t, "did not join its group", "%s: %s", r.name, r.log)
	}
}

// stop ends the process with SIGTERM and expects it to stop in good order.
func (r *running) stop() {
	r.s.t.Helper()
	require.NoError(r.s.t, r.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-r.ended:
		require.NoError(r.s.t, err, "%s: %s", r.name, r.log)
	case <-time.After(time.Minute):
		require.Fail(r.s.t, "did not stop within a minute", "%s: %s", r.name, r.log)
	}
}

// outcome waits for the end of the orders service and returns what it printed.
func (r *running) outcome(limit time.Duration) outcome {
	r.s.t.Helper()
	select {
	case err := <-r.ended:
		require.NoError(r.s.t, err, "%s: %s\n%s", r.name, &r.stdout, r.log)
	case <-time.After(limit):
		require.Failf(r.s.t, "orders are not at rest", "after %v: %s", limit, r.log)
	}
	var o outcome
	require.NoError(r.s.t, json.Unmarshal(r.stdout.Bytes(), &o), "%s", &r.stdout)
	return o
}

// waitFor waits until a query over the shop's database returns true. It is asked every
// few milliseconds: what it waits for is done by other processes.
func (s *shop) waitFor(what, query string, args ...any) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * time.Minute)
	for {
		var holds bool
		if err := s.db.QueryRow(s.t.Context(), query, args...).Scan(&holds); err == nil && holds {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			require.Fail(s.t, "waited in vain for "+what)
		}
	}
}

// requireRest checks the outcome of n orders, and the tables against each other.
func (s *shop) requireRest(o outcome, n int) {
	s.t.Helper()
	require.Equal(s.t, n, o.Orders, "%+v", o)
	require.Equal(s.t, n, o.Completed+o.Compensated, "%+v", o)
	require.Zero(s.t, o.Stuck)
	require.True(s.t, o.BooksBalance, "%+v", o)
	require.NotZero(s.t, o.Compensated)
	for service := range map[string]bool{"orders": true, "inventory": true, "payments": true, "shipping": true} {
		var entries, unsettled int
		require.NoError(s.t, s.db.QueryRow(s.t.Context(), fmt.Sprintf(
			`SELECT (SELECT count(*) FROM %[1]s.choreo_outbox), (SELECT count(*) FROM %[1]s.choreo_step WHERE state NOT IN ('completed','failed','skipped','undone'))`,
			service)).Scan(&entries, &unsettled))
		require.Zero(s.t, entries, "entries left in the outbox of %s", service)
		require.Zero(s.t, unsettled, "steps of %s that are not at rest", service)
	}
}

// logTail keeps the last lines that a process writes to stderr, and tells when it says
// that it reads.
type logTail struct {
	mu      sync.Mutex
	lines   []string
	once    sync.Once
	reading chan struct{}
}

func newLogTail() *logTail { return &logTail{reading: make(chan struct{})} }

const logTailLines = 40

func (l *logTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := bufio.NewScanner(bytes.NewReader(p))
	for lines.Scan() {
		l.lines = append(l.lines, lines.Text())
		if strings.Contains(lines.Text(), "\treading\t") {
			l.once.Do(func() { close(l.reading) })
		}
	}
	if len(l.lines) > logTailLines {
		l.lines = l.lines[len(l.lines)-logTailLines:]
	}
	return len(p), nil
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
