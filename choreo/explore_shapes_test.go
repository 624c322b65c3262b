package choreo

import (
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var exploreBig = flag.Bool("explore.big", false, "explore every shape with all kinds of faults together (up to half an hour and several GB; give -timeout)")

// shape is a saga to explore.
type shape struct {
	name      string
	def       string
	initiator string   // default: one
	queued    bool     // see explorer.queued
	oneByOne  bool     // see explorer.oneByOne
	async     []string // see explorer.async
	large     bool     // too many interleavings for all faults together
}

// runs are the bounds within which a shape is explored. Each run has a cancel at any
// moment. Large shapes get the faults one kind at a time; what duplicates can do is
// moreover proved by explorer.reread in every state that keeps the log.
func (s *shape) runs() []bounds {
	switch {
	case *exploreBig:
		return []bounds{
			{cancels: 1, crashes: 1, forgets: 1, retries: 1, undoFails: 1},
			{cancels: 1, crashes: 1, dups: 1, retries: 1, undoFails: 1},
			{cancels: 2, forgets: 1, dups: 1, undoFails: 1},
			{cancels: 1, crashes: 1, retries: 1, undoFails: 1, commands: 1},
		}
	case raceEnabled: // it slows the explorer down about tenfold
		return []bounds{{cancels: 1, crashes: 1}, {cancels: 1, dups: 1}, {cancels: 1, forgets: 1, retries: 1, undoFails: 1}}
	case s.large:
		return []bounds{
			{cancels: 1, crashes: 1, undoFails: 1},
			{cancels: 1, dups: 1},
			{cancels: 1, forgets: 1, undoFails: 1},
			{cancels: 2, retries: 2},
			{undoFails: 1, commands: 1},
			{undoFails: 1, parks: 1},
			{cancels: 1, defers: 2},
			{commands: 1, defers: 1},
			{forces: 1, crashes: 1, undoFails: 1},
			{forces: 1, dups: 1},
			{forces: 1, cancels: 1},
			{forces: 2},
		}
	default:
		return []bounds{
			{cancels: 1, crashes: 1, forgets: 1, retries: 1, undoFails: 1},
			{cancels: 1, crashes: 1, dups: 1, retries: 1},
			{cancels: 1, forgets: 1, dups: 1, undoFails: 1},
			{cancels: 2, retries: 2, undoFails: 2},
			{crashes: 1, retries: 1, undoFails: 1, commands: 1},
			{cancels: 1, retries: 1, undoFails: 1, commands: 1},
			{forgets: 1, retries: 1, undoFails: 1, commands: 1},
			{dups: 1, parks: 1},
			{undoFails: 1, parks: 2},
			{cancels: 1, crashes: 1, retries: 1, defers: 2},
			{undoFails: 1, commands: 1, defers: 2},
			{forces: 1, crashes: 1, retries: 1, undoFails: 1},
			{forces: 1, cancels: 1, dups: 1},
			{forces: 2, forgets: 1, undoFails: 1},
		}
	}
}

var shapes = []shape{
	{
		name: "linear",
		def: `a @one
		      b @two after a
		      c @three after b`,
	},
	{
		name: "linear, one owner twice, foreign initiator",
		def: `a @one
		      b @two after a
		      c @one after b no-compensation`,
		initiator: "shop",
	},
	{
		name: "linear with retries",
		def: `a @one attempts 2 undo-attempts 2
		      b @two after a attempts 2 undo-attempts 2
		      c @one after b attempts 2`,
	},
	{
		name: "diamond",
		def: `a @one
		      b @two after a
		      c @three after a
		      d @four after b,c`,
		large: true,
	},
	{
		name: "two sinks",
		def: `a @one
		      b @two after a
		      c @three after a`,
		large: true,
	},
	{
		name: "two roots with a join",
		def: `a @one
		      b @two
		      c @three after a,b`,
		large: true,
	},
	{
		name: "parallel compensation",
		def: `strategy parallel
		      a @one undo-attempts 2
		      b @two after a undo-attempts 2
		      c @three after b`,
		large: true,
	},
	{
		name: "one owner of two roots, undone in parallel",
		def: `strategy parallel
		      a @one undo-attempts 2
		      b @one
		      c @two after a,b`,
		large: true,
	},
	{
		name: "one owner of two roots, one handler a unit",
		def: `strategy parallel
		      a @one undo-attempts 2
		      b @one
		      c @two after a,b`,
		oneByOne: true,
		large:    true,
	},
	{
		name: "best effort",
		def: `strategy best-effort
		      a @one
		      b @two after a
		      c @three after b`,
	},
	{
		name: "best effort in a diamond",
		def: `strategy best-effort
		      a @one
		      b @two after a
		      c @three after a
		      d @one after b,c`,
		large: true,
	},
	{
		name: "pivot in the middle",
		def: `a @one
		      b @two after a pivot attempts 2
		      c @three after b`,
	},
	{
		name: "pivot last",
		def: `a @one
		      b @two after a
		      c @three after b pivot`,
	},
	{
		name: "pivot at a join",
		def: `a @one
		      b @two
		      c @three after a,b pivot
		      d @one after c`,
		large: true,
	},
	{
		name: "pivot first, optional and conditional steps past it",
		def: `a @one pivot
		      b @two after a optional
		      c @three after a when attempts 2`,
		large: true,
	},
	{
		name: "optional step",
		def: `a @one
		      b @two after a optional attempts 2
		      c @three after b`,
	},
	{
		name: "steps that end elsewhere",
		def: `a @one
		      b @two after a
		      c @one after b`,
		async: []string{"a", "b"},
		large: true,
	},
	{
		name: "a pivot and a step past it that end elsewhere",
		def: `a @one
		      b @two after a pivot
		      c @one after b optional
		      d @two after c`,
		async: []string{"b", "d"},
		large: true,
	},
	{
		name: "bypassed step",
		def: `a @one
		      b @two after a when
		      c @three after b`,
	},
	{
		name: "custom order",
		def: `strategy custom
		      a @one undo-after b
		      b @two after a undo-after c
		      c @three after a`,
		large: true,
	},
	{
		name: "custom order across branches that may never run",
		def: `strategy custom
		      a @one undo-after d
		      b @two
		      c @one after a undo-after b
		      d @two after b`,
		large: true,
	},
	{
		name: "failures that keep",
		def: `strategy custom
		      a @one
		      b @two after a keeps
		      c @three after a`,
		large: true,
	},
	{
		name: "two failures of which one keeps",
		def: `a @one keeps
		      b @two
		      c @three after a`,
		large: true,
	},
	{
		name: "a failure that keeps, beside a branch that goes on",
		def: `a @one
		      b @two after a
		      c @three after b keeps
		      d @one after a`,
		large: true,
	},
	{
		name: "a failure that keeps under best effort",
		def: `strategy best-effort
		      a @one
		      b @two after a
		      c @three after b keeps`,
		large: true,
	},
	{
		name: "a failure that keeps, undone in a custom order across branches",
		def: `strategy custom
		      a @one undo-after d
		      b @two keeps
		      c @one after a undo-after b
		      d @two after b`,
		large: true,
	},
	{
		name: "failures that keep before a pivot and at it",
		def: `a @one keeps
		      b @two
		      c @three after a,b pivot keeps
		      d @one after c`,
		large: true,
	},
	{
		name: "queued",
		def: `a @one
		      b @two after a`,
		queued: true,
	},
	{
		name: "queued, with a pivot and a foreign initiator",
		def: `a @one
		      b @two after a pivot`,
		initiator: "shop",
		queued:    true,
	},
	{
		name: "queued, with steps past its pivot",
		def: `a @one
		      b @two after a pivot
		      c @two after b
		      d @one after b`,
		queued: true,
		large:  true,
	},
}

// explorer returns an explorer of the shape over the given rules.
func (s *shape) explorer(t testing.TB, r rules) *explorer {
	initiator := s.initiator
	if initiator == "" {
		initiator = "one"
	}
	x := newExplorer(definition(t, s.def), initiator, r)
	x.queued, x.oneByOne, x.async = s.queued, s.oneByOne, s.async
	return x
}

// TestExplore walks every interleaving of reads, publishes, timers, outcomes and
// faults within the bounds of each shape, and demands G2 to G6 in every state and a
// proper end of every path.
func TestExplore(t *testing.T) {
	for _, sh := range shapes {
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			for _, b := range sh.runs() {
				begin := time.Now()
				found := sh.explorer(t, realRules()).explore(b)
				t.Logf("%v: %d states, %d at rest, %v", b, found.states, found.rests, time.Since(begin).Round(time.Millisecond))
				require.Empty(t, found.violation, "%v\n\n%s", b, found.story)
				require.NotZero(t, found.rests)
			}
		})
	}
}
