package topic

import (
	"context"
	"sync"
)

// reader reads the topic to its end for all who ask. Who asks while it reads waits for the
// reading after that: the end may have moved since.
type reader struct {
	read func(from int64) (next int64, err error)
	next int64 // owned by the goroutine that reads

	mu      sync.Mutex
	running *reading
	waiting *reading // begins when running ends
}

// reading is one way to the end of the topic.
type reading struct {
	done chan struct{}
	err  error
}

// catchUp returns when all has been read that was in the topic when it was called.
func (r *reader) catchUp(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	mine := &reading{done: make(chan struct{})}
	switch {
	case r.running == nil:
		r.running = mine
		go r.run(mine)
	case r.waiting == nil:
		r.waiting = mine
	default:
		mine = r.waiting
	}
	r.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run reads as long as somebody waits for it.
func (r *reader) run(current *reading) {
	for current != nil {
		r.next, current.err = r.read(r.next)
		close(current.done)
		r.mu.Lock()
		current, r.waiting = r.waiting, nil
		r.running = current
		r.mu.Unlock()
	}
}
