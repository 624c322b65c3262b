package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/examples/order/internal/input"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/participant"
)

// feeders is how many orders are started side by side: those that are started at the same moment
// share a transaction.
const feeders = 64

// feeder starts a saga for each order of the input.
type feeder struct {
	orders  *participant.Participant[*sql.Tx]
	saga    *choreo.Saga[contract.OrderPlaced] // the version that new orders go by
	store   outbox.Store[*sql.Tx]
	started func(orderID string)
	reject  func(*input.LineError)
}

// feed reads orders and starts their sagas. An order that was started before, by an
// earlier run on the same data, is not started again.
func (f *feeder) feed(ctx context.Context, from io.Reader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan contract.OrderPlaced)
	var workers sync.WaitGroup
	for range feeders {
		workers.Go(func() {
			for order := range queue {
				if err := f.start(ctx, order); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	err := f.read(ctx, from, queue)
	close(queue)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (f *feeder) read(ctx context.Context, from io.Reader, queue chan<- contract.OrderPlaced) error {
	for order, err := range input.Orders(from) {
		var rejected *input.LineError
		switch {
		case errors.As(err, &rejected):
			f.reject(rejected)
			continue
		case err != nil:
			return fmt.Errorf("orders: %w", err)
		}
		select {
		case queue <- order:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// start starts one saga, and waits out a database that is away: starting again with
// the same id is harmless.
func (f *feeder) start(ctx context.Context, order contract.OrderPlaced) error {
	var options []participant.StartOption
	if tags := map[string]string{"customer": order.Customer}; choreo.CheckTags(tags) == nil { // to find it by
		options = append(options, participant.WithTags(tags))
	}
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		_, err := participant.Start(ctx, f.orders, f.saga, order.OrderID, order, options...)
		if err == nil {
			f.started(order.OrderID)
			return nil
		}
		if !f.store.Transient(err) && !errors.Is(err, outbox.ErrUnknownOutcome) {
			return fmt.Errorf("order %s: %w", order.OrderID, err)
		}
		select {
		case <-time.After(delay/2 + rand.N(delay/2)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
