package trackertest

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

func (x *exercise) listEmpty() {
	for _, order := range orders {
		for _, descending := range []bool{false, true} {
			page := x.page(x, tracker.Query{Order: order, Descending: descending})
			require.Empty(x, page.Sagas)
			require.Empty(x, page.Next)
		}
	}
}

func (x *exercise) listLimits() {
	all := sagas(1100, nil)
	x.put(all...)
	page := x.page(x, tracker.Query{})
	same(x, all[:50], page.Sagas)
	require.NotEmpty(x, page.Next)
	page = x.page(x, tracker.Query{Limit: 5000})
	require.Len(x, page.Sagas, 1000)
	require.NotEmpty(x, page.Next)
	page = x.page(x, tracker.Query{Limit: 10, Filter: tracker.Filter{StartedTo: instant(10)}})
	require.Len(x, page.Sagas, 10)
	require.Empty(x, page.Next, "nothing is left")
	page = x.page(x, tracker.Query{Limit: 10, Filter: tracker.Filter{StartedTo: instant(11)}})
	require.NotEmpty(x, page.Next)
}

// everyOrder lists sagas of which many are equal, by pages of every size.
func (x *exercise) everyOrder() {
	names := []string{"b", "a", "a-", "B", "á"}
	all := sagas(60, func(n int, s *tracker.Snapshot) {
		s.Saga = names[n%len(names)]
		s.StartedAt, s.UpdatedAt = instant(n%3), instant(n%7)
		if n%2 == 0 {
			ended(s, instant(n%4))
		}
	})
	x.put(all...)
	for _, order := range orders {
		for _, descending := range []bool{false, true} {
			for _, limit := range []int{1, 7, 20, 59, 60, 61} {
				q := tracker.Query{Order: order, Descending: descending, Limit: limit}
				same(x, reference(all).list(q), x.pages(x, q, nil), "%+v", q)
			}
		}
	}
}

func (x *exercise) openOnesLast() {
	a, b, c, d := saga(1), ended(saga(2), instant(5)), ended(saga(3), instant(4)), saga(4)
	x.put(a, b, c, d)
	for limit := 1; limit <= 5; limit++ {
		same(x, []*tracker.Snapshot{c, b, a, d}, x.pages(x, tracker.Query{Order: tracker.ByEnded, Limit: limit}, nil))
		same(x, []*tracker.Snapshot{b, c, d, a}, x.pages(x, tracker.Query{Order: tracker.ByEnded, Descending: true, Limit: limit}, nil))
	}
}

func (x *exercise) listRefused() {
	for _, q := range []tracker.Query{{Order: "id"}, {Order: "started; --"}, {Limit: -1}} {
		_, err := x.Model.List(x.ctx, q)
		require.Error(x, err)
		require.NotErrorIs(x, err, tracker.ErrBadCursor)
	}
}

func (x *exercise) cursorOfAnotherQuery() {
	x.put(sagas(20, nil)...)
	first := tracker.Query{Limit: 5, Filter: tracker.Filter{
		Sagas: []string{"order", "refund"}, Versions: []int{1, 2}, Statuses: []choreo.Status{choreo.StatusRunning},
		StartedFrom: instant(0), StartedTo: instant(50), UpdatedTo: instant(60), Search: "order",
	}}
	cursor := x.page(x, first).Next
	require.NotEmpty(x, cursor)
	others := map[string]func(*tracker.Query){
		"order":      func(q *tracker.Query) { q.Order = tracker.ByUpdated },
		"descending": func(q *tracker.Query) { q.Descending = true },
		"sagas":      func(q *tracker.Query) { q.Sagas = []string{"order"} },
		"sagas' end": func(q *tracker.Query) { q.Sagas = []string{"orderrefund"} },
		"versions":   func(q *tracker.Query) { q.Versions = []int{12} },
		"statuses":   func(q *tracker.Query) { q.Statuses = nil },
		"steps":      func(q *tracker.Query) { q.Steps = []string{"charge"} },
		"services":   func(q *tracker.Query) { q.Services = []string{"charge"} },
		"codes":      func(q *tracker.Query) { q.Codes = []string{"charge"} },
		"from":       func(q *tracker.Query) { q.StartedFrom = instant(-1) },
		"to":         func(q *tracker.Query) { q.StartedTo = instant(51) },
		"updated to": func(q *tracker.Query) { q.UpdatedTo = instant(50) },
		"search":     func(q *tracker.Query) { q.Search = "" },
	}
	for name, change := range others {
		q := first
		q.After = cursor
		change(&q)
		_, err := x.Model.List(x.ctx, q)
		require.ErrorIs(x, err, tracker.ErrBadCursor, name)
	}
	q := first
	q.After, q.Order = cursor, tracker.ByStarted // the default's name
	q.Sagas, q.StartedTo = []string{"refund", "order"}, q.StartedTo.Local()
	require.Len(x, x.page(x, q).Sagas, 5, "the same query in other words")
}

func (x *exercise) cursorForged() {
	x.put(sagas(20, nil)...)
	cursor := x.page(x, tracker.Query{Limit: 5}).Next
	forged := []string{"x", "0", "null", "{}", "[]", "-", "%", "'", "\x00", strings.Repeat("A", 100_000), cursor[1:], cursor[:len(cursor)-1], cursor + cursor,
		base64.RawURLEncoding.EncodeToString([]byte("{}")), base64.StdEncoding.EncodeToString([]byte("null"))}
	for i := range min(len(cursor), 8) {
		forged = append(forged, cursor[:i]+"!"+cursor[i+1:])
	}
	for _, after := range forged {
		_, err := x.Model.List(x.ctx, tracker.Query{Limit: 5, After: after})
		require.ErrorIs(x, err, tracker.ErrBadCursor, "%.100q", after)
	}
}

func (x *exercise) cursorLimitMayChange() {
	all := sagas(30, nil)
	x.put(all...)
	first := x.page(x, tracker.Query{Limit: 5})
	second := x.page(x, tracker.Query{Limit: 20, After: first.Next})
	same(x, all[5:25], second.Sagas)
	third, err := x.another().List(x.ctx, tracker.Query{After: second.Next})
	require.NoError(x, err, "a cursor holds in every process")
	same(x, all[25:], third.Sagas)
	require.Empty(x, third.Next)
}

// pagingStarted reads pages by start while every saga changes and others come.
func (x *exercise) pagingStarted() {
	for _, descending := range []bool{false, true} {
		name := "ascending"
		if descending {
			name = "descending"
		}
		all := sagas(40, func(_ int, s *tracker.Snapshot) { s.Saga = name })
		x.put(all...)
		round := 0
		q := tracker.Query{Limit: 7, Descending: descending, Filter: tracker.Filter{Sagas: []string{name}}}
		list := x.pages(x, q, func() {
			round++
			for i, s := range all {
				all[i] = next(s, instant(1000+round))
				if i%3 == round%3 {
					ended(all[i], instant(1000+round))
				}
			}
			x.put(all...)
			other := saga(500 + round)
			other.Saga = name + "-other"
			x.put(other)
		})
		require.Equal(x, titles(reference(all).list(q)), titles(list))
		require.Positive(x, round)
	}
}

// pagingUpdated reads pages by update while some sagas are updated, and so move.
func (x *exercise) pagingUpdated() {
	for _, descending := range []bool{false, true} {
		name := "ascending"
		if descending {
			name = "descending"
		}
		all := sagas(40, func(_ int, s *tracker.Snapshot) { s.Saga = name })
		x.put(all...)
		moved := map[string]bool{}
		q := tracker.Query{Limit: 10, Order: tracker.ByUpdated, Descending: descending, Filter: tracker.Filter{Sagas: []string{name}}}
		list := x.pages(x, q, func() {
			if len(moved) == 0 { // one that was read, one that was not
				for _, n := range []int{2, 37} {
					x.put(next(all[n], instant(100+n)))
					moved[all[n].ID] = true
				}
			}
		})
		times := map[string]int{}
		for _, s := range list {
			times[s.ID]++
		}
		for _, s := range all {
			switch {
			case !moved[s.ID]:
				require.Equal(x, 1, times[s.ID], "%s did not move", s.ID)
			case descending:
				require.LessOrEqual(x, times[s.ID], 1, "%s moved to the front", s.ID)
			default:
				require.GreaterOrEqual(x, times[s.ID], 1, "%s moved to the end", s.ID)
			}
		}
		if !descending {
			require.Equal(x, []string{all[2].ID, all[37].ID}, []string{list[len(list)-2].ID, list[len(list)-1].ID})
			require.Equal(x, int64(2), list[len(list)-1].Events, "as it is now")
		}
	}
}

// pagingForgotten goes on behind a saga that is no longer there.
func (x *exercise) pagingForgotten() {
	all := sagas(20, func(n int, s *tracker.Snapshot) { ended(s, instant(n)) })
	x.put(all...)
	page := x.page(x, tracker.Query{Order: tracker.ByEnded, Limit: 5})
	_, err := x.Model.Forget(x.ctx, instant(8))
	require.NoError(x, err)
	rest := x.pages(x, tracker.Query{Order: tracker.ByEnded, Limit: 5, After: page.Next}, nil)
	same(x, slices.Clone(all[8:]), rest)
}
