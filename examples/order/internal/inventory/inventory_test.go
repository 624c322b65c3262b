package inventory

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/examples/order/internal/input"
	"github.com/choreo-go/choreo/participant"
)

func TestReserveStock(t *testing.T) {
	db := servicetest.Open(t, Schema)
	loaded, err := Load(t.Context(), db, []input.Stock{{SKU: "ink", OnHand: 3}, {SKU: "pen", OnHand: 10}})
	require.NoError(t, err)
	require.True(t, loaded)
	loaded, err = Load(t.Context(), db, []input.Stock{{SKU: "ink", OnHand: 99}})
	require.NoError(t, err)
	require.False(t, loaded, "stock is loaded once")

	execute := func(id string, lines ...contract.Line) (*participant.Call[contract.OrderCreated], error) {
		call := &participant.Call[contract.OrderCreated]{Input: contract.OrderCreated{OrderID: id, Lines: lines}}
		return call, servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
			out, err := reserveStock{}.Execute(ctx, tx, call)
			if err == nil {
				require.Equal(t, id, out.OrderID)
			}
			return err
		})
	}
	call, err := execute("a", contract.Line{SKU: "ink", Quantity: 2}, contract.Line{SKU: "pen", Quantity: 10})
	require.NoError(t, err)
	_, err = execute("b", contract.Line{SKU: "ink", Quantity: 1}, contract.Line{SKU: "pen", Quantity: 1})
	servicetest.RequireRefused(t, contract.OutOfStock, err)
	require.ErrorContains(t, err, "sku pen: 1 wanted, 0 on hand")
	_, err = execute("c", contract.Line{SKU: "owl", Quantity: 1})
	servicetest.RequireRefused(t, contract.UnknownSKU, err)

	const stock = `SELECT sku || ' ' || on_hand || ' ' || reserved FROM stock ORDER BY sku`
	const reservations = `SELECT order_id || ' ' || sku || ' ' || quantity || ' ' || status FROM reservations ORDER BY sku`
	servicetest.RequireRows(t, db, stock, "ink 1 2", "pen 0 10")
	servicetest.RequireRows(t, db, reservations, "a ink 2 reserved", "a pen 10 reserved")

	undo := func() error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
			return reserveStock{}.Compensate(ctx, tx, call, contract.StockReserved{OrderID: "a"})
		})
	}
	require.NoError(t, undo())
	servicetest.RequireRows(t, db, stock, "ink 3 0", "pen 10 0")
	servicetest.RequireRows(t, db, reservations, "a ink 2 released", "a pen 10 released")
	require.Error(t, undo(), "there is nothing left to release")
}
