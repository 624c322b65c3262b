// Package cars is the service that rents cars. A trip goes on without one where none is
// left.
package cars

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
	participant.Handle(p, contract.BookCar, bookCar{}, participant.Local())
}

type bookCar struct{}

// Execute takes one car, for as many days as there are nights. It is called only where one is
// wanted.
func (bookCar) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[*travelv1.TripCleared]) (*travelv1.CarBooked, error) {
	plan := call.Input.GetPlan()
	b, err := capacity.Book(ctx, tx, &capacity.Request{
		TripID: call.Input.GetTripId(), Destination: plan.GetDestination(),
		Units: 1, Times: int64(plan.GetNights()), Refusal: contract.NoCar,
	})
	if err != nil {
		return nil, err
	}
	return &travelv1.CarBooked{
		TripId: call.Input.GetTripId(), Car: b.Name, Days: plan.GetNights(), PriceCents: int64(b.Price),
	}, nil
}

// Compensate gives the car back.
func (bookCar) Compensate(ctx context.Context, tx *sql.Tx, _ *participant.Call[*travelv1.TripCleared], booked *travelv1.CarBooked) error {
	return capacity.Cancel(ctx, tx, booked.GetTripId())
}
