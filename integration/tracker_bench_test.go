package integration

import (
	"crypto/rand"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/topics/kafka"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/postgres"
	"github.com/choreo-go/choreo/tracker/redis"
	"github.com/choreo-go/choreo/tracker/sqlite"
	"github.com/choreo-go/choreo/tracker/trackertest"
)

var trackerRows = flag.Int("tracker.rows", 10_000, "sagas in the read models that are measured")

// BenchmarkTracker puts sagas in batches of 500 and then asks for pages, each a few times. An
// iteration is all of it. Run it with -benchtime 1x.
func BenchmarkTracker(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		m, err := sqlite.Open(filepath.Join(b.TempDir(), "tracker.db"))
		require.NoError(b, err)
		require.NoError(b, m.Migrate(b.Context()))
		measureTracker(b, m)
		require.NoError(b, m.Close())
	})
	b.Run("postgres", func(b *testing.B) {
		pool := (&outboxDatabase{dsn: servers.Postgres(b)}).pool(b, nil)
		m := postgres.New(pool, nil)
		require.NoError(b, m.Migrate(b.Context()))
		measureTracker(b, m)
	})
	b.Run("redis", func(b *testing.B) {
		options, err := goredis.ParseURL(servers.Redis(b))
		require.NoError(b, err)
		client := goredis.NewClient(options)
		b.Cleanup(func() { require.NoError(b, client.Close()) })
		b.Cleanup(func() { removeKeys(b, client, "{bench}:*") })
		removeKeys(b, client, "{bench}:*")
		measureTracker(b, redis.New(client, &redis.Config{Prefix: "bench"}))
	})
}

// BenchmarkTrackerFold folds the events of -tracker.rows sagas, five of each, from real Kafka, with a
// model in memory, and then starts anew from what the tracker wrote. Run it with -benchtime 1x.
func BenchmarkTrackerFold(b *testing.B) {
	log, err := kafka.New(kafka.Config{Brokers: servers.Kafka(b)})
	require.NoError(b, err)
	defer log.Close()
	trackertest.Bench(b, log, "bench-"+strings.ToLower(rand.Text()), *trackerRows)
}

var benchmarkStart = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// benchmarkSaga is the n-th of the sagas: of 1,000 some 20 run, the newest of all above all, 2 are
// stuck, and the rest has ended.
func benchmarkSaga(n, rows int) *tracker.Snapshot {
	at := benchmarkStart.Add(time.Duration(n) * 10 * time.Millisecond)
	s := &tracker.Snapshot{
		ID: fmt.Sprintf("order-%08d", n*7919%rows), Saga: []string{"order", "order", "order", "refund"}[n%4], Version: 1 + n%2,
		Status: choreo.StatusCompleted, Initiator: "orders", Tags: map[string]string{"customer": fmt.Sprintf("c-%05d", n%50_000)},
		StartedAt: at, UpdatedAt: at.Add(time.Duration(n%997) * time.Millisecond), Partition: int32(n % 12), Offset: int64(n), Events: 9,
		TraceID: fmt.Sprintf("%032x", n),
	}
	for i, name := range []string{"reserve-stock", "charge-payment", "book-carrier", "ship-parcel"} {
		done := at.Add(time.Duration(i+1) * 50 * time.Millisecond)
		s.Steps = append(s.Steps, tracker.Step{Name: name, Service: name + "-service", Status: choreo.StepDone, Attempts: 1, ReadyAt: &at, EndedAt: &done, Seconds: 0.05})
	}
	switch {
	case n%500 == 1:
		s.Status = choreo.StatusStuck
		s.Steps[1].Status, s.Steps[1].Error = choreo.StepRetried, &tracker.Error{Class: choreo.ClassRetryable, Code: "gateway", Message: "timeout"}
	case n%100 == 2, n > rows-rows/100:
		s.Status = choreo.StatusRunning
		s.Next = []tracker.Next{{Step: s.Steps[n%4].Name, Service: s.Steps[n%4].Service, Run: choreo.RunExecute, Ready: true}}
	default:
		s.EndedAt = s.Steps[3].EndedAt
	}
	return s
}

func measureTracker(b *testing.B, m tracker.Model) {
	b.Helper()
	rows := *trackerRows
	for range b.N {
		began := time.Now()
		for from := 0; from < rows; from += 500 {
			batch := make([]*tracker.Snapshot, 0, 500)
			for n := from; n < min(rows, from+500); n++ {
				batch = append(batch, benchmarkSaga(n, rows))
			}
			require.NoError(b, m.Put(b.Context(), batch, []tracker.Position{{Topic: "t", Next: int64(from)}}))
		}
		b.ReportMetric(float64(rows)/time.Since(began).Seconds(), "inserts/s")
		began = time.Now()
		updates := min(rows, 50_000)
		for from := 0; from < updates; from += 500 {
			batch := make([]*tracker.Snapshot, 0, 500)
			for n := from; n < from+500; n++ {
				s := benchmarkSaga(n*(rows/updates), rows)
				s.Offset += int64(rows) + 1
				s.UpdatedAt = s.UpdatedAt.Add(time.Hour)
				batch = append(batch, s)
			}
			require.NoError(b, m.Put(b.Context(), batch, []tracker.Position{{Topic: "t", Next: int64(rows + from)}}))
		}
		b.ReportMetric(float64(updates)/time.Since(began).Seconds(), "updates/s")
	}
	middle := benchmarkStart.Add(time.Duration(rows/2) * 10 * time.Millisecond)
	running := []choreo.Status{choreo.StatusRunning}
	questions := map[string]tracker.Query{
		"newest":           {Descending: true},
		"updated":          {Order: tracker.ByUpdated, Descending: true},
		"ended":            {Order: tracker.ByEnded, Descending: true},
		"running-oldest":   {Filter: tracker.Filter{Statuses: running}},
		"running-updated":  {Filter: tracker.Filter{Statuses: running}, Order: tracker.ByUpdated},
		"stuck-or-parked":  {Filter: tracker.Filter{Statuses: []choreo.Status{choreo.StatusStuck, choreo.StatusParked}}, Descending: true},
		"completed-refund": {Filter: tracker.Filter{Statuses: []choreo.Status{choreo.StatusCompleted}, Sagas: []string{"refund"}}, Order: tracker.ByEnded, Descending: true},
		"service":          {Filter: tracker.Filter{Services: []string{"charge-payment-service"}}},
		"code-updated":     {Filter: tracker.Filter{Codes: []string{"gateway"}}, Order: tracker.ByUpdated, Descending: true},
		"step-version":     {Filter: tracker.Filter{Steps: []string{"ship-parcel"}, Versions: []int{2}}},
		"started-between":  {Filter: tracker.Filter{StartedFrom: middle, StartedTo: middle.Add(time.Minute)}, Order: tracker.ByUpdated},
		"absent":           {Filter: tracker.Filter{Sagas: []string{"absent"}}},
	}
	for name, q := range questions {
		measure(b, name, 100, func() error {
			page, err := m.List(b.Context(), q)
			q.After = page.Next // the next time, the page behind it
			return err
		})
	}
	measure(b, "search", 3, func() error {
		_, err := m.List(b.Context(), tracker.Query{Filter: tracker.Filter{Search: "nowhere to be found"}})
		return err
	})
	for name, count := range map[string]struct {
		of tracker.Filter
		by tracker.Group
	}{
		"count-status":  {tracker.Filter{}, tracker.GroupStatus},
		"count-service": {tracker.Filter{}, tracker.GroupService},
		"count-version": {tracker.Filter{Sagas: []string{"order"}, Versions: []int{2}}, tracker.GroupStatus},
	} {
		measure(b, name, 100, func() error {
			_, err := m.Count(b.Context(), count.of, count.by)
			return err
		})
	}
}

// measure asks n times and reports the median and the 99th percentile.
func measure(b *testing.B, name string, n int, ask func() error) {
	b.Helper()
	times := make([]time.Duration, n)
	for i := range times {
		began := time.Now()
		require.NoError(b, ask())
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[n/2].Microseconds())/1000, name+"-p50-ms")
	b.ReportMetric(float64(times[(n*99-1)/100].Microseconds())/1000, name+"-p99-ms")
}
