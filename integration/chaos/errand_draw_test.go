//go:build unix

package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A seed draws the same errands and faults again, and of each sort some.
func TestDraws(t *testing.T) {
	count := make(map[string]int)
	for i := range 1500 {
		e := draw(7, i)
		require.Equal(t, e, draw(7, i))
		require.NotEqual(t, e.Purchase, draw(8, i).Purchase)
		count[e.Saga]++
		count[string(e.Purchase.Answer)]++
		if e.Purchase.Answer == silent && e.Purchase.Patience > deadline {
			count["past the deadline"]++
		}
		if e.Purchase.ReserveFails == endlessly {
			count["reserve-stock never succeeds"]++
		}
		if len(e.Cancels) > 1 {
			count["cancelled twice"]++
		}
	}
	for _, sort := range []string{
		"delivery", "pickup", "approves", "declines", "silent", "past the deadline", "reserve-stock never succeeds", "cancelled twice",
	} {
		require.Greater(t, count[sort], 15, sort)
	}

	faults, counts := plan(7, 6*time.Second, 16, 3, 2, 3)
	again, _ := plan(7, 6*time.Second, 16, 3, 2, 3)
	require.Equal(t, faults, again)
	got := make(map[faultKind]int)
	for _, f := range faults {
		got[f.kind]++
		if f.kind == stopProcess {
			require.Greater(t, f.long, 8*time.Second)
		}
	}
	require.Equal(t, counts, got)
	require.Len(t, counts, len(faultKinds))
}
