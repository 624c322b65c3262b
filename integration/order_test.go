package integration

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/integration/internal/servers"
)

const restWithin = 4 * time.Minute

func TestOrderSaga(t *testing.T) {
	const n = 5000
	s := newShop(t, n)
	o := s.run("--orders", filepath.Join(s.dir, "orders.jsonl"))
	s.requireRest(o, n)
	t.Logf("%d orders in %.1f s: %.0f sagas/s", n, o.DurationSeconds, n/o.DurationSeconds)

	again := s.run("--orders", filepath.Join(s.dir, "orders.jsonl"))
	s.requireRest(again, n)
	require.Equal(t, o.StepsExecuted, again.StepsExecuted, "the same orders again change nothing")
}

// open makes the databases, starts all four services, each in a process of its own, and
// has orders feed all that there are. It returns the others by their names.
func (s *shop) open() (others map[string]*running, orders *running) {
	s.t.Helper()
	s.setUp()
	others = make(map[string]*running)
	for _, name := range []string{"inventory", "payments", "shipping"} {
		others[name] = s.start(name)
	}
	return others, s.startOrders()
}

func (s *shop) startOrders() *running {
	s.t.Helper()
	return s.start("orders", "--orders", filepath.Join(s.dir, "orders.jsonl"))
}

// progressed waits until so many payments were made.
func (s *shop) progressed(n int) {
	s.t.Helper()
	s.waitFor("payments", `SELECT count(*) >= $1 FROM payments.payments`, n)
}

// Processes of the services come and go while orders are under way, so that partitions
// move all the time.
func TestRebalanceUnderLoad(t *testing.T) {
	const n = 1500
	s := newShop(t, n)
	_, orders := s.open()
	for i := range 6 {
		s.progressed((i + 1) * n / 10)
		second := []*running{s.start("payments"), s.start("inventory"), s.start("shipping")}
		for _, r := range second {
			r.joined()
		}
		s.progressed((i+1)*n/10 + n/20)
		for _, r := range second {
			r.stop()
		}
	}
	s.requireRest(orders.outcome(restWithin), n)
}

func TestG2OnceUnderKillOfParticipants(t *testing.T) {
	const n = 1500
	s := newShop(t, n)
	services, orders := s.open()
	names := []string{"payments", "inventory", "shipping"}
	for i := range 12 {
		s.progressed((i + 1) * n / 16)
		name := names[i%len(names)]
		services[name].kill()
		services[name] = s.start(name)
		if i%4 == 3 {
			orders.kill()
			orders = s.startOrders()
		}
	}
	s.requireRest(orders.outcome(restWithin), n)
}

// The relay lives in the participant's process: while the broker is away a backlog
// grows in the outbox, and once it is back the process is killed with part of the
// backlog published.
func TestG7NoLossWhenTheRelayIsKilledMidway(t *testing.T) {
	const n = 1500
	s := newShop(t, n)
	kafka := servers.KafkaControl(t)
	_, orders := s.open()
	s.waitFor("orders", `SELECT count(*) >= 100 FROM orders.choreo_saga`)
	require.NoError(t, kafka.Stop(t.Context()))
	s.waitFor("the backlog of all orders", `SELECT count(*) >= $1 FROM orders.choreo_saga`, n)
	var backlog int
	require.NoError(t, s.db.QueryRow(t.Context(), `SELECT count(*) FROM orders.choreo_outbox`).Scan(&backlog))
	require.Greater(t, backlog, 100)
	require.NoError(t, kafka.Start(t.Context()))
	s.waitFor("part of the backlog to be published", `SELECT count(*) < $1 FROM orders.choreo_outbox`, backlog)
	orders.kill()
	orders = s.startOrders()
	s.requireRest(orders.outcome(restWithin), n)
}

func TestBrokerRestart(t *testing.T) {
	const n = 1500
	s := newShop(t, n)
	kafka := servers.KafkaControl(t)
	_, orders := s.open()
	s.progressed(n / 8)
	require.NoError(t, kafka.Restart(t.Context()))
	s.progressed(n / 3)
	require.NoError(t, kafka.Kill(t.Context()))
	require.NoError(t, kafka.Start(t.Context()))
	s.requireRest(orders.outcome(restWithin), n)
}

func TestDatabaseRestart(t *testing.T) {
	const n = 1500
	s := newShop(t, n)
	database := servers.PostgresControl(t)
	_, orders := s.open()
	s.progressed(n / 8)
	require.NoError(t, database.Restart(t.Context()))
	s.progressed(n / 3)
	require.NoError(t, database.Kill(t.Context()))
	require.NoError(t, database.Start(t.Context()))
	s.requireRest(orders.outcome(restWithin), n)
}
