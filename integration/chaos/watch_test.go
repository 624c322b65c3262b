//go:build unix

package chaos

import (
	"context"
	"fmt"
	"sync"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// figures is how a run stands, as the log shows it.
type figures struct {
	expected int
	ended    int
}

// watch folds the log while it is written, so that the run knows how far it is. The audit
// does not trust it: it reads the log anew.
type watch struct {
	mu      sync.Mutex
	sagas   map[sagaID]*choreo.Instance
	figures figures
	changed chan struct{} // closed, and made anew, after a change
}

func newWatch() *watch {
	return &watch{sagas: make(map[sagaID]*choreo.Instance), changed: make(chan struct{})}
}

// run folds the log until ctx ends.
func (w *watch) run(ctx context.Context, log topics.Log, names topics.Names) error {
	err := log.Consume(ctx, topics.ConsumeConfig{
		Group: names.Group("watch"), Topics: []string{names.Events(delivery.Name()), names.Events(pickup.Name())},
	}, w.fold)
	if err != nil {
		return fmt.Errorf("watching the sagas: %w", err)
	}
	return nil
}

func (w *watch) fold(_ context.Context, batch []choreo.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range batch {
		ev, err := topics.Decode(&batch[i])
		if err != nil {
			return err
		}
		in := w.saga(sagaID{ev.Saga, ev.SagaID})
		before := in.Status.Ended()
		in.Apply(ev)
		switch after := in.Status.Ended(); {
		case after && !before:
			w.figures.ended++
		case before && !after:
			w.figures.ended--
		}
	}
	w.tell()
	return nil
}

func (w *watch) saga(id sagaID) *choreo.Instance {
	in := w.sagas[id]
	if in == nil {
		in = choreo.NewInstance(sagas[id.saga].Definition)
		w.sagas[id] = in
	}
	return in
}

// expect says that an order was accepted.
func (w *watch) expect(e *errand) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saga(sagaID{e.Saga, e.ID})
	w.figures.expected++
	w.tell()
}

func (w *watch) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *watch) now() figures {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.figures
}

// await waits until the figures suit or ctx ends.
func (w *watch) await(ctx context.Context, suits func(*figures) bool) error {
	for {
		w.mu.Lock()
		now, changed := w.figures, w.changed
		w.mu.Unlock()
		if suits(&now) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// open returns up to n sagas that have not ended.
func (w *watch) open(n int) []sagaID {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []sagaID
	for id, in := range w.sagas {
		if !in.Status.Ended() && len(ids) < n {
			ids = append(ids, id)
		}
	}
	return ids
}
