package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/outbox/postgres"
	"github.com/choreo-go/choreo/outbox/sqlite"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// measureSetting opens a setting, measures it and closes it.
//
//   - memory: log and stores in memory, which is Choreo's own cost.
//   - embedded: the embedded broker persisted to a folder, and a SQLite file a service.
//   - real: Apache Kafka and PostgreSQL, one schema a service.
func measureSetting(ctx context.Context, name string, opts *options) (figures, error) {
	switch name {
	case "memory":
		return measureMemory(ctx, opts)
	case "embedded":
		return measureEmbedded(ctx, opts)
	case "real":
		return measureReal(ctx, opts)
	}
	return figures{}, errors.New("unknown: use memory, embedded or real")
}

func measureMemory(ctx context.Context, opts *options) (figures, error) {
	log := memorylog.New(memorylog.Options{})
	defer func() { _ = log.Close() }()
	s := &setting[*memory.Tx]{
		name: "memory", log: log, stores: make(map[string]outbox.Store[*memory.Tx]),
		update: func(_ context.Context, tx *memory.Tx, _ string, account, delta int) error {
			key := strconv.Itoa(account)
			value, _, err := tx.Get("account", key)
			if err != nil {
				return err
			}
			balance, _ := strconv.Atoi(value) // absent: 0
			return tx.Put("account", key, strconv.Itoa(balance+delta))
		},
	}
	for _, service := range order.Services() {
		s.stores[service] = memory.New(memory.NewDatabase())
	}
	return measure(ctx, s, opts)
}

func measureEmbedded(ctx context.Context, opts *options) (f figures, err error) {
	dir, err := os.MkdirTemp("", "choreo-bench-")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	broker, err := embedded.Start(embedded.Config{DataDir: filepath.Join(dir, "broker")})
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	log, err := kafka.New(kafka.Config{Brokers: broker.Addresses()})
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	var databases []*sql.DB
	defer func() {
		for _, db := range databases {
			err = errors.Join(err, db.Close())
		}
	}()
	s := &setting[*sql.Tx]{
		name: "embedded", log: log, stores: make(map[string]outbox.Store[*sql.Tx]),
		update: func(ctx context.Context, tx *sql.Tx, _ string, account, delta int) error {
			_, err := tx.ExecContext(ctx, `UPDATE account SET balance = balance + ? WHERE id = ?`, delta, account)
			return err
		},
	}
	for _, service := range order.Services() {
		db, err := sqlite.Open(filepath.Join(dir, service+".db"), nil)
		if err != nil {
			return f, err
		}
		databases = append(databases, db)
		if _, err := db.ExecContext(ctx, `CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)`); err != nil {
			return f, err
		}
		if _, err := db.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)
			INSERT INTO account SELECT i, 0 FROM n`, accounts); err != nil {
			return f, err
		}
		store := sqlite.New(db, nil)
		if err := store.Migrate(ctx); err != nil {
			return f, err
		}
		s.stores[service] = store
	}
	return measure(ctx, s, opts)
}

func measureReal(ctx context.Context, opts *options) (f figures, err error) {
	var pools []*pgxpool.Pool
	defer func() {
		for _, pool := range pools {
			pool.Close()
		}
	}()
	log, err := kafka.New(kafka.Config{Brokers: opts.brokers})
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	s := &setting[pgx.Tx]{
		name: "real", log: log, stores: make(map[string]outbox.Store[pgx.Tx]),
		update: func(ctx context.Context, tx pgx.Tx, service string, account, delta int) error {
			_, err := tx.Exec(ctx, updateAccount(service), delta, account)
			return err
		},
	}
	for _, service := range order.Services() {
		pool, err := openSchema(ctx, opts.postgres, schemaOf(service), 12)
		if err != nil {
			return f, err
		}
		pools = append(pools, pool)
		store := postgres.New(pool, &postgres.Config{Schema: schemaOf(service)})
		if err := store.Migrate(ctx); err != nil {
			return f, err
		}
		s.stores[service] = store
	}
	return measure(ctx, s, opts)
}

func schemaOf(service string) string { return "bench_" + service }

// updateAccounts are the business statements, made once.
var updateAccounts = func() map[string]string {
	statements := make(map[string]string)
	for _, service := range order.Services() {
		statements[service] = fmt.Sprintf(`UPDATE %s.account SET balance = balance + $1 WHERE id = $2`, schemaOf(service))
	}
	return statements
}()

func updateAccount(service string) string { return updateAccounts[service] }

// openSchema makes an empty schema with the business table, and a pool to it.
func openSchema(ctx context.Context, dsn, schema string, connections int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, fmt.Sprintf(`DROP SCHEMA IF EXISTS %[1]s CASCADE; CREATE SCHEMA %[1]s;
		CREATE TABLE %[1]s.account (id int PRIMARY KEY, balance bigint NOT NULL);
		INSERT INTO %[1]s.account SELECT i, 0 FROM generate_series(0, %[2]d) i`, schema, accounts-1))
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("prepare schema %s: %w", schema, err)
	}
	return pool, nil
}

func isTopicExists(err error) bool { return errors.Is(err, topics.ErrTopicExists) }

func newUUID() string { return uuid.Must(uuid.NewV7()).String() }
