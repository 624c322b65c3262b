package contract_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
)

func Example() {
	for _, s := range contract.Trip.Steps() {
		fmt.Printf("%-16s %-10s after %v\n", s.Name, s.Owner, s.After)
	}
	// Output:
	// open-trip        trips      after []
	// check-papers     documents  after [open-trip]
	// book-flight      flights    after [check-papers]
	// book-hotel       hotels     after [check-papers]
	// book-car         cars       after [check-papers]
	// pay-trip         payments   after [book-flight book-hotel book-car]
	// confirm-trip     trips      after [pay-trip]
	// issue-documents  documents  after [confirm-trip]
}

func TestTheBookingsAndTheTripAreUndoneInParallel(t *testing.T) {
	var undone []string
	for _, s := range contract.Trip.Steps() {
		if contract.Trip.Compensates(s.Name) {
			undone = append(undone, s.Name)
		}
		require.Positive(t, s.Timeout, s.Name)
	}
	require.Equal(t, []string{"open-trip", "book-flight", "book-hotel", "book-car"}, undone)
	require.Equal(t, choreo.ParallelOrder, contract.Trip.Strategy())
	require.Equal(t, "pay-trip", contract.Trip.Pivot())
	require.Positive(t, contract.Trip.Deadline())
}

func TestEveryPayloadIsProtobuf(t *testing.T) {
	require.Equal(t, choreo.Protobuf, contract.Trip.EncodingOf(""))
	for _, s := range contract.Trip.Steps() {
		require.Equal(t, choreo.Protobuf, contract.Trip.EncodingOf(s.Name), s.Name)
	}
}

func TestWantsCar(t *testing.T) {
	require.True(t, contract.WantsCar(&travelv1.TripCleared{Plan: &travelv1.Plan{WantsCar: true}}))
	require.False(t, contract.WantsCar(&travelv1.TripCleared{Plan: &travelv1.Plan{}}))
	require.False(t, contract.WantsCar(nil))
}

func TestCheckPlan(t *testing.T) {
	plan := func(destination string, travellers, nights int32) *travelv1.Plan {
		return &travelv1.Plan{Destination: destination, Travellers: travellers, Nights: nights}
	}
	for _, good := range []*travelv1.Plan{plan("Oslo", 1, 1), plan("Oslo", 9, 60)} {
		require.NoError(t, contract.CheckPlan(good))
	}
	for _, bad := range []*travelv1.Plan{plan("Oslo", 0, 1), plan("Oslo", 10, 1), plan("Oslo", -1, 1)} {
		require.ErrorContains(t, contract.CheckPlan(bad), "travellers is ")
	}
	for _, bad := range []*travelv1.Plan{plan("Oslo", 1, 0), plan("Oslo", 1, 61)} {
		require.ErrorContains(t, contract.CheckPlan(bad), "nights is ")
	}
	err := contract.CheckPlan(nil)
	require.ErrorContains(t, err, "destination is empty")
	require.ErrorContains(t, err, "travellers is 0")
	require.ErrorContains(t, err, "nights is 0")
}

func TestBookingsFrom(t *testing.T) {
	flight, hotel := &travelv1.FlightBooked{Flight: "CH 101"}, &travelv1.HotelBooked{Hotel: "Fjord"}
	came := servicetest.Outputs{"book-flight": flight, "book-hotel": hotel, "book-car": nil}
	got, err := contract.BookingsFrom(came)
	require.NoError(t, err)
	require.Equal(t, &contract.Bookings{Flight: flight, Hotel: hotel}, got)

	car := &travelv1.CarBooked{Car: "estate"}
	came["book-car"] = car
	got, err = contract.BookingsFrom(came)
	require.NoError(t, err)
	require.Same(t, car, got.Car)

	came["book-hotel"] = nil
	_, err = contract.BookingsFrom(came)
	require.ErrorContains(t, err, "the output of book-hotel did not come along")
	require.Equal(t, choreo.ClassPermanent, choreo.Classify(err).Class)
	delete(came, "book-car")
	came["book-hotel"] = hotel
	_, err = contract.BookingsFrom(came)
	require.ErrorIs(t, err, choreo.ErrNotCarried)
}
