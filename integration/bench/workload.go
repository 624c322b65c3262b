package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
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

var (
	createOrder  = choreo.NewStep[placed, state]("create-order")
	reserveStock = choreo.NewStep[state, state]("reserve-stock")
	charge       = choreo.NewStep[state, state]("charge-payment")
	book         = choreo.NewStep[state, state]("book-shipment")
	confirm      = choreo.NewStep[state, state]("confirm-order")

	order = choreo.MustDefine[placed]("order", 1,
		createOrder.OwnedBy("orders"),
		reserveStock.OwnedBy("inventory").After(createOrder),
		charge.OwnedBy("payments").After(reserveStock),
		book.OwnedBy("shipping").After(charge),
		confirm.OwnedBy("orders").After(book).NoCompensation(),
	)
)

const accounts = 10_000 // business rows of each service

// setting is a log and one store a service.
type setting[Tx any] struct {
	name   string
	log    topics.Log
	stores map[string]outbox.Store[Tx]
	// update is the one business statement of a step.
	update func(ctx context.Context, tx Tx, service string, account, delta int) error
}

// system runs the four services in this process.
type system[Tx any] struct {
	setting *setting[Tx]
	orders  *participant.Participant[Tx]

	executed, compensated atomic.Int64 // handler runs that succeeded
	ended                 atomic.Int64
	over                  sync.Map // the sagas that have ended
	target                atomic.Int64
	reached               chan struct{}
	hops                  *hopRecorder
	stop                  func() error
}

func startSystem[Tx any](ctx context.Context, s *setting[Tx]) (*system[Tx], error) {
	names, err := topics.NewNames("choreo")
	if err != nil {
		return nil, err
	}
	plan, err := topics.NewPlan(ctx, s.log, topics.Topology(names, []choreo.AnySaga{order}, topics.TopologyOptions{}))
	if err != nil {
		return nil, err
	}
	if err := plan.Apply(ctx, s.log); err != nil {
		return nil, err
	}
	sys := &system[Tx]{setting: s, reached: make(chan struct{}, 1), hops: newHopRecorder()}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	errs := make(chan error, 4)
	sys.stop = func() error {
		cancel()
		running.Wait()
		close(errs)
		return <-errs
	}
	for _, service := range order.Services() {
		p, err := participant.New(s.log, s.stores[service], &participant.Config{
			Service: service, Sagas: []choreo.AnySaga{order},
		})
		if err != nil {
			cancel()
			return nil, err
		}
		switch service {
		case "orders":
			sys.orders = p
			participant.Handle(p, createOrder, step[Tx, placed]{sys, "orders", "create-order"}, participant.Local())
			participant.HandleForward(p, confirm, step[Tx, state]{sys, "orders", "confirm-order"}, participant.Local())
		case "inventory":
			participant.Handle(p, reserveStock, step[Tx, state]{sys, "inventory", "reserve-stock"}, participant.Local())
		case "payments":
			participant.Handle(p, charge, step[Tx, state]{sys, "payments", "charge-payment"}, participant.Local())
		case "shipping":
			participant.Handle(p, book, step[Tx, state]{sys, "shipping", "book-shipment"}, participant.Local())
		}
		running.Go(func() {
			if err := p.Run(ctx); err != nil {
				errs <- err
			}
		})
	}
	return sys, nil
}

// step is the handler of every step.
type step[Tx, In any] struct {
	sys           *system[Tx]
	service, name string
}

func (h step[Tx, In]) Execute(ctx context.Context, tx Tx, call *participant.Call[In]) (state, error) {
	h.sys.hops.at(call.SagaID, h.name)
	var out state
	switch in := any(call.Input).(type) {
	case placed:
		out = state{Account: in.Account, Refuse: in.Refuse, OrderID: call.SagaID, Total: 129_90, Country: "DE"}
	case state:
		out = in
	}
	if h.name == "book-shipment" && out.Refuse {
		return out, choreo.Refusef("country-not-served", "no carrier for %s", out.Country)
	}
	if err := h.sys.setting.update(ctx, tx, h.service, out.Account, 1); err != nil {
		return out, err
	}
	h.sys.executed.Add(1)
	if h.name == "confirm-order" {
		h.sys.end(call.SagaID)
	}
	return out, nil
}

func (h step[Tx, In]) Compensate(ctx context.Context, tx Tx, call *participant.Call[In], out state) error {
	if err := h.sys.setting.update(ctx, tx, h.service, out.Account, -1); err != nil {
		return err
	}
	h.sys.compensated.Add(1)
	if h.name == "create-order" {
		h.sys.end(call.SagaID)
	}
	return nil
}

// end notes that a saga has ended; a handler may run more than once.
func (s *system[Tx]) end(saga string) {
	if _, known := s.over.LoadOrStore(saga, true); known {
		return
	}
	if s.ended.Add(1) == s.target.Load() {
		s.reached <- struct{}{}
	}
}

// drain waits until every outbox is empty.
func (s *system[Tx]) drain(ctx context.Context) error {
	for _, store := range s.setting.stores {
		for {
			backlog, err := store.Backlog(ctx)
			if err != nil {
				return err
			}
			if backlog.Entries == 0 {
				break
			}
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// burst starts n sagas from several callers and returns how long it took until all
// were at rest.
func (s *system[Tx]) burst(ctx context.Context, run string, n, refusedPercent, callers int) (time.Duration, error) {
	s.target.Store(s.ended.Load() + int64(n))
	begin := time.Now()
	var next atomic.Int64
	errs := make(chan error, callers)
	for range callers {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					errs <- nil
					return
				}
				in := placed{Account: i * 7919 % accounts, Refuse: i%100 < refusedPercent}
				if _, err := participant.Start(ctx, s.orders, order, fmt.Sprintf("%s-%07d", run, i), in); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	select {
	case <-s.reached:
	case <-ctx.Done():
		return 0, fmt.Errorf("%d of %d sagas ended: %w", s.ended.Load(), s.target.Load(), ctx.Err())
	}
	return time.Since(begin), s.drain(ctx)
}
