package sample_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/sample"
)

func ExampleNew() {
	s := sample.New(1, 200)
	fmt.Println(len(s.Trips), "trips to", len(s.Flights), "places, by", len(s.Accounts), "customers")
	// Output: 200 trips to 8 places, by 40 customers
}

func TestTheSameSeedMakesTheSameSample(t *testing.T) {
	first, again := sample.New(7, 100), sample.New(7, 100)
	require.Equal(t, first, again)
	require.NotEqual(t, first.Trips[0].GetPlan(), sample.New(8, 100).Trips[0].GetPlan())
	require.Equal(t, first.Trips, sample.New(7, 300).Trips[:100], "a longer one begins alike")
	require.Empty(t, sample.New(7, 0).Trips)
}

func TestEveryTripCanBeAskedFor(t *testing.T) {
	ids := make(map[string]bool)
	for _, trip := range sample.New(3, 500).Trips {
		require.NoError(t, contract.CheckPlan(trip.GetPlan()))
		require.False(t, ids[trip.GetTripId()])
		ids[trip.GetTripId()] = true
	}
}
