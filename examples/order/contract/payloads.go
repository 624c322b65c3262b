package contract

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/money"
)

// OrderPlaced is the saga's input.
type OrderPlaced struct {
	OrderID  string `json:"order_id"`
	Customer string `json:"customer"`
	Items    []Item `json:"items"`
	ShipTo   string `json:"ship_to"` // country, two capital letters
}

// Item is what a customer orders of one thing.
type Item struct {
	SKU       string      `json:"sku"`
	Quantity  int64       `json:"quantity"`
	UnitCents money.Cents `json:"unit_cents"`
}

// OrderCreated is what the other services need of an order.
type OrderCreated struct {
	OrderID    string      `json:"order_id"`
	Customer   string      `json:"customer"`
	TotalCents money.Cents `json:"total_cents"`
	Lines      []Line      `json:"lines"`
	ShipTo     string      `json:"ship_to"`
}

// Line is how many pieces of one sku an order needs.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// StockReserved says that all lines of an order are set aside.
type StockReserved struct {
	OrderID string `json:"order_id"`
}

// FraudCleared says that an order may be charged.
type FraudCleared struct {
	OrderID string `json:"order_id"`
}

// PaymentCharged says what was taken from the customer's account.
type PaymentCharged struct {
	OrderID     string      `json:"order_id"`
	AmountCents money.Cents `json:"amount_cents"`
}

// ShipmentBooked says that the order will be sent.
type ShipmentBooked struct {
	OrderID string `json:"order_id"`
	Country string `json:"country"`
}

// OrderConfirmed ends the saga well.
type OrderConfirmed struct {
	OrderID string `json:"order_id"`
}

// CreatedOrder returns the output of create-order, for steps that name it in Uses.
func CreatedOrder(from choreo.Outputs) (OrderCreated, error) {
	created, ok, err := choreo.OutputOf(from, CreateOrder)
	if err == nil && !ok {
		err = choreo.Permanent(errors.New("the output of create-order did not come along"))
	}
	return created, err
}

// ErrQuantityOverflow marks an order for more pieces of one sku than can be counted.
var ErrQuantityOverflow = errors.New("quantity is too large")

// Created returns what the order comes to: its total, and one line for each sku,
// sorted, so that services take locks in the same order. The error wraps
// [money.ErrOverflow] or [ErrQuantityOverflow].
func (o *OrderPlaced) Created() (OrderCreated, error) {
	var total money.Cents
	lines := make([]Line, 0, len(o.Items))
	for _, item := range o.Items {
		price, err := item.UnitCents.Times(item.Quantity)
		if err == nil {
			total, err = money.Add(total, price)
		}
		if err != nil {
			return OrderCreated{}, fmt.Errorf("sku %s: %d at %v: %w", item.SKU, item.Quantity, item.UnitCents, err)
		}
		lines = append(lines, Line{SKU: item.SKU, Quantity: item.Quantity})
	}
	slices.SortFunc(lines, func(a, b Line) int { return strings.Compare(a.SKU, b.SKU) })
	merged := lines[:0]
	for _, l := range lines {
		last := len(merged) - 1
		switch {
		case last < 0 || merged[last].SKU != l.SKU:
			merged = append(merged, l)
		case merged[last].Quantity > math.MaxInt64-l.Quantity:
			return OrderCreated{}, fmt.Errorf("sku %s: %w", l.SKU, ErrQuantityOverflow)
		default:
			merged[last].Quantity += l.Quantity
		}
	}
	return OrderCreated{
		OrderID: o.OrderID, Customer: o.Customer, TotalCents: total, Lines: merged, ShipTo: o.ShipTo,
	}, nil
}
