package payments

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/internal/money"
	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/examples/order/internal/input"
	"github.com/choreo-go/choreo/participant"
)

func TestChargePayment(t *testing.T) {
	db := servicetest.Open(t, Schema)
	loaded, err := Load(t.Context(), db, []input.Account{{Customer: "ann", Balance: 1000}})
	require.NoError(t, err)
	require.True(t, loaded)
	loaded, err = Load(t.Context(), db, []input.Account{{Customer: "ann", Balance: 9999}})
	require.NoError(t, err)
	require.False(t, loaded, "accounts are loaded once")

	call := func(id, customer string, total money.Cents) *participant.Call[contract.StockReserved] {
		return &participant.Call[contract.StockReserved]{
			Input:   contract.StockReserved{OrderID: id},
			Outputs: servicetest.Outputs{contract.CreateOrder.Name(): contract.OrderCreated{OrderID: id, Customer: customer, TotalCents: total}},
		}
	}
	var charged contract.PaymentCharged
	execute := func(call *participant.Call[contract.StockReserved]) error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			charged, err = chargePayment[contract.StockReserved]{}.Execute(ctx, tx, call)
			return err
		})
	}
	servicetest.RequireRefused(t, contract.InsufficientFunds, execute(call("a", "ann", 1001)))
	servicetest.RequireRefused(t, contract.UnknownCustomer, execute(call("b", "bob", 1)))
	first := call("c", "ann", 1000)
	require.NoError(t, execute(first))
	require.Equal(t, contract.PaymentCharged{OrderID: "c", AmountCents: 1000}, charged)

	const accounts = `SELECT customer || ' ' || balance_cents FROM accounts`
	const payments = `SELECT order_id || ' ' || customer || ' ' || amount_cents || ' ' || status FROM payments`
	servicetest.RequireRows(t, db, accounts, "ann 0")
	servicetest.RequireRows(t, db, payments, "c ann 1000 charged")
	require.NoError(t, servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return chargePayment[contract.StockReserved]{}.Compensate(ctx, tx, first, charged)
	}))
	servicetest.RequireRows(t, db, accounts, "ann 1000")
	servicetest.RequireRows(t, db, payments, "c ann 1000 refunded")
}

func TestCheckFraud(t *testing.T) {
	db := servicetest.Open(t, Schema)
	check := func(id, customer string, total money.Cents) error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
			_, err := checkFraud(ctx, tx, &participant.Call[contract.StockReserved]{
				Input:   contract.StockReserved{OrderID: id},
				Outputs: servicetest.Outputs{contract.CreateOrder.Name(): contract.OrderCreated{OrderID: id, Customer: customer, TotalCents: total}},
			})
			return err
		})
	}
	require.NoError(t, check("a", "ann", freeOfSuspicion))
	servicetest.RequireRefused(t, contract.SuspectedFraud, check("b", "ann", freeOfSuspicion+1))
	_, err := db.ExecContext(t.Context(), `INSERT INTO payments (order_id, customer, amount_cents, status) VALUES
		('c', 'ann', 1, 'charged'), ('d', 'bob', 1, 'refunded')`)
	require.NoError(t, err)
	require.NoError(t, check("e", "ann", freeOfSuspicion+1), "she has paid before")
	servicetest.RequireRefused(t, contract.SuspectedFraud, check("f", "bob", freeOfSuspicion+1))
	servicetest.RequireRows(t, db, `SELECT order_id || ' ' || customer FROM fraud_checks`, "a ann", "e ann")
}
