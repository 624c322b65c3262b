// Package hotels is the service that books rooms.
package hotels

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/choreo-go/choreo/examples/internal/sqltx"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/examples/travel/internal/capacity"
	"github.com/choreo-go/choreo/participant"
)

// Schema makes the service's tables. notices are letters to guests whose rooms were given up.
const Schema = capacity.Schema + `
CREATE TABLE IF NOT EXISTS notices (
	trip_id TEXT PRIMARY KEY,
	email   TEXT NOT NULL,
	text    TEXT NOT NULL
);`

// Register binds the service's handlers.
func Register(p *participant.Participant[*sql.Tx]) {
	participant.Handle(p, contract.BookHotel, bookHotel{}, participant.Local())
}

type bookHotel struct{}

// Execute takes a room for every two travellers.
func (bookHotel) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[*travelv1.TripCleared]) (*travelv1.HotelBooked, error) {
	plan := call.Input.GetPlan()
	rooms := (int64(plan.GetTravellers()) + 1) / 2
	b, err := capacity.Book(ctx, tx, &capacity.Request{
		TripID: call.Input.GetTripId(), Destination: plan.GetDestination(),
		Units: rooms, Times: int64(plan.GetNights()), Refusal: contract.NoRoom,
	})
	if err != nil {
		return nil, err
	}
	return &travelv1.HotelBooked{
		TripId: call.Input.GetTripId(), Hotel: b.Name, Rooms: rooms, Nights: plan.GetNights(), PriceCents: int64(b.Price),
	}, nil
}

// Compensate gives the rooms back and writes to the guest. Whom to write to is for this alone:
// the contract has UndoUses bring the output of open-trip along.
func (bookHotel) Compensate(ctx context.Context, tx *sql.Tx, call *participant.Call[*travelv1.TripCleared], booked *travelv1.HotelBooked) error {
	opened, err := contract.Output(call.Outputs, contract.OpenTrip)
	if err != nil {
		return err
	}
	if err := capacity.Cancel(ctx, tx, booked.GetTripId()); err != nil {
		return err
	}
	return sqltx.ExecOne(ctx, tx, `INSERT INTO notices (trip_id, email, text) VALUES ($1, $2, $3)`,
		booked.GetTripId(), opened.GetEmail(),
		fmt.Sprintf("We have given up your %d room(s) at %s. There is nothing to pay.", booked.GetRooms(), booked.GetHotel()))
}
