package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/choreo-go/choreo/internal/migration"
)

//go:embed migrations/*.sql
var migrations embed.FS

// session is a transaction for the migration: of pgx or of database/sql.
type session interface {
	exec(ctx context.Context, query string, args ...any) error
	// number returns the one number that a query yields.
	number(ctx context.Context, query string, args ...any) (int, error)
}

// Migrate makes the schema and the tables, or brings them to this build's version.
// Several processes may call it at once: a lock lets one after the other look what is left
// to do. It refuses a database that a newer build has migrated.
func (s *Store) Migrate(ctx context.Context) error {
	if n := s.pool.Config().MaxConns; n < 2 {
		return fmt.Errorf("migrate: %w", tooFew(int(n), "pool_max_conns"))
	}
	err := pgx.BeginTxFunc(ctx, s.pool, unitTx, func(tx pgx.Tx) error {
		return s.base.migrate(ctx, pgxSession{tx})
	})
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func tooFew(n int, setting string) error {
	return fmt.Errorf("the pool is limited to %d connection(s): a unit of work and the relay's claim need one each, see %s", n, setting)
}

type pgxSession struct{ tx pgx.Tx }

func (s pgxSession) exec(ctx context.Context, query string, args ...any) error {
	_, err := s.tx.Exec(ctx, query, args...)
	return err
}

func (s pgxSession) number(ctx context.Context, query string, args ...any) (n int, err error) {
	err = s.tx.QueryRow(ctx, query, args...).Scan(&n)
	return n, err
}

func (b *base) migrate(ctx context.Context, tx session) error {
	list, err := migration.Migrations(migrations, "migrations")
	if err == nil {
		err = b.checkSchema()
	}
	if err == nil {
		err = tx.exec(ctx, "SELECT pg_advisory_xact_lock($1)", b.hash("migrate"))
	}
	if err == nil {
		err = b.enterSchema(ctx, tx)
	}
	if err == nil {
		err = tx.exec(ctx, `CREATE TABLE IF NOT EXISTS choreo_migration (
			version    integer PRIMARY KEY,
			name       text NOT NULL,
			applied_at timestamptz NOT NULL DEFAULT now()
		)`)
	}
	if err != nil {
		return err
	}
	version, err := tx.number(ctx, "SELECT coalesce(max(version), 0) FROM choreo_migration")
	if err != nil {
		return err
	}
	pending, err := migration.Pending(list, version)
	if err != nil {
		return err
	}
	for _, m := range pending {
		if err := tx.exec(ctx, m.SQL); err != nil {
			return fmt.Errorf("version %d (%s): %w", m.Version, m.Name, err)
		}
		if err := tx.exec(ctx, "INSERT INTO choreo_migration (version, name) VALUES ($1, $2)", m.Version, m.Name); err != nil {
			return err
		}
	}
	return nil
}

// enterSchema lets the rest of the transaction find and make tables in the schema,
// which it makes if need be. To make one that exists would ask for a permission that
// the service may well lack.
func (b *base) enterSchema(ctx context.Context, tx session) error {
	if b.schema == "" {
		n, err := tx.number(ctx, "SELECT count(current_schema())")
		if err == nil && n == 0 {
			err = errors.New("no schema of the search_path exists: set Config.Schema, or the search_path of the connection")
		}
		return err
	}
	quoted := pgx.Identifier{b.schema}.Sanitize()
	n, err := tx.number(ctx, "SELECT count(*) FROM pg_namespace WHERE nspname = $1", b.schema)
	if err == nil && n == 0 {
		err = tx.exec(ctx, "CREATE SCHEMA "+quoted)
	}
	if err == nil {
		err = tx.exec(ctx, "SELECT set_config('search_path', $1, true)", quoted)
	}
	return err
}
