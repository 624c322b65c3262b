package sim

import (
	"testing"
)

// Every planted bug is found, and this says after how many seeds.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, b := range plantedBugs() {
		t.Run(b.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 60; seed++ {
				r := simulate(t, Options{Seed: seed, Sagas: 40, Planted: b.name, With: b.needs, Without: []Fault{Redeployed}})
				if r.Failure != nil {
					t.Logf("found after %d seeds: %v", seed, r.Failure)
					return
				}
			}
			t.Error("not found")
		})
	}
}
