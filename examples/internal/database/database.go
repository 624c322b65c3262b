// Package database opens the database of one service, in SQLite or in PostgreSQL:
// the business tables and the service's outbox live in it side by side.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/postgres"
	"github.com/choreo-go/choreo/outbox/sqlite"
)

// Database is the database of one service.
type Database struct {
	SQL   *sql.DB
	Store outbox.Store[*sql.Tx]
}

// OpenSQLite opens a database in a file, and makes it if there is none.
func OpenSQLite(path string) (*Database, error) {
	db, err := sqlite.Open(path, nil)
	if err != nil {
		return nil, err
	}
	return &Database{SQL: db, Store: sqlite.New(db, nil)}, nil
}

// maxConnections bounds the connections of one service, so that four together stay
// below PostgreSQL's default of 100.
const maxConnections = 20

// OpenPostgres opens a schema of a PostgreSQL database and waits until the server
// answers or ctx ends.
func OpenPostgres(ctx context.Context, dsn, schema string) (*Database, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("--postgres: %w", err)
	}
	config.RuntimeParams["search_path"] = schema
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("no answer from PostgreSQL: start it, or mend --postgres: %w", err), db.Close())
	}
	return &Database{SQL: db, Store: postgres.NewSQL(db, &postgres.Config{Schema: schema})}, nil
}

// Prepare makes the outbox's tables and those of a business schema.
func (d *Database) Prepare(ctx context.Context, schema string) error {
	if err := d.Store.Migrate(ctx); err != nil {
		return err
	}
	_, err := d.SQL.ExecContext(ctx, schema+"CREATE TABLE IF NOT EXISTS saga_log (namespace TEXT PRIMARY KEY);")
	return err
}

// Namespace returns the namespace of the topics that this database belongs to: what
// was noted at the first call, which notes the proposal.
func (d *Database) Namespace(ctx context.Context, proposal string) (string, error) {
	tx, err := d.SQL.BeginTx(ctx, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = tx.Rollback() }()
	var namespace string
	switch err := tx.QueryRowContext(ctx, `SELECT namespace FROM saga_log`).Scan(&namespace); {
	case err == nil:
		return namespace, nil
	case !errors.Is(err, sql.ErrNoRows):
		return "", err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO saga_log (namespace) VALUES ($1)`, proposal); err != nil {
		return "", err
	}
	return proposal, tx.Commit()
}

// Sagas returns the ids of all sagas of a definition that this service started.
func (d *Database) Sagas(ctx context.Context, saga string) ([]string, error) {
	rows, err := d.SQL.QueryContext(ctx, `SELECT saga_id FROM choreo_saga WHERE saga = $1`, saga)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// Close closes the database.
func (d *Database) Close() error { return d.SQL.Close() }
