package trackertest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

// Harness is a read model without sagas, ready for use.
type Harness struct {
	// Model holds 5,000 sagas or more.
	Model tracker.Model
	// Another, if set, opens the same data once more, as another process does: with no
	// connection and no memory in common.
	Another func(t *testing.T) tracker.Model
}

// Exercise checks that a read model keeps the promises of tracker.Model. open returns an empty
// one that no other subtest uses, and closes what it opened by t.Cleanup.
func Exercise(t *testing.T, open func(t *testing.T) Harness) {
	tests := []struct {
		name string
		run  func(*exercise)
	}{
		{"Put/RoundTrip", (*exercise).roundTrip},
		{"Put/OlderChangesNothing", (*exercise).olderChangesNothing},
		{"Put/KnownTakesThePlaceOfUnknown", (*exercise).knownForUnknown},
		{"Put/KnownAndUnknownInOneCall", (*exercise).knownAndUnknownAtOnce},
		{"Put/SeveralOfOneSaga", (*exercise).severalOfOneSaga},
		{"Put/Nameless", (*exercise).nameless},
		{"Put/LargeBatch", (*exercise).largeBatch},
		{"Put/LargeSnapshot", (*exercise).largeSnapshot},
		{"Put/ExtremeNumbers", (*exercise).extremeNumbers},
		{"Positions", (*exercise).positions},
		{"Positions/Atomic", (*exercise).positionsAtomic},
		{"Get/NotFound", (*exercise).notFound},
		{"List/Empty", (*exercise).listEmpty},
		{"List/Limits", (*exercise).listLimits},
		{"List/EveryOrder", (*exercise).everyOrder},
		{"List/OpenOnesEndLast", (*exercise).openOnesLast},
		{"List/Refused", (*exercise).listRefused},
		{"Cursor/OfAnotherQuery", (*exercise).cursorOfAnotherQuery},
		{"Cursor/Forged", (*exercise).cursorForged},
		{"Cursor/LimitMayChange", (*exercise).cursorLimitMayChange},
		{"Paging/StartedWhileAllChanges", (*exercise).pagingStarted},
		{"Paging/UpdatedWhileSomeChange", (*exercise).pagingUpdated},
		{"Paging/SagaOfTheCursorForgotten", (*exercise).pagingForgotten},
		{"Filter/EachField", (*exercise).eachField},
		{"Filter/Bounds", (*exercise).bounds},
		{"Filter/FollowsChanges", (*exercise).followsChanges},
		{"Search", (*exercise).search},
		{"Search/HostileText", (*exercise).searchHostile},
		{"Count/Groups", (*exercise).groups},
		{"Count/Refused", (*exercise).countRefused},
		{"Forget", (*exercise).forget},
		{"Random/Queries", (*exercise).randomQueries},
		{"Random/HostileText", (*exercise).randomHostile},
		{"Random/Changes", (*exercise).randomChanges},
		{"Concurrent/WritersAndReaders", (*exercise).writersAndReaders},
		{"Concurrent/TwoTrackersOfOnePartition", (*exercise).twoTrackers},
		{"Concurrent/CountsDoNotDrift", (*exercise).countsDoNotDrift},
		{"Context/Ended", (*exercise).contextEnded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			test.run(&exercise{T: t, Harness: open(t), ctx: ctx})
		})
	}
}

// exercise is one subtest.
type exercise struct {
	*testing.T
	Harness
	ctx context.Context
}

// another returns a second view of the data, or the model itself where there is no other.
func (x *exercise) another() tracker.Model {
	if x.Another == nil {
		return x.Model
	}
	return x.Another(x.T)
}

// saga returns the n-th saga of a test, which started at instant n.
func saga(n int) *tracker.Snapshot {
	return &tracker.Snapshot{
		ID: fmt.Sprintf("order-%04d", n), Saga: "order", Version: 1, Status: choreo.StatusRunning,
		StartedAt: instant(n), UpdatedAt: instant(n), Steps: []tracker.Step{}, Offset: int64(n), Events: 1,
	}
}

// sagas returns sagas 0 to n-1, each changed by with.
func sagas(n int, with func(n int, s *tracker.Snapshot)) []*tracker.Snapshot {
	list := make([]*tracker.Snapshot, n)
	for i := range list {
		list[i] = saga(i)
		if with != nil {
			with(i, list[i])
		}
	}
	return list
}

// ended ends a saga.
func ended(s *tracker.Snapshot, at time.Time) *tracker.Snapshot {
	s.Status, s.EndedAt = choreo.StatusCompleted, &at
	return s
}

// next returns the snapshot after an event at the instant.
func next(s *tracker.Snapshot, at time.Time) *tracker.Snapshot {
	changed := *s
	changed.Offset, changed.Events, changed.UpdatedAt = s.Offset+1000, s.Events+1, at
	return &changed
}

func (x *exercise) put(snapshots ...*tracker.Snapshot) {
	x.Helper()
	require.NoError(x, x.Model.Put(x.ctx, snapshots, nil))
}

// failer is what a check needs of a test, of package testing or rapid.
type failer interface {
	require.TestingT
	Helper()
}

// page returns one page.
func (x *exercise) page(t failer, q tracker.Query) tracker.Page {
	t.Helper()
	page, err := x.Model.List(x.ctx, q)
	require.NoError(t, err, "%+v", q)
	return page
}

// pages returns all pages of a query together. between is called after each but the last.
func (x *exercise) pages(t failer, q tracker.Query, between func()) (list []*tracker.Snapshot) {
	t.Helper()
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	for {
		page := x.page(t, q)
		require.LessOrEqual(t, len(page.Sagas), limit)
		list = append(list, page.Sagas...)
		if page.Next == "" {
			return list
		}
		require.Len(t, page.Sagas, limit, "a page that is not the last is full")
		q.After = page.Next
		if between != nil {
			between()
		}
	}
}

// same compares what was put with what came back, through the JSON that both are.
func same(t failer, want, got []*tracker.Snapshot, about ...any) {
	t.Helper()
	wanted, had := titles(want), titles(got)
	for i := range min(len(wanted), len(had)) { // a list may be long: what differs first says enough
		require.Equal(t, wanted[i], had[i], about...)
	}
	require.Len(t, had, len(wanted), about...)
	for i := range want {
		require.JSONEq(t, text(t, want[i]), text(t, got[i]), about...)
	}
}

func text(t failer, s *tracker.Snapshot) string {
	t.Helper()
	data, err := json.Marshal(s)
	require.NoError(t, err)
	return string(data)
}

func titles(list []*tracker.Snapshot) []string {
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = fmt.Sprintf("%q %q", s.Saga, s.ID)
	}
	return names
}

// sameCounts compares counts; instants are equal in whatever zone.
func sameCounts(t failer, want, got []tracker.Count, about ...any) {
	t.Helper()
	plain := func(list []tracker.Count) []string {
		lines := make([]string, len(list))
		for i, c := range list {
			lines[i] = fmt.Sprintf("%q %d", c.Key, c.Count)
			if c.Oldest != nil {
				lines[i] += c.Oldest.UTC().Format(" " + time.RFC3339Nano)
			}
		}
		return lines
	}
	require.Equal(t, plain(want), plain(got), about...)
}

func (x *exercise) count(t failer, f tracker.Filter, by tracker.Group) []tracker.Count {
	t.Helper()
	counts, err := x.Model.Count(x.ctx, f, by)
	require.NoError(t, err, "%+v by %q", f, by)
	return counts
}
