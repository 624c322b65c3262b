package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
)

// withPeers returns a tracker and those of the other parts as one, and what is to be closed.
func withPeers(own *tracker.Tracker, settings *connect.Settings, urls []string) (api.Sagas, closers, error) {
	if len(urls) == 0 {
		return own, nil, nil
	}
	var peers closers
	parts := []tracker.Reader{own}
	for _, url := range urls {
		peer, err := settings.Peer(url)
		if err != nil {
			return nil, nil, err
		}
		peers = append(peers, peer)
		parts = append(parts, sagas.Reader(peer))
	}
	return &joined{Reader: tracker.Join(parts...), own: own, peers: peers}, peers, nil
}

// joined are several trackers, each with a part of the partitions, as one.
type joined struct {
	tracker.Reader
	own   *tracker.Tracker
	peers []sagas.Source
}

// Freshness is that of the own part: each tracker says for itself how fresh it is.
func (j *joined) Freshness(partitions bool) tracker.Freshness { return j.own.Freshness(partitions) }

// Overview counts over all parts; what happened a minute is of the own.
func (j *joined) Overview(ctx context.Context) (tracker.Overview, error) {
	overview, err := j.own.Overview(ctx)
	if err != nil {
		return tracker.Overview{}, err
	}
	for _, peer := range j.peers {
		other, err := peer.Overview(ctx)
		if err != nil {
			return tracker.Overview{}, err
		}
		overview = added(overview, other)
	}
	return overview, nil
}

// Watch returns the changes of all parts. Their numbers are of this call, so that none can be
// gone on after: whoever asks for that is told to ask anew.
func (j *joined) Watch(ctx context.Context, f tracker.Filter, after uint64) <-chan tracker.Change {
	merged := make(chan tracker.Change, 256)
	var mu sync.Mutex
	seq := after
	send := func(change tracker.Change) {
		mu.Lock()
		defer mu.Unlock()
		seq++
		change.Seq = seq
		select {
		case merged <- change:
		case <-ctx.Done():
		}
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		for change := range j.own.Watch(ctx, f, 0) {
			send(change)
		}
	})
	for _, peer := range j.peers {
		watching.Go(func() {
			reset := func() { send(tracker.Change{Reset: true}) }
			for ctx.Err() == nil {
				// A peer that is away is asked again: its part is missing until then.
				if err := peer.Watch(ctx, f, reset, func(s *tracker.Snapshot) error { send(tracker.Change{Snapshot: s}); return nil }); err != nil {
					pause(ctx)
				}
			}
		})
	}
	go func() { watching.Wait(); close(merged) }()
	return merged
}

// afterFault is how long a peer that is away is left alone.
const afterFault = 2 * time.Second

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(afterFault):
	}
}

// How much of an overview is shown, whatever the number of parts.
const (
	mostStuck   = 10
	mostSlowest = 10
)

// added returns the overview of two parts together.
func added(a, b tracker.Overview) tracker.Overview {
	counts := maps.Clone(a.Counts)
	if counts == nil {
		counts = map[choreo.Status]int64{}
	}
	for status, n := range b.Counts {
		counts[status] += n
	}
	stuck := slices.Concat(a.OldestStuck, b.OldestStuck)
	slices.SortStableFunc(stuck, func(x, y *tracker.Snapshot) int { return x.StartedAt.Compare(y.StartedAt) })
	slowest := slices.Clone(a.SlowestSteps)
	for _, step := range b.SlowestSteps {
		slowest = withStep(slowest, step)
	}
	slices.SortStableFunc(slowest, func(x, y tracker.StepFigures) int { return cmp.Compare(y.P95Seconds, x.P95Seconds) })
	fresh := a.Freshness
	fresh.LagEvents += b.Freshness.LagEvents
	fresh.LagSeconds = max(fresh.LagSeconds, b.Freshness.LagSeconds)
	fresh.Partitions = slices.Concat(fresh.Partitions, b.Freshness.Partitions)
	return tracker.Overview{
		Counts: counts, PerMinute: perMinute(a.PerMinute, b.PerMinute), OldestStuck: stuck[:min(len(stuck), mostStuck)],
		SlowestSteps: slowest[:min(len(slowest), mostSlowest)], Freshness: fresh,
	}
}

func perMinute(a, b []tracker.Minute) []tracker.Minute {
	sum := slices.Clone(a)
	for _, m := range b {
		i := slices.IndexFunc(sum, func(other tracker.Minute) bool { return other.At.Equal(m.At) })
		if i < 0 {
			sum = append(sum, m)
			continue
		}
		sum[i].Started += m.Started
		sum[i].Completed += m.Completed
		sum[i].Compensated += m.Compensated
		sum[i].Failed += m.Failed
	}
	slices.SortFunc(sum, func(x, y tracker.Minute) int { return x.At.Compare(y.At) })
	return sum
}

// withStep adds the figures of a step. Percentiles of parts make none of the whole: the slower
// part's stand.
func withStep(steps []tracker.StepFigures, one tracker.StepFigures) []tracker.StepFigures {
	i := slices.IndexFunc(steps, func(s tracker.StepFigures) bool {
		return s.Saga == one.Saga && s.Version == one.Version && s.Step == one.Step
	})
	if i < 0 {
		return append(steps, one)
	}
	s := &steps[i]
	s.Count += one.Count
	s.P50Seconds, s.P95Seconds = max(s.P50Seconds, one.P50Seconds), max(s.P95Seconds, one.P95Seconds)
	s.MaxSeconds = max(s.MaxSeconds, one.MaxSeconds)
	return steps
}
