package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/jackc/pgx/v5"

	"github.com/choreo-go/choreo/internal/migration"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate makes the schema and the tables, or brings them to this build's version. Several
// processes may call it at once: a lock lets one after the other look what is left to do. It
// refuses a database that a newer build has migrated.
func (m *Model) Migrate(ctx context.Context) error {
	err := pgx.BeginTxFunc(ctx, m.pool, writeTx, func(tx pgx.Tx) error { return m.migrate(ctx, tx) })
	if err != nil {
		return fail("migrate", err)
	}
	return nil
}

func (m *Model) migrate(ctx context.Context, tx pgx.Tx) error {
	list, err := migration.Migrations(migrations, "migrations")
	if err == nil {
		_, err = tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", m.lock())
	}
	if err == nil {
		err = m.enterSchema(ctx, tx)
	}
	if err == nil {
		_, err = tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS choreo_tracker_migration (
			version    integer PRIMARY KEY,
			name       text NOT NULL,
			applied_at timestamptz NOT NULL DEFAULT now()
		)`)
	}
	if err != nil {
		return err
	}
	var version int
	if err := tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM choreo_tracker_migration").Scan(&version); err != nil {
		return err
	}
	pending, err := migration.Pending(list, version)
	if err != nil {
		return err
	}
	for _, step := range pending {
		if _, err := tx.Exec(ctx, step.SQL); err != nil {
			return fmt.Errorf("version %d (%s): %w", step.Version, step.Name, err)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO choreo_tracker_migration (version, name) VALUES ($1, $2)", step.Version, step.Name); err != nil {
			return err
		}
	}
	return nil
}

// lock names the advisory lock of this schema.
func (m *Model) lock() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("choreo-tracker\x00" + m.schema)) // it never fails
	return int64(h.Sum64())                                 //nolint:gosec // any 64 bits will do
}

// enterSchema lets the rest of the transaction find and make tables in the schema, which it makes
// if need be. To make one that exists would ask for a permission that the tracker may lack.
func (m *Model) enterSchema(ctx context.Context, tx pgx.Tx) error {
	var n int
	if m.schema == "" {
		err := tx.QueryRow(ctx, "SELECT count(current_schema())").Scan(&n)
		if err == nil && n == 0 {
			err = errors.New("no schema of the search_path exists: set Config.Schema, or the search_path of the connection")
		}
		return err
	}
	quoted := pgx.Identifier{m.schema}.Sanitize()
	err := tx.QueryRow(ctx, "SELECT count(*) FROM pg_namespace WHERE nspname = $1", m.schema).Scan(&n)
	if err == nil && n == 0 {
		_, err = tx.Exec(ctx, "CREATE SCHEMA "+quoted)
	}
	if err == nil {
		_, err = tx.Exec(ctx, "SELECT set_config('search_path', $1, true)", quoted)
	}
	return err
}
