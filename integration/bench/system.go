package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
)

const (
	callers = 512 // that start sagas in a burst
	// lookEvery is how often something is asked that does not tell by itself.
	lookEvery = 2 * time.Millisecond
	// partitions of the topic of events.
	partitions = 12
)

// setting is a log and the databases of some services.
type setting[Tx any] struct {
	namespace string
	log       topics.Log
	// stores of each service that runs here: one for each of its instances.
	stores map[string][]outbox.Store[Tx]
	// update is the one business statement of a step.
	update func(ctx context.Context, tx Tx, service string, account, delta int) error
	// total returns what the business rows of a service add up to.
	total func(ctx context.Context, service string) (int64, error)
}

// openTopics makes the topics of a namespace.
func openTopics(ctx context.Context, log topics.Log, namespace string) (topics.Names, error) {
	names, err := topics.NewNames(namespace)
	if err != nil {
		return names, err
	}
	specs := topics.Topology(names, []choreo.AnySaga{order}, topics.TopologyOptions{Partitions: partitions})
	plan, err := topics.NewPlan(ctx, log, specs)
	if err != nil {
		return names, err
	}
	return names, plan.Apply(ctx, log)
}

// system runs services in this process.
type system[Tx any] struct {
	*setting[Tx]
	hops     *hopRecorder
	ends     *ends
	starters []*participant.Participant[Tx] // the instances of orders, if they are here
	done     done

	stop    context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	failed  error // of a participant
}

// start runs the services of a setting, whose topics must exist, and returns once they
// have all their partitions.
func start[Tx any](ctx context.Context, s *setting[Tx]) (*system[Tx], error) {
	sys := &system[Tx]{setting: s, hops: &hopRecorder{}, ends: &ends{}}
	ctx, sys.stop = context.WithCancel(ctx)
	var all []*participant.Participant[Tx]
	for service, stores := range s.stores {
		for _, store := range stores {
			p, err := participant.New(s.log, store, &participant.Config{
				Service: service, Sagas: []choreo.AnySaga{order}, Namespace: s.namespace,
			})
			if err != nil {
				return nil, errors.Join(err, sys.close())
			}
			bind(p, service, &business[Tx]{update: s.update, hops: sys.hops, ends: sys.ends})
			if service == orders {
				sys.starters = append(sys.starters, p)
			}
			all = append(all, p)
			sys.running.Go(func() { sys.fail(p.Run(ctx)) })
		}
	}
	err := until(ctx, func() (bool, error) { return assigned(ctx, all) == partitions*len(s.stores), sys.failure() })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for partitions: %w", err), sys.close())
	}
	return sys, nil
}

// assigned returns how many partitions participants have, none as long as one has none.
func assigned[Tx any](ctx context.Context, all []*participant.Participant[Tx]) int {
	n := 0
	for _, p := range all {
		h := p.Health(ctx)
		if h.Partitions == 0 {
			return 0
		}
		n += h.Partitions
	}
	return n
}

func (s *system[Tx]) fail(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = errors.Join(s.failed, err)
	s.stop() // nobody waits for what cannot come
}

func (s *system[Tx]) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// close stops the services and returns why one of them had to stop before.
func (s *system[Tx]) close() error {
	s.stop()
	s.running.Wait()
	return s.failed
}

// burst runs sagas and returns how long it took until all of them were at rest.
func (s *system[Tx]) burst(ctx context.Context, l load) (time.Duration, error) {
	begin := time.Now()
	if err := s.run(ctx, &l); err != nil {
		return 0, err
	}
	s.done.add(&l)
	err := s.rest(ctx, &s.done)
	return time.Since(begin), err
}

// run starts sagas and waits until the last handler of each was called.
func (s *system[Tx]) run(ctx context.Context, l *load) error {
	s.ends.expect(l.Sagas)
	if err := s.launch(ctx, l); err != nil {
		return err
	}
	if err := s.ends.wait(ctx); err != nil {
		return errors.Join(err, s.failure())
	}
	return nil
}

// launch starts sagas from several callers.
func (s *system[Tx]) launch(ctx context.Context, l *load) error {
	var next atomic.Int64
	var starting errgroup.Group
	for range callers {
		starting.Go(func() error {
			for i := int(next.Add(1)) - 1; i < l.Sagas; i = int(next.Add(1)) - 1 {
				if err := s.place(ctx, fmt.Sprintf("%s-%07d", l.Run, i), i, l.of(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return starting.Wait()
}

// place starts one saga, at the instance whose turn it is.
func (s *system[Tx]) place(ctx context.Context, id string, i int, in placed) error {
	_, err := participant.Start(ctx, s.starters[i%len(s.starters)], order, id, in)
	return err
}

// settleWithin is how long the last commits may take once the last handlers were called.
const settleWithin = 30 * time.Second

// rest waits until all is at rest: the business rows of every service are as what was done
// leaves them, every outbox is empty, and no saga is open. In this order: the last commits
// write to the outboxes.
func (s *setting[Tx]) rest(ctx context.Context, d *done) error {
	for service, stores := range s.stores {
		var total int64
		settling, cancel := context.WithTimeout(ctx, settleWithin)
		err := until(settling, func() (bool, error) {
			now, err := s.total(settling, service)
			if err != nil {
				if stores[0].Transient(err) { // a last commit came between
					err = nil
				}
				return false, err
			}
			total = now
			return total == d.total(service), nil
		})
		cancel()
		if err != nil {
			return fmt.Errorf("the business rows of %s add up to %d and not to %d (if that stays so, a step was lost or "+
				"done twice: please report it): %w", service, total, d.total(service), err)
		}
	}
	for service, stores := range s.stores {
		err := until(ctx, func() (bool, error) {
			backlog, err := stores[0].Backlog(ctx)
			if err != nil || backlog.Entries > 0 || service != orders {
				return backlog.Entries == 0, err
			}
			waiting, err := stores[0].Waiting(ctx, 1)
			return waiting.Open == 0, err
		})
		if err != nil {
			return fmt.Errorf("waiting for the outbox of %s: %w", service, err)
		}
	}
	return nil
}

// until asks until it holds, or there is an error, or ctx ends.
func until(ctx context.Context, holds func() (bool, error)) error {
	return untilEvery(ctx, lookEvery, holds)
}

// untilEvery is until for questions that cost more.
func untilEvery(ctx context.Context, interval time.Duration, holds func() (bool, error)) error {
	every := time.NewTicker(interval)
	defer every.Stop()
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
