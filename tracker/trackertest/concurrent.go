package trackertest

import (
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

// writersAndReaders lets writers put snapshots of their own sagas, in batches of which two
// hold the same sagas in opposite orders, while readers ask.
func (x *exercise) writersAndReaders() {
	const writers, rounds, each = 4, 15, 20
	models := []tracker.Model{x.Model, x.another()}
	var puts, asks errgroup.Group
	stop := make(chan struct{})
	for w := range writers {
		puts.Go(func() error {
			for round := range rounds {
				batch := sagas(each, func(n int, s *tracker.Snapshot) {
					s.Offset, s.Events = int64(round*writers+w), int64(round*writers+w)
					s.Next = []tracker.Next{{Step: "charge", Service: "payments", Ready: true}}
					if w%2 == 1 {
						s.ID = saga(each - 1 - n).ID
					}
				})
				if err := models[w%2].Put(x.ctx, batch, []tracker.Position{{Topic: "t", Next: int64(round*writers + w)}}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for r := range 2 {
		asks.Go(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				if _, err := models[r].List(x.ctx, tracker.Query{Filter: tracker.Filter{Services: []string{"payments"}}}); err != nil {
					return err
				}
				if _, err := models[r].Count(x.ctx, tracker.Filter{}, tracker.GroupStep); err != nil {
					return err
				}
				if _, err := models[r].Positions(x.ctx, "t"); err != nil {
					return err
				}
			}
		})
	}
	err := puts.Wait()
	close(stop)
	require.NoError(x, asks.Wait())
	require.NoError(x, err)
	page := x.page(x, tracker.Query{})
	require.Len(x, page.Sagas, each)
	const last = rounds*writers - 1
	for _, s := range page.Sagas {
		require.Equal(x, int64(last), s.Events, s.ID)
	}
	positions, err := models[1].Positions(x.ctx, "t")
	require.NoError(x, err)
	require.Equal(x, []tracker.Position{{Topic: "t", Next: last}}, positions)
	require.Equal(x, int64(each), x.count(x, tracker.Filter{}, tracker.GroupService)[0].Count)
}

// twoTrackers folds one log twice at once, as happens for a moment when a partition
// changes hands: the model is as if one had done it.
func (x *exercise) twoTrackers() {
	const events, batch = 400, 25
	log := make([]*tracker.Snapshot, events)
	var want reference
	for offset := range log {
		s := saga(offset % 37)
		s.Offset, s.Events, s.UpdatedAt = int64(offset), int64(offset/37+1), instant(offset)
		s.Next = []tracker.Next{{Step: "step", Service: []string{"stock", "payments"}[offset%2], Ready: true}}
		if offset >= events-20 {
			ended(s, instant(offset))
			s.Status, s.Next = choreo.StatusCompensated, nil
		}
		log[offset] = s
		want.put(s)
	}
	var group errgroup.Group
	for _, model := range []tracker.Model{x.Model, x.another()} {
		group.Go(func() error {
			for from := 0; from < events; from += batch {
				to := from + batch
				if err := model.Put(x.ctx, log[from:to], []tracker.Position{{Topic: "t", Partition: 3, Next: int64(to)}}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(x, group.Wait())
	for _, order := range orders {
		q := tracker.Query{Order: order, Limit: 10}
		same(x, want.list(q), x.pages(x, q, nil))
	}
	for _, by := range groups {
		sameCounts(x, want.count(tracker.Filter{}, by), x.count(x, tracker.Filter{}, by))
	}
	positions, err := x.Model.Positions(x.ctx, "t")
	require.NoError(x, err)
	require.Equal(x, []tracker.Position{{Topic: "t", Partition: 3, Next: events}}, positions)
}

// countsDoNotDrift lets two writers put and forget the same few sagas at random, and then compares
// all counts with the sagas that are there. Which of two snapshots came first decides what these are.
func (x *exercise) countsDoNotDrift() {
	const rounds, each = 40, 12
	n := plainNames()
	n.ids = n.ids[:20]
	draw := n.snapshot()
	var group errgroup.Group
	for w, model := range []tracker.Model{x.Model, x.another()} {
		group.Go(func() error {
			for round := range rounds {
				batch := make([]*tracker.Snapshot, each)
				for i := range batch {
					batch[i] = draw.Example((2*round+w)*each + i)
				}
				if err := model.Put(x.ctx, batch, []tracker.Position{{Topic: "t", Partition: int32(w), Next: int64(round)}}); err != nil {
					return err
				}
				if round%5 == 4 {
					if _, err := model.Forget(x.ctx, instant(round)); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	require.NoError(x, group.Wait())
	all := reference(x.pages(x, tracker.Query{Limit: 1000}, nil))
	require.NotEmpty(x, all)
	filters := []tracker.Filter{{}, {Sagas: n.sagas[:1]}, {Statuses: statuses[:2], Versions: []int{2}}, {Services: n.services[:1]}, {Codes: n.codes[:2], Steps: n.steps[:2]}}
	for _, f := range filters {
		for _, by := range groups {
			sameCounts(x, all.count(f, by), x.count(x, f, by), "%+v by %q", f, by)
		}
	}
	// What is left of the counts when nothing is left to count?
	_, err := x.Model.Forget(x.ctx, instant(1000))
	require.NoError(x, err)
	open := reference(x.pages(x, tracker.Query{Limit: 1000}, nil))
	for _, by := range groups {
		sameCounts(x, open.count(tracker.Filter{}, by), x.count(x, tracker.Filter{}, by), by)
	}
}
