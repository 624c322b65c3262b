package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/choreo-go/choreo/participant"
)

// load is that of one run; its name is unique within the bench.
func (b *bench) load(name string, sagas int) load {
	return load{Run: name + "-" + newUUID(), Sagas: sagas, Refused: b.Refused, Rows: accounts}
}

// warm is how many sagas go before those that count: Kafka's virtual machine takes about two bursts to
// compile what it runs.
func (b *bench) warm() int { return 2 * b.Sagas }

// measureBursts runs the workload in a setting: first idle, one saga at a time, then in
// bursts. Beside each burst run the bare statements, if there are any, so that a ratio is
// one of neighbours.
func measureBursts[Tx any](ctx context.Context, b *bench, name string, s *setting[Tx], bare *bare) (err error) {
	sys, err := start(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.close()) }()
	if err := sys.measureIdle(ctx, b, name); err != nil {
		return err
	}
	if _, err := sys.burst(ctx, b.load(name, b.warm())); err != nil {
		return err
	}
	var used spent
	for range b.Runs {
		l := b.load(name, b.Sagas)
		before := usage()
		took, err := sys.burst(ctx, l)
		if err != nil {
			return err
		}
		used.add(usage().minus(before))
		b.add(name+".sagas", rate(l.Sagas, took))
		b.add(name+".steps", rate(l.steps(), took))
		if bare != nil {
			if err := b.against(ctx, name, rate(l.Sagas, took), bare); err != nil {
				return err
			}
		}
	}
	l := b.load(name, b.Sagas)
	n := float64(l.steps() * b.Runs)
	b.add(name+".cpu-step", float64(used.cpu.Microseconds())/n)
	b.add(name+".allocations-step", float64(used.allocs)/n)
	b.add(name+".bytes-step", float64(used.bytes)/n)
	return nil
}

// against measures the bare statements beside a burst.
func (b *bench) against(ctx context.Context, name string, sagas float64, bare *bare) error {
	alone, err := bare.work(ctx, businessConnections, b.besideFor(), bare.businessSaga)
	if err != nil {
		return fmt.Errorf("bare statements: %w", err)
	}
	b.add(name+".bare", alone)
	b.add(name+".against-bare", sagas/alone)
	return nil
}

// besideFor is how long the bare statements run beside a burst: about as long as that.
func (b *bench) besideFor() time.Duration { return 4 * b.limitFor() }

// measureIdle runs sagas one after the other. Each begins when nothing is left to do of the
// one before.
func (s *system[Tx]) measureIdle(ctx context.Context, b *bench, name string) error {
	if _, err := s.burst(ctx, load{Run: name + "-" + newUUID(), Sagas: min(b.Sagas, 200), Rows: accounts}); err != nil {
		return err
	}
	l := load{Sagas: 1, Rows: accounts} // none is refused: all hops go forward
	for range b.Runs {
		for range b.Idle {
			id := newUUID()
			s.ends.expect(1)
			s.hops.begin(id)
			if _, err := participant.Start(ctx, s.starters[0], order, id, l.of(0)); err != nil {
				return err
			}
			if err := s.ends.wait(ctx); err != nil {
				return errors.Join(err, s.failure())
			}
			s.done.add(&l)
			if err := s.rest(ctx, &s.done); err != nil {
				return err
			}
		}
		hops, sagas := s.hops.take()
		b.add(name+".hop-p50", ms(quantile(hops, 0.5)))
		b.add(name+".hop-p99", ms(quantile(hops, 0.99)))
		b.add(name+".saga-p50", ms(quantile(sagas, 0.5)))
	}
	return nil
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

func (s *spent) add(o spent) {
	s.cpu += o.cpu
	s.allocs += o.allocs
	s.bytes += o.bytes
}
