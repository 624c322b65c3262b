package main

import (
	"context"
	"math/rand/v2"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant"
)

// The workload is the shape of the order saga: five steps in four services, one
// business UPDATE a step. Sagas that are refused are refused at the fourth step and
// undo three.
type (
	placed struct {
		Account int  `json:"account"`
		Refuse  bool `json:"refuse"`
	}
	// state is about as large as an order's payload.
	state struct {
		Account int    `json:"account"`
		Refuse  bool   `json:"refuse"`
		OrderID string `json:"order_id"`
		Total   int64  `json:"total_cents"`
		Country string `json:"country"`
	}
)

const (
	orders    = "orders"
	inventory = "inventory"
	payments  = "payments"
	shipping  = "shipping"
)

var (
	createOrder  = choreo.NewStep[placed, state]("create-order")
	reserveStock = choreo.NewStep[state, state]("reserve-stock")
	charge       = choreo.NewStep[state, state]("charge-payment")
	book         = choreo.NewStep[state, state]("book-shipment")
	confirm      = choreo.NewStep[state, state]("confirm-order")

	order = choreo.MustDefine[placed]("order", 1,
		createOrder.OwnedBy(orders),
		reserveStock.OwnedBy(inventory).After(createOrder),
		charge.OwnedBy(payments).After(reserveStock),
		book.OwnedBy(shipping).After(charge),
		confirm.OwnedBy(orders).After(book).NoCompensation(),
	)
)

const accounts = 10_000 // business rows of each service

// load is a number of sagas that are run.
type load struct {
	Run     string `json:"run"` // begins their ids
	Sagas   int    `json:"sagas"`
	Refused int    `json:"refused_percent"`
	Rows    int    `json:"rows"` // business rows of each service that they write to
}

// of returns how the saga with a number is placed.
func (l *load) of(i int) placed { return placed{Account: rand.IntN(l.Rows), Refuse: l.refuses(i)} }

// refuses spreads those that are refused over each hundred.
func (l *load) refuses(i int) bool { return i*37%100 < l.Refused }

// refusals returns how many of the sagas are refused.
func (l *load) refusals() int {
	n := l.Sagas / 100 * l.Refused
	for i := l.Sagas / 100 * 100; i < l.Sagas; i++ {
		if l.refuses(i) {
			n++
		}
	}
	return n
}

// steps returns how many runs of handlers the sagas need: five forward, or three forward
// and three back.
func (l *load) steps() int { return 5*(l.Sagas-l.refusals()) + 6*l.refusals() }

// done adds up loads that have come to their end.
type done struct{ completed, refused int }

func (d *done) add(l *load) {
	d.refused += l.refusals()
	d.completed += l.Sagas - l.refusals()
}

// total returns what the business rows of a service add up to, if each step was done once
// and what was refused is undone.
func (d *done) total(service string) int64 {
	if service == orders { // which owns two of the steps
		return 2 * int64(d.completed)
	}
	return int64(d.completed)
}

// business is what handlers work with.
type business[Tx any] struct {
	// update is the one business statement of a step.
	update func(ctx context.Context, tx Tx, service string, account, delta int) error
	hops   *hopRecorder
	ends   *ends
}

// bind binds the handlers of a service. Each touches nothing but its transaction, and is
// quick.
func bind[Tx any](p *participant.Participant[Tx], service string, b *business[Tx]) {
	switch service {
	case orders:
		participant.Handle(p, createOrder, step[Tx, placed]{b, service}, participant.Local())
		participant.HandleForward(p, confirm, step[Tx, state]{b, service}, participant.Local())
	case inventory:
		participant.Handle(p, reserveStock, step[Tx, state]{b, service}, participant.Local())
	case payments:
		participant.Handle(p, charge, step[Tx, state]{b, service}, participant.Local())
	case shipping:
		participant.Handle(p, book, step[Tx, state]{b, service}, participant.Local())
	}
}

// step is the handler of every step.
type step[Tx, In any] struct {
	*business[Tx]
	service string
}

// Execute writes the step's business row.
func (h step[Tx, In]) Execute(ctx context.Context, tx Tx, call *participant.Call[In]) (state, error) {
	h.hops.at(call.SagaID, call.Step)
	var out state
	switch in := any(call.Input).(type) {
	case placed:
		out = state{Account: in.Account, Refuse: in.Refuse, OrderID: call.SagaID, Total: 129_90, Country: "DE"}
	case state:
		out = in
	}
	if call.Step == book.Name() && out.Refuse {
		return out, choreo.Refusef("country-not-served", "no carrier for %s", out.Country)
	}
	if err := h.update(ctx, tx, h.service, out.Account, 1); err != nil {
		return out, err
	}
	if call.Step == confirm.Name() {
		h.ends.end(call.SagaID)
	}
	return out, nil
}

// Compensate takes back what Execute wrote.
func (h step[Tx, In]) Compensate(ctx context.Context, tx Tx, call *participant.Call[In], out state) error {
	if err := h.update(ctx, tx, h.service, out.Account, -1); err != nil {
		return err
	}
	if call.Step == createOrder.Name() {
		h.ends.end(call.SagaID)
	}
	return nil
}
