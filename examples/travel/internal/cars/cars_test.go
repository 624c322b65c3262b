package cars

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

func TestBookCar(t *testing.T) {
	db := servicetest.Open(t, capacity.Schema)
	_, err := capacity.Load(t.Context(), db, []capacity.Supply{{Destination: "Oslo", Name: "estate", Unit: 5000, Units: 1}})
	require.NoError(t, err)
	var booked *travelv1.CarBooked
	execute := func(id string) error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			booked, err = bookCar{}.Execute(ctx, tx, &participant.Call[*travelv1.TripCleared]{
				Input: &travelv1.TripCleared{TripId: id, Plan: &travelv1.Plan{Destination: "Oslo", Travellers: 2, Nights: 4, WantsCar: true}},
			})
			return err
		})
	}
	require.NoError(t, execute("a"))
	require.Equal(t, "estate", booked.GetCar())
	require.EqualValues(t, 20000, booked.GetPriceCents(), "four days")
	servicetest.RequireRefused(t, contract.NoCar, execute("b"))
	require.NoError(t, servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return bookCar{}.Compensate(ctx, tx, nil, &travelv1.CarBooked{TripId: "a"})
	}))
	require.NoError(t, execute("b"))
}
