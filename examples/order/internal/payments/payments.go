// Package payments is the service that charges customers.
package payments

import (
	"context"
	"database/sql"
	"errors"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/money"
	"github.com/choreo-go/choreo/examples/internal/sqltx"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/examples/order/internal/input"
	"github.com/choreo-go/choreo/participant"
)

// Schema makes the service's tables. initial_accounts is what the books are
// balanced against; nothing changes it once it is loaded.
const Schema = `
CREATE TABLE IF NOT EXISTS accounts (
	customer      TEXT   PRIMARY KEY,
	balance_cents BIGINT NOT NULL CHECK (balance_cents >= 0)
);
CREATE TABLE IF NOT EXISTS initial_accounts (
	customer      TEXT   PRIMARY KEY,
	balance_cents BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS payments (
	order_id     TEXT   PRIMARY KEY,
	customer     TEXT   NOT NULL,
	amount_cents BIGINT NOT NULL CHECK (amount_cents >= 0),
	status       TEXT   NOT NULL CHECK (status IN ('charged', 'refunded'))
);`

// Register binds the service's handlers.
func Register(p *participant.Participant[*sql.Tx]) {
	participant.Handle(p, contract.ChargePayment, chargePayment{})
}

// Load fills the accounts of a new database. It reports false, and does nothing,
// where there are accounts already.
func Load(ctx context.Context, db *sql.DB, accounts []input.Account) (bool, error) {
	return sqltx.LoadOnce(ctx, db, "initial_accounts", func(tx *sql.Tx) error {
		for _, a := range accounts {
			for _, query := range []string{
				`INSERT INTO initial_accounts (customer, balance_cents) VALUES ($1, $2)`,
				`INSERT INTO accounts (customer, balance_cents) VALUES ($1, $2)`,
			} {
				if err := sqltx.ExecOne(ctx, tx, query, a.Customer, int64(a.Balance)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

type chargePayment struct{}

// Execute takes the total from the customer's account, if there is enough in it.
func (chargePayment) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[contract.StockReserved]) (contract.PaymentCharged, error) {
	order, err := contract.CreatedOrder(call.Outputs)
	if err != nil {
		return contract.PaymentCharged{}, err
	}
	amount := int64(order.TotalCents)
	charged, err := sqltx.Exec(ctx, tx,
		`UPDATE accounts SET balance_cents = balance_cents - $1 WHERE customer = $2 AND balance_cents >= $1`,
		amount, order.Customer)
	if err == nil && charged == 0 {
		err = refusal(ctx, tx, &order)
	}
	if err != nil {
		return contract.PaymentCharged{}, err
	}
	return contract.PaymentCharged{OrderID: order.OrderID, AmountCents: order.TotalCents}, sqltx.ExecOne(ctx, tx,
		`INSERT INTO payments (order_id, customer, amount_cents, status) VALUES ($1, $2, $3, 'charged')`,
		order.OrderID, order.Customer, amount)
}

// refusal says why a customer could not be charged.
func refusal(ctx context.Context, tx *sql.Tx, order *contract.OrderCreated) error {
	var balance int64
	err := tx.QueryRowContext(ctx, `SELECT balance_cents FROM accounts WHERE customer = $1`, order.Customer).Scan(&balance)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return choreo.Refusef(contract.UnknownCustomer, "there is no customer %s", order.Customer)
	case err != nil:
		return err
	}
	return choreo.Refusef(contract.InsufficientFunds, "customer %s: %v to pay, %v in the account",
		order.Customer, order.TotalCents, money.Cents(balance))
}

// Compensate puts the amount back.
func (chargePayment) Compensate(ctx context.Context, tx *sql.Tx, call *participant.Call[contract.StockReserved], charged contract.PaymentCharged) error {
	order, err := contract.CreatedOrder(call.Outputs)
	if err != nil {
		return err
	}
	err = sqltx.ExecOne(ctx, tx,
		`UPDATE accounts SET balance_cents = balance_cents + $1 WHERE customer = $2`,
		int64(charged.AmountCents), order.Customer)
	if err != nil {
		return err
	}
	return sqltx.ExecOne(ctx, tx,
		`UPDATE payments SET status = 'refunded' WHERE order_id = $1 AND status = 'charged'`, charged.OrderID)
}
