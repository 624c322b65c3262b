package sim

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

var (
	seeds   = flag.Int("seeds", 20, "how many seeds to simulate")
	first   = flag.Uint64("first", 1, "the first seed")
	sagas   = flag.Int("sagas", 100, "sagas a seed")
	without = flag.String("without", "redeployed with a new version", "faults to leave out, joined by commas")
	story_  = flag.Bool("story", false, "print what happens")
)

func simulate(t *testing.T, o Options) (r Result) {
	synctest.Test(t, func(t *testing.T) { r = Run(o) })
	return r
}

func TestSimulation(t *testing.T) {
	for i := range *seeds {
		o := Options{Seed: *first + uint64(i), Sagas: *sagas}
		for _, f := range strings.Split(*without, ",") {
			o.Without = append(o.Without, Fault(f))
		}
		if *story_ {
			o.Story = func(l string) { fmt.Println(l) }
		}
		r := simulate(t, o)
		if r.Failure != nil {
			t.Errorf("seed %d: %v (%d effects) %s", o.Seed, r.Failure, r.Effects, r.Drawn)
		}
		t.Log(o.Seed, r.Effects, r.Sagas, r.Faults, r.Length)
	}
}
