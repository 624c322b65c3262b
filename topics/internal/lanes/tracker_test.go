package lanes

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// plainTracker is the tracker as one would say it: a list of all that was submitted.
type plainTracker struct {
	offsets []int64
	done    []bool
}

func (p *plainTracker) next() int64 {
	next := int64(unknown)
	for i, offset := range p.offsets {
		if !p.done[i] {
			break
		}
		next = offset + 1
	}
	return next
}

func TestTrackerAgreesWithAPlainList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			plain    plainTracker
			tracker  = newTracker()
			inFlight = make(map[int]int32) // index in plain to place in tracker
			order    []int
			offset   = rapid.Int64Range(0, 1000).Draw(t, "first")
			reported = int64(unknown)
			most     int
		)
		t.Repeat(map[string]func(*rapid.T){
			"skip": func(t *rapid.T) {
				tracker.skip(offset)
				plain.offsets, plain.done = append(plain.offsets, offset), append(plain.done, true)
				offset += rapid.Int64Range(1, 3).Draw(t, "gap")
			},
			"add": func(t *rapid.T) {
				inFlight[len(plain.offsets)] = tracker.add(offset)
				order = append(order, len(plain.offsets))
				plain.offsets, plain.done = append(plain.offsets, offset), append(plain.done, false)
				offset += rapid.Int64Range(1, 3).Draw(t, "gap")
				most = max(most, len(order))
			},
			"done": func(t *rapid.T) {
				if len(order) == 0 {
					t.Skip("nothing in flight")
				}
				k := rapid.IntRange(0, len(order)-1).Draw(t, "which")
				i := order[k]
				order = append(order[:k], order[k+1:]...)
				tracker.done(inFlight[i])
				plain.done[i] = true
			},
			"": func(t *rapid.T) {
				require.Len(t, tracker.nodes, most+1, "no more nodes than were in flight at once")
				if !rapid.Bool().Draw(t, "ask") {
					return
				}
				next, changed := tracker.changed()
				require.Equal(t, plain.next(), next)
				require.Equal(t, reported != next, changed)
				reported = next
			},
		})
	})
}
