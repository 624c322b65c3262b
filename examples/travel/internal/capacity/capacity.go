// Package capacity keeps what a supplier has at each destination, and what of it is booked:
// seats, rooms or cars. Flights, hotels and cars each have it in a database of their own.
package capacity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/money"
	"github.com/choreo-go/choreo/examples/internal/sqltx"
)

// Schema makes the tables. units is what the books are balanced against; nothing
// changes it once it is loaded.
const Schema = `
CREATE TABLE IF NOT EXISTS supply (
	destination TEXT   PRIMARY KEY,
	name        TEXT   NOT NULL,
	unit_cents  BIGINT NOT NULL CHECK (unit_cents >= 0),
	units       BIGINT NOT NULL,
	free        BIGINT NOT NULL CHECK (free >= 0)
);
CREATE TABLE IF NOT EXISTS bookings (
	trip_id     TEXT   PRIMARY KEY,
	destination TEXT   NOT NULL,
	units       BIGINT NOT NULL CHECK (units > 0),
	price_cents BIGINT NOT NULL CHECK (price_cents >= 0),
	status      TEXT   NOT NULL CHECK (status IN ('booked', 'cancelled'))
);`

// Supply is what there is at one destination.
type Supply struct {
	Destination string
	Name        string // of the flight, the hotel, the kind of car
	Unit        money.Cents
	Units       int64
}

// Load fills a new database. It reports false, and does nothing, where there is something
// already.
func Load(ctx context.Context, db *sql.DB, supply []Supply) (bool, error) {
	return sqltx.LoadOnce(ctx, db, "supply", func(tx *sql.Tx) error {
		for _, s := range supply {
			err := sqltx.ExecOne(ctx, tx,
				`INSERT INTO supply (destination, name, unit_cents, units, free) VALUES ($1, $2, $3, $4, $4)`,
				s.Destination, s.Name, int64(s.Unit), s.Units)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Request is what a trip needs.
type Request struct {
	TripID      string
	Destination string
	Units       int64
	Times       int64  // nights, days; a unit's price is for one
	Refusal     string // code where there is not enough
}

// Booking is what a trip got.
type Booking struct {
	Name  string
	Price money.Cents
}

// Book takes what a trip needs, or refuses.
func Book(ctx context.Context, tx *sql.Tx, r *Request) (*Booking, error) {
	var b Booking
	var unit, free int64
	err := tx.QueryRowContext(ctx, `SELECT name, unit_cents, free FROM supply WHERE destination = $1`, r.Destination).
		Scan(&b.Name, &unit, &free)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, choreo.Refusef(r.Refusal, "nothing is on offer in %q", r.Destination)
	case err != nil:
		return nil, err
	}
	b.Price, err = money.Cents(unit).Times(r.Units)
	if err == nil {
		b.Price, err = b.Price.Times(r.Times)
	}
	if err != nil {
		return nil, choreo.Permanent(fmt.Errorf("%s in %s: %d for %d times: %w", b.Name, r.Destination, r.Units, r.Times, err))
	}
	taken, err := sqltx.Exec(ctx, tx,
		`UPDATE supply SET free = free - $1 WHERE destination = $2 AND free >= $1`, r.Units, r.Destination)
	if err != nil {
		return nil, err
	}
	if taken == 0 {
		return nil, choreo.Refusef(r.Refusal, "%s in %s: %d wanted, %d free", b.Name, r.Destination, r.Units, free)
	}
	return &b, sqltx.ExecOne(ctx, tx,
		`INSERT INTO bookings (trip_id, destination, units, price_cents, status) VALUES ($1, $2, $3, $4, 'booked')`,
		r.TripID, r.Destination, r.Units, int64(b.Price))
}

// Cancel gives back what a trip had; the row of its booking stays.
func Cancel(ctx context.Context, tx *sql.Tx, tripID string) error {
	err := sqltx.ExecOne(ctx, tx,
		`UPDATE bookings SET status = 'cancelled' WHERE trip_id = $1 AND status = 'booked'`, tripID)
	if err != nil {
		return err
	}
	return sqltx.ExecOne(ctx, tx, `
		UPDATE supply SET free = free + (SELECT units FROM bookings WHERE trip_id = $1)
		WHERE destination = (SELECT destination FROM bookings WHERE trip_id = $1)`, tripID)
}
