//go:build unix

package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// load sends errands to the fleet, so that a number of sagas is under way at a time.
type load struct {
	fleet *fleet
	watch *watch
	seed  uint64

	mu       sync.Mutex
	accepted map[sagaID]*accepted
}

const (
	customersAtOnce = 16
	sendAgain       = 50 * time.Millisecond
)

// run places n orders, at most underWay of which are open at a time, and returns once
// all of them and their cancels are taken.
func (l *load) run(ctx context.Context, n, underWay int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan int)
	var busy, cancels sync.WaitGroup
	for range customersAtOnce {
		busy.Go(func() {
			for i := range queue {
				a, err := l.place(ctx, draw(l.seed, i))
				if err != nil {
					cancel(err)
					return
				}
				for n := range a.Cancels {
					cancels.Go(func() {
						if err := l.cancel(ctx, a, n); err != nil {
							cancel(err)
						}
					})
				}
			}
		})
	}
	for i := range n {
		if l.watch.await(ctx, func(f *figures) bool { return i-f.ended < underWay }) != nil {
			break
		}
		select {
		case queue <- i:
		case <-ctx.Done():
		}
	}
	close(queue)
	busy.Wait()
	cancels.Wait()
	return context.Cause(ctx)
}

// place sends an order until it is accepted.
func (l *load) place(ctx context.Context, e *errand) (*accepted, error) {
	doors := func(m *member) bool { return m.Service == orders }
	if err := l.send(ctx, rand.New(rand.NewPCG(e.doors, 0)), doors, "/orders", e.order); err != nil {
		return nil, err
	}
	a := &accepted{errand: e}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[sagaID{e.Saga, e.ID}] = a
	l.watch.expect(e)
	return a, nil
}

// cancel sends the n-th cancel of an order in its time, until it is taken.
func (l *load) cancel(ctx context.Context, a *accepted, n int) error {
	if err := pause(ctx, a.Cancels[n]); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(a.doors, uint64(n+1)))
	doors := func(*member) bool { return true }
	if err := l.send(ctx, r, doors, "/cancels", cancellation{a.Saga, a.ID, "no longer wanted"}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a.cancelled++
	return nil
}

// send sends a request to a member that suits until one has served it.
func (l *load) send(ctx context.Context, r *rand.Rand, suits func(*member) bool, path string, request any) error {
	var candidates []*member
	for _, m := range l.fleet.members {
		if suits(m) {
			candidates = append(candidates, m)
		}
	}
	for {
		err := candidates[r.IntN(len(candidates))].send(ctx, path, request)
		if err == nil || !errors.Is(err, errAgain) {
			return err
		}
		if err := pause(ctx, sendAgain); err != nil {
			return err
		}
	}
}
