package participant

import (
	"slices"
	"sync"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// limits bound how many handlers of a step run at once in this process. A handler that finds
// no place is put off: its row is due at once, in the database, and the lane that came by
// goes on. The clock takes places for the rows that it has acted on, leaves the kinds without
// a free one out of its look, and is rung when one comes free. So what is over a bound waits in
// the order in which it came, and nothing else waits for it.
type limits struct {
	mu    sync.Mutex
	steps map[string]*limit
}

// limit is the bound of one step.
type limit struct {
	max, taken int
	// queue says that rows may wait. What is read goes behind them, also where a place is
	// free: else they might wait for as long as there is something to read.
	queue bool
	kinds []outbox.DueKind
}

// newLimits returns the bounds on steps, of sagas in which a service owns them.
func newLimits(bounds map[string]int, service string, sagas []choreo.AnySaga) *limits {
	l := &limits{steps: make(map[string]*limit, len(bounds))}
	for step, n := range bounds {
		bound := &limit{max: n}
		for _, s := range sagas {
			if !slices.Contains(s.Def().StepsOf(service), step) {
				continue
			}
			for _, state := range []choreo.RowState{choreo.RowRetrying, choreo.RowUndoing} {
				kind := outbox.DueKind{Saga: s.Def().Name(), Step: step, State: state}
				if !slices.Contains(bound.kinds, kind) { // another version's
					bound.kinds = append(bound.kinds, kind)
				}
			}
		}
		l.steps[step] = bound
	}
	return l
}

// take takes a place for a handler of what is read. It reports false where there is none.
func (l *limits) take(step string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	bound := l.steps[step]
	switch {
	case bound == nil:
		return true
	case bound.queue || bound.taken >= bound.max:
		bound.queue = true
		return false
	}
	bound.taken++
	return true
}

// bounds reports whether acting on a due row takes a place.
func (l *limits) bounds(row *outbox.Due) bool {
	return l.steps[row.Step] != nil && (row.State == choreo.RowRetrying || row.State == choreo.RowUndoing)
}

// takeDue takes a place for a row that is due and that bounds is true of.
func (l *limits) takeDue(step string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	bound := l.steps[step]
	if bound.taken >= bound.max {
		bound.queue = true
		return false
	}
	bound.taken++
	return true
}

// give gives a place back. It reports whether a row may have waited for it.
func (l *limits) give(step string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	bound := l.steps[step]
	if bound == nil {
		return false
	}
	bound.taken--
	return bound.queue || bound.taken == bound.max-1
}

// full reports whether a step has no place left.
func (l *limits) full(step string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	bound := l.steps[step]
	return bound != nil && bound.taken >= bound.max
}

// open returns the steps that have places left.
func (l *limits) open() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var steps []string
	for step, bound := range l.steps {
		if bound.taken < bound.max {
			steps = append(steps, step)
		}
	}
	return steps
}

// except returns the kinds of rows for which there is no place.
func (l *limits) except(open []string) (kinds []outbox.DueKind) {
	for step, bound := range l.steps { // whose kinds never change
		if !slices.Contains(open, step) {
			kinds = append(kinds, bound.kinds...)
		}
	}
	return kinds
}

// caughtUp notes that no row of a step waits.
func (l *limits) caughtUp(step string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps[step].queue = false
}
