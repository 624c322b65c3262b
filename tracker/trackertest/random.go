package trackertest

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

func (x *exercise) randomQueries() { x.random(plainNames(), 1500) }

func (x *exercise) randomHostile() { x.random(hostileNames(), 800) }

// random fills the model with random snapshots, of which many replace others or are
// stale, and compares its answers to random queries with those of the plain list.
func (x *exercise) random(n names, puts int) {
	var all reference
	draw := n.snapshot()
	for from := 0; from < puts; from += 50 {
		var batch []*tracker.Snapshot
		for seed := from; seed < from+50; seed++ {
			batch = append(batch, draw.Example(seed))
		}
		all.put(batch...)
		x.put(batch...)
	}
	rapid.Check(x.T, func(t *rapid.T) {
		q := n.query().Draw(t, "query")
		want := all.list(q)
		if q.Limit > 0 && q.Limit < 50 && len(want) > 12*q.Limit { // the first pages will do
			q.Limit = 50
		}
		same(t, want, x.pages(t, q, nil), "%+v", q)
		by := rapid.SampledFrom(groups).Draw(t, "group")
		sameCounts(t, all.count(q.Filter, by), x.count(t, q.Filter, by), "%+v by %q", q.Filter, by)
	})
}

// randomChanges puts and forgets at random, and compares after each step.
func (x *exercise) randomChanges() {
	run := 0
	rapid.Check(x.T, func(t *rapid.T) {
		run++
		n := plainNames()
		n.ids = n.ids[:6]
		n.sagas = []string{fmt.Sprintf("order-%d", run), fmt.Sprintf("refund-%d", run)} // apart from other runs
		var all reference
		only := tracker.Filter{Sagas: n.sagas}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			if rapid.IntRange(0, 4).Draw(t, "forget") == 0 {
				before := moment(t, "before")
				was := x.count(t, tracker.Filter{}, "")[0].Count
				all.forget(before)
				gone, err := x.Model.Forget(x.ctx, before)
				require.NoError(t, err)
				require.Equal(t, was-gone, x.count(t, tracker.Filter{}, "")[0].Count)
			} else {
				batch := rapid.SliceOfN(n.snapshot(), 0, 8).Draw(t, "batch")
				all.put(batch...)
				require.NoError(t, x.Model.Put(x.ctx, batch, nil))
			}
			q := tracker.Query{Filter: only, Order: rapid.SampledFrom(orders).Draw(t, "order")}
			same(t, all.list(q), x.pages(t, q, nil))
			for _, by := range groups {
				sameCounts(t, all.count(only, by), x.count(t, only, by), by)
			}
			for _, status := range statuses {
				f := tracker.Filter{Sagas: n.sagas, Statuses: []choreo.Status{status}}
				same(t, all.list(tracker.Query{Filter: f}), x.page(t, tracker.Query{Filter: f}).Sagas)
			}
			step := slices.Clone(n.steps[:1])
			f := tracker.Filter{Sagas: n.sagas, Steps: step}
			same(t, all.list(tracker.Query{Filter: f}), x.page(t, tracker.Query{Filter: f}).Sagas)
		}
	})
}
