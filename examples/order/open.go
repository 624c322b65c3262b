package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/database"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/examples/order/internal/input"
	"github.com/choreo-go/choreo/examples/order/internal/inventory"
	"github.com/choreo-go/choreo/examples/order/internal/orders"
	"github.com/choreo-go/choreo/examples/order/internal/payments"
	"github.com/choreo-go/choreo/examples/order/internal/shipping"
	"github.com/choreo-go/choreo/examples/order/sample"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
	"github.com/choreo-go/choreo/schema/compat"
	"github.com/choreo-go/choreo/schema/registry/topic"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
)

// service is one of the four, with its own database.
type service struct {
	name        string
	db          *database.Database
	participant *participant.Participant[*sql.Tx]
}

// kinds says what is different from service to service.
var kinds = map[string]struct {
	schema   string
	register func(p *participant.Participant[*sql.Tx], build int)
}{
	contract.Orders:    {orders.Schema, orders.Register},
	contract.Inventory: {inventory.Schema, inventory.Register},
	contract.Payments:  {payments.Schema, payments.Register},
	contract.Shipping:  {shipping.Schema, shipping.Register},
}

// open makes everything ready to run.
func (s *shop) open(ctx context.Context) error {
	var err error // the databases and the embedded broker's log lie in dir
	if s.dir, err = s.Dir(s.o.data, "choreo-order-"); err != nil {
		return err
	}
	names := contract.Order.Services()
	if s.o.service != "" {
		names = []string{s.o.service}
	}
	for _, name := range names {
		if err := s.openService(ctx, name); err != nil {
			return err
		}
	}
	if err := s.openLog(); err != nil {
		return err
	}
	if err := s.openTopics(ctx); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	for _, svc := range s.services {
		codec, err := s.codec(ctx, svc.name)
		if err != nil {
			return err
		}
		p, err := participant.New(s.log, svc.db.Store, &participant.Config{
			Service:   svc.name,
			Sagas:     s.sagas(),
			Namespace: s.namespace,
			Codecs:    []schema.Codec{codec},
			Logger:    s.logger.Named(svc.name),
		})
		if err != nil {
			return err
		}
		kinds[svc.name].register(p, s.o.build)
		svc.participant = p
	}
	return nil
}

// codec is how a service reads and writes Avro. The schemas are in a topic, so that no registry
// has to run; old and new builds must be able to read each other.
func (s *shop) codec(ctx context.Context, service string) (*avro.Codec, error) {
	registry, err := topic.New(ctx, s.log, s.names, &topic.Config{
		Check: compat.Full.Admits, RegisteredBy: service, Logger: s.logger.Named(service),
	})
	if err != nil {
		return nil, err
	}
	return avro.New(registry, nil)
}

// sagas are the versions of the saga that this build knows.
func (s *shop) sagas() []choreo.AnySaga {
	var sagas []choreo.AnySaga
	for _, v := range contract.Versions {
		if v.Version() <= s.o.build {
			sagas = append(sagas, v)
		}
	}
	return sagas
}

func (s *shop) openService(ctx context.Context, name string) error {
	db, err := s.openDatabase(ctx, name)
	if err != nil {
		return err
	}
	if err := db.Prepare(ctx, kinds[name].schema); err != nil {
		return fmt.Errorf("database of %s: %w", name, err)
	}
	s.services = append(s.services, &service{name: name, db: db})
	return nil
}

// openDatabase opens the database of a service.
func (s *shop) openDatabase(ctx context.Context, name string) (*database.Database, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.reach)
	defer cancel()
	var db *database.Database
	var err error
	if s.o.postgres != "" {
		db, err = database.OpenPostgres(ctx, s.o.postgres, name)
	} else {
		db, err = database.OpenSQLite(filepath.Join(s.dir, name+".db"))
	}
	if err != nil {
		return nil, fmt.Errorf("database of %s: %w", name, err)
	}
	s.Later("the database of "+name, db.Close)
	return db, nil
}

// openLog starts the embedded broker unless there is another, and connects.
func (s *shop) openLog() error {
	brokers := s.o.brokers
	if brokers == nil {
		config := embedded.Config{Logger: s.logger.Named("broker")}
		if s.o.data != "" {
			config.DataDir = filepath.Join(s.dir, "broker")
		}
		broker, err := embedded.Start(config)
		if err != nil {
			return err
		}
		s.Later("the broker", broker.Close)
		brokers = broker.Addresses()
	}
	s.brokers = brokers
	log, err := kafka.New(kafka.Config{Brokers: brokers, ClientID: "choreo-order", Logger: s.logger.Named("kafka")})
	if err != nil {
		return err
	}
	s.Later("the log", log.Close)
	s.log = log
	return nil
}

// embeddedPartitions is how many partitions the topics have on the embedded broker. They are what
// the processes of a service share, and here each has but one: more would make the batches of
// all readers smaller.
const embeddedPartitions = 3

// openTopics finds the topics that belong to the databases, or makes them.
//
// Databases and log belong together: a new database on the log of an earlier one
// would take that one's events for its own. So the databases remember the namespace
// of their topics, and new ones on a cluster of somebody else get a new namespace.
// Services that run alone must agree without having met, and use the default.
func (s *shop) openTopics(ctx context.Context) error {
	proposal := "choreo"
	if s.o.brokers != nil && s.o.service == "" {
		var random [4]byte
		_, _ = rand.Read(random[:]) // never fails
		proposal = "order-" + hex.EncodeToString(random[:])
	}
	for _, svc := range s.services {
		namespace, err := svc.db.Namespace(ctx, proposal)
		if err != nil {
			return fmt.Errorf("database of %s: %w", svc.name, err)
		}
		proposal = namespace
	}
	s.namespace = proposal
	names, err := topics.NewNames(s.namespace)
	if err != nil {
		return err
	}
	s.names = names
	reach, cancel := context.WithTimeout(ctx, s.o.reach)
	defer cancel()
	var size topics.TopologyOptions
	if s.o.brokers == nil {
		size.Partitions = embeddedPartitions
	}
	plan, err := topics.NewPlan(reach, s.log, topics.Topology(names, s.sagas(), size))
	if err != nil {
		return fmt.Errorf("no answer from Kafka at %s: start it, or mend --brokers: %w", strings.Join(s.o.brokers, ","), err)
	}
	events := names.Events(contract.Order.Name())
	missing := slices.ContainsFunc(plan.Changes, func(c topics.Change) bool {
		return c.Topic == events && c.Action == topics.ActionCreate
	})
	if missing {
		if err := s.checkNoSagas(ctx, events); err != nil {
			return err
		}
	}
	return plan.Apply(ctx, s.log)
}

// checkNoSagas refuses databases whose log is gone: their sagas would never end.
func (s *shop) checkNoSagas(ctx context.Context, events string) error {
	for _, svc := range s.services {
		sagas, err := svc.db.Sagas(ctx, contract.Order.Name())
		if err != nil {
			return fmt.Errorf("database of %s: %w", svc.name, err)
		}
		if len(sagas) > 0 {
			return fmt.Errorf("the database of %s holds %d sagas of an earlier run, but their log %s is not here: "+
				"use the --brokers or --data of that run, or begin with new databases", svc.name, len(sagas), events)
		}
	}
	return nil
}

// load fills the stock and the accounts of new databases.
func (s *shop) load(ctx context.Context) error {
	if svc := s.service(contract.Inventory); svc != nil {
		file, err := s.input("--stock", s.o.stock, sample.Stock)
		if err != nil {
			return err
		}
		stock, err := readAll(file, input.ReadStock)
		if err != nil {
			return fmt.Errorf("--stock %s: %w", s.o.stock, err)
		}
		loaded, err := inventory.Load(ctx, svc.db.SQL, stock)
		if err := s.tellLoaded("stock", s.o.stock, loaded, err); err != nil {
			return err
		}
	}
	if svc := s.service(contract.Payments); svc != nil {
		file, err := s.input("--accounts", s.o.accounts, sample.Accounts)
		if err != nil {
			return err
		}
		accounts, err := readAll(file, input.ReadAccounts)
		if err != nil {
			return fmt.Errorf("--accounts %s: %w", s.o.accounts, err)
		}
		loaded, err := payments.Load(ctx, svc.db.SQL, accounts)
		if err := s.tellLoaded("accounts", s.o.accounts, loaded, err); err != nil {
			return err
		}
	}
	return nil
}

func readAll[T any](file io.ReadCloser, read func(io.Reader) ([]T, error)) ([]T, error) {
	defer func() { _ = file.Close() }()
	return read(file)
}

// tellLoaded says where a file that was named had no effect.
func (s *shop) tellLoaded(what, file string, loaded bool, err error) error {
	if err != nil {
		return fmt.Errorf("loading the %s: %w", what, err)
	}
	if !loaded && file != "" {
		_, _ = fmt.Fprintf(s.stderr, "order: --%s %s is not loaded again: what the earlier run left is kept\n", what, file)
	}
	return nil
}
