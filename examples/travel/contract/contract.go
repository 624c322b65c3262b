// Package contract is the trip saga as its six services agree on it: the steps, who
// owns each, and the payloads that pass between them, which are Protobuf messages of
// package travelv1. Every service imports it, and it imports none of them.
//
//	                           ┌→ book-flight ─┐
//	open-trip → check-papers ──┼→ book-hotel ──┼→ pay-trip → confirm-trip → issue-documents
//	  trips      documents     └→ book-car? ───┘  payments     trips          documents
//
// pay-trip is the pivot. What was done before it is undone at once and side by side where the
// trip is turned back; what comes after it only goes forward.
package contract

import (
	"errors"
	"fmt"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
)

// The services.
const (
	Trips     = "trips"
	Documents = "documents"
	Flights   = "flights"
	Hotels    = "hotels"
	Cars      = "cars"
	Payments  = "payments"
)

// The steps.
var (
	OpenTrip       = choreo.NewStep[*travelv1.TripRequested, *travelv1.TripOpened]("open-trip")
	CheckPapers    = choreo.NewStep[*travelv1.TripOpened, *travelv1.TripCleared]("check-papers")
	BookFlight     = choreo.NewStep[*travelv1.TripCleared, *travelv1.FlightBooked]("book-flight")
	BookHotel      = choreo.NewStep[*travelv1.TripCleared, *travelv1.HotelBooked]("book-hotel")
	BookCar        = choreo.NewStep[*travelv1.TripCleared, *travelv1.CarBooked]("book-car")
	PayTrip        = choreo.NewStep[choreo.Join, *travelv1.TripPaid]("pay-trip")
	ConfirmTrip    = choreo.NewStep[*travelv1.TripPaid, *travelv1.TripConfirmed]("confirm-trip")
	IssueDocuments = choreo.NewStep[*travelv1.TripConfirmed, *travelv1.DocumentsIssued]("issue-documents")
)

// Codes of refusals. NoCar never turns a trip back: the traveller takes the bus.
const (
	InvalidTrip = "invalid-trip"
	NoPapers    = "no-papers"
	NoSeat      = "no-seat"
	NoRoom      = "no-room"
	NoCar       = "no-car"
	NoMoney     = "no-money"
)

// stepTimeout bounds one attempt of a step: each is a few statements.
const stepTimeout = 10 * time.Second

// forwardRetry is for the steps past the pivot, which have nowhere to go but forward: a
// printer that jams is soon mended.
var forwardRetry = choreo.ExponentialRetry(10, 20*time.Millisecond, 500*time.Millisecond)

// Trip is the saga. The id of an instance is the trip's id, so that asking for a trip
// twice starts one saga.
//
// Only open-trip, pay-trip and the undoing of book-hotel get to know who travels: the
// suppliers' other steps are told the plan alone.
var Trip = choreo.MustDefine[*travelv1.TripRequested]("trip", 1,
	OpenTrip.OwnedBy(Trips).Refuses(InvalidTrip).Timeout(stepTimeout),
	CheckPapers.OwnedBy(Documents).After(OpenTrip).Refuses(NoPapers).NoCompensation().Timeout(stepTimeout),

	BookFlight.OwnedBy(Flights).After(CheckPapers).Refuses(NoSeat).Timeout(stepTimeout),
	BookHotel.OwnedBy(Hotels).After(CheckPapers).UndoUses(OpenTrip).Refuses(NoRoom).Timeout(stepTimeout),
	BookCar.OwnedBy(Cars).After(CheckPapers).When("wants-car", WantsCar).Optional().Refuses(NoCar).Timeout(stepTimeout),

	PayTrip.OwnedBy(Payments).After(BookFlight, BookHotel, BookCar).Uses(OpenTrip).Pivot().Refuses(NoMoney).Timeout(stepTimeout),
	ConfirmTrip.OwnedBy(Trips).After(PayTrip).Timeout(stepTimeout).Retry(forwardRetry),
	IssueDocuments.OwnedBy(Documents).After(ConfirmTrip).Uses(BookFlight, BookHotel, BookCar).
		Timeout(stepTimeout).Retry(forwardRetry),

	choreo.Encoding(choreo.Protobuf),
	choreo.Compensation(choreo.ParallelOrder),
	choreo.Deadline(30*time.Minute),
)

// WantsCar is the condition of book-car.
func WantsCar(cleared *travelv1.TripCleared) bool { return cleared.GetPlan().GetWantsCar() }

// CheckPlan returns what is wrong with a plan.
func CheckPlan(p *travelv1.Plan) error {
	var faults []error
	if p.GetDestination() == "" {
		faults = append(faults, errors.New("destination is empty: name a city"))
	}
	if n := p.GetTravellers(); n < 1 || n > 9 {
		faults = append(faults, fmt.Errorf("travellers is %d: use 1 to 9", n))
	}
	if n := p.GetNights(); n < 1 || n > 60 {
		faults = append(faults, fmt.Errorf("nights is %d: use 1 to 60", n))
	}
	return errors.Join(faults...)
}

// Bookings are the outputs of the three steps that run side by side.
type Bookings struct {
	Flight *travelv1.FlightBooked
	Hotel  *travelv1.HotelBooked
	Car    *travelv1.CarBooked // nil: none was wanted, or none was left
}

// BookingsFrom reads the bookings, for steps that wait for them or name them in Uses.
func BookingsFrom(from choreo.Outputs) (*Bookings, error) {
	var b Bookings
	var err error
	if b.Flight, err = Output(from, BookFlight); err != nil {
		return nil, err
	}
	if b.Hotel, err = Output(from, BookHotel); err != nil {
		return nil, err
	}
	if b.Car, _, err = choreo.OutputOf(from, BookCar); err != nil {
		return nil, err
	}
	return &b, nil
}

// Output is choreo.OutputOf for a step that is never bypassed: where its output did not come
// along, no retry will bring it.
func Output[In, Out any](from choreo.Outputs, step choreo.Step[In, Out]) (Out, error) {
	out, ok, err := choreo.OutputOf(from, step)
	if err == nil && !ok {
		err = choreo.Permanent(fmt.Errorf("the output of %s did not come along", step.Name()))
	}
	return out, err
}
