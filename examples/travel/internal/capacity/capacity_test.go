package capacity_test

import (
	"context"
	"database/sql"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/travel/internal/capacity"
)

const state = `SELECT destination || ' ' || free || ' of ' || units FROM supply ORDER BY destination`

func open(t *testing.T, supply ...capacity.Supply) *sql.DB {
	db := servicetest.Open(t, capacity.Schema)
	loaded, err := capacity.Load(t.Context(), db, supply)
	require.NoError(t, err)
	require.True(t, loaded)
	return db
}

func book(t *testing.T, db *sql.DB, r *capacity.Request) (b *capacity.Booking, err error) {
	r.Refusal = "no-seat"
	err = servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
		b, err = capacity.Book(ctx, tx, r)
		return err
	})
	return b, err
}

func cancel(t *testing.T, db *sql.DB, id string) error {
	return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error { return capacity.Cancel(ctx, tx, id) })
}

func TestBookAndCancel(t *testing.T) {
	oslo := capacity.Supply{Destination: "Oslo", Name: "CH 1", Unit: 1250, Units: 5}
	db := open(t, oslo)
	loaded, err := capacity.Load(t.Context(), db, []capacity.Supply{oslo})
	require.NoError(t, err)
	require.False(t, loaded, "it is loaded once")

	b, err := book(t, db, &capacity.Request{TripID: "a", Destination: "Oslo", Units: 3, Times: 2})
	require.NoError(t, err)
	require.Equal(t, &capacity.Booking{Name: "CH 1", Price: 7500}, b)
	servicetest.RequireRows(t, db, state, "Oslo 2 of 5")

	_, err = book(t, db, &capacity.Request{TripID: "b", Destination: "Oslo", Units: 3, Times: 1})
	servicetest.RequireRefused(t, "no-seat", err)
	require.ErrorContains(t, err, "CH 1 in Oslo: 3 wanted, 2 free")
	_, err = book(t, db, &capacity.Request{TripID: "b", Destination: "Rome", Units: 1, Times: 1})
	servicetest.RequireRefused(t, "no-seat", err)

	require.NoError(t, cancel(t, db, "a"))
	servicetest.RequireRows(t, db, state, "Oslo 5 of 5")
	servicetest.RequireRows(t, db, `SELECT trip_id || ' ' || status || ' ' || price_cents FROM bookings`, "a cancelled 7500")
	require.Error(t, cancel(t, db, "a"), "it is cancelled once")
	require.Error(t, cancel(t, db, "b"), "nothing was booked")
	servicetest.RequireRows(t, db, state, "Oslo 5 of 5")
}

func TestAPriceThatCannotBeHeldIsAnError(t *testing.T) {
	db := open(t, capacity.Supply{Destination: "Oslo", Name: "CH 1", Unit: math.MaxInt64, Units: 9})
	for _, r := range []capacity.Request{
		{TripID: "a", Destination: "Oslo", Units: 2, Times: 1},
		{TripID: "a", Destination: "Oslo", Units: 1, Times: 2},
	} {
		_, err := book(t, db, &r)
		require.Equal(t, choreo.ClassPermanent, choreo.Classify(err).Class)
		require.ErrorContains(t, err, "CH 1 in Oslo")
	}
	servicetest.RequireRows(t, db, state, "Oslo 9 of 9")
}

func TestWhatIsFreeAndWhatIsBookedIsWhatThereWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		db := open(t, capacity.Supply{Destination: "Oslo", Units: rapid.Int64Range(0, 12).Draw(rt, "units")})
		defer db.Close()
		for range rapid.IntRange(1, 12).Draw(rt, "moves") {
			id := rapid.StringMatching(`[a-d]`).Draw(rt, "trip")
			if rapid.Bool().Draw(rt, "cancel") {
				_ = cancel(t, db, id) // an error where nothing is booked: then nothing has changed
			} else {
				_, _ = book(t, db, &capacity.Request{TripID: id, Destination: "Oslo", Units: rapid.Int64Range(1, 5).Draw(rt, "units"), Times: 1})
			}
			var off int
			require.NoError(rt, db.QueryRowContext(t.Context(), `SELECT units - free -
				(SELECT COALESCE(SUM(units), 0) FROM bookings WHERE status = 'booked') FROM supply`).Scan(&off))
			require.Zero(rt, off)
		}
	})
}
