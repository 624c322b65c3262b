package choreo

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The tests of this file bear the names of the design's guarantees, as far as they
// rest on the rules alone. Where the explorer walks all interleavings of a few sagas
// within small bounds, these walk some interleavings of any saga within large ones.

// wander takes one path through a saga until it is at rest or breaks a guarantee. pick
// chooses one of n moves. The story is told only where it ends badly.
func wander(x *explorer, b bounds, pick func(n int) int) (end state, broken, story string) {
	type stop struct {
		s state
		m move
	}
	var path []stop
	s := state{left: b}
	for broken == "" {
		var moves []move
		goesOn := false
		x.moves(&s, func(m *move) {
			moves = append(moves, *m)
			goesOn = goesOn || m.goesOn()
		})
		if !goesOn {
			broken = x.audit.rest(x, &s)
			break
		}
		m := moves[pick(len(moves))]
		path = append(path, stop{s, m})
		if broken = m.broken; broken == "" {
			broken = x.reread(&m.next, m.by)
		}
		s = m.next
		x.tidy(&s)
	}
	for i := 0; broken != "" && i < len(path); i++ {
		story += x.line(&path[i].s, path[i].m.by) + "\n"
		for _, did := range x.retell(&path[i].s, &path[i].m) {
			story += "     " + did + "\n"
		}
	}
	return s, broken, story
}

// walk wanders through a saga as rapid draws, and fails on any violation, whichever
// guarantee it is of.
func walk(t *rapid.T, d *Definition, b bounds) (*explorer, *state) {
	x := newExplorer(d, rapid.SampledFrom([]string{"one", "shop"}).Draw(t, "initiator"), realRules())
	x.endless = maxLog
	x.oneByOne, x.queued = rapid.Bool().Draw(t, "one handler a unit"), rapid.Bool().Draw(t, "queued")
	end, broken, story := wander(x, b, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "move") })
	if broken != "" {
		t.Fatalf("%s\n%s\n%s", broken, definitionText(d), story)
	}
	return x, &end
}

func definitionText(d *Definition) string {
	text := "strategy " + string(d.strategy)
	for i := range d.steps {
		s := &d.steps[i]
		text += "\n" + s.Name + " @" + s.Owner
		for _, l := range []struct {
			name  string
			steps []string
		}{{" after", s.After}, {" undo-after", s.UndoAfter}} {
			if len(l.steps) > 0 {
				text += l.name
				for _, n := range l.steps {
					text += " " + n
				}
			}
		}
		for _, f := range []struct {
			set  bool
			name string
		}{{s.Pivot, " pivot"}, {s.Optional, " optional"}, {s.Condition != "", " when"}, {s.CompensateIf != "", " keeps"}, {s.NoCompensate, " no-compensation"}} {
			if f.set {
				text += f.name
			}
		}
	}
	return text
}

// TestG2OnceOnAnySaga: no handler commits twice, whatever comes twice.
func TestG2OnceOnAnySaga(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, s := walk(t, anyDefinition(t), bounds{cancels: 1, forces: 1, crashes: 3, forgets: 3, dups: 6, retries: 2, undoFails: 1, defers: 2})
		for i := range x.rows[1:] {
			if row := &x.rows[i+1]; row.Attempt > 4 {
				t.Fatalf("a handler was tried %d times", row.Attempt)
			}
		}
		if s.ledger.undone&^s.ledger.executed != 0 {
			t.Fatalf("undone without having run: %s", x.audit.list(s.ledger.undone&^s.ledger.executed))
		}
	})
}

// TestG3AllOrUndoneOnAnySaga: at rest all have run, or what ran is undone, kept on
// purpose, or stuck and shown as such.
func TestG3AllOrUndoneOnAnySaga(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, s := walk(t, anyDefinition(t), bounds{cancels: 2, forces: 1, crashes: 1, retries: 3, undoFails: 2, parks: 1})
		l := &s.ledger
		ran, held := l.executed|l.bypassed, x.audit.held(l)
		switch status := x.folds[s.fold].Status; status {
		case StatusCompleted:
			if ran != x.audit.all || l.undone != 0 {
				t.Fatalf("completed, but only %s ran", x.audit.list(ran))
			}
		case StatusCompensated:
			if held != 0 {
				t.Fatalf("compensated, but the effect of %s stands", x.audit.list(held))
			}
		case StatusFailed:
			if l.undone != 0 || ran == x.audit.all {
				t.Fatalf("failed and kept, but %s was undone", x.audit.list(l.undone))
			}
		case StatusStuck:
			if l.gaveUp == 0 {
				t.Fatal("stuck without a reason")
			}
		case "": // it was turned back while it was queued
			if ran != 0 || l.flags&logTurned == 0 {
				t.Fatalf("never started, but %s ran", x.audit.list(ran))
			}
		default:
			t.Fatalf("at rest as %s", status)
		}
	})
}

// TestG4ReverseOnAnySaga: under an order no step is undone before those that it has
// to wait for.
func TestG4ReverseOnAnySaga(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDefinition(t)
		if d.strategy == ParallelOrder {
			t.Skip("it has no order")
		}
		x, s := walk(t, d, bounds{cancels: 1, forces: 1, crashes: 1, forgets: 1, dups: 2, defers: 1})
		if s.ledger.flags&logKept == 0 && s.ledger.flags&logTurned != 0 && x.audit.held(&s.ledger) != 0 {
			t.Fatal("the order kept a step from being undone")
		}
	})
}

// TestG5PivotOnAnySaga: a completed pivot is never undone, and no abort takes effect
// past it.
func TestG5PivotOnAnySaga(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDefinition(t)
		if d.Pivot() == "" {
			t.Skip("it has no pivot")
		}
		x, s := walk(t, d, bounds{cancels: 4, forces: 2, crashes: 1, dups: 2, retries: 2})
		done := s.ledger.executed&x.audit.pivot != 0
		if status := x.folds[s.fold].Status; done != (status == StatusCompleted) {
			t.Fatalf("the pivot has completed: %v, and the saga is %s", done, status)
		}
		if done && s.ledger.undone|s.ledger.failed != 0 {
			t.Fatalf("past the pivot %s was undone or failed", x.audit.list(s.ledger.undone|s.ledger.failed))
		}
	})
}

// TestG6AgreementOnAnySaga: all participants and the fold of the log tell the same
// outcome.
func TestG6AgreementOnAnySaga(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, s := walk(t, anyDefinition(t), bounds{cancels: 2, forces: 2, crashes: 2, forgets: 2, dups: 4, undoFails: 1, parks: 1})
		outcomes := map[RowState]bool{}
		for i := range x.def.steps {
			outcomes[x.rows[s.rows[i]].State] = true
		}
		status := x.folds[s.fold].Status
		if all := len(outcomes) == 1 && outcomes[RowCompleted]; all != (status == StatusCompleted) {
			t.Fatalf("the instance is %s, the rows say %v", status, outcomes)
		}
		for _, going := range []RowState{RowNone, RowWaiting, RowRetrying, RowPending} {
			if outcomes[going] {
				t.Fatalf("at rest as %s a row is %q", status, going)
			}
		}
	})
}

// TestWalkFindsPlantedFaults shows that walking can fail, too.
func TestWalkFindsPlantedFaults(t *testing.T) {
	for _, name := range []string{
		"R1 a duplicate trigger executes a completed step again",
		"R7 undone before its dependents are settled",
		"R8 the arbiter ignores that the pivot has completed",
		"R8 a saga that is kept is not aborted by force",
	} {
		p := plants[slices.IndexFunc(plants, func(p plant) bool { return p.name == name })]
		sh := shapes[slices.IndexFunc(shapes, func(s shape) bool { return s.name == p.shape })]
		x := sh.explorer(t, p.rules(realRules()))
		random := rand.New(rand.NewPCG(1, 2))
		caught := false
		for range 2000 {
			_, broken, story := wander(x, p.bounds, random.IntN)
			caught = caught || broken != "" && story != ""
		}
		require.True(t, caught, "%s: not one of 2000 walks caught it", name)
	}
}
