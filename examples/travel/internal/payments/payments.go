// Package payments is the service that charges customers. Its step is the pivot: what is paid
// is not paid back.
package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/money"
	"github.com/choreo-go/choreo/examples/internal/sqltx"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/participant"
)

// Schema makes the service's tables. initial_cents is what the books are balanced
// against; nothing changes it once it is loaded.
const Schema = `
CREATE TABLE IF NOT EXISTS accounts (
	customer      TEXT   PRIMARY KEY,
	initial_cents BIGINT NOT NULL,
	balance_cents BIGINT NOT NULL CHECK (balance_cents >= 0)
);
CREATE TABLE IF NOT EXISTS payments (
	trip_id      TEXT   PRIMARY KEY,
	customer     TEXT   NOT NULL,
	amount_cents BIGINT NOT NULL CHECK (amount_cents >= 0)
);`

// Account is what a customer has at first.
type Account struct {
	Customer string
	Balance  money.Cents
}

// Load fills the accounts of a new database. It reports false, and does nothing,
// where there are accounts already.
func Load(ctx context.Context, db *sql.DB, accounts []Account) (bool, error) {
	return sqltx.LoadOnce(ctx, db, "accounts", func(tx *sql.Tx) error {
		for _, a := range accounts {
			err := sqltx.ExecOne(ctx, tx,
				`INSERT INTO accounts (customer, initial_cents, balance_cents) VALUES ($1, $2, $2)`,
				a.Customer, int64(a.Balance))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Register binds the service's handlers.
func Register(p *participant.Participant[*sql.Tx]) {
	participant.HandleForward(p, contract.PayTrip, payTrip{}, participant.Local())
}

type payTrip struct{}

// Execute adds up what was booked and takes it from the customer's account, if there is
// enough in it.
func (payTrip) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[choreo.Join]) (*travelv1.TripPaid, error) {
	opened, err := contract.Output(call.Outputs, contract.OpenTrip)
	if err != nil {
		return nil, err
	}
	bookings, err := contract.BookingsFrom(call.Input.Outputs)
	if err != nil {
		return nil, err
	}
	amount, err := price(bookings)
	if err != nil {
		return nil, choreo.Permanent(err)
	}
	customer := opened.GetCustomer()
	charged, err := sqltx.Exec(ctx, tx,
		`UPDATE accounts SET balance_cents = balance_cents - $1 WHERE customer = $2 AND balance_cents >= $1`,
		int64(amount), customer)
	if err == nil && charged == 0 {
		err = refusal(ctx, tx, customer, amount)
	}
	if err != nil {
		return nil, err
	}
	return &travelv1.TripPaid{TripId: opened.GetTripId(), AmountCents: int64(amount)}, sqltx.ExecOne(ctx, tx,
		`INSERT INTO payments (trip_id, customer, amount_cents) VALUES ($1, $2, $3)`,
		opened.GetTripId(), customer, int64(amount))
}

// price is what a trip comes to; the car is left out where there is none.
func price(b *contract.Bookings) (money.Cents, error) {
	var total money.Cents
	for _, cents := range []int64{b.Flight.GetPriceCents(), b.Hotel.GetPriceCents(), b.Car.GetPriceCents()} {
		if cents < 0 {
			return 0, fmt.Errorf("a price of %d cents came along: a supplier has to mend it", cents)
		}
		var err error
		if total, err = money.Add(total, money.Cents(cents)); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// refusal says why a customer could not be charged.
func refusal(ctx context.Context, tx *sql.Tx, customer string, amount money.Cents) error {
	var balance int64
	err := tx.QueryRowContext(ctx, `SELECT balance_cents FROM accounts WHERE customer = $1`, customer).Scan(&balance)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return choreo.Refusef(contract.NoMoney, "customer %s has no account", customer)
	case err != nil:
		return err
	}
	return choreo.Refusef(contract.NoMoney, "customer %s: %v to pay, %v in the account", customer, amount, money.Cents(balance))
}
