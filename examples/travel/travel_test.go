package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/choreo-go/choreo/examples/travel/contract"
)

// beTheExample, in the environment, makes the test binary the example itself, so that
// it can be killed.
const beTheExample = "CHOREO_EXAMPLE_TRAVEL"

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

// requireGood checks that all trips are at rest and all books balance, and returns the
// report.
func (o outcome) requireGood(t *testing.T, trips int) report {
	t.Helper()
	require.Equal(t, exitGood, o.code, o.stderr)
	var r report
	decoder := json.NewDecoder(strings.NewReader(o.stdout))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&r), o.stdout)
	require.Equal(t, trips, r.Trips)
	require.Equal(t, trips, r.Completed+r.TurnedBack)
	require.Equal(t, r.Completed, r.WithCar+r.NoCarWanted+r.NoCarLeft)
	refused := 0
	for _, n := range r.Refusals {
		refused += n
	}
	require.Equal(t, r.TurnedBack, refused)
	require.Zero(t, r.Stuck)
	require.True(t, r.BooksBalance)
	return r
}

// number queries one number of a service's database.
func number(t *testing.T, data, service, query string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(data, service+".db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(&n), query)
	return n
}

func TestTripsThroughAnEmbeddedBroker(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	args := []string{"--trips", "60", "--data", data, "--json"}
	r := example(t.Context(), args...).requireGood(t, 60)
	require.Positive(t, r.TurnedBack, "there is too little for all")
	require.Positive(t, r.WithCar)
	require.Positive(t, r.NoCarWanted)
	require.Positive(t, r.Reprinted)

	require.Equal(t, r.Completed, number(t, data, contract.Trips, `SELECT COUNT(*) FROM trips WHERE status = 'confirmed'`))
	require.Equal(t, r.TurnedBack, number(t, data, contract.Trips, `SELECT COUNT(*) FROM trips WHERE status = 'cancelled'`))
	require.Equal(t, r.Completed, number(t, data, contract.Flights, `SELECT COUNT(*) FROM bookings WHERE status = 'booked'`))
	require.Equal(t, r.Undone["book-hotel"], number(t, data, contract.Hotels, `SELECT COUNT(*) FROM notices`))
	require.Equal(t, r.WithCar, number(t, data, contract.Cars, `SELECT COUNT(*) FROM bookings WHERE status = 'booked'`))
	require.Equal(t, r.Undone["book-car"], number(t, data, contract.Cars, `SELECT COUNT(*) FROM bookings WHERE status = 'cancelled'`))
	require.Equal(t, r.Completed, number(t, data, contract.Payments, `SELECT COUNT(*) FROM payments`))
	require.Equal(t, 2*r.Completed+r.WithCar, number(t, data, contract.Documents, `SELECT COUNT(*) FROM documents`))

	again := example(t.Context(), args...).requireGood(t, 60)
	again.Duration, again.tally, r.Duration, r.tally = 0, nil, 0, nil
	require.Equal(t, r, again, "the same trips are not run again")

	require.NoError(t, os.RemoveAll(filepath.Join(data, "broker")))
	got := example(t.Context(), args...)
	require.Equal(t, exitBad, got.code)
	require.Contains(t, got.stderr, "hold 60 trips of an earlier run, but their log is gone")
}

func TestTheTableIsForPeople(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	got := example(t.Context(), "--trips", "10", "--seed", "7")
	require.Equal(t, exitGood, got.code, got.stderr)
	require.Empty(t, got.stderr, "retries of the printer are part of the play")
	require.Contains(t, got.stdout, "trips                            10\n")
	require.Contains(t, got.stdout, "books balance              yes\n")
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left, "temporary data are removed")
}

// TestKilledAtAnyMoment kills the process again and again, each time once it has done some
// more steps, the first time while it starts, and then lets it finish.
func TestKilledAtAnyMoment(t *testing.T) {
	trips := 100 / scale
	data := filepath.Join(t.TempDir(), "data")
	args := []string{"--trips", strconv.Itoa(trips), "--data", data, "--json"}
	binary, err := os.Executable()
	require.NoError(t, err)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for kill := range 4 {
		rows := kill * (10 + random.IntN(190)) / scale // of the 800 or so that there will be
		command := exec.CommandContext(t.Context(), binary, args...)
		command.Env = append(os.Environ(), beTheExample+"=1")
		require.NoError(t, command.Start())
		require.Eventually(t, func() bool { return steps(t, data) >= rows }, 30*time.Second, time.Millisecond)
		require.NoError(t, command.Process.Kill())
		require.Error(t, command.Wait(), "it was killed")
	}
	example(t.Context(), args...).requireGood(t, trips)
}

// steps returns how many rows of steps there are in databases that may not be there yet.
func steps(t *testing.T, data string) (total int) {
	for _, service := range contract.Trip.Services() {
		path := filepath.Join(data, service+".db")
		if _, err := os.Stat(path); err != nil {
			continue
		}
		db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
		require.NoError(t, err)
		var n int
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM choreo_step`).Scan(&n); err == nil {
			total += n // else the table is not there yet
		}
		require.NoError(t, db.Close())
	}
	return total
}

func TestInterrupted(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan outcome)
	go func() { stopped <- example(ctx, "--trips", "2000", "--data", data) }()
	require.Eventually(t, func() bool { return steps(t, data) > 10 }, 30*time.Second, time.Millisecond)
	cancel()
	got := <-stopped
	require.Equal(t, exitBad, got.code)
	require.Contains(t, got.stderr, "trips at rest; run the same command again to go on")
	require.Empty(t, got.stdout)
}

func TestFlags(t *testing.T) {
	o, err := parseOptions(nil)
	require.NoError(t, err)
	require.Equal(t, &options{trips: 200, seed: 1}, o)
	o, err = parseOptions([]string{"--trips=7", "--seed=3", "--data=d", "--json"})
	require.NoError(t, err)
	require.Equal(t, &options{trips: 7, seed: 3, data: "d", json: true}, o)

	got := example(t.Context(), "--help")
	require.Equal(t, outcome{code: exitGood, stdout: usage}, got)
	for _, line := range strings.Split(usage, "\n") {
		require.LessOrEqual(t, len(line), 80)
	}
	for _, test := range []struct{ args, want string }{
		{"--trips=-1", "--trips is -1: use 0 to 1000000"},
		{"--trips=1000001", "use 0 to 1000000"},
		{"--trips=many", "invalid value"},
		{"--seed=-1", "invalid value"},
		{"--data=", "--data is empty"},
		{"ten", `"ten" is not a flag`},
		{"--fast", "not defined: -fast"},
	} {
		got := example(t.Context(), test.args)
		require.Equal(t, exitUsage, got.code, test.args)
		require.Contains(t, got.stderr, test.want)
		require.Contains(t, got.stderr, usage)
		require.Empty(t, got.stdout)
	}
}

func TestDataThatCannotBeKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	got := example(t.Context(), "--trips", "1", "--data", file)
	require.Equal(t, exitBad, got.code)
	require.Contains(t, got.stderr, "travel: --data: ")
}
