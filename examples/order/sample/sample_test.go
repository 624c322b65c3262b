package sample_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/internal/money"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/examples/order/internal/input"
	"github.com/choreo-go/choreo/examples/order/internal/shipping"
	"github.com/choreo-go/choreo/examples/order/sample"
)

// TestOutcomeDoesNotDependOnTheOrderOfEvents judges the sample orders one after the
// other, in several orders, by a model of its own.
func TestOutcomeDoesNotDependOnTheOrderOfEvents(t *testing.T) {
	var orders []contract.OrderCreated
	for order, err := range input.Orders(bytes.NewReader(sample.Orders)) {
		require.NoError(t, err)
		created, err := order.Created()
		require.NoError(t, err)
		orders = append(orders, created)
	}
	require.Len(t, orders, 500)
	stock, err := input.ReadStock(bytes.NewReader(sample.Stock))
	require.NoError(t, err)
	accounts, err := input.ReadAccounts(bytes.NewReader(sample.Accounts))
	require.NoError(t, err)

	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(orders), func(i, j int) { orders[i], orders[j] = orders[j], orders[i] })
		onHand := make(map[string]int64)
		for _, s := range stock {
			onHand[s.SKU] = s.OnHand
		}
		balance := make(map[string]money.Cents)
		for _, a := range accounts {
			balance[a.Customer] = a.Balance
		}
		require.Equal(t, map[string]int{
			"": 442, contract.OutOfStock: 25, contract.InsufficientFunds: 18, contract.CountryNotServed: 15,
		}, judge(orders, onHand, balance))
	}
}

func judge(orders []contract.OrderCreated, onHand map[string]int64, balance map[string]money.Cents) map[string]int {
	counts := make(map[string]int)
	for _, o := range orders {
		short := false
		for _, l := range o.Lines {
			short = short || onHand[l.SKU] < l.Quantity
		}
		switch {
		case short:
			counts[contract.OutOfStock]++
		case balance[o.Customer] < o.TotalCents:
			counts[contract.InsufficientFunds]++
		case !shipping.Serves(o.ShipTo):
			counts[contract.CountryNotServed]++
		default:
			counts[""]++
			balance[o.Customer] -= o.TotalCents
			for _, l := range o.Lines {
				onHand[l.SKU] -= l.Quantity
			}
		}
	}
	return counts
}
