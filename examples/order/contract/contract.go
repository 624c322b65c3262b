// Package contract is the order saga as its four services agree on it: the steps,
// who owns each, and the payloads that pass between them. Every service imports it,
// and it imports none of them.
//
//	create-order → reserve-stock → charge-payment → book-shipment → confirm-order
//	  orders        inventory        payments         shipping        orders
//
// Version 2 checks for fraud before the charge. Both versions run side by side: a saga goes
// to its end by the version that it began with.
//
//	… → reserve-stock → check-fraud → charge-payment → …
//	                     payments       payments
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

	CheckFraud = choreo.NewStep[StockReserved, FraudCleared]("check-fraud")
	// ChargeCleared is charge-payment as version 2 has it: behind another step, and so
	// with another input.
	ChargeCleared = choreo.NewStep[FraudCleared, PaymentCharged]("charge-payment")
)

// stepTimeout bounds one attempt of a step: each is a few statements.
const stepTimeout = 10 * time.Second

// Order is the saga. The id of an instance is the order's id, so that placing an
// order twice starts one saga.
var Order = choreo.MustDefine[OrderPlaced]("order", 1,
	CreateOrder.OwnedBy(Orders).Timeout(stepTimeout).Refuses(AmountTooLarge),
	ReserveStock.OwnedBy(Inventory).After(CreateOrder).Timeout(stepTimeout).Refuses(OutOfStock, UnknownSKU),
	ChargePayment.OwnedBy(Payments).After(ReserveStock).Uses(CreateOrder).Timeout(stepTimeout).
		Refuses(InsufficientFunds, UnknownCustomer),
	BookShipment.OwnedBy(Shipping).After(ChargePayment).Uses(CreateOrder).Timeout(stepTimeout).Refuses(CountryNotServed),
	ConfirmOrder.OwnedBy(Orders).After(BookShipment).NoCompensation().Timeout(stepTimeout),
	choreo.Deadline(30*time.Minute),
	choreo.Encoding(choreo.Avro),
)

// OrderV2 is its version 2, with a fraud check before the charge.
var OrderV2 = choreo.MustDefine[OrderPlaced]("order", 2,
	CreateOrder.OwnedBy(Orders).Timeout(stepTimeout).Refuses(AmountTooLarge),
	ReserveStock.OwnedBy(Inventory).After(CreateOrder).Timeout(stepTimeout).Refuses(OutOfStock, UnknownSKU),
	CheckFraud.OwnedBy(Payments).After(ReserveStock).Uses(CreateOrder).NoCompensation().Timeout(stepTimeout).
		Refuses(SuspectedFraud),
	ChargeCleared.OwnedBy(Payments).After(CheckFraud).Uses(CreateOrder).Timeout(stepTimeout).
		Refuses(InsufficientFunds, UnknownCustomer),
	BookShipment.OwnedBy(Shipping).After(ChargeCleared).Uses(CreateOrder).Timeout(stepTimeout).Refuses(CountryNotServed),
	ConfirmOrder.OwnedBy(Orders).After(BookShipment).NoCompensation().Timeout(stepTimeout),
	choreo.Deadline(30*time.Minute),
	choreo.Encoding(choreo.Avro),
)

// Versions are all versions of the saga that builds may still meet, oldest first.
var Versions = []*choreo.Saga[OrderPlaced]{Order, OrderV2}

// Version returns one version of the saga, nil where there is no such one.
func Version(n int) *choreo.Saga[OrderPlaced] {
	for _, v := range Versions {
		if v.Version() == n {
			return v
		}
	}
	return nil
}

// Codes of refusals: why an order was turned back.
const (
	OutOfStock        = "out-of-stock"
	UnknownSKU        = "unknown-sku"
	InsufficientFunds = "insufficient-funds"
	UnknownCustomer   = "unknown-customer"
	CountryNotServed  = "country-not-served"
	AmountTooLarge    = "amount-too-large"
	SuspectedFraud    = "suspected-fraud" // from version 2 on
)
