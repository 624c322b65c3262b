package choreotest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
)

// Service is a service of a world: one process of it at a time.
type Service[Tx any] struct {
	w        *World
	name     string
	store    outbox.Store[Tx]
	register func(*participant.Participant[Tx])

	mu      sync.Mutex
	proc    *process[Tx]  // nil while none runs
	next    chan struct{} // closed when a process runs again
	stopped bool          // by Stop, so that none will run by itself
}

// process is one process of a service.
type process[Tx any] struct {
	p     *participant.Participant[Tx]
	store *processStore[Tx]
	stop  context.CancelFunc
	ended chan struct{}
	err   error // once ended
}

// Serve runs a service over a database in memory, [World.Database]. register registers
// the service's handlers, and is called for each of its processes.
func Serve(w *World, service string, register func(*participant.Participant[*memory.Tx])) *Service[*memory.Tx] {
	w.t.Helper()
	return ServeOn(w, service, memory.New(w.Database(service)), register)
}

// ServeOn is [Serve] over a store of the caller's, whose handlers get its transactions.
// The store is migrated first. See the package's documentation for which stores work
// on virtual time.
func ServeOn[Tx any](w *World, service string, store outbox.Store[Tx], register func(*participant.Participant[Tx])) *Service[Tx] {
	w.t.Helper()
	s := &Service[Tx]{w: w, name: service, store: store, register: register, next: make(chan struct{})}
	if err := w.prepare(); err != nil {
		w.t.Fatalf("choreotest: %v", err)
	}
	if err := store.Migrate(w.ctx); err != nil {
		w.t.Fatalf("choreotest: service %s: migrate: %v", service, err)
	}
	w.mu.Lock()
	twice := w.services[service] != nil
	w.services[service] = s
	w.mu.Unlock()
	if twice {
		w.t.Fatalf("choreotest: service %s is served twice in this world", service)
	}
	if err := s.start(); err != nil {
		w.t.Fatalf("choreotest: service %s: %v", service, err)
	}
	w.quiesce()
	return s
}

// start runs a new process.
func (s *Service[Tx]) start() error {
	cfg := s.w.Config
	cfg.Service, cfg.Sagas = s.name, s.w.sagas
	cfg.StepLimits = maps.Clone(cfg.StepLimits)
	maps.DeleteFunc(cfg.StepLimits, func(step string, _ int) bool { return !s.w.owns(s.name, step) })
	cfg.Intercept = s.w.intercept(cfg.Intercept)
	if cfg.StatusEvery == 0 {
		cfg.StatusEvery = -1 // nobody looks
	}
	if s.w.replaying {
		cfg.NoRelay = true
	}
	if _, virtual := any(s.store).(*memory.Store); s.w.bubble && !virtual && cfg.RetryInPlace == 0 {
		// A row would fall due by the database's clock, which stands still beside the world's.
		cfg.RetryInPlace = virtualPatience
	}
	proc := &process[Tx]{store: &processStore[Tx]{Store: s.store}, ended: make(chan struct{})}
	proc.store.crash = func(c *outbox.Changes) (crash, func()) {
		at := s.w.crashAt(c)
		if at == noCrash {
			return at, nil
		}
		return at, func() { s.abandon(proc, true) }
	}
	proc.store.committed = s.w.note
	p, err := participant.New[Tx](s.w.log, proc.store, &cfg)
	if err != nil {
		return err
	}
	s.register(p)
	proc.p = p
	ctx, stop := context.WithCancel(context.Background())
	proc.stop = stop
	go func() {
		defer close(proc.ended)
		if proc.err = p.Run(ctx); proc.err != nil {
			s.w.fail(fmt.Errorf("service %s: %w", s.name, proc.err))
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc, s.stopped = proc, false
	close(s.next)
	return nil
}

// take makes the process no longer the service's, and returns whether it was.
func (s *Service[Tx]) take(proc *process[Tx], stopped bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != proc || proc == nil {
		return false
	}
	s.proc, s.next, s.stopped = nil, make(chan struct{}), stopped
	return true
}

// abandon kills a process: nothing that it still tries has an effect. Another one takes
// its place where again is set.
func (s *Service[Tx]) abandon(proc *process[Tx], again bool) {
	if !s.take(proc, !again) {
		return
	}
	proc.store.killed.Store(true)
	proc.stop()
	if !again || !s.w.replacing() {
		return
	}
	go func() {
		defer s.w.crashes.Done()
		<-proc.ended
		if err := s.start(); err != nil {
			s.w.fail(fmt.Errorf("service %s: %w", s.name, err))
		}
	}()
}

func (s *Service[Tx]) current() (proc *process[Tx], next chan struct{}, stopped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc, s.next, s.stopped
}

// Participant returns the participant of the service's process, for participant.Start,
// Cancel, CompleteStep and the like. After a crash it waits for the next process.
func (s *Service[Tx]) Participant() *participant.Participant[Tx] {
	s.w.t.Helper()
	for {
		proc, next, stopped := s.current()
		if proc != nil {
			return proc.p
		}
		if stopped {
			s.w.t.Fatalf("choreotest: service %s is stopped: call Restart", s.name)
		}
		select {
		case <-next:
		case <-s.w.ctx.Done():
			s.w.t.Fatalf("choreotest: %v", context.Cause(s.w.ctx))
		}
	}
}

// Stop stops the service in good order: what is under way is finished.
func (s *Service[Tx]) Stop() {
	s.w.t.Helper()
	s.w.crashes.Wait()
	if err := s.close(); err != nil {
		s.w.t.Fatalf("choreotest: service %s: %v", s.name, err)
	}
}

// Kill ends the service's process as kill -9 does: what it had not committed is lost.
func (s *Service[Tx]) Kill() {
	s.w.crashes.Wait()
	proc, _, _ := s.current()
	s.abandon(proc, false)
	if proc != nil {
		<-proc.ended
	}
}

// Restart runs a new process, after killing the one that runs, if any.
func (s *Service[Tx]) Restart() {
	s.w.t.Helper()
	s.Kill()
	if err := s.start(); err != nil {
		s.w.t.Fatalf("choreotest: service %s: %v", s.name, err)
	}
	s.w.quiesce()
}

func (s *Service[Tx]) service() string { return s.name }

func (s *Service[Tx]) running() bool {
	proc, _, _ := s.current()
	return proc != nil
}

func (s *Service[Tx]) close() error {
	proc, _, _ := s.current()
	if !s.take(proc, true) {
		return nil
	}
	proc.stop()
	<-proc.ended
	return proc.err
}

// Start starts a saga through the service, as participant.Start does.
func Start[Tx, In any](s *Service[Tx], saga *choreo.Saga[In], id string, input In, options ...participant.StartOption) participant.Ref {
	s.w.t.Helper()
	for {
		ref, err := participant.Start(s.w.ctx, s.Participant(), saga, id, input, options...)
		if err == nil {
			return ref
		}
		if !errors.Is(err, errKilled) { // else nothing was committed
			s.w.t.Fatalf("choreotest: %v", err)
		}
	}
}

// lookTimeout bounds a look at a saga that a handler holds locked.
const lookTimeout = time.Second

// rows returns what the service's database holds of a saga.
func (s *Service[Tx]) rows(id sagaID) (outbox.Rows, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	key := outbox.SagaID{Saga: id.saga, ID: id.id}
	unit, err := s.store.Begin(ctx, key)
	if err != nil {
		return outbox.Rows{}, err
	}
	return unit.Rows(key), unit.Rollback(ctx)
}

func (s *Service[Tx]) backlog() (outbox.Backlog, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	return s.store.Backlog(ctx)
}
