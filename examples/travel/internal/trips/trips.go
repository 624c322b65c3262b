// Package trips is the service that customers speak with: it starts each saga, and confirms
// the trip once it is paid.
package trips

import (
	"context"
	"database/sql"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/sqltx"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/participant"
)

// Schema makes the service's table.
const Schema = `
CREATE TABLE IF NOT EXISTS trips (
	trip_id    TEXT   PRIMARY KEY,
	customer   TEXT   NOT NULL,
	paid_cents BIGINT NOT NULL CHECK (paid_cents >= 0),
	status     TEXT   NOT NULL CHECK (status IN ('open', 'confirmed', 'cancelled'))
);`

// Register binds the service's handlers.
func Register(p *participant.Participant[*sql.Tx]) {
	participant.Handle(p, contract.OpenTrip, openTrip{}, participant.Local())
	participant.HandleForward(p, contract.ConfirmTrip, confirmTrip{}, participant.Local())
}

type openTrip struct{}

// Execute notes the trip.
func (openTrip) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[*travelv1.TripRequested]) (*travelv1.TripOpened, error) {
	in := call.Input
	if err := contract.CheckPlan(in.GetPlan()); err != nil {
		return nil, choreo.Refuse(contract.InvalidTrip, err)
	}
	return &travelv1.TripOpened{
			TripId: in.GetTripId(), Customer: in.GetCustomer(), Email: in.GetEmail(), Plan: in.GetPlan(),
		}, sqltx.ExecOne(ctx, tx,
			`INSERT INTO trips (trip_id, customer, paid_cents, status) VALUES ($1, $2, 0, 'open')`,
			in.GetTripId(), in.GetCustomer())
}

// Compensate cancels the trip; its row stays.
func (openTrip) Compensate(ctx context.Context, tx *sql.Tx, _ *participant.Call[*travelv1.TripRequested], opened *travelv1.TripOpened) error {
	return sqltx.ExecOne(ctx, tx,
		`UPDATE trips SET status = 'cancelled' WHERE trip_id = $1 AND status = 'open'`, opened.GetTripId())
}

type confirmTrip struct{}

// Execute confirms the trip. It comes after the pivot, so that nothing undoes it.
func (confirmTrip) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[*travelv1.TripPaid]) (*travelv1.TripConfirmed, error) {
	paid := call.Input
	return &travelv1.TripConfirmed{TripId: paid.GetTripId()}, sqltx.ExecOne(ctx, tx,
		`UPDATE trips SET status = 'confirmed', paid_cents = $1 WHERE trip_id = $2 AND status = 'open'`,
		paid.GetAmountCents(), paid.GetTripId())
}
