package tracker

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/choreo-go/choreo/choreo"
)

// Overview tells how all sagas do, over all parts.
func (j *Joined) Overview(ctx context.Context) (Overview, error) {
	each := make([]*Overview, len(j.parts))
	err := j.each(ctx, func(ctx context.Context, i int, p PartSource) error {
		o, err := p.Overview(ctx)
		if err == nil {
			each[i] = &o
		}
		return err
	})
	if err != nil && !isPartial(err) {
		return Overview{}, err
	}
	merged := Overview{Counts: map[choreo.Status]int64{}, OldestStuck: []*Snapshot{}, SlowestSteps: []StepFigures{}}
	for _, o := range each {
		if o == nil {
			continue
		}
		switch {
		case !j.config.Shared:
			for status, n := range o.Counts {
				merged.Counts[status] += n
			}
			merged.OldestStuck = append(merged.OldestStuck, o.OldestStuck...)
		case len(merged.Counts) == 0: // each part knows all
			merged.Counts, merged.OldestStuck = maps.Clone(o.Counts), slices.Clone(o.OldestStuck)
		}
		merged.PerMinute = addMinutes(merged.PerMinute, o.PerMinute)
		merged.SlowestSteps = addSteps(merged.SlowestSteps, o.SlowestSteps)
	}
	slices.SortStableFunc(merged.OldestStuck, func(x, y *Snapshot) int {
		return cmp.Or(x.StartedAt.Compare(y.StartedAt), strings.Compare(x.Saga, y.Saga), strings.Compare(x.ID, y.ID))
	})
	merged.OldestStuck = merged.OldestStuck[:min(len(merged.OldestStuck), oldestStuck)]
	merged.SlowestSteps = merged.SlowestSteps[:min(len(merged.SlowestSteps), slowestSteps)]
	merged.Freshness = j.Freshness(false)
	return merged, err
}

// addMinutes adds up minutes, of which the last 60 are kept: clocks may not agree on which these are.
func addMinutes(a, b []Minute) []Minute {
	sum := slices.Clone(a)
	for _, m := range b {
		i := slices.IndexFunc(sum, func(other Minute) bool { return other.At.Equal(m.At) })
		if i < 0 {
			sum = append(sum, m)
			continue
		}
		sum[i].Started += m.Started
		sum[i].Completed += m.Completed
		sum[i].Compensated += m.Compensated
		sum[i].Failed += m.Failed
	}
	slices.SortFunc(sum, func(x, y Minute) int { return x.At.Compare(y.At) })
	return sum[max(len(sum)-figureMinutes, 0):]
}

// addSteps adds the figures of steps. Percentiles of parts make none of the whole, which is not above the
// slowest part's: that one stands.
func addSteps(steps, more []StepFigures) []StepFigures {
	for _, one := range more {
		i := slices.IndexFunc(steps, func(s StepFigures) bool {
			return s.Saga == one.Saga && s.Version == one.Version && s.Step == one.Step
		})
		if i < 0 {
			steps = append(steps, one)
			continue
		}
		s := &steps[i]
		s.Count += one.Count
		s.P50Seconds, s.P95Seconds = max(s.P50Seconds, one.P50Seconds), max(s.P95Seconds, one.P95Seconds)
		s.MaxSeconds = max(s.MaxSeconds, one.MaxSeconds)
	}
	slices.SortFunc(steps, func(a, b StepFigures) int {
		return cmp.Or(cmp.Compare(b.P95Seconds, a.P95Seconds), cmp.Compare(a.Saga, b.Saga),
			cmp.Compare(a.Version, b.Version), cmp.Compare(a.Step, b.Step))
	})
	return steps
}

// Freshness tells how far all parts are behind, by what [Joined.Run] was told last: the events of all,
// and the seconds of the one that is furthest behind. Parts names those.
func (j *Joined) Freshness(partitions bool) Freshness {
	var all Freshness
	for _, p := range j.parts {
		p.mu.Lock()
		fresh, away := p.fresh, p.err != nil
		p.mu.Unlock()
		if here, ok := p.Source.(own); ok {
			fresh = here.Tracker.Freshness(partitions)
		}
		all.LagEvents += fresh.LagEvents
		all.LagSeconds = max(all.LagSeconds, fresh.LagSeconds)
		all.Parts = append(all.Parts, PartLag{Part: p.Name, LagEvents: fresh.LagEvents, LagSeconds: fresh.LagSeconds, Away: away})
		if partitions {
			all.Partitions = append(all.Partitions, fresh.Partitions...)
		}
	}
	slices.SortFunc(all.Partitions, func(a, b PartitionLag) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	slices.SortFunc(all.Parts, func(a, b PartLag) int {
		if a.Away != b.Away {
			if a.Away {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.LagSeconds, a.LagSeconds), cmp.Compare(b.LagEvents, a.LagEvents), strings.Compare(a.Part, b.Part))
	})
	return all
}

// Watch returns the changes of all parts until ctx ends: then the channel is closed. Their numbers are of
// this call: who goes on after one, which after is, is told to begin anew, as is who comes back
// from elsewhere.
func (j *Joined) Watch(ctx context.Context, f Filter, after uint64) <-chan Change {
	merged := make(chan Change)
	var mu sync.Mutex
	seq := after
	send := func(c Change) {
		mu.Lock()
		defer mu.Unlock()
		seq++
		c.Seq = seq
		select {
		case merged <- c:
		case <-ctx.Done():
		}
	}
	var watching sync.WaitGroup
	for _, p := range j.parts { // before the Reset is sent, so that no change falls between
		changes := p.Source.Watch(ctx, f)
		watching.Go(func() {
			for c := range changes {
				send(c)
			}
		})
	}
	if after > 0 {
		watching.Go(func() { send(Change{Reset: true}) })
	}
	go func() {
		watching.Wait()
		close(merged)
	}()
	return merged
}
