package sim

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds   = flag.Int("seeds", 0, "how many seeds to simulate; default: 200, 20 under the race detector")
	first   = flag.Uint64("first", 1, "the first seed")
	sagas   = flag.Int("sagas", 100, "how many sagas a seed has")
	without = flag.String("without", "", "kinds of faults to leave out, joined by commas")
	inFiles = flag.Bool("sqlite", false, "keep the services' rows in SQLite")
	tell    = flag.Bool("tell", false, "print all that happens; for one seed")
)

func simulate(t *testing.T, o Options) (r Result) {
	t.Helper()
	if *inFiles && o.SQLite == "" {
		o.SQLite = t.TempDir()
	}
	synctest.Test(t, func(*testing.T) { r = Run(o) })
	return r
}

// options are those of a seed by the flags.
func options(seed uint64) Options {
	o := Options{Seed: seed, Sagas: *sagas}
	if *without != "" {
		for f := range strings.SplitSeq(*without, ",") {
			o.Without = append(o.Without, Fault(f))
		}
	}
	if *tell {
		o.Story = func(line string) { fmt.Println(line) }
	}
	return o
}

// totals are what many simulations have shown.
type totals struct {
	sync.Mutex
	seeds, sagas, events, effects, pruned int
	shared, undone                        int
	length                                time.Duration
	faults                                map[Fault]int
	ends                                  map[string]int
}

func (s *totals) add(r *Result) {
	s.Lock()
	defer s.Unlock()
	s.seeds++
	s.events += r.Events
	s.effects += r.Effects
	s.pruned += r.Pruned
	s.shared += r.Shared
	s.undone += r.Undone
	s.length += r.Length
	for f, n := range r.Faults {
		s.faults[f] += n
	}
	for end, n := range r.Sagas {
		s.ends[end] += n
		s.sagas += n
	}
}

func (s *totals) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds, %d sagas, %d events, %d effects, %d rows pruned, %v of their time\n",
		s.seeds, s.sagas, s.events, s.effects, s.pruned, s.length.Round(time.Hour))
	fmt.Fprintf(&b, "%d commits of several sagas, %d handlers undone in one\n", s.shared, s.undone)
	for _, end := range slices.Sorted(maps.Keys(s.ends)) {
		fmt.Fprintf(&b, "%10d %s\n", s.ends[end], end)
	}
	b.WriteString("faults:\n")
	for _, f := range allFaults {
		fmt.Fprintf(&b, "%10d %s\n", s.faults[f], f)
	}
	return b.String()
}

// TestSimulation runs many worlds, and tells of the first in which a guarantee does not hold.
func TestSimulation(t *testing.T) {
	n := *seeds
	if n == 0 {
		n = 200
		if raceEnabled {
			n = 20
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // what a world allocates is soon garbage
	sum := totals{faults: make(map[Fault]int), ends: make(map[string]int)}
	began := time.Now()
	var next atomic.Int64
	t.Run("worlds", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for !t.Failed() {
					i := next.Add(1) - 1
					if i >= int64(n) {
						return
					}
					o := options(*first + uint64(i))
					r := simulate(t, o)
					sum.add(&r)
					if i%10 == 0 && o.Story == nil { // that a seed replays hangs on all of the code
						if again := simulate(t, o); again.Trace != r.Trace || again.Effects != r.Effects {
							t.Errorf("seed %d went another way when it was run again", o.Seed)
						}
					}
					if (i+1)%1000 == 0 {
						fmt.Fprintf(os.Stderr, "%d of %d seeds, %v\n", i+1, n, time.Since(began).Round(time.Second))
					}
					if r.Failure != nil {
						report(t, o, &r)
					}
				}
			})
		}
	})
	t.Logf("%s%v", &sum, time.Since(began).Round(time.Second))
	if n >= 200 && *without == "" && !t.Failed() {
		for _, f := range allFaults {
			if sum.faults[f] == 0 {
				t.Errorf("a fault was never injected: %s", f)
			}
		}
		if sum.shared == 0 || sum.undone == 0 {
			t.Errorf("%d commits of several sagas, %d handlers undone in one", sum.shared, sum.undone)
		}
	}
}

// TestSimulationInSQLite is the same over SQLite, where a service works on one saga at a time.
func TestSimulationInSQLite(t *testing.T) {
	for seed := range uint64(4) {
		o := options(seed + 1)
		o.Sagas, o.SQLite = 50, t.TempDir()
		if r := simulate(t, o); r.Failure != nil {
			t.Errorf("seed %d: %v\ndrawn: %s", o.Seed, r.Failure, r.Drawn)
		}
	}
}

// report fails the test with the seed and the shortest story that shows the fault.
func report(t *testing.T, o Options, r *Result) {
	t.Helper()
	o.Story = nil
	small, again, story := Shortest(o, r.Failure, 150, func(o Options) Result { return simulate(t, o) })
	t.Errorf("seed %d: %v\ndrawn: %s\nrun it again: go test ./participant/internal/sim -run TestSimulation -first %d -seeds 1 -sagas %d\n"+
		"the shortest story found, in order %d without %q: %v\n%s",
		o.Seed, r.Failure, r.Drawn, o.Seed, o.Sagas, small.Order, small.Without, again.Failure, strings.Join(story, "\n"))
}

// TestASeedReplaysExactly: the same seed goes the same way, to the last effect.
func TestASeedReplaysExactly(t *testing.T) {
	for seed := range uint64(6) {
		o := options(seed + 1)
		o.Sagas, o.Story = 40, nil
		one, two := simulate(t, o), simulate(t, o)
		if one.Trace != two.Trace || one.Effects != two.Effects {
			t.Errorf("seed %d: %d effects, trace %x; then %d, %x", o.Seed, one.Effects, one.Trace, two.Effects, two.Trace)
		}
		o.Order = 1
		if other := simulate(t, o); other.Trace == one.Trace {
			t.Errorf("seed %d: another order goes the same way", o.Seed)
		}
	}
}
