package documents

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/participant"
)

func TestCheckPapers(t *testing.T) {
	db := servicetest.Open(t, Schema)
	loaded, err := Load(t.Context(), db, []Papers{{"ann", true}, {"bob", false}})
	require.NoError(t, err)
	require.True(t, loaded)
	var cleared *travelv1.TripCleared
	check := func(customer string) error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			cleared, err = checkPapers{}.Execute(ctx, tx, &participant.Call[*travelv1.TripOpened]{
				Input: &travelv1.TripOpened{TripId: "a", Customer: customer, Plan: &travelv1.Plan{Destination: "Oslo"}},
			})
			return err
		})
	}
	require.NoError(t, check("ann"))
	require.Equal(t, "a", cleared.GetTripId())
	require.Equal(t, "Oslo", cleared.GetPlan().GetDestination())
	servicetest.RequireRefused(t, contract.NoPapers, check("bob"))
	servicetest.RequireRefused(t, contract.NoPapers, check("eve"))
}

func TestIssueDocuments(t *testing.T) {
	db := servicetest.Open(t, Schema)
	came := servicetest.Outputs{
		"book-flight": &travelv1.FlightBooked{Flight: "CH 1", Seats: 2},
		"book-hotel":  &travelv1.HotelBooked{Hotel: "Fjord", Rooms: 1, Nights: 4},
		"book-car":    nil,
	}
	step := issueDocuments{func(_ string, attempt int) error {
		if attempt == 1 {
			return ErrJammed
		}
		return nil
	}}
	var issued *travelv1.DocumentsIssued
	issue := func(id string, attempt int) error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			issued, err = step.Execute(ctx, tx, &participant.Call[*travelv1.TripConfirmed]{
				Input: &travelv1.TripConfirmed{TripId: id}, Outputs: came, Attempt: attempt,
			})
			return err
		})
	}
	err := issue("a", 1)
	require.ErrorIs(t, err, ErrJammed)
	require.True(t, choreo.Classify(err).Class.Retried(), "past the pivot it may not fail")
	require.NoError(t, issue("a", 2))
	require.Equal(t, []string{"2 seat(s) on flight CH 1", "1 room(s) at Fjord for 4 night(s)"}, issued.GetDocuments())

	came["book-car"] = &travelv1.CarBooked{Car: "estate", Days: 4}
	require.NoError(t, issue("b", 2))
	require.Equal(t, "estate for 4 day(s)", issued.GetDocuments()[2])
	servicetest.RequireRows(t, db, `SELECT trip_id || ' ' || kind FROM documents ORDER BY trip_id, kind`,
		"a ticket", "a voucher", "b rental", "b ticket", "b voucher")
}

func TestJammingPrinterJamsAtSomeTripsAndIsMended(t *testing.T) {
	jams := 0
	for i := range 1000 {
		id := fmt.Sprint("trip-", i)
		first := JammingPrinter(id, 1)
		require.Equal(t, first, JammingPrinter(id, 2))
		require.NoError(t, JammingPrinter(id, 3))
		if first != nil {
			require.ErrorIs(t, first, ErrJammed)
			jams++
		}
	}
	require.Greater(t, jams, 50)
	require.Less(t, jams, 250)
}
