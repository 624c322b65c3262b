package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/outbox/memory"
)

func TestParse(t *testing.T) {
	t.Setenv("CHOREO_TEST_BROKERS", "a:1,b:2")
	o, err := parse([]string{"--quick", "--sagas", "7", "--refused", "0", "--only", "real,order"}, io.Discard)
	require.NoError(t, err)
	want := quick
	want.Sagas, want.Refused = 7, 0
	assert.Equal(t, want, o.sizes)
	assert.Equal(t, []string{"real", "order"}, o.parts)
	assert.Equal(t, []string{"a:1", "b:2"}, o.brokers)

	o, err = parse(nil, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, whole, o.sizes)
	assert.Equal(t, partNames(), o.parts)

	_, err = parse([]string{"--only", "real,unreal", "--runs", "0", "--refused", "101", "--output", "xml", "rest"}, io.Discard)
	for _, fault := range []string{`no part "unreal"`, "--runs is 0", "--refused is 101", `"xml"`, `"rest"`} {
		require.ErrorContains(t, err, fault)
	}
}

// A missing server is told with what needs it and what to do.
func TestMissingServers(t *testing.T) {
	o := &options{parts: []string{"memory", "skipped", "old-rows"}}
	err := o.checkServers(t.Context())
	require.ErrorContains(t, err, "Kafka is needed for skipped, old-rows, and --brokers is not given: "+
		"'make bench' starts it, and --only memory does without")
	require.ErrorContains(t, err, "PostgreSQL is needed for old-rows, and --postgres is not given: "+
		"'make bench' starts it, and --only memory,skipped does without")

	o.brokers, o.postgres = []string{"127.0.0.1:1"}, "postgres://127.0.0.1:1/none"
	err = o.checkServers(t.Context())
	require.ErrorContains(t, err, "Kafka, which is needed for skipped, old-rows, does not answer at the address of --brokers")
	require.ErrorContains(t, err, "PostgreSQL, which is needed for old-rows, does not answer at the address of --postgres")

	o.parts = []string{"memory", "order"}
	require.NoError(t, o.checkServers(t.Context()))
}

func TestLoad(t *testing.T) {
	for _, l := range []load{{Sagas: 1, Refused: 20}, {Sagas: 100, Refused: 20}, {Sagas: 257, Refused: 33}, {Sagas: 5000}, {Sagas: 99, Refused: 100}} {
		n := 0
		for i := range l.Sagas {
			if l.refuses(i) {
				n++
			}
		}
		assert.Equal(t, n, l.refusals(), "%+v", l)
		assert.Equal(t, 5*l.Sagas+n, l.steps(), "%+v", l)
	}
	l := load{Sagas: 100, Refused: 20, Rows: 3}
	var d done
	d.add(&l)
	d.add(&l)
	assert.Equal(t, done{completed: 160, refused: 40}, d)
	assert.EqualValues(t, 320, d.total(orders))
	assert.EqualValues(t, 160, d.total(shipping))
	for i := range 50 {
		assert.Less(t, l.of(i).Account, 3)
	}
}

// A handler that runs again after a rollback ends its saga once.
func TestEnds(t *testing.T) {
	var e ends
	e.end("before anything is expected")
	e.expect(2)
	e.end("a")
	e.end("a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, e.wait(ctx), "1 of 2 sagas")
	e.end("b")
	e.end("c")
	require.NoError(t, e.wait(t.Context()))
}

func TestHops(t *testing.T) {
	var h hopRecorder
	h.at("other", createOrder.Name())
	h.begin("a")
	for _, s := range order.Steps() {
		h.at("a", s.Name)
		h.at("other", s.Name)
	}
	hops, sagas := h.take()
	assert.Len(t, hops, 4, "between five steps")
	assert.Len(t, sagas, 1)
	h.at("a", createOrder.Name())
	hops, sagas = h.take()
	assert.Empty(t, append(hops, sagas...), "it records no longer")
}

func TestOrderCheck(t *testing.T) {
	see := func(c *orderCheck, key string, n int) error {
		return c.see([]byte(key), fmt.Appendf(nil, `{"n":%d,"account":1}`, n))
	}
	c := newOrderCheck(4)
	for _, n := range []int{0, 2, 0, 2} { // repeated
		require.NoError(t, see(c, "a", n))
	}
	require.NoError(t, see(c, "b", 1))
	require.ErrorContains(t, c.complete(), "3 of 4")
	require.NoError(t, see(c, "b", 3))
	require.NoError(t, c.complete())

	c = newOrderCheck(4)
	require.NoError(t, see(c, "a", 3))
	require.NoError(t, see(c, "b", 1), "another saga")
	require.ErrorContains(t, see(c, "a", 2), "row 2 of saga a comes after row 3")
	require.Error(t, see(c, "a", 4), "there is no such row")
	require.Error(t, c.see([]byte("a"), []byte(`{}`)))
}

// Entries of the backlog are what the check reads.
func TestBacklogEntry(t *testing.T) {
	const rows = 10
	c := newOrderCheck(rows)
	sagas := make(map[string]int)
	for i := range rows {
		e := backlogEntry(i, rows, "bench.relay.events")
		assert.True(t, json.Valid(e.Record.Value), "%s", e.Record.Value)
		require.NoError(t, c.see(e.Record.Key, e.Record.Value))
		sagas[e.Key()]++
	}
	require.NoError(t, c.complete())
	assert.Len(t, sagas, rows/rowsOfSaga+1)
}

func TestParseStatus(t *testing.T) {
	r, err := parseStatus([]byte("Name:\tbench\nVmPeak:\t 9 kB\nVmHWM:\t  200000 kB\nVmRSS:\t  100000 kB\nRssAnon:\t 1 kB\n"))
	require.NoError(t, err)
	assert.Equal(t, resident{resident: 102.4, peak: 204.8}, r)
	_, err = parseStatus([]byte("Name:\tbench\nVmRSS:\t 1 kB\n"))
	require.ErrorContains(t, err, "VmHWM")
}

func TestChildRefuses(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, runChild(t.Context(), strings.NewReader(`{"role":"king"}`), &out))
	assert.Contains(t, out.String(), `no role \"king\"`)
	require.Error(t, runChild(t.Context(), strings.NewReader("king"), &out))
}

// TestMemory measures a part that needs no server, from the flags to the report.
func TestMemory(t *testing.T) {
	var out, progress bytes.Buffer
	saved := filepath.Join(t.TempDir(), "report.json")
	require.NoError(t, os.WriteFile(saved, bytes.Repeat([]byte("an earlier report "), 1000), 0o600))
	require.NoError(t, run(t.Context(), []string{"--quick", "--runs", "2", "--only", "memory", "--output", "json", "--save", saved}, &out, &progress))
	file, err := os.ReadFile(saved)
	require.NoError(t, err)
	require.Equal(t, out.String(), string(file))
	var r report
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	var names []string
	for _, f := range r.Details {
		names = append(names, f.Name)
		assert.Positive(t, f.Value, f.Name)
	}
	assert.Equal(t, []string{"memory.sagas", "memory.steps", "memory.hop-p50", "memory.hop-p99", "memory.saga-p50",
		"memory.cpu-step", "memory.allocations-step", "memory.bytes-step"}, names)
	assert.Len(t, r.Details[0].Runs, 2)
	assert.Contains(t, progress.String(), "measuring memory")
}

// A step whose write got lost fails the burst.
func TestLostWrite(t *testing.T) {
	var open closers
	defer func() { require.NoError(t, open.close()) }()
	s, err := open.memory(t.Context(), "bench-lost")
	require.NoError(t, err)
	update := s.update
	var lost atomic.Bool
	s.update = func(ctx context.Context, tx *memory.Tx, service string, account, delta int) error {
		if service == payments && lost.CompareAndSwap(false, true) {
			return nil
		}
		return update(ctx, tx, service, account, delta)
	}
	sys, err := start(t.Context(), s)
	require.NoError(t, err)
	defer func() { require.NoError(t, sys.close()) }()
	require.NoError(t, sys.run(t.Context(), &load{Run: "lost", Sagas: 10, Rows: accounts}))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err = sys.rest(ctx, &done{completed: 10})
	require.ErrorContains(t, err, "the business rows of payments add up to 9 and not to 10")
}

// What cannot be written shows before anything is measured.
func TestOutputs(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing", "file")
	for _, flag := range []string{"--save", "--cpuprofile"} {
		var progress bytes.Buffer
		err := run(t.Context(), []string{"--only", "memory", flag, missing}, io.Discard, &progress)
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, flag)
		assert.Empty(t, progress.String())
	}
}

func TestWriteOrders(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, writeOrders(&b, 200, 20))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	assert.Len(t, lines, 200)
	assert.Equal(t, 40, strings.Count(b.String(), `"ship_to":"AQ"`))
	for _, line := range lines {
		assert.True(t, json.Valid([]byte(line)), line)
	}
}

// alternate must not let the one always go first.
func TestAlternate(t *testing.T) {
	var order strings.Builder
	for run := range 3 {
		require.NoError(t, alternate(run,
			func() error { order.WriteString("a"); return nil }, func() error { order.WriteString("b"); return nil }))
	}
	assert.Equal(t, "abbaab", order.String())
	require.ErrorIs(t, alternate(0, func() error { return io.EOF }, func() error { t.Error("the first has failed"); return nil }), io.EOF)
}
