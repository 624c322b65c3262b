package tracker_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
	topicsmemory "github.com/choreo-go/choreo/topics/memory"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/memory"
)

// The benchmarks are to be run with -benchtime 1x: a second fold finds what the first one wrote.

// benchSagas is how many sagas of five events the benchmarks fold: CHOREO_BENCH_SAGAS, or 20,000.
func benchSagas() int {
	n, err := strconv.Atoi(os.Getenv("CHOREO_BENCH_SAGAS"))
	if err != nil {
		return 20_000
	}
	return n
}

func fiveSteps() *choreo.Definition {
	var options []choreo.Option
	var before []choreo.StepRef
	for i := range 5 {
		s := choreo.NewStep[none, none](fmt.Sprint("step-", i))
		options = append(options, s.OwnedBy(fmt.Sprint("service-", i)).After(before...))
		before = []choreo.StepRef{s}
	}
	return choreo.MustDefine[none]("order", 1, options...).Definition
}

const benchPartitions = 12

// fill writes the events of sagas that have come to their last step, those of 500 mixed together.
func fill(b *testing.B, log topics.Log, names topics.Names, sagas int) {
	b.Helper()
	ctx := context.Background()
	for _, topic := range []string{names.Events("order"), names.Tracker("order")} {
		require.NoError(b, log.CreateTopic(ctx, topics.TopicSpec{Name: topic, Partitions: benchPartitions}))
	}
	require.NoError(b, log.CreateTopic(ctx, topics.TopicSpec{Name: names.Definitions(), Partitions: 1}))
	var batch []choreo.Record
	for from := 0; from < sagas; from += 500 {
		for step := -1; step < 4; step++ {
			for n := from; n < min(from+500, sagas); n++ {
				id := fmt.Sprintf("0190%08x-7000-8000-a000-%012x", n, n*2654435761)
				ev := choreo.Event{
					ID: fmt.Sprintf("0190%08x-7000-8000-b000-%012x", n, step+1), Type: choreo.Started, Saga: "order", Version: 1, SagaID: id,
					Source: "shop", Initiator: "shop", Time: start.Add(time.Duration(n) * time.Millisecond),
					ContentType: "application/json", Payload: []byte(`{"customer":"ann","items":[1,2,3]}`),
					TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
					Partition:   topics.PartitionFor([]byte(id), benchPartitions),
				}
				if step >= 0 {
					ev.Type, ev.Step, ev.Source, ev.Attempt = choreo.StepCompleted, fmt.Sprint("step-", step), fmt.Sprint("service-", step), 1
				}
				batch = append(batch, topics.Encode(&ev, names.Events("order")))
			}
		}
		if len(batch) >= 5000 || from+500 >= sagas {
			require.NoError(b, errorOf(log.Publish(ctx, batch)))
			batch = batch[:0]
		}
	}
}

// measure runs a tracker until it has come to the end of the log and written all, and tells how
// long it took and what it holds.
func measure(b *testing.B, log topics.Log, sagas int) {
	b.Helper()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	model := memory.New(memory.Options{})
	defer model.Close()
	tr, err := tracker.New(log, model, &tracker.Config{Definitions: []choreo.AnySaga{fiveSteps()}, RetryEvery: 200 * time.Millisecond})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- tr.Run(ctx) }()
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for range every.C {
		positions, err := model.Positions(ctx, "choreo.order.events")
		require.NoError(b, err)
		var events int64
		for _, p := range positions {
			events += p.Next
		}
		if events >= int64(5*sagas) {
			break
		}
	}
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	cancel()
	require.NoError(b, <-ended)
	counts, err := model.Count(context.Background(), tracker.Filter{}, "")
	require.NoError(b, err)
	require.EqualValues(b, sagas, counts[0].Count)
	b.ReportMetric(float64(5*sagas)/took.Seconds(), "events/s")
	b.ReportMetric(took.Seconds(), "s")
	b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/float64(sagas), "B/saga")
}

func benchLog(b *testing.B, log topics.Log, namespace string) {
	b.Helper()
	sagas := benchSagas()
	names, err := topics.NewNames(namespace)
	require.NoError(b, err)
	fill(b, log, names, sagas)
	b.Run("fold", func(b *testing.B) { // with all that it writes
		for b.Loop() {
			measure(b, log, sagas)
		}
	})
	b.Run("restart", func(b *testing.B) {
		for b.Loop() {
			measure(b, log, sagas)
		}
	})
}

// BenchmarkMemory is the tracker alone, on a log in memory.
func BenchmarkMemory(b *testing.B) {
	log := topicsmemory.New(topicsmemory.Options{})
	defer log.Close()
	benchLog(b, log, "choreo")
}

// BenchmarkEmbedded folds from the embedded broker.
func BenchmarkEmbedded(b *testing.B) {
	broker, err := embedded.Start(embedded.Config{})
	require.NoError(b, err)
	defer broker.Close()
	log, err := kafka.New(kafka.Config{Brokers: broker.Addresses()})
	require.NoError(b, err)
	defer log.Close()
	benchLog(b, log, "choreo")
}
