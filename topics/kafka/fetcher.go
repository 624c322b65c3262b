package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// fetcher fetches partitions, each from the broker that leads it, for as long as the
// context of its goroutines lasts.
type fetcher struct {
	log    *Log
	topics []string
	health *health
	// take gets the records of one partition, in order and never two calls for one
	// partition at once. Its memory is the fetcher's again when it returns; after an
	// error the loop that made the call ends.
	take func(context.Context, []choreo.Record) error
	// reached, if set, is told when a position has come to the end that it was to
	// come to.
	reached func(*position)
	// hold, if set, is that of topics.ConsumeConfig.
	hold    func() <-chan struct{}
	orphans chan []*position
	failed  chan error     // gets why there is no going on
	running sync.WaitGroup // the assigner, the loops, and what else goes along with them
}

func newFetcher(log *Log, topics []string, health *health, take func(context.Context, []choreo.Record) error) *fetcher {
	return &fetcher{log: log, topics: topics, health: health, take: take,
		orphans: make(chan []*position), failed: make(chan error, 1)}
}

// fail stops whoever fetches.
func (f *fetcher) fail(err error) {
	select {
	case f.failed <- err:
	default: // there is one already
	}
}

// orphan gives positions that a loop cannot fetch to the assigner.
func (f *fetcher) orphan(ctx context.Context, fault error, positions ...*position) {
	if len(positions) == 0 {
		return
	}
	now := time.Now()
	for _, p := range positions {
		f.fault(p, fault, now)
	}
	select {
	case f.orphans <- positions:
	case <-ctx.Done():
	}
}

func (f *fetcher) fault(p *position, fault error, now time.Time) {
	p.failures++
	p.since, p.due = now, now.Add(backoff(p.failures))
	if p.failures > 1 { // once is how leaders move
		f.health.fault(p.Partition, fault)
	}
}

// assign gives each position to the loop of its partition's leader, at first and
// whenever a loop gave it up, until ctx ends.
func (f *fetcher) assign(ctx context.Context, orphans []*position) {
	loops := make(map[int32]*fetchLoop)
	start := time.Now()
	for _, p := range orphans {
		p.since, p.due = start, start
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case more := <-f.orphans:
			orphans = append(orphans, more...)
		case <-timer.C:
			orphans = f.place(ctx, loops, orphans)
		}
		if len(orphans) > 0 {
			next := orphans[0].due
			for _, p := range orphans[1:] {
				if p.due.Before(next) {
					next = p.due
				}
			}
			timer.Reset(time.Until(next))
		}
	}
}

// place places the positions that are due and returns those that are left.
func (f *fetcher) place(ctx context.Context, loops map[int32]*fetchLoop, orphans []*position) (left []*position) {
	now := time.Now()
	var since time.Time
	for _, p := range orphans {
		if !p.due.After(now) && p.since.After(since) {
			since = p.since
		}
	}
	bounded, cancel := context.WithTimeout(ctx, f.log.config.RequestTimeout)
	defer cancel()
	v, err := f.log.cluster.renew(bounded, since, f.topics...)
	if ctx.Err() != nil {
		return nil
	}
	now = time.Now()
	placed := make(map[int32][]*position)
	for _, p := range orphans {
		if p.due.After(now) {
			left = append(left, p)
			continue
		}
		leader, fault := int32(noLeader), err
		if fault == nil {
			leader, fault = v.leader(p.Topic, p.Partition.Partition)
		}
		if fault != nil {
			if forGood(fault) {
				f.fail(fault)
			}
			f.fault(p, fault, now)
			left = append(left, p)
			continue
		}
		placed[leader] = append(placed[leader], p)
	}
	for leader, positions := range placed {
		loop, runs := loops[leader]
		if !runs {
			loop = newFetchLoop(f, leader)
			loops[leader] = loop
		}
		loop.add(positions)
		if !runs {
			f.running.Go(func() { loop.run(ctx) })
		}
	}
	return left
}
