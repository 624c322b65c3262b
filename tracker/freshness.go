package tracker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ends are the ends of the logs that are followed, as they were last looked up.
type ends struct {
	mu    sync.Mutex
	byLog map[string]map[int32]*end
	begun bool // the definitions that there were are known
	whole bool // the tracker has caught up once
}

func (n *ends) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.begun = true
}

type end struct {
	offset, oldest int64
	since          time.Time // when it was first seen that the tracker is behind; zero: it is not
	caughtUp       bool      // it once was not
}

// look asks the log where it ends.
func (n *ends) look(ctx context.Context, t *Tracker) error {
	var names []string
	for _, f := range t.following() {
		names = append(names, f.events)
	}
	if len(names) == 0 {
		return nil
	}
	list, err := t.log.GroupLag(ctx, t.names.Group("tracker"), names...)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, at := range list {
		if !t.config.Shard.Has(at.Partition) {
			continue
		}
		byPartition := n.byLog[at.Topic]
		if byPartition == nil {
			byPartition = map[int32]*end{}
			n.byLog[at.Topic] = byPartition
		}
		e := byPartition[at.Partition]
		if e == nil {
			e = &end{}
			byPartition[at.Partition] = e
		}
		e.offset, e.oldest = max(at.End, e.offset), at.Oldest
	}
	return nil
}

// behind returns how many events a follower is behind. f.mu is held.
func (n *ends) behind(f *follower) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all int64
	for number, e := range n.byLog[f.events] {
		next := e.oldest
		if p := f.parts[number]; p != nil {
			next = max(next, p.next)
		}
		all += max(e.offset-next, 0)
	}
	return all
}

// Freshness tells how far the tracker is behind: each partition where asked.
func (t *Tracker) Freshness(partitions bool) Freshness {
	now := t.config.Now()
	var fresh Freshness
	for _, f := range t.following() {
		f.mu.Lock()
		t.ends.mu.Lock()
		for number, e := range t.ends.byLog[f.events] {
			lag := PartitionLag{Topic: f.events, Partition: number, Next: e.oldest, End: e.offset}
			var last time.Time
			if p := f.parts[number]; p != nil {
				lag.Next, last = max(lag.Next, p.next), p.last
			}
			lag.End = max(lag.End, lag.Next)
			lag.LagEvents = lag.End - lag.Next
			lag.LagSeconds = e.seconds(now, last, lag.LagEvents)
			fresh.LagEvents += lag.LagEvents
			fresh.LagSeconds = max(fresh.LagSeconds, lag.LagSeconds)
			if partitions {
				fresh.Partitions = append(fresh.Partitions, lag)
			}
		}
		t.ends.mu.Unlock()
		f.mu.Unlock()
	}
	slices.SortFunc(fresh.Partitions, func(a, b PartitionLag) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return fresh
}

// CaughtUp returns nil once all is folded in that the logs held when the tracker began to read them,
// and before that an error that says what is not. From then on it stays nil: how far behind the
// tracker is tells [Tracker.Freshness].
func (t *Tracker) CaughtUp() error {
	t.ends.mu.Lock()
	begun, whole := t.ends.begun, t.ends.whole
	t.ends.mu.Unlock()
	switch {
	case whole:
		return nil
	case !begun:
		return errors.New("the topic of definitions is not read yet")
	}
	following := t.following()
	names, _ := t.defs.sagas()
	slices.Sort(names)
	for _, saga := range names {
		at := slices.IndexFunc(following, func(f *follower) bool { return f.saga == saga })
		if at < 0 {
			return fmt.Errorf("%s is not read yet, from which sagas %s are restored", t.names.Tracker(saga), saga)
		}
		f := following[at]
		f.mu.Lock()
		caughtUp, behind := f.caughtUp, t.ends.behind(f)
		f.mu.Unlock()
		if !caughtUp {
			return fmt.Errorf("%s is read up to %d events before its end", f.events, behind)
		}
	}
	t.ends.mu.Lock()
	t.ends.whole = true
	t.ends.mu.Unlock()
	return nil
}

// seconds returns for how long the first event has been there that is not folded in, at most: it
// came after the last one that is, and, once the tracker had caught up, after that.
func (e *end) seconds(now, last time.Time, events int64) float64 {
	if events == 0 {
		e.since, e.caughtUp = time.Time{}, true
		return 0
	}
	if e.since.IsZero() {
		e.since = now
	}
	since := last
	if last.IsZero() || e.caughtUp && e.since.After(last) {
		since = e.since
	}
	return max(now.Sub(since).Seconds(), 0)
}

// lookAtEnds keeps the ends up to date until ctx ends.
func (t *Tracker) lookAtEnds(ctx context.Context) {
	every := time.NewTicker(t.config.RetryEvery)
	defer every.Stop()
	for {
		if err := t.ends.look(ctx, t); err != nil && ctx.Err() == nil {
			t.config.Logger.Sugar().Warnf("tracker: cannot ask the log where it ends, so that the lag is not up to date: %v", err)
		}
		t.Freshness(false) // notes since when it is behind
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}
