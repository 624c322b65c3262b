package shipping

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/participant"
)

func TestBookShipment(t *testing.T) {
	db := servicetest.Open(t, Schema)
	var booked contract.ShipmentBooked
	execute := func(id, country string) error {
		return servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			booked, err = bookShipment{}.Execute(ctx, tx, &participant.Call[contract.PaymentCharged]{
				Outputs: servicetest.Outputs{contract.CreateOrder.Name(): contract.OrderCreated{OrderID: id, ShipTo: country}},
			})
			return err
		})
	}
	servicetest.RequireRefused(t, contract.CountryNotServed, execute("a", "AQ"))
	require.NoError(t, execute("b", "JP"))
	require.Equal(t, contract.ShipmentBooked{OrderID: "b", Country: "JP"}, booked)

	const shipments = `SELECT order_id || ' ' || country || ' ' || status FROM shipments`
	servicetest.RequireRows(t, db, shipments, "b JP booked")
	require.NoError(t, servicetest.InTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return bookShipment{}.Compensate(ctx, tx, nil, booked)
	}))
	servicetest.RequireRows(t, db, shipments, "b JP cancelled")
}
