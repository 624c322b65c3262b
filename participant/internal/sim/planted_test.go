package sim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// plantedSeeds is how many seeds a planted bug may take to be found.
const plantedSeeds = 60

// TestPlantedBugsAreFound plants each bug in turn, and tells after how many seeds it was found
// and as what.
func TestPlantedBugsAreFound(t *testing.T) {
	bugs := plantedBugs()
	require.GreaterOrEqual(t, len(bugs), 25)
	var found strings.Builder
	for _, b := range bugs {
		t.Run(b.name, func(t *testing.T) {
			for seed := uint64(1); seed <= plantedSeeds; seed++ {
				o := options(seed)
				o.Sagas, o.Planted, o.With = 40, b.name, b.needs
				if r := simulate(t, o); r.Failure != nil {
					text := r.Failure.String()
					fmt.Fprintf(&found, "%3d  %-52s %.90s\n", seed, b.name, text)
					return
				}
			}
			t.Errorf("not found in %d seeds", plantedSeeds)
		})
	}
	t.Logf("found after so many seeds:\n%s", &found)
}

// TestTheShortestStory: of a bug in one saga the others are left out, and most faults.
func TestTheShortestStory(t *testing.T) {
	o := options(1)
	o.Planted = "R7: dependents are not waited for"
	var r Result
	// One that is found at once leaves nothing to be left out.
	for ; (r.Failure == nil || r.Effects < 10_000) && o.Seed < plantedSeeds; o.Seed++ {
		r = simulate(t, o)
	}
	require.NotNil(t, r.Failure)
	o.Seed--
	small, again, story := Shortest(o, r.Failure, 150, func(o Options) Result { return simulate(t, o) })
	require.NotNil(t, again.Failure)
	require.Equal(t, r.Failure.Guarantee, again.Failure.Guarantee)
	require.Less(t, again.Effects, r.Effects/4)
	require.NotNil(t, small.Only)
	require.Greater(t, len(small.Without), len(allFaults)/2)
	require.NotEmpty(t, story)
	require.Less(t, len(story), 200)
}
