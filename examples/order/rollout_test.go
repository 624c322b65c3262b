package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/topics/embedded"
)

// running is one service that runs alone until it is stopped.
type running struct {
	stop  context.CancelFunc
	ended chan outcome
}

func start(t *testing.T, args ...string) *running {
	ctx, stop := context.WithCancel(t.Context())
	r := &running{stop: stop, ended: make(chan outcome, 1)}
	var once sync.WaitGroup
	once.Go(func() { r.ended <- example(ctx, args...) })
	t.Cleanup(func() { stop(); once.Wait() })
	return r
}

// TestVersionsSideBySide rolls version 2 out while sagas of version 1 are under way. The worst
// order is taken: the service that starts sagas comes first, so that the others meet a
// version that they do not know. They park those sagas until their own new build is there.
// No saga is lost, and each goes to its end by the version that it began with.
func TestVersionsSideBySide(t *testing.T) {
	broker, err := embedded.Start(embedded.Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, broker.Close()) }()
	in := writeInput(t, 300)
	data := filepath.Join(t.TempDir(), "data")
	args := slices.Concat(in.args, []string{"--data", data, "--brokers", strings.Join(broker.Addresses(), ",")})
	service := func(name, build string, more ...string) []string {
		return slices.Concat(args, []string{"--service", name, "--build", build}, more)
	}
	rolledOut := []string{contract.Shipping, contract.Payments, contract.Inventory}
	others := make(map[string]*running)
	for _, name := range rolledOut {
		others[name] = start(t, service(name, "1")...)
	}

	half := halfOf(t, in.args[1])
	begun := start(t, append(service(contract.Orders, "1"), "--orders", half)...)
	waitForSteps(t, data, int64(100/scale))
	begun.stop()
	<-begun.ended
	orders := start(t, service(contract.Orders, "2", "--saga-version", "2")...)
	waitFor(t, data, contract.Inventory, `SELECT count(*) > 0 FROM choreo_parked`)
	for _, name := range rolledOut {
		others[name].stop()
		require.Equal(t, exitGood, (<-others[name].ended).code)
		others[name] = start(t, service(name, "2")...)
	}

	checked := func() int { return int(sum(t, data, contract.Payments, `SELECT count(*) FROM fraud_checks`)) }
	got := <-orders.ended
	want := in.want
	want.Executed += checked() // a step more in each saga of version 2 that came so far
	want.Undone += checked() - int(sum(t, data, contract.Orders,
		`SELECT count(*) FROM choreo_saga s JOIN orders o ON o.order_id = s.saga_id WHERE s.version = 2 AND o.status = 'confirmed'`))
	requireReport(t, want, got)
	requireTables(t, data, in.want)
	for _, other := range others {
		other.stop()
		require.Equal(t, exitGood, (<-other.ended).code)
	}
	const ofVersion = `SELECT count(*) FROM choreo_saga WHERE version = `
	first, second := sum(t, data, contract.Orders, ofVersion+"1"), sum(t, data, contract.Orders, ofVersion+"2")
	t.Logf("%d sagas of version 1, %d of version 2, of which %d were checked for fraud", first, second, checked())
	require.EqualValues(t, in.want.Orders, first+second)
	require.Positive(t, first)
	require.Positive(t, checked())
	for _, name := range contract.Order.Services() {
		require.Zero(t, sum(t, data, name, `SELECT count(*) FROM choreo_parked`), "%s has parked sagas left", name)
	}
}

// halfOf returns a file with the first half of the lines of another one.
func halfOf(t *testing.T, path string) string {
	t.Helper()
	all, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(all, []byte("\n"))
	half := filepath.Join(t.TempDir(), "half.jsonl")
	require.NoError(t, os.WriteFile(half, bytes.Join(lines[:len(lines)/2], nil), 0o600))
	return half
}

// waitFor waits until a query of a service's database is true.
func waitFor(t *testing.T, data, service, query string) {
	t.Helper()
	require.Eventually(t, func() bool { return sum(t, data, service, query) != 0 }, 20*time.Second, 5*time.Millisecond)
}
