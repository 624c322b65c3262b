package orders

import (
	"context"
	"database/sql"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/participant"
)

func TestOrders(t *testing.T) {
	db := servicetest.Open(t, Schema)
	var created contract.OrderCreated
	create := func(id string, quantity int64) error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			created, err = createOrder{}.Execute(ctx, tx, &participant.Call[contract.OrderPlaced]{Input: contract.OrderPlaced{
				OrderID: id, Customer: "ann", ShipTo: "DE",
				Items: []contract.Item{{SKU: "pen", Quantity: quantity, UnitCents: 150}},
			}})
			return err
		})
	}
	undo := func() error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
			return createOrder{}.Compensate(ctx, tx, nil, created)
		})
	}
	const orders = `SELECT order_id || ' ' || customer || ' ' || total_cents || ' ' || status FROM orders ORDER BY order_id`

	servicetest.RequireRefused(t, contract.AmountTooLarge, create("a", math.MaxInt64))
	require.NoError(t, create("b", 2))
	servicetest.RequireRows(t, db, orders, "b ann 300 pending")
	require.NoError(t, undo())
	servicetest.RequireRows(t, db, orders, "b ann 300 cancelled")

	require.NoError(t, create("c", 3))
	require.NoError(t, servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
		out, err := confirm(ctx, tx, &participant.Call[contract.ShipmentBooked]{Input: contract.ShipmentBooked{OrderID: "c"}})
		require.Equal(t, "c", out.OrderID)
		return err
	}))
	servicetest.RequireRows(t, db, orders, "b ann 300 cancelled", "c ann 450 confirmed")
	require.Error(t, undo(), "a confirmed order is never cancelled")
}
