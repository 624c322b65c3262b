package outbox

import (
	"context"
	"sync"
	"time"
)

const (
	// carriers is how many batches of what was handed over are in flight at once: while the log
	// writes one, the next is on its way. More of them would only be smaller.
	carriers = 2
	// sweepEvery is how long rows of acknowledged entries wait to be deleted, so that one
	// deletion takes many. Nothing waits for it; a crash meanwhile repeats what it left.
	sweepEvery = 10 * time.Millisecond
	sweepMax   = 5000 // rows of one deletion
)

// startCarrying publishes what is handed over, until the returned function has been called
// and all of it is settled, or work has ended.
func (r *Relay) startCarrying(work context.Context) (stop func()) {
	quit, last := make(chan struct{}), make(chan struct{})
	var carrying, sweeping sync.WaitGroup
	for range carriers {
		carrying.Go(func() { r.carryOn(work, quit) })
	}
	sweeping.Go(func() { r.sweepOn(work, last) })
	return func() {
		close(quit)
		carrying.Wait()
		close(last)
		sweeping.Wait()
	}
}

// carryOn publishes batch after batch. Once it is to quit it returns when none is left: what
// comes after a batch in flight is left to whoever carries that.
func (r *Relay) carryOn(work context.Context, quit <-chan struct{}) {
	for quitting := false; work.Err() == nil; {
		if batch := r.hand.take(r.config.BatchMax); len(batch) > 0 {
			r.carry(work, batch)
			continue
		}
		if quitting {
			return
		}
		select {
		case <-r.hand.work:
		case <-quit:
			quitting = true
		case <-work.Done():
		}
	}
}

// carry publishes a batch of what was handed over.
func (r *Relay) carry(ctx context.Context, batch []Entry) {
	out := r.publish(ctx, batch)
	_, freed := r.note(&out, true)
	away := len(out.published) == 0
	if away {
		r.hand.pause()
	}
	if dropped := r.hand.settle(batch, &out); dropped || away || freed {
		signal(r.nudge)
	}
}

// handOver takes up again what pause has stopped, once the log takes records and the outbox
// has been read to its end.
func (r *Relay) handOver(full bool) {
	r.mu.Lock()
	away := r.logAway > 0
	r.mu.Unlock()
	if !away && !full {
		r.hand.resume()
	}
}

// sweepOn deletes the rows of acknowledged entries, and the last of them once it is to quit.
func (r *Relay) sweepOn(ctx context.Context, quit <-chan struct{}) {
	for wait := time.Duration(0); ; {
		select {
		case <-r.hand.acknowledged:
		case <-quit:
			for {
				seqs := r.hand.takeAcked(sweepMax)
				if len(seqs) == 0 || r.sweep(ctx, seqs) > 0 {
					return
				}
			}
		}
		timer := time.NewTimer(max(wait, sweepEvery))
		select {
		case <-timer.C:
		case <-quit:
		}
		timer.Stop()
		wait = r.sweep(ctx, r.hand.takeAcked(sweepMax))
	}
}

// sweep deletes rows of acknowledged entries. It returns how long to wait before the next
// attempt after one that failed. Like settle it does so even when the time to stop is over.
func (r *Relay) sweep(ctx context.Context, seqs []int64) (wait time.Duration) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if len(seqs) == 0 {
		return 0
	}
	if err := r.queue.Delete(bounded, seqs); err != nil {
		r.hand.keepAcked(seqs)
		return r.storeFailed(ctx, "delete published entries", err).wait
	}
	r.hand.deleted(seqs)
	r.storeBack()
	return 0
}

// Step relays one batch, for a caller that drives the relay by hand in place of Run, such
// as a simulation. It returns how long there is nothing to do, unless deaf is false and
// something is committed. Calls must not overlap.
func (r *Relay) Step(ctx context.Context) (wait time.Duration, deaf bool) {
	if r.hand == nil {
		r.begin()
	}
	if batch := r.hand.take(r.config.BatchMax); len(batch) > 0 {
		r.carry(ctx, batch)
		return 0, false
	}
	if seqs := r.hand.takeAcked(sweepMax); len(seqs) > 0 {
		return r.sweep(ctx, seqs), false
	}
	left := time.Until(r.next)
	if left > 0 && !r.deaf {
		if given(r.queue.Committed()) {
			r.woken()
			left = 0
		}
		if given(r.nudge) {
			left = 0
		}
	}
	if left > 0 {
		return left, r.deaf
	}
	p := r.round(ctx)
	r.next, r.deaf = time.Now().Add(p.wait), p.deaf
	return p.wait, p.deaf
}

// given takes a value from a channel, if there is one.
func given(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
