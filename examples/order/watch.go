package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/topics"
)

// watcher folds the log of the order sagas. It takes no part in them: it is what
// anybody can do who can read the topic.
type watcher struct {
	mu      sync.Mutex
	sagas   map[string]*choreo.Instance // nil: started, and nothing of it seen yet
	resting int
	fed     bool
	done    chan struct{} // closed when all orders are fed and every saga is at rest
}

func newWatcher() *watcher {
	return &watcher{sagas: make(map[string]*choreo.Instance), done: make(chan struct{})}
}

// run folds the log from its beginning until ctx ends. The consumer group is new
// every time, so that nothing of an earlier run is passed over.
func (w *watcher) run(ctx context.Context, log topics.Log, names topics.Names) error {
	err := log.Consume(ctx, topics.ConsumeConfig{
		Group:  names.Group("watch-" + uuid.NewString()),
		Topics: []string{names.Events(contract.Order.Name())},
		Lanes:  1,
	}, w.fold)
	if err != nil {
		return fmt.Errorf("watching the sagas: %w", err)
	}
	return nil
}

func (w *watcher) fold(_ context.Context, batch []choreo.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range batch {
		ev, err := topics.Decode(&batch[i])
		if err != nil || ev.Saga != contract.Order.Name() || contract.Version(ev.Version) == nil {
			continue // the participants dead-letter or park it, and say so
		}
		saga := w.sagas[ev.SagaID]
		if saga == nil {
			saga = choreo.NewInstance(contract.Version(ev.Version).Definition)
			w.sagas[ev.SagaID] = saga
		}
		before := atRest(saga)
		saga.Apply(ev)
		if after := atRest(saga); after != before {
			if after {
				w.resting++
			} else {
				w.resting--
			}
		}
	}
	w.check()
	return nil
}

func atRest(saga *choreo.Instance) bool {
	return saga.Status.Ended() || saga.Status == choreo.StatusStuck
}

// expect says that a saga was started, though the log may not show it yet.
func (w *watcher) expect(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, seen := w.sagas[id]; !seen {
		w.sagas[id] = nil
	}
}

// allFed says that no further saga will be started.
func (w *watcher) allFed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fed = true
	w.check()
}

func (w *watcher) check() {
	if !w.fed || w.resting < len(w.sagas) {
		return
	}
	select {
	case <-w.done:
	default:
		close(w.done)
	}
}

// counts returns how many sagas there are and how many are at rest.
func (w *watcher) counts() (sagas, resting int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sagas), w.resting
}

// tally is what the logs of all sagas add up to.
type tally struct {
	sagas, completed, compensated, stuck, open int

	refusals map[string]int // by code
	steps    []stepTally    // in the saga's order
	times    []time.Duration
}

type stepTally struct {
	name, owner              string
	executed, failed, undone int
}

func (t *tally) executed() (n int) {
	for _, s := range t.steps {
		n += s.executed
	}
	return n
}

func (t *tally) undone() (n int) {
	for _, s := range t.steps {
		n += s.undone
	}
	return n
}

// tally counts. Its times, from the start of a saga to its end, are sorted.
func (w *watcher) tally() *tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &tally{sagas: len(w.sagas), refusals: make(map[string]int)}
	place := t.listSteps(w.sagas)
	for _, saga := range w.sagas {
		if saga == nil {
			t.open++
			continue
		}
		switch saga.Status {
		case choreo.StatusCompleted:
			t.completed++
		case choreo.StatusCompensated:
			t.compensated++
			t.refusals[reason(saga.Cause)]++
		case choreo.StatusStuck:
			t.stuck++
		default:
			t.open++
		}
		if saga.Status.Ended() {
			t.times = append(t.times, saga.EndedAt.Sub(saga.StartedAt))
		}
		for i := range saga.Steps {
			step := &t.steps[place[saga.Steps[i].Name]]
			switch saga.Steps[i].Status {
			case choreo.StepDone, choreo.StepUndoing, choreo.StepUndoFailed:
				step.executed++
			case choreo.StepUndone:
				step.executed++
				step.undone++
			case choreo.StepFailing:
				step.failed++
			default:
			}
		}
	}
	slices.Sort(t.times)
	return t
}

// listSteps lists the steps of the newest version that occurs, in its order, and returns
// the place of each by name: no version has a step that a newer one lacks.
func (t *tally) listSteps(sagas map[string]*choreo.Instance) map[string]int {
	newest := contract.Order
	for _, saga := range sagas {
		if saga != nil && saga.Version > newest.Version() {
			newest = contract.Version(saga.Version)
		}
	}
	place := make(map[string]int)
	for i, s := range newest.Steps() {
		t.steps = append(t.steps, stepTally{name: s.Name, owner: s.Owner})
		place[s.Name] = i
	}
	return place
}

// reason names why a saga was turned back, for counting.
func reason(f *choreo.Failure) string {
	switch {
	case f == nil:
		return "unknown"
	case f.Code != "":
		return f.Code
	}
	return string(f.Class)
}
