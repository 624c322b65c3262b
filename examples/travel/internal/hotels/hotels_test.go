package hotels

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/examples/travel/internal/capacity"
	"github.com/choreo-go/choreo/participant"
)

func TestBookHotel(t *testing.T) {
	db := servicetest.Open(t, Schema)
	_, err := capacity.Load(t.Context(), db, []capacity.Supply{{Destination: "Oslo", Name: "Fjord", Unit: 10000, Units: 2}})
	require.NoError(t, err)
	call := func(id string, travellers int32) *participant.Call[*travelv1.TripCleared] {
		return &participant.Call[*travelv1.TripCleared]{
			Input: &travelv1.TripCleared{TripId: id, Plan: &travelv1.Plan{Destination: "Oslo", Travellers: travellers, Nights: 4}},
		}
	}
	var booked *travelv1.HotelBooked
	execute := func(id string, travellers int32) error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			booked, err = bookHotel{}.Execute(ctx, tx, call(id, travellers))
			return err
		})
	}
	require.NoError(t, execute("a", 3), "two rooms for three")
	require.EqualValues(t, 2, booked.GetRooms())
	require.EqualValues(t, 80000, booked.GetPriceCents(), "two rooms, four nights")
	first := booked
	servicetest.RequireRefused(t, contract.NoRoom, execute("b", 1))

	undo := func(outputs servicetest.Outputs) error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
			c := call("a", 3)
			c.Outputs = outputs
			return bookHotel{}.Compensate(ctx, tx, c, first)
		})
	}
	require.ErrorIs(t, undo(nil), choreo.ErrNotCarried)
	servicetest.RequireRows(t, db, `SELECT free FROM supply`, "0")
	require.NoError(t, undo(servicetest.Outputs{"open-trip": &travelv1.TripOpened{Email: "ann@example.com"}}))
	servicetest.RequireRows(t, db, `SELECT free FROM supply`, "2")
	servicetest.RequireRows(t, db, `SELECT trip_id || ' ' || email || ': ' || text FROM notices`,
		"a ann@example.com: We have given up your 2 room(s) at Fjord. There is nothing to pay.")
}
