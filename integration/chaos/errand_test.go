package chaos

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// sagaID names a saga.
type sagaID struct{ saga, id string }

func (s sagaID) String() string { return s.saga + " " + s.id }

// errand is an order and what its customer does about it.
type errand struct {
	order
	// Cancels are when the customer wants it no more, counted from when it was accepted.
	Cancels []time.Duration
	doors   uint64 // decides which processes it goes to
}

// draw draws the i-th errand of a run.
func draw(seed uint64, i int) *errand {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	o := purchase{
		Customer: customerName(r.IntN(customers)), SKU: skuName(r.IntN(skus)),
		Quantity: 1 + r.IntN(3), Cents: 500 + r.Int64N(5000),
		Answer: approves, AnswerAfter: spread(r, time.Millisecond, 3*time.Second), Patience: 25 * time.Second,
		ShipAfter: spread(r, time.Millisecond, 3*time.Second), ShipPatience: time.Second,
	}
	if r.Float64() < 0.10 {
		o.Slow = spread(r, 20*time.Millisecond, time.Second)
	}
	switch p := r.Float64(); {
	case p < 0.10:
		o.ReserveFails = 1 + r.IntN(3)
	case p < 0.13:
		o.ReserveFails = endlessly
	}
	switch p := r.Float64(); {
	case p < 0.05:
		o.Answer = declines
	case p < 0.09:
		o.Answer, o.Patience = silent, 2*time.Second
	case p < 0.12:
		o.Answer, o.Patience = silent, time.Hour
	}
	if r.Float64() < 0.25 {
		o.ReleaseFails = 1 + r.IntN(3)
	}
	if r.Float64() < 0.10 {
		o.ShipFails = 1 + r.IntN(4)
	}
	e := &errand{order: order{Saga: pickup.Name(), ID: fmt.Sprintf("o-%06d", i), Purchase: o}}
	if r.Float64() < 0.6 {
		e.Saga = delivery.Name()
	}
	for cancels := 0.2; r.Float64() < cancels; {
		e.Cancels = append(e.Cancels, spread(r, 20*time.Millisecond, 30*time.Second))
	}
	e.doors = r.Uint64()
	return e
}

// spread draws a duration whose order of magnitude is even: most are short.
func spread(r *rand.Rand, least, most time.Duration) time.Duration {
	return time.Duration(float64(least) * math.Pow(float64(most)/float64(least), r.Float64()))
}

// accepted is an order that the services have taken.
type accepted struct {
	*errand
	cancelled int // cancels that were taken, too
}
