package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
)

const (
	callers = 16 // that start sagas in a burst
	patient = 10 * time.Minute
)

// measure runs the workload in a setting: first idle, one saga at a time, then in
// bursts, then the relay alone.
func measure[Tx any](ctx context.Context, s *setting[Tx], opts *options) (figures, error) {
	f := figures{Setting: s.name}
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	sys, err := startSystem(ctx, s)
	if err != nil {
		return f, err
	}
	run := fmt.Sprintf("%s-%d", s.name, time.Now().UnixNano())
	err = sys.measureIdle(ctx, run, opts, &f)
	if err == nil {
		err = sys.measureBursts(ctx, run, opts, &f)
	}
	if stopped := sys.stop(); err == nil {
		err = stopped
	}
	if err == nil {
		f.RelayRows, err = measureRelay(ctx, s, opts.backlog)
	}
	return f, err
}

func (s *system[Tx]) measureIdle(ctx context.Context, run string, opts *options, f *figures) error {
	if _, err := s.burst(ctx, run+"-warm", 200, 0, callers); err != nil {
		return err
	}
	for i := range opts.idle {
		id := fmt.Sprintf("%s-idle-%d", run, i)
		s.target.Store(s.ended.Load() + 1)
		s.hops.begin(id)
		if _, err := participant.Start(ctx, s.orders, order, id, placed{Account: i}); err != nil {
			return err
		}
		select {
		case <-s.reached:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.hops.off()
	f.HopP50, f.HopP99 = ms(quantile(s.hops.hops, 0.5)), ms(quantile(s.hops.hops, 0.99))
	f.SagaP50 = ms(quantile(s.hops.sagas, 0.5))
	return s.drain(ctx)
}

func (s *system[Tx]) measureBursts(ctx context.Context, run string, opts *options, f *figures) error {
	if _, err := s.burst(ctx, run+"-warmer", min(opts.sagas, 1000), opts.refused, callers); err != nil {
		return err
	}
	var steps []float64
	before, handled := usage(), s.executed.Load()+s.compensated.Load()
	for i := range opts.runs {
		handledBefore := s.executed.Load() + s.compensated.Load()
		took, err := s.burst(ctx, fmt.Sprintf("%s-burst-%d", run, i), opts.sagas, opts.refused, callers)
		if err != nil {
			return err
		}
		f.SagasPerSecondOf = append(f.SagasPerSecondOf, float64(opts.sagas)/took.Seconds())
		steps = append(steps, float64(s.executed.Load()+s.compensated.Load()-handledBefore)/took.Seconds())
	}
	used := usage().minus(before)
	n := float64(s.executed.Load() + s.compensated.Load() - handled)
	f.SagasPerSecond, f.StepsPerSecond = median(f.SagasPerSecondOf), median(steps)
	f.CPUPerStep = used.cpu.Seconds() / n
	f.AllocsPerStep, f.BytesPerStep = float64(used.allocs)/n, float64(used.bytes)/n
	return nil
}

// measureRelay fills an outbox with events of sagas, four of each and interleaved, and
// returns how many rows a second one relay brings to the log.
func measureRelay[Tx any](ctx context.Context, s *setting[Tx], rows int) (float64, error) {
	const unitRows = 500
	store := s.stores["orders"]
	ev := choreo.Event{
		Type: choreo.StepCompleted, Saga: "order", Version: 1, Step: "create-order",
		Source: "orders", Initiator: "orders", Time: time.Now(), CausationID: newUUID(), Attempt: 1,
		ContentType: "application/json", Partition: choreo.AnyPartition,
		Payload: []byte(`{"account":1234,"refuse":false,"order_id":"order-0001234","total_cents":12990,"country":"DE"}`),
	}
	for done := 0; done < rows; done += unitRows {
		unit, err := store.Begin(ctx)
		if err != nil {
			return 0, err
		}
		var changes outbox.Changes
		for i := range min(unitRows, rows-done) {
			ev.ID = newUUID()
			ev.SagaID = fmt.Sprintf("relay-%d", (done+i)%(rows/4+1))
			changes.Entries = append(changes.Entries, outbox.Entry{
				ID: ev.ID, Type: string(ev.Type), Record: topics.Encode(&ev, "choreo.bench-relay.events"),
			})
		}
		if err := unit.Commit(ctx, changes); err != nil {
			return 0, err
		}
	}
	err := s.log.CreateTopic(ctx, topics.TopicSpec{Name: "choreo.bench-relay.events", Partitions: 12})
	if err != nil && !isTopicExists(err) {
		return 0, err
	}
	counter := &countingPublisher{to: s.log, want: int64(rows), reached: make(chan struct{})}
	relay := outbox.NewRelay(store, counter, nil)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	begin := time.Now()
	go func() { ended <- relay.Run(ctx) }()
	select {
	case <-counter.reached:
	case err := <-ended:
		return 0, err
	}
	took := time.Since(begin)
	cancel()
	if err := <-ended; err != nil {
		return 0, err
	}
	if left, err := store.Backlog(context.WithoutCancel(ctx)); err != nil || left.Entries > 0 {
		return 0, fmt.Errorf("%d rows are left in the outbox: %w", left.Entries, err)
	}
	return float64(rows) / took.Seconds(), nil
}

// countingPublisher tells when so many records were acknowledged.
type countingPublisher struct {
	to      outbox.Publisher
	n, want int64
	reached chan struct{}
}

func (c *countingPublisher) Publish(ctx context.Context, records []choreo.Record) []error {
	errs := c.to.Publish(ctx, records)
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	acknowledged := int64(len(records) - failed)
	if now := atomic.AddInt64(&c.n, acknowledged); now >= c.want && now-acknowledged < c.want {
		close(c.reached)
	}
	return errs
}

// spent is what this process used up.
type spent struct {
	cpu           time.Duration
	allocs, bytes uint64
}

func usage() spent {
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru) // cannot fail for RUSAGE_SELF
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	return spent{
		cpu:    time.Duration(ru.Utime.Nano() + ru.Stime.Nano()),
		allocs: mem.Mallocs, bytes: mem.TotalAlloc,
	}
}

func (s spent) minus(o spent) spent {
	return spent{cpu: s.cpu - o.cpu, allocs: s.allocs - o.allocs, bytes: s.bytes - o.bytes}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
