// Package shipping is the service that sends orders, to the countries that it
// serves.
package shipping

import (
	"context"
	"database/sql"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/sqltx"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/participant"
)

// Schema makes the service's table.
const Schema = `
CREATE TABLE IF NOT EXISTS shipments (
	order_id TEXT PRIMARY KEY,
	country  TEXT NOT NULL,
	status   TEXT NOT NULL CHECK (status IN ('booked', 'cancelled'))
);`

// Serves reports whether orders are sent to a country, an ISO 3166-1 code of two
// capital letters: those of the European Union and of the European Economic Area,
// and CA, CH, GB, JP and US.
func Serves(country string) bool {
	switch country {
	case "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU",
		"IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
		"IS", "LI", "NO",
		"CA", "CH", "GB", "JP", "US":
		return true
	}
	return false
}

// Register binds the service's handlers. They are the same in every build.
func Register(p *participant.Participant[*sql.Tx], _ int) {
	participant.Handle(p, contract.BookShipment, bookShipment{}, participant.Local())
}

type bookShipment struct{}

// Execute books the parcel, if its country is served.
func (bookShipment) Execute(ctx context.Context, tx *sql.Tx, call *participant.Call[contract.PaymentCharged]) (contract.ShipmentBooked, error) {
	order, err := contract.CreatedOrder(call.Outputs)
	if err != nil {
		return contract.ShipmentBooked{}, err
	}
	if !Serves(order.ShipTo) {
		return contract.ShipmentBooked{}, choreo.Refusef(contract.CountryNotServed, "nothing is sent to %s", order.ShipTo)
	}
	return contract.ShipmentBooked{OrderID: order.OrderID, Country: order.ShipTo}, sqltx.ExecOne(ctx, tx,
		`INSERT INTO shipments (order_id, country, status) VALUES ($1, $2, 'booked')`, order.OrderID, order.ShipTo)
}

// Compensate cancels the parcel.
func (bookShipment) Compensate(ctx context.Context, tx *sql.Tx, _ *participant.Call[contract.PaymentCharged], booked contract.ShipmentBooked) error {
	return sqltx.ExecOne(ctx, tx,
		`UPDATE shipments SET status = 'cancelled' WHERE order_id = $1 AND status = 'booked'`, booked.OrderID)
}
