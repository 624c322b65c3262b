package tracker

import (
	"context"
	"sync"
)

const (
	watchBuffer = 1024 // changes that a watcher may be behind
	watchRecent = 4096 // changes that are kept for who comes back
)

// watchers are told what changes.
type watchers struct {
	mu     sync.Mutex
	seq    uint64
	recent [watchRecent]Change // a ring: that of a Seq is at Seq % watchRecent
	all    map[*watcher]struct{}
}

type watcher struct {
	filter Filter
	queue  []Change
	lost   bool
	wake   chan struct{}
}

func (w *watchers) tell(snapshots []*Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range snapshots {
		w.seq++
		c := Change{Seq: w.seq, Snapshot: s}
		w.recent[w.seq%watchRecent] = c
		for one := range w.all {
			one.offer(c)
		}
	}
}

func (o *watcher) offer(c Change) {
	if !o.filter.Matches(c.Snapshot) {
		return
	}
	switch {
	case len(o.queue) >= watchBuffer:
		o.queue = append(o.queue[:0], Change{Seq: c.Seq, Reset: true})
		o.lost = true
	case o.lost && len(o.queue) == 1 && o.queue[0].Reset:
		o.queue[0].Seq = c.Seq // one is enough until it is taken
	default:
		o.queue = append(o.queue, c)
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// watch returns the changes after one, or from now on where that is 0.
func (w *watchers) watch(ctx context.Context, f Filter, after uint64) <-chan Change {
	one := &watcher{filter: f, wake: make(chan struct{}, 1)}
	w.mu.Lock()
	switch {
	case after == 0 || after == w.seq:
	case after > w.seq || w.seq-after >= watchRecent:
		one.queue = []Change{{Seq: w.seq, Reset: true}} // of an earlier run, or too long ago
	default:
		for seq := after + 1; seq <= w.seq; seq++ {
			one.offer(w.recent[seq%watchRecent])
		}
	}
	w.all[one] = struct{}{}
	w.mu.Unlock()
	out := make(chan Change)
	go func() {
		defer close(out)
		defer func() {
			w.mu.Lock()
			delete(w.all, one)
			w.mu.Unlock()
		}()
		for {
			w.mu.Lock()
			queue := one.queue
			one.queue, one.lost = nil, false
			w.mu.Unlock()
			for _, c := range queue {
				select {
				case out <- c:
				case <-ctx.Done():
					return
				}
			}
			if len(queue) > 0 {
				continue
			}
			select {
			case <-one.wake:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
