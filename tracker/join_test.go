package tracker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/memory"
)

// other is a tracker in another process, as it is seen from here.
type other struct {
	*memory.Model
	mu       sync.Mutex
	fail     error
	hang     bool
	asked    int
	fresh    tracker.Freshness
	overview tracker.Overview
	changes  chan tracker.Change
}

func (o *other) check(ctx context.Context) error {
	o.mu.Lock()
	fail, hang := o.fail, o.hang
	o.asked++
	o.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return fail
}

func (o *other) set(fail error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = fail
}

func (o *other) times() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked
}

func (o *other) Get(ctx context.Context, saga, id string) (*tracker.Snapshot, error) {
	if err := o.check(ctx); err != nil {
		return nil, err
	}
	return o.Model.Get(ctx, saga, id)
}

func (o *other) List(ctx context.Context, q tracker.Query) (tracker.Page, error) {
	if err := o.check(ctx); err != nil {
		return tracker.Page{}, err
	}
	return o.Model.List(ctx, q)
}

func (o *other) Count(ctx context.Context, f tracker.Filter, by tracker.Group) ([]tracker.Count, error) {
	if err := o.check(ctx); err != nil {
		return nil, err
	}
	return o.Model.Count(ctx, f, by)
}

func (o *other) Overview(ctx context.Context) (tracker.Overview, error) {
	return o.overview, o.check(ctx)
}

func (o *other) Freshness(ctx context.Context, partitions bool) (tracker.Freshness, error) {
	fresh := o.fresh
	if !partitions {
		fresh.Partitions = nil
	}
	return fresh, o.check(ctx)
}

func (o *other) Watch(ctx context.Context, f tracker.Filter) <-chan tracker.Change {
	out := make(chan tracker.Change)
	go func() {
		defer close(out)
		for {
			select {
			case c := <-o.changes:
				if f.Matches(c.Snapshot) {
					out <- c
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func newOther(t *testing.T, ids ...string) *other {
	t.Helper()
	o := &other{Model: memory.New(memory.Options{}), changes: make(chan tracker.Change)}
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	for n, id := range ids {
		require.NoError(t, o.Put(t.Context(), []*tracker.Snapshot{{ID: id, Saga: "order", Version: 1, Status: choreo.StatusRunning,
			StartedAt: start.Add(time.Duration(n) * time.Second), Offset: 1}}, nil))
	}
	return o
}

var errAway = errors.New("connection refused")

func TestWhatAPartThatIsAwayKnowsIsMissing(t *testing.T) {
	a, b := newOther(t, "a1", "a2", "a3"), newOther(t, "b1", "b2")
	joined := tracker.Join([]tracker.Part{{Name: "a", Source: a}, {Name: "b", Source: b}}, nil)
	require.Equal(t, []string{"a1", "b1", "a2", "b2", "a3"}, ids(t, joined, tracker.Query{Limit: 2}))
	first, err := joined.List(t.Context(), tracker.Query{Limit: 2})
	require.NoError(t, err)

	b.set(errAway)
	var partial *tracker.PartialError
	page, err := joined.List(t.Context(), tracker.Query{Limit: 2, After: first.Next})
	require.ErrorAs(t, err, &partial)
	require.Equal(t, []string{"b"}, partial.Parts)
	require.ErrorIs(t, err, errAway)
	require.NotEmpty(t, page.Sagas)
	require.Equal(t, "a2", page.Sagas[0].ID)
	counts, err := joined.Count(t.Context(), tracker.Filter{}, "")
	require.ErrorAs(t, err, &partial)
	require.EqualValues(t, 3, counts[0].Count)
	_, err = joined.Overview(t.Context())
	require.ErrorAs(t, err, &partial)
	one, err := joined.Get(t.Context(), "order", "a1")
	require.NoError(t, err, "another one has it")
	require.Equal(t, "a1", one.ID)
	_, err = joined.Get(t.Context(), "order", "b1")
	require.ErrorAs(t, err, &partial, "the one that is away may have it")
	require.NotErrorIs(t, err, tracker.ErrNotFound)
	require.True(t, joined.Freshness(false).Parts[0].Away)
	require.Equal(t, "b", joined.Freshness(false).Parts[0].Part)

	a.set(errAway)
	_, err = joined.List(t.Context(), tracker.Query{})
	require.ErrorIs(t, err, errAway)
	require.NotErrorAs(t, err, &partial, "nobody answers: there is no part of an answer")

	a.set(nil)
	b.set(nil)
	_, err = joined.Get(t.Context(), "order", "none")
	require.ErrorIs(t, err, tracker.ErrNotFound)
	require.False(t, joined.Freshness(false).Parts[0].Away)
	_, err = joined.List(t.Context(), tracker.Query{After: "nonsense"})
	require.ErrorIs(t, err, tracker.ErrBadCursor)
}

func TestAPartThatHangsIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newOther(t, "a1"), newOther(t, "b1")
		b.hang = true
		joined := tracker.Join([]tracker.Part{{Name: "a", Source: a}, {Name: "b", Source: b}}, &tracker.JoinConfig{Timeout: 3 * time.Second})
		began := time.Now()
		for range 3 {
			page, err := joined.List(t.Context(), tracker.Query{})
			require.ErrorAs(t, err, new(*tracker.PartialError))
			require.Len(t, page.Sagas, 1)
		}
		require.Equal(t, 3*time.Second, time.Since(began), "one of three questions waits")
		require.Equal(t, 1, b.times())
		b.hang = false
		time.Sleep(2 * time.Second)
		require.Len(t, ids(t, joined, tracker.Query{}), 2)

		// Who gives up says nothing of the part.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		b.hang = true
		_, err := joined.List(ctx, tracker.Query{})
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, joined.Freshness(false).Parts[0].Away)
	})
}

func TestAnOverviewIsOfAllParts(t *testing.T) {
	stuck := func(id string, seconds int) *tracker.Snapshot {
		return &tracker.Snapshot{ID: id, Saga: "order", Status: choreo.StatusStuck, StartedAt: start.Add(time.Duration(seconds) * time.Second)}
	}
	a, b := newOther(t, "a1"), newOther(t, "b1")
	a.overview = tracker.Overview{
		Counts: map[choreo.Status]int64{choreo.StatusStuck: 2, choreo.StatusRunning: 1}, OldestStuck: []*tracker.Snapshot{stuck("a", 1), stuck("c", 3)},
		SlowestSteps: []tracker.StepFigures{{Saga: "order", Version: 1, Step: "ship", Count: 2, P50Seconds: 1, P95Seconds: 2, MaxSeconds: 3}},
	}
	b.overview = tracker.Overview{
		Counts: map[choreo.Status]int64{choreo.StatusStuck: 1}, OldestStuck: []*tracker.Snapshot{stuck("b", 2)},
		SlowestSteps: []tracker.StepFigures{
			{Saga: "order", Version: 1, Step: "charge", Count: 1, P95Seconds: 9}, {Saga: "order", Version: 1, Step: "ship", Count: 3, P50Seconds: 2, P95Seconds: 1, MaxSeconds: 4},
		},
	}
	for n := range 60 {
		at := start.Add(time.Duration(n) * time.Minute)
		a.overview.PerMinute = append(a.overview.PerMinute, tracker.Minute{At: at, Started: 1, Failed: 1})
		b.overview.PerMinute = append(b.overview.PerMinute, tracker.Minute{At: at.Add(time.Minute), Started: 2, Completed: 1, Compensated: 3})
	}
	parts := []tracker.Part{{Name: "a", Source: a}, {Name: "b", Source: b}}
	o, err := tracker.Join(parts, nil).Overview(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[choreo.Status]int64{choreo.StatusStuck: 3, choreo.StatusRunning: 1}, o.Counts)
	require.Equal(t, []string{"a", "b", "c"}, []string{o.OldestStuck[0].ID, o.OldestStuck[1].ID, o.OldestStuck[2].ID})
	require.Equal(t, []tracker.StepFigures{
		{Saga: "order", Version: 1, Step: "charge", Count: 1, P95Seconds: 9},
		{Saga: "order", Version: 1, Step: "ship", Count: 5, P50Seconds: 2, P95Seconds: 2, MaxSeconds: 4},
	}, o.SlowestSteps)
	require.Len(t, o.PerMinute, 60)
	require.Equal(t, tracker.Minute{At: start.Add(time.Minute), Started: 3, Completed: 1, Compensated: 3, Failed: 1}, o.PerMinute[0])
	require.Equal(t, tracker.Minute{At: start.Add(time.Hour), Started: 2, Completed: 1, Compensated: 3}, o.PerMinute[59])

	// Parts that share a model know the same sagas, and count their own events.
	shared := tracker.Join(parts, &tracker.JoinConfig{Shared: true})
	o, err = shared.Overview(t.Context())
	require.NoError(t, err)
	require.Equal(t, a.overview.Counts, o.Counts)
	require.Len(t, o.OldestStuck, 2)
	require.EqualValues(t, 3, o.PerMinute[0].Started)
	require.Equal(t, []string{"a1"}, ids(t, shared, tracker.Query{}))
	counts, err := shared.Count(t.Context(), tracker.Filter{}, "")
	require.NoError(t, err)
	require.EqualValues(t, 1, counts[0].Count)
	_, err = shared.Get(t.Context(), "order", "b1")
	require.ErrorIs(t, err, tracker.ErrNotFound)
}

func TestThePartThatLagsMostIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newOther(t), newOther(t), newOther(t)
		lag := func(partition int32, events int64, seconds float64) tracker.Freshness {
			return tracker.Freshness{LagEvents: events, LagSeconds: seconds, Partitions: []tracker.PartitionLag{{Topic: "t", Partition: partition, LagEvents: events}}}
		}
		a.fresh, b.fresh, c.fresh = lag(0, 9, 1), lag(1, 3, 7), lag(2, 0, 0)
		joined := tracker.Join([]tracker.Part{{Name: "c", Source: c}, {Name: "a", Source: a}, {Name: "b", Source: b}}, nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- joined.Run(ctx) }()
		synctest.Wait()
		fresh := joined.Freshness(true)
		require.EqualValues(t, 12, fresh.LagEvents)
		require.InDelta(t, 7, fresh.LagSeconds, 0)
		require.Equal(t, []tracker.PartLag{{Part: "b", LagEvents: 3, LagSeconds: 7}, {Part: "a", LagEvents: 9, LagSeconds: 1}, {Part: "c"}}, fresh.Parts)
		require.Len(t, fresh.Partitions, 3)
		require.EqualValues(t, 0, fresh.Partitions[0].Partition)
		require.Nil(t, joined.Freshness(false).Partitions)

		a.set(errAway)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, tracker.PartLag{Part: "a", LagEvents: 9, LagSeconds: 1, Away: true}, joined.Freshness(false).Parts[0], "as it was known last")
		a.set(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, "b", joined.Freshness(false).Parts[0].Part)
		stop()
		require.NoError(t, <-ended)
	})
}

func TestChangesOfAllPartsAreSeen(t *testing.T) {
	log, names := newLog(t, 4)
	l := &teller{t: t, log: log, names: names, partitions: 4}
	var parts []tracker.Part
	for n := range 2 {
		c := config(t, order(1))
		c.Shard = tracker.Shard{Index: n, Count: 2}
		parts = append(parts, tracker.Own(fmt.Sprint(n), run(t, log, c).Tracker))
	}
	joined := tracker.Join(parts, nil)
	ctx, cancel := context.WithCancel(t.Context())
	fresh := joined.Watch(ctx, tracker.Filter{Search: "saga"}, 0)
	again := joined.Watch(ctx, tracker.Filter{Search: "none"}, 7)
	reset := <-again
	require.True(t, reset.Reset, "numbers are of one call alone")
	require.Greater(t, reset.Seq, uint64(7))
	seen := map[string]bool{}
	for n := range 12 {
		l.tell(fmt.Sprint("saga-", n), choreo.Event{Type: choreo.Started})
	}
	last := uint64(0)
	for len(seen) < 12 {
		c := <-fresh
		require.Greater(t, c.Seq, last)
		last = c.Seq
		seen[c.Snapshot.ID] = true
	}
	cancel()
	for range fresh {
	}
	for range again {
	}
}

// held is a log that lets nobody read a topic until it is let go.
type held struct {
	topics.Log
	topic string
	gate  chan struct{}
}

func (h *held) Read(ctx context.Context, config topics.ReadConfig, handle topics.Handler) error {
	if config.Topic == h.topic {
		select {
		case <-h.gate:
		case <-ctx.Done():
			return nil
		}
	}
	return h.Log.Read(ctx, config, handle)
}

func TestATrackerSaysOnceItHasCaughtUp(t *testing.T) {
	log, names := newLog(t, 2)
	l := &teller{t: t, log: log, names: names, partitions: 2}
	for n := range 5 {
		l.tell(fmt.Sprint("saga-", n), choreo.Event{Type: choreo.Started})
	}
	h := &held{Log: log, topic: names.Events("order"), gate: make(chan struct{})}
	r := run(t, h, config(t, order(1)))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.ErrorContains(c, r.CaughtUp(), "choreo.order.events is read up to 5 events before its end")
	}, 20*time.Second, time.Millisecond)
	close(h.gate)
	require.EventuallyWithT(t, func(c *assert.CollectT) { require.NoError(c, r.CaughtUp()) }, 20*time.Second, time.Millisecond)
	r.stop()
	require.NoError(t, r.CaughtUp(), "from then on it stays so")

	never, err := tracker.New(log, memory.New(memory.Options{}), config(t))
	require.NoError(t, err)
	require.ErrorContains(t, never.CaughtUp(), "definitions")
}
