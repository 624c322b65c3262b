package tracker_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/topics"
	topicsmemory "github.com/choreo-go/choreo/topics/memory"
	"github.com/choreo-go/choreo/tracker"
)

var declined = &choreo.Failure{Class: choreo.ClassRefused, Code: "declined", Message: "card declined"}

func TestASagaIsTold(t *testing.T) {
	log, names := newLog(t, 3)
	l := &teller{t: t, log: log, names: names, partitions: 3}
	r := run(t, log, config(t, order(1)))
	l.tell("7", choreo.Event{
		Type: choreo.Started, Tags: map[string]string{"customer": "ann"},
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	})
	l.tell("7", choreo.Event{Type: choreo.StepCompleted, Step: "reserve", Source: "stock", Attempt: 2})
	r.until(t, log, names)
	s, err := r.Get(t.Context(), "order", "7")
	require.NoError(t, err)
	require.Equal(t, choreo.StatusRunning, s.Status)
	require.Equal(t, map[string]string{"customer": "ann"}, s.Tags)
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", s.TraceID)
	require.Equal(t, s.StartedAt.Add(time.Hour), *s.Deadline)
	require.Equal(t, []tracker.Next{
		{Step: "charge", Service: "payments", Run: choreo.RunExecute, Ready: true},
		{Step: "ship", Service: "shipping", Run: choreo.RunExecute, WaitsFor: []string{"charge"}},
	}, s.Next)
	require.Equal(t, 2, s.Steps[0].Attempts)
	require.InDelta(t, 1, s.Steps[0].Seconds, 1e-9)

	l.tell("7", choreo.Event{Type: choreo.StepFailed, Step: "charge", Source: "payments", Attempt: 1, Failure: declined})
	r.until(t, log, names)
	s, err = r.Get(t.Context(), "order", "7")
	require.NoError(t, err)
	require.Equal(t, choreo.StatusCompensating, s.Status)
	require.Equal(t, &tracker.Cause{Step: "charge", Class: choreo.ClassRefused, Code: "declined", Message: "card declined"}, s.Cause)
	require.Equal(t, []tracker.Next{{Step: "reserve", Service: "stock", Run: choreo.RunCompensate, Ready: true}}, s.Next)

	l.tell("7", choreo.Event{Type: choreo.StepCompensated, Step: "reserve", Source: "stock", Attempt: 1})
	r.until(t, log, names)
	o, err := r.Overview(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[choreo.Status]int64{choreo.StatusCompensated: 1}, o.Counts)
	require.Len(t, o.PerMinute, 60)
	require.Len(t, o.SlowestSteps, 2)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		fresh := r.Freshness(true)
		assert.Zero(c, fresh.LagEvents)
		assert.Zero(c, fresh.LagSeconds)
		assert.Len(c, fresh.Partitions, 3)
	}, 10*time.Second, time.Millisecond)
}

func TestTheCauseOfAnAbortTellsWhoAskedAndWhy(t *testing.T) {
	log, names := newLog(t, 1)
	l := &teller{t: t, log: log, names: names, partitions: 1}
	r := run(t, log, config(t, order(1)))
	cancelled := &choreo.Failure{Class: choreo.ClassCancelled, Code: "cancelled"}
	l.tell("7", choreo.Event{Type: choreo.Started})
	l.tell("7", choreo.Event{Type: choreo.AbortRequested, By: "ann", Note: "a mistake", Failure: cancelled})
	l.tell("7", choreo.Event{Type: choreo.Aborted, By: "ann", Note: "a mistake", Failure: cancelled})
	r.until(t, log, names)
	s, err := r.Get(t.Context(), "order", "7")
	require.NoError(t, err)
	require.Equal(t, &tracker.Cause{Class: choreo.ClassCancelled, Code: "cancelled", By: "ann", Note: "a mistake"}, s.Cause)
	v := tracker.Explain(s, nil, s.UpdatedAt.Add(14*time.Minute))
	require.Equal(t, "compensating: waits for 14 min for reserve in stock", v.Sentence)
}

// drawnEvent is one event of a random log, most of which no real one would hold.
func drawnEvent(t *rapid.T) (string, choreo.Event) {
	id := fmt.Sprint("saga-", rapid.IntRange(0, 5).Draw(t, "id"))
	ev := choreo.Event{Type: rapid.SampledFrom([]choreo.EventType{
		choreo.Started, choreo.Started, choreo.AbortRequested, choreo.Aborted, choreo.AbortRejected, choreo.SagaParked, choreo.SagaReleased,
		choreo.StepCompleted, choreo.StepCompleted, choreo.StepCompleted, choreo.StepFailed, choreo.StepSkipped, choreo.StepStuck,
		choreo.StepCompensated, choreo.StepCompensated, choreo.CompensationFailed,
	}).Draw(t, "type")}
	ev.Version = rapid.IntRange(1, 2).Draw(t, "version")
	if ev.Type.OfStep() {
		ev.Step = rapid.SampledFrom([]string{"reserve", "charge", "ship"}).Draw(t, "step")
		ev.Attempt = 1
	}
	ev.Source = rapid.SampledFrom([]string{"stock", "payments"}).Draw(t, "source")
	if ev.Type == choreo.StepFailed || ev.Type == choreo.SagaParked {
		ev.Failure = declined
	}
	return id, ev
}

// TestATrackerThatIsKilledAnywhereEqualsOneFromScratch kills a tracker after any number of records
// that it has written, and begins another one with what it left: with it, the definition of
// version 2 comes to be known at any time.
func TestATrackerThatIsKilledAnywhereEqualsOneFromScratch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := topicsmemory.New(topicsmemory.Options{Partitions: 2})
		defer log.Close()
		names, _ := topics.NewNames("choreo")
		l := &teller{t: t, log: log, names: names, partitions: 2}
		defs := []choreo.AnySaga{order(1)}
		for range rapid.IntRange(1, 4).Draw(rt, "lives") {
			for range rapid.IntRange(0, 25).Draw(rt, "events") {
				id, ev := drawnEvent(rt)
				l.tell(id, ev)
			}
			if rapid.Bool().Draw(rt, "learns") && len(defs) == 1 {
				defs = append(defs, order(2))
			}
			die(rt, log, names, config(t, defs...), rapid.IntRange(0, 12).Draw(rt, "writes"))
		}
		both := []choreo.AnySaga{order(1), order(2)}
		along := run(t, log, config(t, both...))
		along.until(t, log, names)
		got := settled(t, along)
		along.stop()

		fresh := topicsmemory.New(topicsmemory.Options{Partitions: 2})
		defer fresh.Close()
		records := log.Records(names.Events("order"))
		require.NoError(t, errorOf(fresh.Publish(t.Context(), records)))
		scratch := run(t, fresh, config(t, both...))
		scratch.until(t, fresh, names)
		want := settled(t, scratch)
		scratch.stop()
		require.Equal(rt, want, got)

		again := run(t, log, config(t, both...)) // the topic alone tells all
		again.until(t, log, names)
		require.Equal(rt, want, settled(t, again))
		again.stop()
	})
}

// settled returns what a tracker holds once no saga is unknown any more.
func settled(t testing.TB, r *running) map[string]string {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		page, err := r.List(t.Context(), tracker.Query{Limit: 1000})
		require.NoError(c, err)
		for _, s := range page.Sagas {
			require.False(c, s.Unknown, s.ID)
		}
	}, 20*time.Second, time.Millisecond)
	return all(t, r)
}

// die runs a tracker that dies at its next write, once it has written so many records.
func die(t *rapid.T, log *topicsmemory.Log, names topics.Names, c *tracker.Config, writes int) {
	model := &lost{changed: make(chan struct{}, 1)}
	killed := &dying{Log: log, left: writes}
	ctx, cancel := context.WithCancel(context.Background())
	killed.kill = cancel
	tr, err := tracker.New(killed, model, c)
	require.NoError(t, err)
	if writes > 8 { // it lives until it has come to the end, and is then killed
		killed.left = 1 << 30
		go func() {
			for !model.holds(log, names) {
				<-model.changed
			}
			cancel()
		}()
	} else {
		timeout := time.AfterFunc(15*time.Millisecond, cancel)
		defer timeout.Stop()
	}
	require.NoError(t, tr.Run(ctx))
}

// dying is a log whose user dies in the middle of a write.
type dying struct {
	topics.Log
	left int
	kill func()
}

func (d *dying) Publish(ctx context.Context, records []choreo.Record) []error {
	if len(records) <= d.left {
		d.left -= len(records)
		return d.Log.Publish(ctx, records)
	}
	if d.left > 0 {
		d.Log.Publish(context.WithoutCancel(ctx), records[:d.left])
	}
	d.left = 0
	d.kill()
	errs := make([]error, len(records))
	for i := range errs {
		errs[i] = context.Canceled
	}
	return errs
}

// lost is a model that keeps nothing but positions, as one in the memory of a process that is killed.
type lost struct {
	next    atomic.Pointer[map[int32]int64]
	changed chan struct{}
	tracker.Model
}

func (m *lost) Put(_ context.Context, _ []*tracker.Snapshot, positions []tracker.Position) error {
	next := map[int32]int64{}
	if old := m.next.Load(); old != nil {
		for p, n := range *old {
			next[p] = n
		}
	}
	for _, p := range positions {
		next[p.Partition] = p.Next
	}
	m.next.Store(&next)
	select {
	case m.changed <- struct{}{}:
	default:
	}
	return nil
}

func (m *lost) Positions(context.Context, string) ([]tracker.Position, error) { return nil, nil }

func (m *lost) holds(log *topicsmemory.Log, names topics.Names) bool {
	next := m.next.Load()
	for _, rec := range log.Records(names.Events("order")) {
		if next == nil || (*next)[rec.Partition] <= rec.Offset {
			return false
		}
	}
	return true
}

func TestADefinitionThatComesLaterFoldsItsSagasAnew(t *testing.T) {
	log, names := newLog(t, 2)
	l := &teller{t: t, log: log, names: names, partitions: 2}
	r := run(t, log, config(t, order(1)))
	for n := range 4 {
		id := fmt.Sprint("saga-", n)
		l.tell(id, choreo.Event{Type: choreo.Started, Version: 2})
		l.tell(id, choreo.Event{Type: choreo.StepCompleted, Step: "reserve", Source: "stock", Version: 2})
	}
	r.until(t, log, names)
	s, err := r.Get(t.Context(), "order", "saga-1")
	require.NoError(t, err)
	require.True(t, s.Unknown)
	require.Equal(t, []string{"reserve"}, []string{s.Steps[0].Name})
	require.Empty(t, s.Next)

	doc, err := definition.FromGo(order(2), nil)
	require.NoError(t, err)
	contract, err := definition.NewContract([]*definition.Document{doc}, definition.ContractConfig{Service: "stock"})
	require.NoError(t, err)
	data, err := contract.Encode()
	require.NoError(t, err)
	require.NoError(t, errorOf(log.Publish(t.Context(), []choreo.Record{{
		Topic: names.Definitions(), Partition: 0, Key: []byte(contract.Key()), Value: data,
	}})))
	settled(t, r)
	s, err = r.Get(t.Context(), "order", "saga-1")
	require.NoError(t, err)
	require.Len(t, s.Steps, 3)
	require.Equal(t, "charge", s.Next[0].Step)
}

func TestThreeTrackersShareTheWork(t *testing.T) {
	log, names := newLog(t, 7)
	l := &teller{t: t, log: log, names: names, partitions: 7}
	var parts []tracker.Part
	var trackers []*running
	for n := range 3 {
		c := config(t, order(1))
		c.Shard = tracker.Shard{Index: n, Count: 3}
		r := run(t, log, c)
		parts, trackers = append(parts, tracker.Own(fmt.Sprint(n+1, "/3"), r.Tracker)), append(trackers, r)
	}
	for n := range 60 {
		id := fmt.Sprint("saga-", n)
		l.tell(id, choreo.Event{Type: choreo.Started})
		if n%2 == 0 {
			l.tell(id, choreo.Event{Type: choreo.StepFailed, Step: "reserve", Source: "stock", Failure: declined})
		}
	}
	whole := run(t, log, config(t, order(1)))
	whole.until(t, log, names)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var n int64
		for _, r := range trackers {
			counts, err := r.Count(t.Context(), tracker.Filter{}, "")
			require.NoError(c, err)
			n += counts[0].Count
			require.Zero(c, r.Freshness(false).LagEvents)
		}
		require.EqualValues(c, 60, n)
	}, 20*time.Second, time.Millisecond)
	joined := tracker.Join(parts, nil)
	require.Equal(t, all(t, whole), all(t, joined))
	for n := range 60 {
		id := fmt.Sprint("saga-", n)
		_, err := trackers[tracker.Owner(id, 7, 3)].Get(t.Context(), "order", id)
		require.NoError(t, err)
		_, err = joined.Get(t.Context(), "order", id)
		require.NoError(t, err)
	}
	_, err := joined.Get(t.Context(), "order", "another")
	require.ErrorIs(t, err, tracker.ErrNotFound)
	for _, q := range []tracker.Query{
		{Order: tracker.ByUpdated, Descending: true, Limit: 4}, {Order: tracker.ByEnded, Limit: 9}, {Order: tracker.ByEnded, Descending: true, Limit: 1},
	} {
		require.Equal(t, ids(t, whole, q), ids(t, joined, q), q)
	}
	for _, by := range []tracker.Group{tracker.GroupStatus, tracker.GroupService, ""} {
		want, err := whole.Count(t.Context(), tracker.Filter{}, by)
		require.NoError(t, err)
		got, err := joined.Count(t.Context(), tracker.Filter{}, by)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err = joined.List(t.Context(), tracker.Query{After: "nonsense"})
	require.ErrorIs(t, err, tracker.ErrBadCursor)
}

// ids returns the ids of all pages in order.
func ids(t testing.TB, r tracker.Reader, q tracker.Query) []string {
	t.Helper()
	var list []string
	for {
		page, err := r.List(t.Context(), q)
		require.NoError(t, err)
		for _, s := range page.Sagas {
			list = append(list, s.ID)
		}
		if q.After = page.Next; q.After == "" {
			return list
		}
	}
}

func TestSagasThatHaveEndedAreForgotten(t *testing.T) {
	log, names := newLog(t, 1)
	l := &teller{t: t, log: log, names: names, partitions: 1}
	c := config(t, order(1))
	c.MaxEnded, c.SweepEvery = 3, 10*time.Millisecond
	r := run(t, log, c)
	for n := range 10 {
		id := fmt.Sprint("saga-", n)
		l.tell(id, choreo.Event{Type: choreo.Started})
		l.tell(id, choreo.Event{Type: choreo.StepFailed, Step: "reserve", Source: "stock", Failure: declined})
	}
	l.tell("open", choreo.Event{Type: choreo.Started})
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		held, err := topics.ReadTable(t.Context(), log, names.Tracker("order"))
		require.NoError(c, err)
		require.Len(c, held, 5, "three that ended last, one that is open, the position")
		require.Len(c, all(t, r), 4)
	}, 20*time.Second, 5*time.Millisecond)
	l.tell("saga-0", choreo.Event{Type: choreo.StepCompensated, Step: "reserve", Source: "stock"})
	r.until(t, log, names)
	_, err := r.Get(t.Context(), "order", "saga-0")
	require.ErrorIs(t, err, tracker.ErrNotFound, "a late duplicate does not bring it back")
}

func TestWhoWatchesIsToldOrReset(t *testing.T) {
	log, names := newLog(t, 1)
	l := &teller{t: t, log: log, names: names, partitions: 1}
	r := run(t, log, config(t, order(1)))
	ctx, cancel := context.WithCancel(t.Context())
	quick := r.Watch(ctx, tracker.Filter{Search: "saga-1"}, 0)
	slow := r.Watch(ctx, tracker.Filter{}, 0)
	l.tell("saga-0", choreo.Event{Type: choreo.Started})
	l.tell("saga-1", choreo.Event{Type: choreo.Started})
	first := <-quick
	require.Equal(t, "saga-1", first.Snapshot.ID)
	for n := range 3000 {
		l.tell(fmt.Sprint("other-", n), choreo.Event{Type: choreo.Started})
	}
	r.until(t, log, names)
	reset := false
	for c := range slow {
		if reset = c.Reset; reset {
			break
		}
	}
	require.True(t, reset)
	again := r.Watch(ctx, tracker.Filter{Search: "other-2999"}, first.Seq)
	require.Equal(t, "other-2999", (<-again).Snapshot.ID, "what was missed comes again")
	past := r.Watch(ctx, tracker.Filter{}, 1<<40)
	require.True(t, (<-past).Reset)
	cancel()
	for range quick {
	}
}
