package choreo

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var exploreBig = flag.Bool("explore.big", false, "explore with one fault more of each kind (hours)")

// shape is a saga to explore, with the bounds of each run.
type shape struct {
	name      string
	def       string
	initiator string // default: one
	runs      []bounds
}

// Every shape is run with a cancel at any moment beside each other fault. The runs
// of the larger shapes leave out combinations, not kinds: what a duplicate can do is
// moreover proved by explorer.reread in every state.
var shapes = []shape{
	{
		name: "linear",
		def: `a @one
		      b @two after a
		      c @three after b`,
		runs: []bounds{
			{cancels: 1, crashes: 1, undoFails: 1},
			{cancels: 1, dups: 1, forgets: 1},
			{cancels: 2},
		},
	},
	{
		name: "linear, one owner twice, foreign initiator",
		def: `a @one
		      b @two after a
		      c @one after b no-compensation`,
		initiator: "shop",
		runs: []bounds{
			{cancels: 1, crashes: 1, undoFails: 1},
			{cancels: 1, dups: 1, forgets: 1},
		},
	},
	{
		name: "linear with retries",
		def: `a @one attempts 2 undo-attempts 2
		      b @two after a attempts 2 undo-attempts 2
		      c @one after b attempts 2`,
		runs: []bounds{{cancels: 1, retries: 2, undoFails: 1}, {cancels: 1, retries: 1, crashes: 1}},
	},
	{
		name: "diamond",
		def: `a @one
		      b @two after a
		      c @three after a
		      d @four after b,c`,
		runs: []bounds{{cancels: 1}, {crashes: 1}, {dups: 1}, {forgets: 1, undoFails: 1}},
	},
	{
		name: "two sinks",
		def: `a @one
		      b @two after a
		      c @three after a`,
		runs: []bounds{{cancels: 1, crashes: 1}, {cancels: 1, dups: 1}, {cancels: 1, forgets: 1, undoFails: 1}},
	},
	{
		name: "two roots with a join",
		def: `a @one
		      b @two
		      c @three after a,b`,
		runs: []bounds{{cancels: 1, crashes: 1}, {cancels: 1, dups: 1}, {cancels: 1, forgets: 1, undoFails: 1}},
	},
	{
		name: "parallel compensation",
		def: `strategy parallel
		      a @one undo-attempts 2
		      b @two after a undo-attempts 2
		      c @three after b`,
		runs: []bounds{{cancels: 1, crashes: 1, undoFails: 1}, {cancels: 1, dups: 1, retries: 1}},
	},
	{
		name: "best effort",
		def: `strategy best-effort
		      a @one
		      b @two after a
		      c @three after b`,
		runs: []bounds{{cancels: 1, crashes: 1, undoFails: 2}, {cancels: 1, dups: 1, undoFails: 1}},
	},
	{
		name: "pivot in the middle",
		def: `a @one
		      b @two after a pivot attempts 2
		      c @three after b`,
		runs: []bounds{
			{cancels: 1, crashes: 1, retries: 1},
			{cancels: 1, dups: 1, retries: 1},
			{cancels: 2, retries: 2, undoFails: 1},
		},
	},
	{
		name: "pivot last",
		def: `a @one
		      b @two after a
		      c @three after b pivot`,
		runs: []bounds{{cancels: 1, crashes: 1}, {cancels: 1, dups: 1}, {cancels: 2, forgets: 1}},
	},
	{
		name: "pivot at a join",
		def: `a @one
		      b @two
		      c @three after a,b pivot
		      d @one after c`,
		runs: []bounds{{cancels: 1, crashes: 1}, {cancels: 1, dups: 1}, {cancels: 1, forgets: 1, undoFails: 1}},
	},
	{
		name: "optional step",
		def: `a @one
		      b @two after a optional attempts 2
		      c @three after b`,
		runs: []bounds{{cancels: 1, crashes: 1}, {cancels: 1, dups: 1, retries: 1}, {cancels: 1, forgets: 1, undoFails: 1}},
	},
	{
		name: "bypassed step",
		def: `a @one
		      b @two after a when
		      c @three after b`,
		runs: []bounds{{cancels: 1, crashes: 1}, {cancels: 1, dups: 1}, {cancels: 1, forgets: 1, undoFails: 1}},
	},
	{
		name: "custom order",
		def: `strategy custom
		      a @one undo-after b
		      b @two after a undo-after c
		      c @three after a`,
		runs: []bounds{{cancels: 1, crashes: 1}, {cancels: 1, dups: 1}, {cancels: 1, forgets: 1, undoFails: 1}},
	},
	{
		name: "custom order across branches that may never run",
		def: `strategy custom
		      a @one undo-after d
		      b @two
		      c @one after a undo-after b
		      d @two after b`,
		runs: []bounds{{cancels: 1}, {crashes: 1}, {dups: 1}, {forgets: 1, undoFails: 1}},
	},
	{
		name: "failures that keep",
		def: `strategy custom
		      a @one
		      b @two after a keeps
		      c @three after a`,
		runs: []bounds{{cancels: 1, crashes: 1}, {cancels: 1, dups: 1}, {cancels: 1, forgets: 1, undoFails: 1}},
	},
}

func (s *shape) who() string {
	if s.initiator == "" {
		return "one"
	}
	return s.initiator
}

// TestExplore walks every interleaving of reads, publishes, timers, outcomes and
// faults within the bounds of each shape, and demands G2 to G6 in every state and a
// proper end of every path.
func TestExplore(t *testing.T) {
	for _, sh := range shapes {
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			for _, b := range sh.runs {
				begin := time.Now()
				found := newExplorer(definition(t, sh.def), sh.who(), realRules()).explore(b)
				t.Logf("%+v: %d states, %d at rest, %v", b, found.states, found.rests, time.Since(begin).Round(time.Millisecond))
				require.Empty(t, found.violation, "%s\n\n%s", fmt.Sprintf("%+v", b), found.story)
				require.NotZero(t, found.rests)
			}
		})
	}
}
