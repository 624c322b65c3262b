// Package inventory is the service that keeps the stock. An order's pieces move
// from on_hand to reserved, and back when the order is turned back.
package inventory

import (
	"context"
	"database/sql"
	"errors"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/sqltx"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/examples/order/internal/input"
	"github.com/choreo-go/choreo/participant"
)

// Schema makes the service's tables. initial_stock is what the books are balanced
// against; nothing changes it once it is loaded.
const Schema = `
CREATE TABLE IF NOT EXISTS stock (
	sku      TEXT   PRIMARY KEY,
	on_hand  BIGINT NOT NULL CHECK (on_hand >= 0),
	reserved BIGINT NOT NULL CHECK (reserved >= 0)
);
CREATE TABLE IF NOT EXISTS initial_stock (
	sku     TEXT   PRIMARY KEY,
	on_hand BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS reservations (
	order_id TEXT   NOT NULL,
	sku      TEXT   NOT NULL,
	quantity BIGINT NOT NULL CHECK (quantity > 0),
	status   TEXT   NOT NULL CHECK (status IN ('reserved', 'released')),
	PRIMARY KEY (order_id, sku)
);`

// Register binds the service's handlers. They are the same in every build.
func Register(p *participant.Participant[*sql.Tx], _ int) {
	participant.Handle(p, contract.ReserveStock, reserveStock{}, participant.Local())
}

// Load fills the stock of a new database. It reports false, and does nothing, where
// there is stock already.
func Load(ctx context.Context, db *sql.DB, stock []input.Stock) (bool, error) {
	return sqltx.LoadOnce(ctx, db, "initial_stock", func(tx *sql.Tx) error {
		for _, s := range stock {
			for _, query := range []string{
				`INSERT INTO initial_stock (sku, on_hand) VALUES ($1, $2)`,
				`INSERT INTO stock (sku, on_hand, reserved) VALUES ($1, $2, 0)`,
			} {
				if err := sqltx.ExecOne(ctx, tx, query, s.SKU, s.OnHand); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

type reserveStock struct{}

// Execute takes the lines in the order of their skus, as every order does, so that
// two orders never wait for each other in a circle.
func (reserveStock) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[contract.OrderCreated]) (contract.StockReserved, error) {
	order := &call.Input
	for _, line := range order.Lines {
		taken, err := sqltx.Exec(ctx, tx,
			`UPDATE stock SET on_hand = on_hand - $1, reserved = reserved + $1 WHERE sku = $2 AND on_hand >= $1`,
			line.Quantity, line.SKU)
		if err == nil && taken == 0 {
			err = refusal(ctx, tx, line)
		}
		if err != nil {
			return contract.StockReserved{}, err
		}
		err = sqltx.ExecOne(ctx, tx,
			`INSERT INTO reservations (order_id, sku, quantity, status) VALUES ($1, $2, $3, 'reserved')`,
			order.OrderID, line.SKU, line.Quantity)
		if err != nil {
			return contract.StockReserved{}, err
		}
	}
	return contract.StockReserved{OrderID: order.OrderID}, nil
}

// refusal says why a line could not be reserved.
func refusal(ctx context.Context, tx *sql.Tx, line contract.Line) error {
	var onHand int64
	err := tx.QueryRowContext(ctx, `SELECT on_hand FROM stock WHERE sku = $1`, line.SKU).Scan(&onHand)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return choreo.Refusef(contract.UnknownSKU, "there is no sku %s", line.SKU)
	case err != nil:
		return err
	}
	return choreo.Refusef(contract.OutOfStock, "sku %s: %d wanted, %d on hand", line.SKU, line.Quantity, onHand)
}

// Compensate puts the lines back on hand.
func (reserveStock) Compensate(ctx context.Context, tx *sql.Tx, call *participant.Call[contract.OrderCreated], _ contract.StockReserved) error {
	order := &call.Input
	for _, line := range order.Lines {
		err := sqltx.ExecOne(ctx, tx,
			`UPDATE stock SET on_hand = on_hand + $1, reserved = reserved - $1 WHERE sku = $2`,
			line.Quantity, line.SKU)
		if err != nil {
			return err
		}
		err = sqltx.ExecOne(ctx, tx,
			`UPDATE reservations SET status = 'released' WHERE order_id = $1 AND sku = $2 AND status = 'reserved'`,
			order.OrderID, line.SKU)
		if err != nil {
			return err
		}
	}
	return nil
}
