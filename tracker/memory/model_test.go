package memory_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/memory"
	"github.com/choreo-go/choreo/tracker/trackertest"
)

func TestModel(t *testing.T) {
	trackertest.Exercise(t, func(t *testing.T) trackertest.Harness {
		m := memory.New(memory.Options{})
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		return trackertest.Harness{Model: m}
	})
}

var day = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// five returns a saga of five steps, which has come so far.
func five(n, done int) *tracker.Snapshot {
	at := day.Add(time.Duration(n) * time.Millisecond)
	s := &tracker.Snapshot{
		ID: fmt.Sprintf("0190%08x-7000-8000-a000-%012x", n, n*2654435761), Saga: "order", Version: 1, Status: choreo.StatusRunning,
		Initiator: "shop", StartedAt: at, UpdatedAt: at.Add(time.Second), TraceID: fmt.Sprintf("%032x", n+1),
		Partition: int32(n % 12), Offset: int64(n), Events: int64(done + 1), Fold: &tracker.Fold{First: int64(n)},
		Tags: map[string]string{"customer": strconv.Itoa(n)},
	}
	for i := range 5 {
		k := tracker.Step{Name: fmt.Sprint("step-", i), Service: fmt.Sprint("service-", i), Status: choreo.StepIdle}
		switch {
		case i < done:
			k.Status, k.ReadyAt, k.EndedAt, k.Attempts, k.Seconds = choreo.StepDone, &at, &s.UpdatedAt, 1, 1
		case i == done:
			k.Status, k.ReadyAt = choreo.StepReady, &at
		}
		s.Steps = append(s.Steps, k)
		if i >= done {
			next := tracker.Next{Step: k.Name, Service: k.Service, Run: choreo.RunExecute, Ready: i == done}
			if i > done {
				next.WaitsFor = []string{fmt.Sprint("step-", i-1)}
			}
			s.Next = append(s.Next, next)
		}
	}
	if done == 5 {
		s.Status, s.EndedAt = choreo.StatusCompleted, &s.UpdatedAt
	}
	return s
}

func TestThoseThatEndedFirstMakeRoom(t *testing.T) {
	m := memory.New(memory.Options{MaxEnded: 100})
	defer m.Close()
	ctx := context.Background()
	for n := range 300 {
		require.NoError(t, m.Put(ctx, []*tracker.Snapshot{five(n, 5)}, nil))
	}
	require.NoError(t, m.Put(ctx, []*tracker.Snapshot{five(1000, 2)}, nil))
	_, err := m.Get(ctx, "order", five(0, 5).ID)
	require.ErrorIs(t, err, tracker.ErrNotFound)
	_, err = m.Get(ctx, "order", five(299, 5).ID)
	require.NoError(t, err)
	counts, err := m.Count(ctx, tracker.Filter{}, tracker.GroupStatus)
	require.NoError(t, err)
	require.LessOrEqual(t, counts[0].Count, int64(105))
	require.Equal(t, int64(1), counts[1].Count, "what has not ended stays")
}
