package tracker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	topicsmemory "github.com/choreo-go/choreo/topics/memory"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/memory"
)

var start = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

type none struct{}

func order(version int) *choreo.Definition {
	reserve := choreo.NewStep[none, none]("reserve")
	charge := choreo.NewStep[none, none]("charge")
	ship := choreo.NewStep[none, none]("ship")
	return choreo.MustDefine[none]("order", version,
		choreo.Deadline(time.Hour),
		reserve.OwnedBy("stock"),
		charge.OwnedBy("payments").After(reserve),
		ship.OwnedBy("shipping").After(charge),
	).Definition
}

func newLog(t testing.TB, partitions int) (*topicsmemory.Log, topics.Names) {
	t.Helper()
	log := topicsmemory.New(topicsmemory.Options{Partitions: partitions})
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	names, err := topics.NewNames("choreo")
	require.NoError(t, err)
	return log, names
}

// teller writes events of sagas to the log.
type teller struct {
	t          testing.TB
	log        topics.Log
	names      topics.Names
	partitions int
	n          int
}

func (l *teller) tell(id string, ev choreo.Event) {
	l.t.Helper()
	l.n++
	ev.ID, ev.SagaID, ev.Saga, ev.Initiator = fmt.Sprintf("event-%d", l.n), id, "order", "shop"
	if ev.Version == 0 {
		ev.Version = 1
	}
	if ev.Source == "" {
		ev.Source = "shop"
	}
	ev.Time = start.Add(time.Duration(l.n) * time.Second)
	ev.Partition = topics.PartitionFor([]byte(id), l.partitions)
	require.NoError(l.t, errorOf(l.log.Publish(l.t.Context(), []choreo.Record{topics.Encode(&ev, l.names.Events("order"))})))
}

func errorOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func config(t testing.TB, defs ...choreo.AnySaga) *tracker.Config {
	return &tracker.Config{
		Definitions: defs, FlushEvery: time.Millisecond, FlushBehind: time.Millisecond, RetryEvery: 5 * time.Millisecond,
		KeepEnded: -1, Logger: zaptest.NewLogger(t),
	}
}

// running is a tracker that runs.
type running struct {
	*tracker.Tracker
	model *memory.Model
	stop  func()
}

func run(t testing.TB, log topics.Log, c *tracker.Config) *running {
	t.Helper()
	model := memory.New(memory.Options{})
	tr, err := tracker.New(log, model, c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tr.Run(ctx) }()
	stopped := false
	r := &running{Tracker: tr, model: model, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-ended)
	}}
	t.Cleanup(func() {
		r.stop()
		require.NoError(t, model.Close())
	})
	return r
}

// until waits until the model holds what the log does.
func (r *running) until(t testing.TB, log *topicsmemory.Log, names topics.Names) {
	t.Helper()
	events := names.Events("order")
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		want := map[int32]int64{}
		for _, rec := range log.Records(events) {
			want[rec.Partition] = max(want[rec.Partition], rec.Offset+1)
		}
		positions, err := r.model.Positions(t.Context(), events)
		require.NoError(c, err)
		got := map[int32]int64{}
		for _, p := range positions {
			got[p.Partition] = p.Next
		}
		require.Equal(c, want, got)
	}, 20*time.Second, time.Millisecond)
}

// all returns what a reader holds, as JSON by id.
func all(t testing.TB, r tracker.Reader) map[string]string {
	t.Helper()
	sagas := map[string]string{}
	q := tracker.Query{Limit: 7}
	for {
		page, err := r.List(t.Context(), q)
		require.NoError(t, err)
		for _, s := range page.Sagas {
			data, err := json.Marshal(s)
			require.NoError(t, err)
			require.NotContains(t, sagas, s.ID, "given out twice")
			sagas[s.ID] = string(data)
		}
		if page.Next == "" {
			return sagas
		}
		q.After = page.Next
	}
}
