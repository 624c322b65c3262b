package trackertest

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

// whole returns a snapshot with every field set.
func whole() *tracker.Snapshot {
	at := func(n int) *time.Time { t := instant(n); return &t }
	return &tracker.Snapshot{
		ID: "o-1", Saga: "order", Version: 3, Status: choreo.StatusStuck, Initiator: "orders",
		Tags:      map[string]string{"customer": "Zoë", "empty": ""},
		StartedAt: instant(1), UpdatedAt: instant(9), EndedAt: at(9), Deadline: at(99),
		Cause:  &tracker.Cause{Step: "charge", Class: choreo.ClassRefused, Code: "declined", Message: "no", By: "ann", Note: "why"},
		Parked: []tracker.Parked{{Service: "mail", Since: instant(5), Error: &tracker.Error{Class: choreo.ClassPermanent, Code: "c", Message: "m"}}},
		Steps: []tracker.Step{{
			Name: "charge", Service: "payments", Status: choreo.StepRetried, Pivot: true, Attempts: 7,
			ReadyAt: at(2), EndedAt: at(3), UndoneAt: at(4), Seconds: 0.1,
			Error: &tracker.Error{Class: choreo.ClassTimeout, Code: "gateway", Message: "late"},
		}},
		Next:    []tracker.Next{{Step: "ship", Service: "stock", Run: choreo.RunExecute, Ready: true, WaitsFor: []string{"charge"}}},
		TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Unknown: true,
		Partition: 2, Offset: 41, Events: 12,
		Fold: &tracker.Fold{Requested: true, Turned: true, Kept: true, Parkings: []string{"id"}},
	}
}

func (x *exercise) roundTrip() {
	s := whole()
	x.put(s, saga(1))
	x.put() // nothing
	for _, model := range []tracker.Model{x.Model, x.another()} {
		got, err := model.Get(x.ctx, "order", "o-1")
		require.NoError(x, err)
		same(x, []*tracker.Snapshot{whole()}, []*tracker.Snapshot{got})
		page, err := model.List(x.ctx, tracker.Query{})
		require.NoError(x, err)
		same(x, []*tracker.Snapshot{whole(), saga(1)}, page.Sagas)
	}
}

func (x *exercise) olderChangesNothing() {
	first, second := saga(1), next(saga(1), instant(5))
	second.Status, second.Version = choreo.StatusStuck, 2
	x.put(second)
	for _, stale := range []*tracker.Snapshot{first, func() *tracker.Snapshot {
		s := *second
		s.Status, s.Tags, s.StartedAt = choreo.StatusFailed, map[string]string{"a": "changed"}, instant(50)
		return &s
	}()} {
		x.put(stale)
		got, err := x.Model.Get(x.ctx, "order", first.ID)
		require.NoError(x, err)
		same(x, []*tracker.Snapshot{second}, []*tracker.Snapshot{got})
		require.Empty(x, x.page(x, tracker.Query{Filter: tracker.Filter{Statuses: []choreo.Status{stale.Status}}}).Sagas)
		require.Empty(x, x.page(x, tracker.Query{Filter: tracker.Filter{Search: "changed"}}).Sagas)
		sameCounts(x, []tracker.Count{{Key: "order/2", Count: 1, Oldest: &second.StartedAt}}, x.count(x, tracker.Filter{}, tracker.GroupVersion))
	}
	x.put(second)
	sameCounts(x, []tracker.Count{{Count: 1, Oldest: &second.StartedAt}}, x.count(x, tracker.Filter{}, ""))
}

// told returns the saga at an offset, by a tracker that knows its definition or does not. The
// status says which of them a list shows.
func told(offset int64, unknown bool) *tracker.Snapshot {
	s := saga(1)
	s.Offset, s.Unknown = offset, unknown
	s.Status = choreo.StatusCompensating
	if unknown {
		s.Status = choreo.StatusRunning
	}
	return s
}

// isTold checks that every way to ask shows this snapshot, and none the other.
func (x *exercise) isTold(want *tracker.Snapshot) {
	x.Helper()
	got, err := x.another().Get(x.ctx, want.Saga, want.ID)
	require.NoError(x, err)
	same(x, []*tracker.Snapshot{want}, []*tracker.Snapshot{got})
	same(x, []*tracker.Snapshot{want}, x.page(x, tracker.Query{Filter: tracker.Filter{Statuses: []choreo.Status{want.Status}}}).Sagas)
	sameCounts(x, []tracker.Count{{Key: string(want.Status), Count: 1, Oldest: &want.StartedAt}}, x.count(x, tracker.Filter{}, tracker.GroupStatus))
}

// knownForUnknown puts the two in either order. A fold with the definition counts fewer events as
// changes than one without, so that its offset may be the lower one.
func (x *exercise) knownForUnknown() {
	const known, unknown = false, true
	x.put(told(50, unknown))
	x.put(told(49, unknown))
	x.isTold(told(50, unknown))
	x.put(told(40, known)) // from below
	x.isTold(told(40, known))
	for _, offset := range []int64{40, 39} {
		x.put(told(offset, unknown)) // of the same offset, and of a lower one
		x.isTold(told(40, known))
	}
	x.put(told(39, known))
	x.isTold(told(40, known))
	x.put(told(41, unknown)) // something has happened since
	x.isTold(told(41, unknown))
	x.put(told(41, known))
	x.isTold(told(41, known))
	x.put(told(60, unknown))
	x.put(told(70, known)) // from above
	x.isTold(told(70, known))
}

func (x *exercise) knownAndUnknownAtOnce() {
	const known, unknown = false, true
	for i, test := range []struct {
		there      *tracker.Snapshot
		put        []*tracker.Snapshot
		whichStays *tracker.Snapshot
	}{
		{nil, []*tracker.Snapshot{told(9, unknown), told(5, known)}, told(5, known)},
		{nil, []*tracker.Snapshot{told(5, known), told(9, unknown)}, told(9, unknown)},
		{nil, []*tracker.Snapshot{told(9, known), told(9, unknown), told(5, unknown)}, told(9, known)},
		{told(7, known), []*tracker.Snapshot{told(9, unknown), told(8, unknown), told(5, known), told(6, known)}, told(6, known)},
		{told(7, known), []*tracker.Snapshot{told(5, known), told(7, unknown)}, told(7, known)},
		{told(7, unknown), []*tracker.Snapshot{told(9, unknown), told(6, known), told(8, unknown)}, told(8, unknown)},
	} {
		title := func(s *tracker.Snapshot) *tracker.Snapshot {
			s.Saga = []string{"a", "b", "c", "d", "e", "f"}[i]
			return s
		}
		if test.there != nil {
			x.put(title(test.there))
		}
		for _, s := range test.put {
			title(s)
		}
		x.put(test.put...)
		want := title(test.whichStays)
		same(x, []*tracker.Snapshot{want}, x.page(x, tracker.Query{Filter: tracker.Filter{Sagas: []string{want.Saga}}}).Sagas)
		sameCounts(x, []tracker.Count{{Key: string(want.Status), Count: 1, Oldest: &want.StartedAt}},
			x.count(x, tracker.Filter{Sagas: []string{want.Saga}}, tracker.GroupStatus))
	}
}

func (x *exercise) severalOfOneSaga() {
	a, b := saga(1), next(saga(1), instant(5))
	c := next(b, instant(6))
	x.put(a, c, b, saga(2))
	got, err := x.Model.Get(x.ctx, "order", a.ID)
	require.NoError(x, err)
	same(x, []*tracker.Snapshot{c}, []*tracker.Snapshot{got})
	sameCounts(x, []tracker.Count{{Key: "order", Count: 2, Oldest: &a.StartedAt}}, x.count(x, tracker.Filter{}, tracker.GroupSaga))
}

// nameless puts what cannot be found again.
func (x *exercise) nameless() {
	for _, bad := range []*tracker.Snapshot{nil, {Saga: "order"}, {ID: "o-1"}} {
		err := x.Model.Put(x.ctx, []*tracker.Snapshot{saga(1), bad}, []tracker.Position{{Topic: "t", Next: 5}})
		require.Error(x, err)
		_, err = x.Model.Get(x.ctx, "order", saga(1).ID)
		require.ErrorIs(x, err, tracker.ErrNotFound, "the whole call changed nothing")
		positions, err := x.Model.Positions(x.ctx, "t")
		require.NoError(x, err)
		require.Empty(x, positions)
	}
}

func (x *exercise) largeBatch() {
	all := sagas(4000, func(n int, s *tracker.Snapshot) {
		if n%4 > 0 {
			ended(s, instant(n))
		}
	})
	x.put(all...)
	sameCounts(x, []tracker.Count{{Key: "completed", Count: 3000}, {Key: "running", Count: 1000, Oldest: &all[0].StartedAt}},
		x.count(x, tracker.Filter{}, tracker.GroupStatus))
	same(x, all, x.pages(x, tracker.Query{Limit: 1000}, nil))
}

// largeSnapshot puts a saga of 300 events with long messages.
func (x *exercise) largeSnapshot() {
	s := saga(1)
	for range 300 {
		s.Steps = append(s.Steps, tracker.Step{Name: "step", Status: choreo.StepFailing, Error: &tracker.Error{Message: strings.Repeat("long ", 500)}})
	}
	s.Tags = map[string]string{"note": strings.Repeat("word ", 20_000) + "Needle"}
	x.put(s)
	got, err := x.Model.Get(x.ctx, s.Saga, s.ID)
	require.NoError(x, err)
	same(x, []*tracker.Snapshot{s}, []*tracker.Snapshot{got})
	require.Len(x, x.page(x, tracker.Query{Filter: tracker.Filter{Search: "needle"}}).Sagas, 1)
}

func (x *exercise) extremeNumbers() {
	zero := saga(1) // what is known of a saga whose start is not read yet
	zero.StartedAt, zero.UpdatedAt = time.Time{}, time.Time{}
	low, high := saga(2), saga(3)
	low.Version, low.Partition, low.Offset, low.Events = 0, 0, 0, 0
	high.Version, high.Partition, high.Offset, high.Events = math.MaxInt32, math.MaxInt32, math.MaxInt64-1, math.MaxInt64
	x.put(zero, high, low)
	same(x, []*tracker.Snapshot{zero, low, high}, x.page(x, tracker.Query{}).Sagas)
	same(x, []*tracker.Snapshot{high, low, zero}, x.pages(x, tracker.Query{Order: tracker.ByUpdated, Descending: true, Limit: 1}, nil))
	last := *high
	last.Offset, last.Status = math.MaxInt64, choreo.StatusStuck
	x.put(&last)
	x.put(high)
	same(x, []*tracker.Snapshot{&last}, x.page(x, tracker.Query{Filter: tracker.Filter{Versions: []int{math.MaxInt32}}}).Sagas)
	require.NoError(x, x.Model.Put(x.ctx, nil, []tracker.Position{{Topic: "t", Partition: math.MaxInt32, Next: math.MaxInt64}}))
	positions, err := x.Model.Positions(x.ctx, "t")
	require.NoError(x, err)
	require.Equal(x, []tracker.Position{{Topic: "t", Partition: math.MaxInt32, Next: math.MaxInt64}}, positions)
}

func (x *exercise) positions() {
	of := func(topic string) []tracker.Position {
		x.Helper()
		positions, err := x.another().Positions(x.ctx, topic)
		require.NoError(x, err)
		return positions
	}
	require.Empty(x, of("orders"))
	require.NoError(x, x.Model.Put(x.ctx, nil, []tracker.Position{
		{Topic: "orders", Partition: 10, Next: 7}, {Topic: "orders", Partition: 2, Next: 0}, {Topic: "order_", Partition: 1, Next: 3},
	}))
	require.Equal(x, []tracker.Position{{Topic: "orders", Partition: 2, Next: 0}, {Topic: "orders", Partition: 10, Next: 7}}, of("orders"),
		"by partition")
	require.Equal(x, []tracker.Position{{Topic: "order_", Partition: 1, Next: 3}}, of("order_"))
	require.Empty(x, of("order%"))
	// A tracker that has lost the partition without knowing it must not take it back.
	require.NoError(x, x.Model.Put(x.ctx, []*tracker.Snapshot{saga(1)}, []tracker.Position{
		{Topic: "orders", Partition: 10, Next: 6}, {Topic: "orders", Partition: 2, Next: 9}, {Topic: "orders", Partition: 2, Next: 8},
	}))
	require.Equal(x, []tracker.Position{{Topic: "orders", Partition: 2, Next: 9}, {Topic: "orders", Partition: 10, Next: 7}}, of("orders"))
}

// positionsAtomic reads while positions are put along with the snapshots that they stand
// for: who reads the position first finds the snapshot, or a newer one.
func (x *exercise) positionsAtomic() {
	const rounds = 100
	reader := x.another()
	done := make(chan error, 1)
	go func() {
		for n := range rounds {
			s := saga(1)
			s.Offset = int64(n)
			if err := x.Model.Put(x.ctx, []*tracker.Snapshot{s}, []tracker.Position{{Topic: "t", Next: int64(n) + 1}}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		positions, err := reader.Positions(x.ctx, "t")
		require.NoError(x, err)
		if len(positions) > 0 {
			got, err := reader.Get(x.ctx, "order", saga(1).ID)
			require.NoError(x, err)
			require.GreaterOrEqual(x, got.Offset, positions[0].Next-1)
		}
		select {
		case err := <-done:
			require.NoError(x, err)
			return
		default:
		}
	}
}

func (x *exercise) notFound() {
	x.put(saga(1))
	for _, id := range [][2]string{{"order", "order-0002"}, {"refund", "order-0001"}, {"ORDER", "order-0001"}, {"order", "order-000_"}, {"", ""}, {"order", "*"}} {
		_, err := x.Model.Get(x.ctx, id[0], id[1])
		require.ErrorIs(x, err, tracker.ErrNotFound)
	}
}

func (x *exercise) forget() {
	open, early, late := saga(1), ended(saga(2), instant(10)), ended(saga(3), instant(20))
	early.Cause = &tracker.Cause{Code: "gone"}
	early.Tags = map[string]string{"a": "gone"}
	x.put(open, early, late)
	require.NoError(x, x.Model.Put(x.ctx, nil, []tracker.Position{{Topic: "t", Next: 4}}))
	forget := func(before int, want int64) {
		x.Helper()
		n, err := x.Model.Forget(x.ctx, instant(before))
		require.NoError(x, err)
		require.Equal(x, want, n)
	}
	forget(10, 0)
	forget(20, 1)
	forget(20, 0)
	same(x, []*tracker.Snapshot{open, late}, x.page(x, tracker.Query{}).Sagas)
	_, err := x.another().Get(x.ctx, "order", early.ID)
	require.ErrorIs(x, err, tracker.ErrNotFound)
	require.Empty(x, x.count(x, tracker.Filter{}, tracker.GroupCode))
	require.Empty(x, x.page(x, tracker.Query{Filter: tracker.Filter{Search: "gone"}}).Sagas)
	require.Empty(x, x.page(x, tracker.Query{Filter: tracker.Filter{Codes: []string{"gone"}}}).Sagas)
	positions, err := x.Model.Positions(x.ctx, "t")
	require.NoError(x, err)
	require.Len(x, positions, 1, "positions stay")
	forget(1000, 1)
	same(x, []*tracker.Snapshot{open}, x.page(x, tracker.Query{}).Sagas)
	x.put(early) // whoever folds again from the start brings it again
	same(x, []*tracker.Snapshot{open, early}, x.page(x, tracker.Query{}).Sagas)

	many := sagas(3000, func(n int, s *tracker.Snapshot) {
		s.Saga = "archive"
		if n > 0 {
			ended(s, instant(n))
		}
	})
	x.put(many...)
	forget(5000, 3000)
	sameCounts(x, []tracker.Count{{Count: 2, Oldest: &many[0].StartedAt}}, x.count(x, tracker.Filter{}, ""))
}

func (x *exercise) contextEnded() {
	ctx, cancel := context.WithCancel(x.ctx)
	cancel()
	require.ErrorIs(x, x.Model.Put(ctx, []*tracker.Snapshot{saga(1)}, nil), context.Canceled)
	_, err := x.Model.List(ctx, tracker.Query{})
	require.ErrorIs(x, err, context.Canceled)
	_, err = x.Model.Count(ctx, tracker.Filter{}, "")
	require.ErrorIs(x, err, context.Canceled)
	_, err = x.Model.Get(ctx, "order", "1")
	require.ErrorIs(x, err, context.Canceled)
	_, err = x.Model.Positions(ctx, "t")
	require.ErrorIs(x, err, context.Canceled)
	_, err = x.Model.Forget(ctx, instant(0))
	require.ErrorIs(x, err, context.Canceled)
	require.Empty(x, x.page(x, tracker.Query{}).Sagas, "nothing was put")
}
