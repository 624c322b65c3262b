package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/topics/embedded"
)

// beTheExample, in the environment, makes the test binary the example itself, so that
// it can be killed.
const beTheExample = "CHOREO_EXAMPLE_ORDER"

func TestMain(m *testing.M) {
	if os.Getenv(beTheExample) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// outcome is how a run of the example ended.
type outcome struct {
	code           int
	stdout, stderr string
}

func example(ctx context.Context, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// report decodes the JSON output and checks that it has exactly the agreed fields.
func (o outcome) report(t *testing.T) report {
	t.Helper()
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(o.stdout), &fields), "stdout: %s\nstderr: %s", o.stdout, o.stderr)
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	require.ElementsMatch(t, []string{
		"orders", "rejected", "completed", "compensated", "stuck", "duration_seconds",
		"steps_executed", "steps_compensated", "books_balance",
	}, names)
	var r report
	require.NoError(t, json.Unmarshal([]byte(o.stdout), &r))
	return r
}

// inputFiles are orders whose outcome does not depend on the order of events.
type inputFiles struct {
	args []string // the flags that name them
	want report   // without times
}

// writeInput writes n orders, of which one in ten is refused by inventory, by
// payments and by shipping each.
func writeInput(t *testing.T, n int) inputFiles {
	t.Helper()
	n = max(n/scale, 1)
	dir := t.TempDir()
	var orders bytes.Buffer
	want := report{Orders: n, BooksBalance: true}
	for i := range n {
		customer, sku, country := "rich", "pen", "DE"
		switch i % 10 {
		case 3:
			sku = []string{"rare", "no-such-sku"}[i/10%2]
			want.Executed++
			want.Undone++
		case 5:
			customer = []string{"poor", "nobody"}[i/10%2]
			want.Executed += 2
			want.Undone += 2
		case 7:
			country = "AQ"
			want.Executed += 3
			want.Undone += 3
		default:
			want.Executed += 5
			want.Completed++
		}
		fmt.Fprintf(&orders, `{"order_id":"o%d","customer":%q,"items":[{"sku":"ink","quantity":2,"unit_price":"3"},`+
			`{"sku":%q,"quantity":1,"unit_price":"0.99"}],"ship_to":%q}`+"\n", i, customer, sku, country)
	}
	want.Compensated = n - want.Completed
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	return inputFiles{
		args: []string{
			"--orders", file("orders.jsonl", orders.String()),
			"--stock", file("stock.csv", fmt.Sprintf("sku,on_hand\nink,%d\npen,%d\nrare,0\n", 2*n, n)),
			"--accounts", file("accounts.csv", fmt.Sprintf("customer,balance\nrich,%d\npoor,6.98\n", 7*n)),
			"--output", "json",
		},
		want: want,
	}
}

// sum queries one number of a service's database.
func sum(t *testing.T, data, service, query string) (n int64) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(data, service+".db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(&n), query)
	return n
}

// requireTables checks by SQL what the report says.
func requireTables(t *testing.T, data string, want report) {
	t.Helper()
	for _, check := range []struct {
		service, query string
		want           int
	}{
		{contract.Orders, `SELECT count(*) FROM orders WHERE status = 'confirmed'`, want.Completed},
		{contract.Orders, `SELECT count(*) FROM orders WHERE status = 'cancelled'`, want.Compensated},
		{contract.Orders, `SELECT count(*) FROM orders`, want.Orders},
		{contract.Inventory, `SELECT count(DISTINCT order_id) FROM reservations WHERE status = 'reserved'`, want.Completed},
		{contract.Inventory, `SELECT sum(reserved) FROM stock`, 3 * want.Completed},
		{contract.Inventory, `SELECT sum(on_hand) FROM stock`, 3*want.Orders - 3*want.Completed},
		{contract.Payments, `SELECT count(*) FROM payments WHERE status = 'charged'`, want.Completed},
		{contract.Payments, `SELECT balance_cents FROM accounts WHERE customer = 'rich'`, 700*want.Orders - 699*want.Completed},
		{contract.Shipping, `SELECT count(*) FROM shipments WHERE status = 'booked'`, want.Completed},
	} {
		require.EqualValues(t, check.want, sum(t, data, check.service, check.query), check.query)
	}
	for _, service := range contract.Order.Services() {
		require.Zero(t, sum(t, data, service, `SELECT count(*) FROM choreo_outbox`), "the outbox of %s is empty", service)
	}
}

func requireReport(t *testing.T, want report, got outcome) {
	t.Helper()
	r := got.report(t)
	require.Positive(t, r.Duration)
	r.Duration = 0
	require.Equal(t, want, r, got.stderr)
	require.Equal(t, exitGood, got.code, got.stderr)
}

func TestOrdersEndToEnd(t *testing.T) {
	in := writeInput(t, 200)
	path := in.args[1]
	orders, err := os.ReadFile(path)
	require.NoError(t, err)
	bad := strings.Join([]string{
		`not JSON`,
		`{"order_id":"bad1","customer":"rich","items":[{"sku":"pen","quantity":-1,"unit_price":"1"}],"ship_to":"DE"}`,
		`{"order_id":"bad2","customer":"rich","items":[{"sku":"pen","quantity":2,"unit_price":"92233720368547758.07"}],"ship_to":"DE"}`,
		`{"order_id":"o0","customer":"rich","items":[{"sku":"pen","quantity":1,"unit_price":"1"}],"ship_to":"DE"}`,
	}, "\n")
	require.NoError(t, os.WriteFile(path, append(orders, bad...), 0o600))
	in.want.Rejected = 4

	data := filepath.Join(t.TempDir(), "data")
	args := slices.Concat(in.args, []string{"--data", data})
	first := example(t.Context(), args...)
	requireReport(t, in.want, first)
	for i, want := range []string{"not an order in JSON", "order bad1: ", "order bad2: ", "order o0: "} {
		require.Contains(t, first.stderr, fmt.Sprintf("orders.jsonl: line %d: %s", in.want.Orders+1+i, want))
	}
	requireTables(t, data, in.want)

	again := example(t.Context(), args...)
	requireReport(t, in.want, again)
	require.Contains(t, again.stderr, "stock.csv is not loaded again: what the earlier run left is kept")
	requireTables(t, data, in.want)

	db, err := sql.Open("sqlite", filepath.Join(data, "payments.db"))
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `UPDATE accounts SET balance_cents = balance_cents + 1 WHERE customer = 'poor'`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	tampered := example(t.Context(), args...)
	require.Equal(t, exitBad, tampered.code)
	require.False(t, tampered.report(t).BooksBalance)
	require.Contains(t, tampered.stderr, "books: customer poor: there were 698 cents, now 699 are left and 0 charged")
}

func TestSampleOrders(t *testing.T) {
	if scale > 1 {
		t.Skip("the race detector sees the same with fewer orders")
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	got := example(t.Context())
	require.Equal(t, exitGood, got.code, got.stderr)
	require.Empty(t, got.stderr)
	for _, want := range []string{
		"Order sagas on an embedded broker and SQLite",
		"completed                       442     88.4 %",
		"compensated                      58     11.6 %",
		"out-of-stock                   25",
		"insufficient-funds             18",
		"country-not-served             15",
		"books balance            yes",
	} {
		require.Contains(t, got.stdout, want)
	}
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left, "temporary data are removed")
}

// TestKilledAtAnyMoment kills the process again and again, each time once it has done
// some more steps, the first time while it starts, and then lets it finish.
func TestKilledAtAnyMoment(t *testing.T) {
	in := writeInput(t, 200)
	data := filepath.Join(t.TempDir(), "data")
	args := slices.Concat(in.args, []string{"--data", data})
	binary, err := os.Executable()
	require.NoError(t, err)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for kill := range int64(6) {
		rows := kill * (20 + random.Int64N(140)) / scale // of the 1,000 or so that there will be
		command := exec.CommandContext(t.Context(), binary, args...)
		command.Env = append(os.Environ(), beTheExample+"=1")
		require.NoError(t, command.Start())
		require.Eventually(t, func() bool { _, err := os.Stat(data); return err == nil }, 20*time.Second, time.Millisecond)
		waitForSteps(t, data, rows)
		require.NoError(t, command.Process.Kill())
		require.Error(t, command.Wait(), "it was killed")
	}
	last := example(t.Context(), args...)
	requireReport(t, in.want, last)
	requireTables(t, data, in.want)
}

// waitForSteps waits until the services have at least so many rows of steps.
func waitForSteps(t *testing.T, data string, rows int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		var total int64
		for _, service := range contract.Order.Services() {
			total += steps(t, filepath.Join(data, service+".db"))
		}
		return total >= rows
	}, 20*time.Second, time.Millisecond)
}

// steps returns the number of rows in a database that may not be there yet.
func steps(t *testing.T, path string) (n int64) {
	if _, err := os.Stat(path); err != nil {
		return 0
	}
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM choreo_step`).Scan(&n); err != nil {
		return 0 // the table is not there yet
	}
	return n
}

func TestInterruptedAndResumed(t *testing.T) {
	in := writeInput(t, 100)
	data := filepath.Join(t.TempDir(), "data")
	args := slices.Concat(in.args, []string{"--data", data})
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan outcome)
	go func() { stopped <- example(ctx, args...) }()
	waitForSteps(t, data, 20/scale)
	cancel()
	got := <-stopped
	require.Equal(t, exitBad, got.code)
	require.Contains(t, got.stderr, "orders at rest; run the same command again to go on")
	require.Empty(t, got.stdout)
	requireReport(t, in.want, example(t.Context(), args...))
	requireTables(t, data, in.want)
}

func TestServicesAlone(t *testing.T) {
	broker, err := embedded.Start(embedded.Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, broker.Close()) }()
	in := writeInput(t, 50)
	data := filepath.Join(t.TempDir(), "data")
	args := slices.Concat(in.args, []string{"--data", data, "--brokers", strings.Join(broker.Addresses(), ","), "--service"})

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var others sync.WaitGroup
	for _, service := range []string{contract.Inventory, contract.Payments, contract.Shipping} {
		others.Go(func() {
			got := example(ctx, slices.Concat(args, []string{service})...)
			if got.code != exitGood || got.stdout != "" {
				t.Errorf("%s ended with %+v", service, got)
			}
		})
	}
	requireReport(t, in.want, example(t.Context(), slices.Concat(args, []string{contract.Orders})...))
	cancel()
	others.Wait()
	requireTables(t, data, in.want)
}

func TestErrorsSayWhatToDoNext(t *testing.T) {
	in := writeInput(t, 1)
	data := filepath.Join(t.TempDir(), "data")
	requireReport(t, in.want, example(t.Context(), append(in.args, "--data", data)...))
	bad := filepath.Join(t.TempDir(), "bad.csv")
	require.NoError(t, os.WriteFile(bad, []byte("sku,on_hand\npen,-1\n"), 0o600))
	for name, test := range map[string]struct {
		options options
		want    string
	}{
		"no orders file": {options{orders: "missing.jsonl"}, "--orders: open missing.jsonl"},
		"bad stock":      {options{stock: bad}, `bad.csv: line 2: on_hand is "-1"`},
		"bad accounts":   {options{accounts: bad}, "bad.csv: line 1: balance"},
		"no broker": {options{brokers: []string{"127.0.0.1:1"}, reach: 200 * time.Millisecond},
			"no answer from Kafka at 127.0.0.1:1: start it, or mend --brokers"},
		"no PostgreSQL": {options{postgres: "postgres://127.0.0.1:1/x", reach: 200 * time.Millisecond},
			"no answer from PostgreSQL: start it, or mend --postgres"},
		"bad DSN": {options{postgres: "postgres://["}, "--postgres: "},
	} {
		t.Run(name, func(t *testing.T) {
			if test.options.reach == 0 {
				test.options.reach = defaultReach
			}
			test.options.saga, test.options.build = 1, 2
			var stderr bytes.Buffer
			_, err := runShop(t.Context(), &test.options, &stderr, nil)
			require.ErrorContains(t, err, test.want)
		})
	}

	require.NoError(t, os.RemoveAll(filepath.Join(data, "broker")))
	got := example(t.Context(), append(in.args, "--data", data)...)
	require.Equal(t, exitBad, got.code)
	require.Contains(t, got.stderr, "the database of orders holds 1 sagas of an earlier run, but their log choreo.order.events is not here")
}
