package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/outbox/sqlite"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// closers close what was opened, the latest first.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

// close closes all.
func (c *closers) close() error {
	var faults []error
	for _, f := range slices.Backward(*c) {
		faults = append(faults, f())
	}
	return errors.Join(faults...)
}

// tempDir makes a folder that is removed at the end.
func (c *closers) tempDir() (string, error) {
	dir, err := os.MkdirTemp("", "choreo-bench-")
	if err == nil {
		c.add(func() error { return os.RemoveAll(dir) })
	}
	return dir, err
}

// kafka connects to a cluster.
func (c *closers) kafka(brokers []string) (topics.Log, error) {
	log, err := kafka.New(kafka.Config{Brokers: brokers, ClientID: "choreo-bench"})
	if err != nil {
		return nil, err
	}
	c.add(log.Close)
	return log, nil
}

// embedded starts a broker that keeps its log in a folder of its own.
func (c *closers) embedded() (addresses []string, err error) {
	dir, err := c.tempDir()
	if err != nil {
		return nil, err
	}
	broker, err := embedded.Start(embedded.Config{DataDir: dir})
	if err != nil {
		return nil, err
	}
	c.add(broker.Close)
	return broker.Addresses(), nil
}

// measureMemory measures log and stores in memory, which is Choreo's own cost.
func measureMemory(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	s, err := open.memory(ctx, b.namespace("memory"))
	if err != nil {
		return err
	}
	return measureBursts(ctx, b, "memory", s, nil)
}

// memory opens services on log and stores in memory.
func (c *closers) memory(ctx context.Context, namespace string) (*setting[*memory.Tx], error) {
	log := memorylog.New(memorylog.Options{})
	c.add(log.Close)
	s := &setting[*memory.Tx]{
		namespace: namespace, log: log, stores: make(map[string][]outbox.Store[*memory.Tx]),
		update: func(_ context.Context, tx *memory.Tx, _ string, account, delta int) error {
			balance, err := balanceOf(tx, account)
			if err != nil {
				return err
			}
			return tx.Put("account", strconv.Itoa(account), strconv.FormatInt(balance+int64(delta), 10))
		},
	}
	s.total = func(ctx context.Context, service string) (total int64, err error) {
		unit, err := s.stores[service][0].Begin(ctx)
		if err != nil {
			return 0, err
		}
		defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }() // it was only read
		for account := range accounts {
			balance, err := balanceOf(unit.Tx(), account)
			if err != nil {
				return 0, err
			}
			total += balance
		}
		return total, nil
	}
	for _, service := range order.Services() {
		s.stores[service] = []outbox.Store[*memory.Tx]{memory.New(memory.NewDatabase())}
	}
	_, err := openTopics(ctx, log, namespace)
	return s, err
}

// balanceOf returns the balance of an account: 0 where there is none yet.
func balanceOf(tx *memory.Tx, account int) (int64, error) {
	value, found, err := tx.Get("account", strconv.Itoa(account))
	if err != nil || !found {
		return 0, err
	}
	return strconv.ParseInt(value, 10, 64)
}

// measureEmbeddedSQLite measures the embedded broker, and a SQLite file a service.
func measureEmbeddedSQLite(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	dir, err := open.tempDir()
	if err != nil {
		return err
	}
	addresses, err := open.embedded()
	if err != nil {
		return err
	}
	s := &setting[*sql.Tx]{
		namespace: b.namespace("embedded-sqlite"), stores: make(map[string][]outbox.Store[*sql.Tx]),
		update: func(ctx context.Context, tx *sql.Tx, _ string, account, delta int) error {
			_, err := tx.ExecContext(ctx, `UPDATE account SET balance = balance + ? WHERE id = ?`, delta, account)
			return err
		},
	}
	if s.log, err = open.kafka(addresses); err != nil {
		return err
	}
	databases := make(map[string]*sql.DB)
	for _, service := range order.Services() {
		db, err := open.sqlite(ctx, filepath.Join(dir, service+".db"), nil)
		if err != nil {
			return err
		}
		databases[service] = db
		store := sqlite.New(db, nil)
		if err := store.Migrate(ctx); err != nil {
			return err
		}
		s.stores[service] = []outbox.Store[*sql.Tx]{store}
	}
	s.total = func(ctx context.Context, service string) (total int64, err error) {
		err = databases[service].QueryRowContext(ctx, `SELECT sum(balance) FROM account`).Scan(&total)
		return total, err
	}
	if _, err := openTopics(ctx, s.log, s.namespace); err != nil {
		return err
	}
	return measureBursts(ctx, b, "embedded-sqlite", s, nil)
}

// sqlite opens a new database with the business table.
func (c *closers) sqlite(ctx context.Context, path string, config *sqlite.OpenConfig) (*sql.DB, error) {
	db, err := sqlite.Open(path, config)
	if err != nil {
		return nil, err
	}
	c.add(db.Close)
	if _, err := db.ExecContext(ctx, `CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)`); err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)
		INSERT INTO account SELECT i, 0 FROM n`, accounts)
	return db, err
}

// measureEmbeddedPostgres measures the embedded broker, and a schema of PostgreSQL a service.
func measureEmbeddedPostgres(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	addresses, err := open.embedded()
	if err != nil {
		return err
	}
	s, err := open.real(ctx, b.place("embedded-postgres", addresses), create)
	if err != nil {
		return err
	}
	return measureBursts(ctx, b, "embedded-postgres", s, nil)
}

// measureReal measures Apache Kafka and PostgreSQL, all services in this process, with bare
// statements beside.
func measureReal(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	s, err := open.real(ctx, b.place("real", b.brokers), create)
	if err != nil {
		return err
	}
	bare, err := open.bare(ctx, b)
	if err != nil {
		return err
	}
	return measureBursts(ctx, b, "real", s, bare)
}
