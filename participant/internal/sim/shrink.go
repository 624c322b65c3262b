package sim

import (
	"fmt"
	"slices"
	"strings"
)

// Shortest looks for a smaller world in which the same guarantee does not hold: fewer sagas,
// fewer kinds of faults. It returns what it found, which is the given world at worst, and the
// story of the saga in it. simulate runs a world; the search gives up after so many.
func Shortest(o Options, failure *Failure, runs int, simulate func(Options) Result) (Options, Result, []string) {
	best, result := o, Result{Failure: failure}
	try := func(next Options) bool {
		if runs--; runs < 0 {
			return false
		}
		r := simulate(next)
		if r.Failure == nil || r.Failure.Guarantee != failure.Guarantee {
			return false
		}
		best, result = next, r
		return true
	}
	shrinkSagas(&best, failure, try)
	for _, f := range allFaults {
		next := best
		next.Without = append(slices.Clone(best.Without), f)
		if !slices.Contains(best.Without, f) {
			try(next)
		}
	}
	var lines []string
	told := best
	told.Story = func(line string) { lines = append(lines, line) }
	result = simulate(told)
	if result.Failure != nil {
		lines = storyOf(lines, result.Failure.Saga)
	}
	return best, result, lines
}

// shrinkSagas leaves out as many sagas as it can. With few of them things happen in another
// order, so that several orders are tried.
func shrinkSagas(best *Options, failure *Failure, try func(Options) bool) {
	const orders = 25
	only := func(keep func(int) bool) bool {
		for order := range uint64(orders) {
			next := *best
			next.Only, next.Order = keep, order
			if try(next) {
				return true
			}
		}
		return false
	}
	number := -1
	_, _ = fmt.Sscanf(strings.TrimLeft(failure.Saga, "abcdefgh"), "%d", &number) // -1: it is no one saga's
	if number >= 0 && only(func(i int) bool { return i == number }) {
		return
	}
	for keep := 1; keep < best.Sagas; keep *= 3 {
		if only(func(i int) bool { return i == number || i < keep }) {
			return
		}
	}
}

// storyOf keeps the lines about a saga, and those about the world and the ends of processes.
func storyOf(lines []string, saga string) []string {
	var story []string
	for _, line := range lines {
		words := strings.Fields(line)
		if slices.Contains(words, saga) || words[1] == "world" || strings.HasSuffix(line, "is dead") || strings.Contains(line, "crashes") {
			story = append(story, line)
		}
	}
	return story
}
