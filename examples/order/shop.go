package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/examples/internal/closing"
	"github.com/choreo-go/choreo/examples/internal/console"
	"github.com/choreo-go/choreo/examples/internal/database"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/examples/order/internal/audit"
	"github.com/choreo-go/choreo/examples/order/internal/input"
	"github.com/choreo-go/choreo/examples/order/sample"
	"github.com/choreo-go/choreo/topics"
)

// shop is one run of the example: the log, the databases and the services of this
// process.
type shop struct {
	o         *options
	stderr    io.Writer
	terminal  io.Writer // stderr where it is one, without overProgress
	logger    *zap.Logger
	dir       string // of databases and the embedded broker's log
	log       topics.Log
	brokers   []string // that the log is on
	namespace string   // of the topics
	names     topics.Names
	services  []*service
	rejected  atomic.Int64
	closing.Stack
}

// runShop runs the services that the options name, until ctx ends or, where orders is
// among them, until all orders are done; with --serve it goes on then. It tells the report of the
// orders and returns it, or nil where the process had no part in them.
func runShop(ctx context.Context, o *options, stderr io.Writer, tell func(*report) error) (r *report, err error) {
	s := &shop{o: o, stderr: stderr}
	if isTerminal(stderr) {
		s.terminal, s.stderr = stderr, overProgress{stderr}
	}
	level := zap.WarnLevel
	if o.service != "" { // it runs alone, and says what it does
		level = zap.InfoLevel
	}
	s.logger = console.NewLogger(s.stderr, level)
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.open(ctx); err != nil {
		if ctx.Err() == nil {
			return nil, err
		}
		if s.feeds() {
			return nil, errors.New("stopped before the services were up")
		}
		return nil, nil // there was nothing to finish
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, svc := range s.services {
		running.Go(func() {
			if err := svc.participant.Run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	if !s.feeds() {
		<-ctx.Done()
		running.Wait()
		return nil, failure(ctx)
	}
	watch := newWatcher()
	running.Go(func() {
		if err := watch.run(ctx, s.log, s.names); err != nil {
			cancel(err)
		}
	})
	if o.serve {
		if err := s.show(ctx, cancel, &running); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	err = s.process(ctx, watch)
	took := time.Since(began)
	if err == nil && o.serve {
		r, err = s.goOn(ctx, watch, took, tell)
		cancel(err)
		running.Wait()
		return r, err
	}
	cancel(err)
	running.Wait()
	if err != nil {
		return nil, err
	}
	if r, err = s.settle(context.WithoutCancel(ctx), watch, took); err != nil {
		return nil, err
	}
	return r, tell(r)
}

// feeds reports whether this process starts the orders.
func (s *shop) feeds() bool { return s.o.service == "" || s.o.service == contract.Orders }

// failure returns why a context ended, or nil where somebody asked for it.
func failure(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// process starts the orders and waits until every saga is at rest.
func (s *shop) process(ctx context.Context, watch *watcher) error {
	if s.terminal != nil {
		progress, stop := context.WithCancel(ctx)
		var shown sync.WaitGroup
		shown.Go(func() { showProgress(progress, s.terminal, watch.counts) })
		defer func() { stop(); shown.Wait() }()
	}
	orders := s.service(contract.Orders)
	earlier, err := orders.db.Sagas(ctx, contract.Order.Name())
	if err != nil {
		return s.interrupted(ctx, watch, err)
	}
	for _, id := range earlier {
		watch.expect(id)
	}
	file, err := s.input("--orders", s.o.orders, sample.Orders)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	f := &feeder{orders: orders.participant, saga: contract.Version(s.o.saga), store: orders.db.Store, started: watch.expect, reject: s.reject}
	if err := f.feed(ctx, file); err != nil {
		return s.interrupted(ctx, watch, err)
	}
	watch.allFed()
	select {
	case <-watch.done:
		return nil
	case <-ctx.Done():
		return s.interrupted(ctx, watch, context.Cause(ctx))
	}
}

// interrupted tells a stop that was asked for from an error.
func (s *shop) interrupted(ctx context.Context, watch *watcher, err error) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	if cause := failure(ctx); cause != nil {
		return cause // and not that others had to stop for it
	}
	sagas, resting := watch.counts()
	next := "the data were temporary: use --data to be able to resume"
	if s.o.data != "" || (s.o.postgres != "" && s.o.brokers != nil) {
		next = "run the same command again to go on"
	}
	return fmt.Errorf("stopped with %d of %d orders at rest; %s", resting, sagas, next)
}

func (s *shop) reject(e *input.LineError) {
	s.rejected.Add(1)
	name := s.o.orders
	if name == "" {
		name = "sample orders"
	}
	_, _ = fmt.Fprintf(s.stderr, "order: %s: %v\n", name, e)
}

// settle audits the books and makes the report.
func (s *shop) settle(ctx context.Context, watch *watcher, took time.Duration) (*report, error) {
	books, err := s.books(ctx)
	if err != nil {
		return nil, err
	}
	findings, err := books.Check(ctx, watch.sagas)
	if err != nil {
		return nil, err
	}
	console.Findings(s.stderr, "order: books: ", findings)
	where := "an embedded broker and "
	if s.o.brokers != nil {
		where = "Kafka and "
	}
	if s.o.postgres != "" {
		where += "PostgreSQL"
	} else {
		where += "SQLite"
	}
	return newReport(watch.tally(), int(s.rejected.Load()), took, len(findings) == 0, where), nil
}

// books opens what is not open yet of the four databases: in a process that runs
// orders alone, those of its neighbours.
func (s *shop) books(ctx context.Context) (*audit.Books, error) {
	all := make(map[string]*database.Database)
	for _, name := range contract.Order.Services() {
		if svc := s.service(name); svc != nil {
			all[name] = svc.db
			continue
		}
		db, err := s.openDatabase(ctx, name)
		if err == nil {
			err = db.SQL.QueryRowContext(ctx, `SELECT namespace FROM saga_log`).Scan(new(string))
		}
		if err != nil {
			return nil, fmt.Errorf("the books cannot be audited without those of %s: "+
				"give all services the same --data or --postgres: %w", name, err)
		}
		all[name] = db
	}
	return &audit.Books{
		Orders: all[contract.Orders].SQL, Inventory: all[contract.Inventory].SQL,
		Payments: all[contract.Payments].SQL, Shipping: all[contract.Shipping].SQL,
	}, nil
}

func (s *shop) service(name string) *service {
	i := slices.IndexFunc(s.services, func(svc *service) bool { return svc.name == name })
	if i < 0 {
		return nil
	}
	return s.services[i]
}

// input opens a file, or the sample where none is named.
func (s *shop) input(flag, name string, sample []byte) (io.ReadCloser, error) {
	if name == "" {
		return io.NopCloser(bytes.NewReader(sample)), nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return file, nil
}
