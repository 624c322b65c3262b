package definition

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// times holds the deadline against the longest that the saga may take by its own settings.
func (l *linter) times() {
	def := l.def()
	if def.Deadline() == 0 {
		return
	}
	forward := chains{
		waits: func(s string) []string { return def.Step(s).After },
		takes: func(s string) time.Duration { return longest(def.Step(s).Timeout, def.Step(s).Retry) },
	}
	counted := l.untilClosed()
	if unbounded := l.unbounded(counted); unbounded != nil {
		l.add("deadline-unbounded", Info, keys{"deadline"}, "give each of these steps a timeout",
			"an attempt of %s may take any time: whether the deadline of %s suffices cannot be told", strings.Join(unbounded, ", "), formatDuration(def.Deadline()))
	} else if took, chain := forward.longest(counted); took > def.Deadline() {
		l.add("deadline-short", Warning, keys{"deadline"}, "make the deadline longer than "+span(took)+", or timeouts and retries shorter",
			"the deadline of %s may pass while steps are still retried as they should be: %s takes up to %s with all timeouts and retries",
			formatDuration(def.Deadline()), strings.Join(chain, " → "), span(took))
	}
	backward := chains{
		waits: l.undoWaits,
		takes: func(s string) time.Duration {
			if !def.Compensates(s) {
				return 0
			}
			return longest(def.Step(s).Timeout, def.Step(s).UndoRetry)
		},
	}
	if took, chain := backward.longest(l.writers()[1:]); took > def.Deadline() {
		l.add("undo-long", Info, keys{"deadline"}, "make \"undo-retry\" shorter if an operator should hear of it sooner",
			"undoing the saga may take up to %s with all timeouts and retries, longer than its deadline of %s, which does not bound it: %s",
			span(took), formatDuration(def.Deadline()), strings.Join(chain, " → "))
	}
}

// untilClosed returns the steps that must complete before the deadline is gone: those up to
// the pivot, or all.
func (l *linter) untilClosed() []string {
	def := l.def()
	return slices.DeleteFunc(l.writers()[1:], func(s string) bool { return l.pastPivot(s) && s != def.Pivot() })
}

// pastPivot reports whether a step comes after the pivot.
func (l *linter) pastPivot(step string) bool {
	p := l.def().Pivot()
	return p != "" && step != p && l.leadsTo(p, step)
}

// leadsTo reports whether step b comes after a.
func (l *linter) leadsTo(a, b string) bool {
	before := map[string]bool{a: true}
	for _, s := range l.def().Steps() { // each stands after those it waits for
		if slices.ContainsFunc(s.After, func(n string) bool { return before[n] }) {
			before[s.Name] = true
		}
	}
	return a != b && before[b]
}

func (l *linter) unbounded(steps []string) []string {
	var names []string
	for _, s := range steps {
		if l.def().Step(s).Timeout == 0 {
			names = append(names, s)
		}
	}
	return names
}

// undoWaits returns what must be settled before a step is undone.
func (l *linter) undoWaits(step string) []string {
	switch l.def().Strategy() {
	case choreo.ParallelOrder:
		return nil
	case choreo.CustomOrder:
		return l.def().Step(step).UndoAfter
	case choreo.ReverseOrder, choreo.BestEffort:
	}
	return l.def().Dependents(step)
}

// chains are steps that wait for each other.
type chains struct {
	waits func(step string) []string
	takes func(step string) time.Duration
}

// longest returns the chain among the steps that takes longest. What waits makes no circle: the
// definition was checked.
func (c chains) longest(steps []string) (time.Duration, []string) {
	ends := map[string]time.Duration{}
	before := map[string]string{}
	var visit func(step string) time.Duration
	visit = func(step string) time.Duration {
		if end, known := ends[step]; known {
			return end
		}
		var start time.Duration
		for _, w := range c.waits(step) {
			if end := visit(w); end > start {
				start, before[step] = end, w
			}
		}
		ends[step] = plus(start, c.takes(step))
		return ends[step]
	}
	var last string
	for _, s := range steps {
		if visit(s) > ends[last] || last == "" {
			last = s
		}
	}
	var chain []string
	for s := last; s != ""; s = before[s] {
		if c.takes(s) > 0 {
			chain = append(chain, s)
		}
	}
	slices.Reverse(chain)
	return ends[last], chain
}

// countedDelays bounds how many delays are added one by one; those after are as long as the
// last, or longer.
const countedDelays = 10_000

// longest returns how long a step may take with all its attempts and the delays between them, at
// their longest.
func longest(timeout time.Duration, p choreo.RetryPolicy) time.Duration {
	total := many(timeout, p.Attempts)
	delays := p.Attempts - 1
	for n := 1; n <= min(delays, countedDelays); n++ {
		total = plus(total, p.Delay(n, 0))
	}
	if rest := delays - countedDelays; rest > 0 {
		total = plus(total, many(p.Delay(countedDelays, 0), rest))
	}
	return total
}

// span writes a sum of durations.
func span(d time.Duration) string {
	if d == math.MaxInt64 {
		return "292 years and more"
	}
	return formatDuration(d)
}

// plus and many stay at the longest duration where there is none as long.
func plus(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func many(d time.Duration, n int) time.Duration {
	if n > 0 && d > math.MaxInt64/time.Duration(n) {
		return math.MaxInt64
	}
	return d * time.Duration(n)
}

// undo checks what happens where a saga must go backwards, or cannot.
func (l *linter) undo() {
	for _, s := range l.def().Steps() {
		if l.pastPivot(s.Name) && s.Retry.Attempts == 1 {
			l.add("past-pivot-one-attempt", Warning, keys{"steps", s.Name, "retry"}, "let it be retried, since it can only go forward",
				"it comes after the pivot %q and has one attempt: its first fault leaves the saga stuck", l.def().Pivot())
		}
		if !s.NoCompensate || l.pastPivot(s.Name) || s.Pivot {
			continue
		}
		if refusing := l.refusingAfter(s.Name); len(refusing) > 0 {
			l.add("not-undone", Warning, keys{"steps", s.Name, "no-compensation"},
				"give it a compensation, let it come after what may refuse, or make it the pivot; where it changes nothing, let it stand",
				"it has no compensation, and may have completed when %s refuses: what it did stays", strings.Join(refusing, " or "))
		}
	}
}

// refusingAfter returns the steps that may still refuse once the named one has completed.
func (l *linter) refusingAfter(step string) []string {
	var names []string
	for _, s := range l.def().Steps() {
		if s.Name != step && len(s.Refusals) > 0 && !s.Optional && !l.leadsTo(s.Name, step) {
			names = append(names, s.Name)
		}
	}
	return names
}
