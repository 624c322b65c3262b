// Package contract is the order saga as its four services agree on it: the steps,
// who owns each, and the payloads that pass between them. Every service imports it,
// and it imports none of them.
//
//	create-order → reserve-stock → charge-payment → book-shipment → confirm-order
//	  orders        inventory        payments         shipping        orders
package contract

import (
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// The services.
const (
	Orders    = "orders"
	Inventory = "inventory"
	Payments  = "payments"
	Shipping  = "shipping"
)

// The steps.
var (
	CreateOrder   = choreo.NewStep[OrderPlaced, OrderCreated]("create-order")
	ReserveStock  = choreo.NewStep[OrderCreated, StockReserved]("reserve-stock")
	ChargePayment = choreo.NewStep[StockReserved, PaymentCharged]("charge-payment")
	BookShipment  = choreo.NewStep[PaymentCharged, ShipmentBooked]("book-shipment")
	ConfirmOrder  = choreo.NewStep[ShipmentBooked, OrderConfirmed]("confirm-order")
)

// stepTimeout bounds one attempt of a step: each is a few statements.
const stepTimeout = 10 * time.Second

// Order is the saga. The id of an instance is the order's id, so that placing an
// order twice starts one saga.
var Order = choreo.MustDefine[OrderPlaced]("order", 1,
	CreateOrder.OwnedBy(Orders).Timeout(stepTimeout),
	ReserveStock.OwnedBy(Inventory).After(CreateOrder).Timeout(stepTimeout),
	ChargePayment.OwnedBy(Payments).After(ReserveStock).Uses(CreateOrder).Timeout(stepTimeout),
	BookShipment.OwnedBy(Shipping).After(ChargePayment).Uses(CreateOrder).Timeout(stepTimeout),
	ConfirmOrder.OwnedBy(Orders).After(BookShipment).NoCompensation().Timeout(stepTimeout),
	choreo.Deadline(30*time.Minute),
)

// Codes of refusals: why an order was turned back.
const (
	OutOfStock        = "out-of-stock"
	UnknownSKU        = "unknown-sku"
	InsufficientFunds = "insufficient-funds"
	UnknownCustomer   = "unknown-customer"
	CountryNotServed  = "country-not-served"
	AmountTooLarge    = "amount-too-large"
)
