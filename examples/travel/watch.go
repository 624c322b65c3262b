package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/topics"
)

// watcher folds the log of the trips. It takes no part in them: it is what anybody can do
// who can read the topic.
type watcher struct {
	mu    sync.Mutex
	trips map[string]*watched
	fed   bool
	done  chan struct{} // closed when all trips are started and every saga is at rest
}

// watched is a saga as the log tells it so far.
type watched struct {
	*choreo.Instance
	undone []string // steps, in the order of the log, whose compensation was called
}

func newWatcher() *watcher {
	return &watcher{trips: make(map[string]*watched), done: make(chan struct{})}
}

// run folds the log from its beginning until ctx ends.
func (w *watcher) run(ctx context.Context, log topics.Log, topic string) error {
	if err := log.Read(ctx, topics.ReadConfig{Topic: topic}, w.fold); err != nil {
		return fmt.Errorf("watching the trips: %w", err)
	}
	return nil
}

func (w *watcher) fold(_ context.Context, batch []choreo.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range batch {
		ev, err := topics.Decode(&batch[i])
		if err != nil || ev.Saga != contract.Trip.Name() || ev.Version != contract.Trip.Version() {
			continue // the participants dead-letter it and say so
		}
		trip := w.trip(ev.SagaID)
		if trip.Apply(ev) && ev.Type == choreo.StepCompensated && ev.Attempt > 0 {
			trip.undone = append(trip.undone, ev.Step)
		}
	}
	w.check()
	return nil
}

func (w *watcher) trip(id string) *watched {
	if w.trips[id] == nil {
		w.trips[id] = &watched{Instance: choreo.NewInstance(contract.Trip.Definition)}
	}
	return w.trips[id]
}

// expect says that a saga was started, though the log may not show it yet.
func (w *watcher) expect(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trip(id)
}

// allFed says that no further saga will be started.
func (w *watcher) allFed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fed = true
	w.check()
}

func (w *watcher) check() {
	if w.fed && w.atRest() == len(w.trips) {
		select {
		case <-w.done:
		default:
			close(w.done)
		}
	}
}

func (w *watcher) atRest() (n int) {
	for _, trip := range w.trips {
		if trip.Status.Ended() || trip.Status == choreo.StatusStuck {
			n++
		}
	}
	return n
}

// counts returns how many sagas there are and how many are at rest.
func (w *watcher) counts() (trips, resting int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.trips), w.atRest()
}

// instances returns the sagas for the audit, once nothing folds any more.
func (w *watcher) instances() map[string]*choreo.Instance {
	all := make(map[string]*choreo.Instance, len(w.trips))
	for id, trip := range w.trips {
		all[id] = trip.Instance
	}
	return all
}

// tally is what the logs of all sagas add up to.
type tally struct {
	trips, completed, turnedBack, stuck, open int

	withCar, noCarWanted, noCarLeft int // of those completed
	reprinted                       int // whose documents took more than one attempt

	refusals map[string]int // by code
	steps    []stepTally    // in the saga's order

	sideBySide int             // trips that were turned back with several steps to undo
	unordered  int             // of these, see waitedForNone
	undoing    []time.Duration // from a failure to the end of its saga, sorted
	times      []time.Duration // of sagas, sorted
}

type stepTally struct {
	name, owner                         string
	executed, bypassed, refused, undone int
}

func (w *watcher) tally() *tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &tally{trips: len(w.trips), refusals: make(map[string]int)}
	for _, s := range contract.Trip.Steps() {
		t.steps = append(t.steps, stepTally{name: s.Name, owner: s.Owner})
	}
	for _, trip := range w.trips {
		t.count(trip)
	}
	slices.Sort(t.undoing)
	slices.Sort(t.times)
	return t
}

func (t *tally) count(trip *watched) {
	switch trip.Status {
	case choreo.StatusCompleted:
		t.completed++
		t.countCompleted(trip)
	case choreo.StatusCompensated:
		t.turnedBack++
		t.countTurnedBack(trip)
	case choreo.StatusStuck:
		t.stuck++
	default:
		t.open++
	}
	if trip.Status.Ended() {
		t.times = append(t.times, trip.EndedAt.Sub(trip.StartedAt))
	}
	for i := range trip.Steps {
		step, into := &trip.Steps[i], &t.steps[i]
		switch step.Status {
		case choreo.StepDone, choreo.StepUndoing, choreo.StepUndoFailed:
			into.executed++
		case choreo.StepUndone:
			switch {
			case slices.Contains(trip.undone, step.Name):
				into.executed++
				into.undone++
			case !contract.Trip.Compensates(step.Name):
				into.executed++ // it has nothing to undo
			default:
				into.bypassed++
			}
		case choreo.StepBypassed:
			into.bypassed++
		case choreo.StepFailing:
			into.refused++
		default:
		}
	}
}

func (t *tally) countCompleted(trip *watched) {
	switch car := stepOf(trip.Instance, contract.BookCar); {
	case car.Status == choreo.StepDone:
		t.withCar++
	case car.Failure == nil:
		t.noCarWanted++
	default:
		t.noCarLeft++
	}
	if stepOf(trip.Instance, contract.IssueDocuments).Attempts > 1 {
		t.reprinted++
	}
}

func (t *tally) countTurnedBack(trip *watched) {
	reason := "unknown"
	if f := trip.Cause; f != nil {
		reason = cmp.Or(f.Code, string(f.Class))
	}
	t.refusals[reason]++
	if len(trip.undone) == 0 {
		return
	}
	if len(trip.undone) > 1 {
		t.sideBySide++
	}
	if waitedForNone(trip.undone) {
		t.unordered++
	}
	if i := slices.IndexFunc(trip.Steps, func(s choreo.StepInstance) bool { return s.Name == trip.CauseStep }); i >= 0 {
		t.undoing = append(t.undoing, trip.EndedAt.Sub(trip.Steps[i].EndedAt))
	}
}

// waitedForNone reports whether the log shows a step undone before one that depends on it, as
// it never would in reverse order: all others depend on open-trip.
func waitedForNone(undone []string) bool {
	i := slices.Index(undone, contract.OpenTrip.Name())
	return i >= 0 && i < len(undone)-1
}

func stepOf(in *choreo.Instance, step choreo.StepRef) *choreo.StepInstance {
	i := slices.IndexFunc(in.Steps, func(s choreo.StepInstance) bool { return s.Name == step.Name() })
	return &in.Steps[i]
}
