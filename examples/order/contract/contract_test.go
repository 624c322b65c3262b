package contract_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/money"
	"github.com/choreo-go/choreo/examples/order/contract"
)

func Example() {
	for _, s := range contract.Order.Steps() {
		fmt.Printf("%-15s %-10s after %v\n", s.Name, s.Owner, s.After)
	}
	// Output:
	// create-order    orders     after []
	// reserve-stock   inventory  after [create-order]
	// charge-payment  payments   after [reserve-stock]
	// book-shipment   shipping   after [charge-payment]
	// confirm-order   orders     after [book-shipment]
}

func TestOnlyConfirmOrderHasNothingToUndo(t *testing.T) {
	for _, s := range contract.Order.Steps() {
		require.Equal(t, s.Name != contract.ConfirmOrder.Name(), contract.Order.Compensates(s.Name), s.Name)
		require.Positive(t, s.Timeout, s.Name)
	}
	require.Equal(t, choreo.ReverseOrder, contract.Order.Strategy())
	require.Positive(t, contract.Order.Deadline())
}

func TestCreatedMergesAndSortsLines(t *testing.T) {
	placed := contract.OrderPlaced{
		OrderID: "1", Customer: "ann", ShipTo: "DE",
		Items: []contract.Item{
			{SKU: "pen", Quantity: 3, UnitCents: 120},
			{SKU: "ink", Quantity: 1, UnitCents: 999},
			{SKU: "pen", Quantity: 2, UnitCents: 100},
		},
	}
	created, err := placed.Created()
	require.NoError(t, err)
	require.Equal(t, contract.OrderCreated{
		OrderID: "1", Customer: "ann", ShipTo: "DE", TotalCents: 3*120 + 999 + 2*100,
		Lines: []contract.Line{{SKU: "ink", Quantity: 1}, {SKU: "pen", Quantity: 5}},
	}, created)
	require.Equal(t, "pen", placed.Items[0].SKU, "the input is left alone")
}

func TestCreatedOverflows(t *testing.T) {
	for name, test := range map[string]struct {
		items []contract.Item
		want  error
	}{
		"product":  {[]contract.Item{{SKU: "a", Quantity: math.MaxInt64, UnitCents: 2}}, money.ErrOverflow},
		"sum":      {[]contract.Item{{SKU: "a", Quantity: 1, UnitCents: math.MaxInt64}, {SKU: "b", Quantity: 1, UnitCents: 1}}, money.ErrOverflow},
		"quantity": {[]contract.Item{{SKU: "a", Quantity: math.MaxInt64}, {SKU: "a", Quantity: 1}}, contract.ErrQuantityOverflow},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&contract.OrderPlaced{Items: test.items}).Created()
			require.ErrorIs(t, err, test.want)
		})
	}
}
