package trips

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/participant"
)

func TestTrips(t *testing.T) {
	db := servicetest.Open(t, Schema)
	var opened *travelv1.TripOpened
	open := func(id string, travellers int32) error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			opened, err = openTrip{}.Execute(ctx, tx, &participant.Call[*travelv1.TripRequested]{Input: &travelv1.TripRequested{
				TripId: id, Customer: "ann", Email: "ann@example.com",
				Plan: &travelv1.Plan{Destination: "Oslo", Travellers: travellers, Nights: 4},
			}})
			return err
		})
	}
	undo := func() error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
			return openTrip{}.Compensate(ctx, tx, nil, opened)
		})
	}
	const state = `SELECT trip_id || ' ' || customer || ' ' || status || ' ' || paid_cents FROM trips ORDER BY trip_id`

	servicetest.RequireRefused(t, contract.InvalidTrip, open("a", 0))
	require.NoError(t, open("b", 2))
	servicetest.RequireRows(t, db, state, "b ann open 0")
	require.NoError(t, undo())
	servicetest.RequireRows(t, db, state, "b ann cancelled 0")

	require.NoError(t, open("c", 2))
	require.NoError(t, servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
		out, err := confirmTrip{}.Execute(ctx, tx, &participant.Call[*travelv1.TripPaid]{
			Input: &travelv1.TripPaid{TripId: "c", AmountCents: 700},
		})
		require.Equal(t, "c", out.GetTripId())
		return err
	}))
	servicetest.RequireRows(t, db, state, "b ann cancelled 0", "c ann confirmed 700")
	require.Error(t, undo(), "a confirmed trip is never cancelled")
}
