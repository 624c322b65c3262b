package facts

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/tracker"
)

func TestFilterRefusesManyValues(t *testing.T) {
	many := strings.Split(strings.Repeat("x", 1001), "")
	_, err := NewFilter(&tracker.Filter{Sagas: many, Steps: many, Versions: make([]int, 1001)})
	require.ErrorContains(t, err, "Filter.Sagas has 1001 values: use at most 1000")
	require.ErrorContains(t, err, "Filter.Steps")
	require.ErrorContains(t, err, "Filter.Versions")
	_, err = NewFilter(&tracker.Filter{Sagas: many[:1000]})
	require.NoError(t, err)
}

func TestNanosOfFarTimes(t *testing.T) {
	require.Equal(t, int64(math.MinInt64), Nanos(time.Time{}))
	require.Equal(t, int64(math.MaxInt64), Nanos(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.Equal(t, int64(-1), Nanos(time.Unix(0, -1)))
	far := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	f, err := Of(&tracker.Snapshot{Saga: "order", ID: "1", EndedAt: &far})
	require.NoError(t, err)
	require.Less(t, f.Ended, int64(Open), "it has ended")
}

// TestInvalidTextsAreTheirJSON replaces what is no UTF-8, so that no text holds a mark.
func TestInvalidTextsAreTheirJSON(t *testing.T) {
	f, err := Of(&tracker.Snapshot{Saga: "a\xff", ID: "\xffb", Tags: map[string]string{"\xff": "c\xff"}})
	require.NoError(t, err)
	require.Equal(t, "a\ufffd", f.Saga)
	require.Equal(t, mark+"\ufffdb"+mark+"c\ufffd"+mark, f.Parts)
	require.Equal(t, mark+"\ufffd=c\ufffd"+mark, f.Tags)
	filter, err := NewFilter(&tracker.Filter{Search: "\xff"})
	require.NoError(t, err)
	require.True(t, filter.Match(&f))
}
