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
);
CREATE TABLE IF NOT EXISTS fraud_checks (
	order_id TEXT PRIMARY KEY,
	customer TEXT NOT NULL
);`

// Register binds the handlers of a build: the first knows version 1 of the saga, the second
// both. The charge is the same in both versions, but for the input's type.
func Register(p *participant.Participant[*sql.Tx], build int) {
	participant.Handle(p, contract.ChargePayment, chargePayment[contract.StockReserved]{}, participant.InVersions(1), participant.Local())
	if build < 2 {
		return
	}
	participant.HandleForward(p, contract.CheckFraud, participant.ExecuteFunc[*sql.Tx, contract.StockReserved, contract.FraudCleared](checkFraud), participant.Local())
	participant.Handle(p, contract.ChargeCleared, chargePayment[contract.FraudCleared]{}, participant.InVersions(2), participant.Local())
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

// freeOfSuspicion is what a customer may spend on a first order.
const freeOfSuspicion = money.Cents(100_000)

// checkFraud refuses a first order that is too large. What it finds is noted and needs no
// undoing.
func checkFraud(ctx context.Context, tx *sql.Tx, call *participant.Call[contract.StockReserved]) (contract.FraudCleared, error) {
	order, err := contract.CreatedOrder(call.Outputs)
	if err != nil {
		return contract.FraudCleared{}, err
	}
	if order.TotalCents > freeOfSuspicion {
		var earlier int
		err := tx.QueryRowContext(ctx,
			`SELECT count(*) FROM payments WHERE customer = $1 AND status = 'charged'`, order.Customer).Scan(&earlier)
		if err != nil {
			return contract.FraudCleared{}, err
		}
		if earlier == 0 {
			return contract.FraudCleared{}, choreo.Refusef(contract.SuspectedFraud,
				"customer %s: %v is too much for a first order", order.Customer, order.TotalCents)
		}
	}
	return contract.FraudCleared{OrderID: order.OrderID}, sqltx.ExecOne(ctx, tx,
		`INSERT INTO fraud_checks (order_id, customer) VALUES ($1, $2)`, order.OrderID, order.Customer)
}

// chargePayment charges behind any step: what it needs comes from create-order.
type chargePayment[In any] struct{}

// Execute takes the total from the customer's account, if there is enough in it.
func (chargePayment[In]) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[In]) (contract.PaymentCharged, error) {
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
func (chargePayment[In]) Compensate(ctx context.Context, tx *sql.Tx, call *participant.Call[In], charged contract.PaymentCharged) error {
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
