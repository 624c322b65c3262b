// Package orders is the service that takes orders: it starts each saga, and owns its
// first step and its last.
package orders

import (
	"context"
	"database/sql"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/sqltx"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/participant"
)

// Schema makes the service's tables.
const Schema = `
CREATE TABLE IF NOT EXISTS orders (
	order_id    TEXT   PRIMARY KEY,
	customer    TEXT   NOT NULL,
	total_cents BIGINT NOT NULL CHECK (total_cents >= 0),
	status      TEXT   NOT NULL CHECK (status IN ('pending', 'confirmed', 'cancelled'))
);`

// Register binds the service's handlers. They are the same in every build.
func Register(p *participant.Participant[*sql.Tx], _ int) {
	participant.Handle(p, contract.CreateOrder, createOrder{}, participant.Local())
	participant.HandleForward(p, contract.ConfirmOrder, participant.ExecuteFunc[*sql.Tx, contract.ShipmentBooked, contract.OrderConfirmed](confirm), participant.Local())
}

type createOrder struct{}

// Execute notes the order and what it comes to.
func (createOrder) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[contract.OrderPlaced]) (contract.OrderCreated, error) {
	created, err := call.Input.Created()
	if err != nil {
		return contract.OrderCreated{}, choreo.Refuse(contract.AmountTooLarge, err)
	}
	return created, sqltx.ExecOne(ctx, tx,
		`INSERT INTO orders (order_id, customer, total_cents, status) VALUES ($1, $2, $3, 'pending')`,
		created.OrderID, created.Customer, int64(created.TotalCents))
}

// Compensate cancels the order; its row stays.
func (createOrder) Compensate(ctx context.Context, tx *sql.Tx, _ *participant.Call[contract.OrderPlaced], created contract.OrderCreated) error {
	return sqltx.ExecOne(ctx, tx,
		`UPDATE orders SET status = 'cancelled' WHERE order_id = $1 AND status = 'pending'`, created.OrderID)
}

// confirm is the last step: nothing that follows can fail, so that there is nothing
// to undo.
func confirm(ctx context.Context, tx *sql.Tx, call *participant.Call[contract.ShipmentBooked]) (contract.OrderConfirmed, error) {
	id := call.Input.OrderID
	return contract.OrderConfirmed{OrderID: id}, sqltx.ExecOne(ctx, tx,
		`UPDATE orders SET status = 'confirmed' WHERE order_id = $1 AND status = 'pending'`, id)
}
