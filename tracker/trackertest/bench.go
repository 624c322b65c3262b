package trackertest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/memory"
)

const benchPartitions = 12

// Bench measures a tracker with a model in memory on a log. It writes sagas of five events each
// to a namespace that must be new, and folds them: with all that it writes ("fold"), and again from
// what it wrote ("restart"). Run it with -benchtime 1x. It reports events per second of the log,
// seconds until all is folded and in the model, and the bytes of heap that a saga takes.
func Bench(b *testing.B, log topics.Log, namespace string, sagas int) {
	names, err := topics.NewNames(namespace)
	require.NoError(b, err)
	publishSagas(b, log, names, sagas)
	for _, name := range []string{"fold", "restart"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				benchTracker(b, log, names, namespace, sagas)
			}
		})
	}
}

func benchSaga() *choreo.Definition {
	type none struct{}
	var options []choreo.Option
	var before []choreo.StepRef
	for i := range 5 {
		s := choreo.NewStep[none, none](fmt.Sprint("step-", i))
		options = append(options, s.OwnedBy(fmt.Sprint("service-", i)).After(before...))
		before = []choreo.StepRef{s}
	}
	return choreo.MustDefine[none]("order", 1, options...).Definition
}

// publishSagas writes the events of sagas that have come to their last step, those of 500 mixed
// together.
func publishSagas(b *testing.B, log topics.Log, names topics.Names, sagas int) {
	b.Helper()
	ctx := b.Context()
	for _, topic := range []string{names.Events("order"), names.Tracker("order")} {
		require.NoError(b, log.CreateTopic(ctx, topics.TopicSpec{Name: topic, Partitions: benchPartitions}))
	}
	require.NoError(b, log.CreateTopic(ctx, topics.TopicSpec{Name: names.Definitions(), Partitions: 1}))
	start := time.Now().UTC().Add(-time.Hour)
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
			require.NoError(b, errors.Join(log.Publish(ctx, batch)...))
			batch = batch[:0]
		}
	}
}

// benchTracker runs a tracker until it has come to the end of the log and written all, and reports
// how long it took and what it holds.
func benchTracker(b *testing.B, log topics.Log, names topics.Names, namespace string, sagas int) {
	b.Helper()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	model := memory.New(memory.Options{})
	defer func() { require.NoError(b, model.Close()) }()
	tr, err := tracker.New(log, model, &tracker.Config{
		Namespace: namespace, Definitions: []choreo.AnySaga{benchSaga()}, RetryEvery: 200 * time.Millisecond,
	})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- tr.Run(ctx) }()
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	var events int64
	for events < int64(5*sagas) {
		select {
		case <-every.C:
		case err := <-ended:
			require.NoError(b, err)
			b.Fatal("the tracker ended by itself")
		}
		positions, err := model.Positions(ctx, names.Events("order"))
		require.NoError(b, err)
		events = 0
		for _, p := range positions {
			events += p.Next
		}
	}
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	counts, err := model.Count(ctx, tracker.Filter{}, "")
	require.NoError(b, err)
	require.EqualValues(b, sagas, counts[0].Count)
	awaitWritten(b, log, names, sagas)
	cancel()
	require.NoError(b, <-ended)
	b.ReportMetric(float64(5*sagas)/took.Seconds(), "events/s")
	b.ReportMetric(took.Seconds(), "s")
	b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/float64(sagas), "B/saga")
}

// awaitWritten waits until the tracker topic holds all sagas, so that a restart finds them.
func awaitWritten(b *testing.B, log topics.Log, names topics.Names, sagas int) {
	b.Helper()
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for patience := time.Now().Add(5 * time.Minute); ; <-every.C {
		partitions, err := log.GroupLag(b.Context(), names.Group("bench"), names.Tracker("order"))
		if err != nil { // a broker that is at its limits may not know its groups for a while
			require.True(b, time.Now().Before(patience), "the tracker topic is not written: %v", err)
			continue
		}
		var written int64
		for _, p := range partitions {
			written += p.End
		}
		if written >= int64(sagas) {
			return
		}
	}
}
