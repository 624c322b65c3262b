package payments

import (
	"context"
	"database/sql"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/participant"
)

func TestPayTrip(t *testing.T) {
	db := servicetest.Open(t, Schema)
	loaded, err := Load(t.Context(), db, []Account{{Customer: "ann", Balance: 1000}})
	require.NoError(t, err)
	require.True(t, loaded)
	loaded, err = Load(t.Context(), db, []Account{{Customer: "bob", Balance: 1000}})
	require.NoError(t, err)
	require.False(t, loaded, "they are loaded once")

	var paid *travelv1.TripPaid
	pay := func(id, customer string, flight, hotel, car int64) error {
		outputs := servicetest.Outputs{
			"open-trip":   &travelv1.TripOpened{TripId: id, Customer: customer},
			"book-flight": &travelv1.FlightBooked{PriceCents: flight},
			"book-hotel":  &travelv1.HotelBooked{PriceCents: hotel},
			"book-car":    nil,
		}
		if car != 0 {
			outputs["book-car"] = &travelv1.CarBooked{PriceCents: car}
		}
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			paid, err = payTrip{}.Execute(ctx, tx, &participant.Call[choreo.Join]{Input: choreo.Join{Outputs: outputs}, Outputs: outputs})
			return err
		})
	}
	require.NoError(t, pay("a", "ann", 200, 100, 50), "with a car")
	require.EqualValues(t, 350, paid.GetAmountCents())
	require.NoError(t, pay("b", "ann", 200, 100, 0), "without")
	require.EqualValues(t, 300, paid.GetAmountCents())
	err = pay("c", "ann", 200, 100, 51)
	servicetest.RequireRefused(t, contract.NoMoney, err)
	require.ErrorContains(t, err, "3.51 to pay, 3.50 in the account")
	servicetest.RequireRefused(t, contract.NoMoney, pay("c", "bob", 1, 1, 0))
	servicetest.RequireRows(t, db, `SELECT balance_cents || ' of ' || initial_cents FROM accounts`, "350 of 1000")
	servicetest.RequireRows(t, db, `SELECT trip_id || ' ' || customer || ' ' || amount_cents FROM payments ORDER BY trip_id`,
		"a ann 350", "b ann 300")

	for _, err := range []error{pay("d", "ann", math.MaxInt64, 1, 0), pay("d", "ann", 5, -1, 0)} {
		require.Equal(t, choreo.ClassPermanent, choreo.Classify(err).Class)
	}
}
