// Package documents is the service that looks at travellers' papers before anything is
// booked, and prints what they travel with once all is paid.
package documents

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/sqltx"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/participant"
)

// Schema makes the service's tables.
const Schema = `
CREATE TABLE IF NOT EXISTS papers (
	customer TEXT    PRIMARY KEY,
	valid    BOOLEAN NOT NULL
);
CREATE TABLE IF NOT EXISTS documents (
	trip_id TEXT NOT NULL,
	kind    TEXT NOT NULL CHECK (kind IN ('ticket', 'voucher', 'rental')),
	text    TEXT NOT NULL,
	PRIMARY KEY (trip_id, kind)
);`

// Papers says whether a customer has what the border asks for.
type Papers struct {
	Customer string
	Valid    bool
}

// Load fills the papers of a new database. It reports false, and does nothing, where
// there are some already.
func Load(ctx context.Context, db *sql.DB, papers []Papers) (bool, error) {
	return sqltx.LoadOnce(ctx, db, "papers", func(tx *sql.Tx) error {
		for _, p := range papers {
			err := sqltx.ExecOne(ctx, tx, `INSERT INTO papers (customer, valid) VALUES ($1, $2)`, p.Customer, p.Valid)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Printer prints the documents of a trip. An error is one that passes.
type Printer func(tripID string, attempt int) error

// The printer jams at one trip in so many, until the attempt at which it works again.
const (
	jamsEvery    = 8
	mendedAtTurn = 3
)

// ErrJammed is the printer's error.
var ErrJammed = errors.New("the printer has jammed")

// JammingPrinter is a printer that jams now and then, always at the same trips.
func JammingPrinter(tripID string, attempt int) error {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(tripID)) // never fails
	if hash.Sum32()%jamsEvery == 0 && attempt < mendedAtTurn {
		return ErrJammed
	}
	return nil
}

// Register binds the service's handlers.
func Register(p *participant.Participant[*sql.Tx], printer Printer) {
	participant.HandleForward(p, contract.CheckPapers, checkPapers{}, participant.Local())
	participant.HandleForward(p, contract.IssueDocuments, issueDocuments{printer})
}

type checkPapers struct{}

// Execute passes on the plan, without the name of the customer.
func (checkPapers) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[*travelv1.TripOpened]) (*travelv1.TripCleared, error) {
	customer, valid := call.Input.GetCustomer(), false
	err := tx.QueryRowContext(ctx, `SELECT valid FROM papers WHERE customer = $1`, customer).Scan(&valid)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, choreo.Refusef(contract.NoPapers, "customer %s has shown no papers", customer)
	case err != nil:
		return nil, err
	case !valid:
		return nil, choreo.Refusef(contract.NoPapers, "the papers of customer %s have expired", customer)
	}
	return &travelv1.TripCleared{TripId: call.Input.GetTripId(), Plan: call.Input.GetPlan()}, nil
}

type issueDocuments struct{ printer Printer }

// Execute prints a document for each booking. It comes after the pivot: where the printer
// fails, it is tried again, until all is printed.
func (s issueDocuments) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[*travelv1.TripConfirmed]) (*travelv1.DocumentsIssued, error) {
	bookings, err := contract.BookingsFrom(call.Outputs)
	if err != nil {
		return nil, err
	}
	id := call.Input.GetTripId()
	if err := s.printer(id, call.Attempt); err != nil {
		return nil, choreo.Retryable(err)
	}
	issued := &travelv1.DocumentsIssued{TripId: id}
	issue := func(kind, format string, args ...any) error {
		text := fmt.Sprintf(format, args...)
		issued.Documents = append(issued.Documents, text)
		return sqltx.ExecOne(ctx, tx, `INSERT INTO documents (trip_id, kind, text) VALUES ($1, $2, $3)`, id, kind, text)
	}
	flight, hotel := bookings.Flight, bookings.Hotel
	if err := issue("ticket", "%d seat(s) on flight %s", flight.GetSeats(), flight.GetFlight()); err != nil {
		return nil, err
	}
	if err := issue("voucher", "%d room(s) at %s for %d night(s)", hotel.GetRooms(), hotel.GetHotel(), hotel.GetNights()); err != nil {
		return nil, err
	}
	if car := bookings.Car; car != nil {
		if err := issue("rental", "%s for %d day(s)", car.GetCar(), car.GetDays()); err != nil {
			return nil, err
		}
	}
	return issued, nil
}
