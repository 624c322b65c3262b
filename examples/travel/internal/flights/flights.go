// Package flights is the service that books seats.
package flights

import (
	"context"
	"database/sql"

	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/examples/travel/internal/capacity"
	"github.com/choreo-go/choreo/participant"
)

// Register binds the service's handlers.
func Register(p *participant.Participant[*sql.Tx]) {
	participant.Handle(p, contract.BookFlight, bookFlight{}, participant.Local())
}

type bookFlight struct{}

// Execute takes a seat for each traveller.
func (bookFlight) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[*travelv1.TripCleared]) (*travelv1.FlightBooked, error) {
	plan, seats := call.Input.GetPlan(), int64(call.Input.GetPlan().GetTravellers())
	b, err := capacity.Book(ctx, tx, &capacity.Request{
		TripID: call.Input.GetTripId(), Destination: plan.GetDestination(),
		Units: seats, Times: 1, Refusal: contract.NoSeat,
	})
	if err != nil {
		return nil, err
	}
	return &travelv1.FlightBooked{
		TripId: call.Input.GetTripId(), Flight: b.Name, Seats: seats, PriceCents: int64(b.Price),
	}, nil
}

// Compensate gives the seats back.
func (bookFlight) Compensate(ctx context.Context, tx *sql.Tx, _ *participant.Call[*travelv1.TripCleared], booked *travelv1.FlightBooked) error {
	return capacity.Cancel(ctx, tx, booked.GetTripId())
}
