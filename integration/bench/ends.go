package main

import (
	"context"
	"fmt"
	"sync"
)

// ends tells when so many sagas have come to their last handler. A handler may run again for
// a saga, after a rollback: it counts once.
type ends struct {
	mu      sync.Mutex
	want    int
	ended   map[string]struct{}
	reached chan struct{}
}

// expect begins to count up to n.
func (e *ends) expect(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.want, e.ended, e.reached = n, make(map[string]struct{}, n), make(chan struct{})
}

func (e *ends) end(saga string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.want == 0 || len(e.ended) == e.want {
		return
	}
	if e.ended[saga] = struct{}{}; len(e.ended) == e.want {
		close(e.reached)
	}
}

// wait waits until as many have ended as are expected.
func (e *ends) wait(ctx context.Context) error {
	e.mu.Lock()
	reached := e.reached
	e.mu.Unlock()
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		e.mu.Lock()
		defer e.mu.Unlock()
		return fmt.Errorf("%d of %d sagas came to their end: %w", len(e.ended), e.want, context.Cause(ctx))
	}
}
