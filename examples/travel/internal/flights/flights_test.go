package flights

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/examples/travel/internal/capacity"
	"github.com/choreo-go/choreo/participant"
)

func TestBookFlight(t *testing.T) {
	db := servicetest.Open(t, capacity.Schema)
	_, err := capacity.Load(t.Context(), db, []capacity.Supply{{Destination: "Oslo", Name: "CH 1", Unit: 9900, Units: 4}})
	require.NoError(t, err)
	var booked *travelv1.FlightBooked
	execute := func(id string, travellers int32) error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			booked, err = bookFlight{}.Execute(ctx, tx, &participant.Call[*travelv1.TripCleared]{
				Input: &travelv1.TripCleared{TripId: id, Plan: &travelv1.Plan{Destination: "Oslo", Travellers: travellers, Nights: 4}},
			})
			return err
		})
	}
	require.NoError(t, execute("a", 3))
	require.EqualValues(t, 3, booked.GetSeats())
	require.EqualValues(t, 29700, booked.GetPriceCents())
	servicetest.RequireRefused(t, contract.NoSeat, execute("b", 2))
	require.NoError(t, servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return bookFlight{}.Compensate(ctx, tx, nil, &travelv1.FlightBooked{TripId: "a"})
	}))
	require.NoError(t, execute("b", 4))
}
