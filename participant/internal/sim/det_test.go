package sim

import "testing"

func TestSeedReplaysExactly(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		a := simulate(t, Options{Seed: seed, Sagas: 40, Without: []Fault{Redeployed}})
		b := simulate(t, Options{Seed: seed, Sagas: 40, Without: []Fault{Redeployed}})
		if a.Trace != b.Trace || a.Effects != b.Effects {
			t.Errorf("seed %d: %x %d, %x %d", seed, a.Trace, a.Effects, b.Trace, b.Effects)
		}
	}
}
