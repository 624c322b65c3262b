package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/postgres"
)

// place says where services run: it is all that another process has to know.
type place struct {
	Brokers     []string `json:"brokers"`
	Postgres    string   `json:"postgres"`
	Namespace   string   `json:"namespace"`
	Schemas     string   `json:"schemas"` // begins their names, which end with the service
	Services    []string `json:"services"`
	Instances   int      `json:"instances"`
	Connections int32    `json:"connections"` // of each instance
	Wait        bool     `json:"wait"`        // see sizes
}

// place returns one for all services, with an instance of each.
func (b *bench) place(name string, brokers []string) *place {
	return &place{
		Brokers: brokers, Postgres: b.postgres, Namespace: b.namespace(name), Schemas: b.schemas(name),
		Services: order.Services(), Instances: 1, Connections: 12, Wait: b.Wait,
	}
}

// creation says whether topics and schemas are made or are there.
type creation bool

const (
	create creation = true
	attach creation = false
)

// real opens services on Kafka or an embedded broker, with a schema of PostgreSQL each.
func (c *closers) real(ctx context.Context, at *place, how creation) (*setting[pgx.Tx], error) {
	s := &setting[pgx.Tx]{namespace: at.Namespace, stores: make(map[string][]outbox.Store[pgx.Tx])}
	var err error
	if s.log, err = c.kafka(at.Brokers); err != nil {
		return nil, err
	}
	updates, pools := make(map[string]string), make(map[string]*pgxpool.Pool)
	for _, service := range at.Services {
		schema := at.Schemas + service
		updates[service] = updateAccount(schema)
		for range at.Instances {
			pool, err := c.pool(ctx, at.Postgres, at.Connections)
			if err != nil {
				return nil, err
			}
			store := postgres.New(pool, &postgres.Config{Schema: schema})
			if how == create && pools[service] == nil {
				if err := errors.Join(createSchema(ctx, pool, schema), store.Migrate(ctx)); err != nil {
					return nil, err
				}
			}
			pools[service] = pool
			s.stores[service] = append(s.stores[service], store)
		}
	}
	s.update = func(ctx context.Context, tx pgx.Tx, service string, account, delta int) error {
		if !at.Wait {
			return postgres.Queue(ctx, tx, updates[service], delta, account)
		}
		_, err := tx.Exec(ctx, updates[service], delta, account)
		return err
	}
	s.total = func(ctx context.Context, service string) (total int64, err error) {
		err = pools[service].QueryRow(ctx, fmt.Sprintf(`SELECT sum(balance)::bigint FROM %s.account`, at.Schemas+service)).Scan(&total)
		return total, err
	}
	if how == create {
		_, err = openTopics(ctx, s.log, at.Namespace)
	}
	return s, err
}

// pool opens connections to PostgreSQL.
func (c *closers) pool(ctx context.Context, dsn string, connections int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	c.add(func() error { pool.Close(); return nil })
	return pool, nil
}

// updateAccount is the business statement.
func updateAccount(schema string) string {
	return fmt.Sprintf(`UPDATE %s.account SET balance = balance + $1 WHERE id = $2`, schema)
}

// createSchema makes a schema with the business table.
func createSchema(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	_, err := pool.Exec(ctx, fmt.Sprintf(`CREATE SCHEMA %[1]s;
		CREATE TABLE %[1]s.account (id int PRIMARY KEY, balance bigint NOT NULL);
		INSERT INTO %[1]s.account SELECT i, 0 FROM generate_series(0, %[2]d) i`, schema, accounts-1))
	if err != nil {
		return fmt.Errorf("schema %s cannot be made: let --postgres name a role that may create schemas: %w", schema, err)
	}
	return nil
}

// dropSchemas drops the schemas of this run.
func (b *bench) dropSchemas(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, b.postgres)
	if err != nil {
		return fmt.Errorf("schemas bench_%s_… are left behind: %w", b.id, err)
	}
	defer func() { _ = conn.Close(ctx) }() // what counts is done
	rows, err := conn.Query(ctx, `SELECT nspname FROM pg_namespace WHERE starts_with(nspname, $1)`, "bench_"+b.id+"_")
	if err != nil {
		return err
	}
	schemas, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, schema := range schemas {
		if _, err := conn.Exec(ctx, "DROP SCHEMA "+pgx.Identifier{schema}.Sanitize()+" CASCADE"); err != nil {
			return fmt.Errorf("schema %s is left behind: %w", schema, err)
		}
	}
	return nil
}

// columns returns the columns of a table that can be written, without those in except.
func columns(ctx context.Context, pool *pgxpool.Pool, schema, table string, except ...string) ([]string, error) {
	rows, err := pool.Query(ctx, `SELECT column_name::text FROM information_schema.columns
		WHERE table_schema = $1 AND table_name = $2 AND is_generated = 'NEVER' AND is_identity = 'NO'
		ORDER BY ordinal_position`, schema, table)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(except, n) }), err
}
