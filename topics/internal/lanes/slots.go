package lanes

import (
	"context"
	"sync"
)

// slots is a counting semaphore that gives as many as it can instead of all or none.
type slots struct {
	mu    sync.Mutex
	free  int
	freed chan struct{} // closed when free is no longer 0; nil while nobody waits
}

// acquire takes between 1 and want slots, waiting for the first until ctx ends or
// stop is closed.
func (s *slots) acquire(ctx context.Context, want int, stop <-chan struct{}) (int, error) {
	for {
		select {
		case <-stop:
			return 0, ErrStopped
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		default:
		}
		s.mu.Lock()
		if s.free > 0 {
			got := min(s.free, want)
			s.free -= got
			s.mu.Unlock()
			return got, nil
		}
		if s.freed == nil {
			s.freed = make(chan struct{})
		}
		freed := s.freed
		s.mu.Unlock()
		select {
		case <-stop:
			return 0, ErrStopped
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-freed:
		}
	}
}

func (s *slots) release(n int) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
}

func (s *slots) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free
}
