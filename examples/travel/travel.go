package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/closing"
	"github.com/choreo-go/choreo/examples/internal/console"
	"github.com/choreo-go/choreo/examples/internal/database"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/examples/travel/internal/audit"
	"github.com/choreo-go/choreo/examples/travel/sample"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/protobuf"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
)

// agency is one run of the example: the log, the databases and the six services.
type agency struct {
	o        *options
	logger   *zap.Logger
	sample   *sample.Sample
	dir      string // of databases and the broker's log
	log      topics.Log
	events   string // topic
	services map[string]*service
	closing.Stack
}

// service is one of the six, with its own database.
type service struct {
	db          *database.Database
	participant *participant.Participant[*sql.Tx]
}

// book runs all services until every trip is at rest, and returns the report.
func book(ctx context.Context, o *options, stderr io.Writer) (r *report, err error) {
	a := &agency{
		o: o, logger: console.NewLogger(stderr, zap.WarnLevel),
		sample: sample.New(o.seed, o.trips), services: make(map[string]*service),
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := a.open(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	watch := newWatcher()
	running.Go(func() {
		if err := watch.run(ctx, a.log, a.events); err != nil {
			cancel(err)
		}
	})
	for _, s := range a.services {
		running.Go(func() {
			if err := s.participant.Run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	began := time.Now()
	err = a.process(ctx, watch)
	took := time.Since(began)
	cancel(err)
	running.Wait()
	if err != nil {
		return nil, err
	}
	return a.settle(context.WithoutCancel(ctx), watch, took, stderr)
}

// open makes everything ready to run.
func (a *agency) open(ctx context.Context) error {
	var err error
	if a.dir, err = a.Dir(a.o.data, "choreo-travel-"); err != nil {
		return err
	}
	for _, name := range contract.Trip.Services() {
		db, err := database.OpenSQLite(filepath.Join(a.dir, name+".db"))
		if err != nil {
			return fmt.Errorf("database of %s: %w", name, err)
		}
		a.Later("the database of "+name, db.Close)
		if err := errors.Join(db.Prepare(ctx, schemaOf(name)), a.load(ctx, name, db.SQL)); err != nil {
			return fmt.Errorf("database of %s: %w", name, err)
		}
		a.services[name] = &service{db: db}
	}
	if err := a.openLog(ctx); err != nil {
		return err
	}
	codec, err := protobuf.New(nil, nil)
	if err != nil {
		return err
	}
	for name, s := range a.services {
		s.participant, err = participant.New(a.log, s.db.Store, &participant.Config{
			Service: name,
			Sagas:   []choreo.AnySaga{contract.Trip},
			Codecs:  []schema.Codec{codec},
			Logger:  a.loggerOf(name),
		})
		if err != nil {
			return err
		}
		register(name, s.participant)
	}
	return nil
}

// loggerOf returns the logger of a service. That of documents says nothing of retries: they are
// part of the play.
func (a *agency) loggerOf(service string) *zap.Logger {
	logger := a.logger.Named(service)
	if service == contract.Documents {
		logger = logger.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))
	}
	return logger
}

// openLog starts the broker, connects, and makes the topics of a new log.
func (a *agency) openLog(ctx context.Context) error {
	config := embedded.Config{Logger: a.logger.Named("broker")}
	if a.o.data != "" {
		config.DataDir = filepath.Join(a.dir, "broker")
	}
	broker, err := embedded.Start(config)
	if err != nil {
		return err
	}
	a.Later("the broker", broker.Close)
	log, err := kafka.New(kafka.Config{Brokers: broker.Addresses(), ClientID: "choreo-travel", Logger: a.logger.Named("kafka")})
	if err != nil {
		return err
	}
	a.Later("the log", log.Close)
	a.log = log
	names, err := topics.NewNames("choreo")
	if err != nil {
		return err
	}
	a.events = names.Events(contract.Trip.Name())
	plan, err := topics.NewPlan(ctx, log, topics.Topology(names, []choreo.AnySaga{contract.Trip}, topics.TopologyOptions{}))
	if err != nil {
		return err
	}
	isNew := slices.ContainsFunc(plan.Changes, func(c topics.Change) bool {
		return c.Topic == a.events && c.Action == topics.ActionCreate
	})
	if earlier, err := a.earlier(ctx); err != nil {
		return err
	} else if isNew && len(earlier) > 0 {
		return fmt.Errorf("the databases in %s hold %d trips of an earlier run, but their log is gone, and they would never end: "+
			"bring back the folder broker, or use a new --data", a.dir, len(earlier))
	}
	return plan.Apply(ctx, log)
}

// earlier returns the trips that runs on the same data have started.
func (a *agency) earlier(ctx context.Context) ([]string, error) {
	return a.services[contract.Trips].db.Sagas(ctx, contract.Trip.Name())
}

// process starts the trips and waits until every saga is at rest.
func (a *agency) process(ctx context.Context, watch *watcher) error {
	earlier, err := a.earlier(ctx)
	if err != nil {
		return err
	}
	for _, id := range earlier {
		watch.expect(id)
	}
	if err = a.start(ctx, watch); err == nil {
		watch.allFed()
		select {
		case <-watch.done:
			return nil
		case <-ctx.Done():
		}
	}
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return err
	case !errors.Is(cause, context.Canceled):
		return cause
	}
	all, resting := watch.counts()
	next := "the data were temporary: use --data to be able to resume"
	if a.o.data != "" {
		next = "run the same command again to go on"
	}
	return fmt.Errorf("stopped with %d of %d trips at rest; %s", resting, all, next)
}

// starters is how many trips are started side by side.
const starters = 8

// start starts a saga for each trip. One that an earlier run has started is not started
// again.
func (a *agency) start(ctx context.Context, watch *watcher) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan *travelv1.TripRequested)
	var workers sync.WaitGroup
	for range starters {
		workers.Go(func() {
			for trip := range queue {
				_, err := participant.Start(ctx, a.services[contract.Trips].participant, contract.Trip, trip.GetTripId(), trip)
				if err != nil {
					cancel(fmt.Errorf("%s: %w", trip.GetTripId(), err))
					return
				}
				watch.expect(trip.GetTripId())
			}
		})
	}
	for _, trip := range a.sample.Trips {
		select {
		case queue <- trip:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(queue)
	workers.Wait()
	return context.Cause(ctx)
}

// settle audits the books and makes the report.
func (a *agency) settle(ctx context.Context, watch *watcher, took time.Duration, stderr io.Writer) (*report, error) {
	books := make(audit.Books)
	for name, s := range a.services {
		books[name] = s.db.SQL
	}
	findings, err := books.Check(ctx, watch.instances())
	if err != nil {
		return nil, err
	}
	console.Findings(stderr, "travel: books: ", findings)
	return newReport(watch.tally(), took, len(findings) == 0), nil
}
