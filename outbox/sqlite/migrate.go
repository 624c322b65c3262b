package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/choreo-go/choreo/internal/migration"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate makes the tables, or brings them to this build's version. Several processes may
// call it at once: the write lock lets one do the work. It refuses a database that a
// newer build has migrated.
func (s *Store) Migrate(ctx context.Context) error {
	list, err := migration.Migrations(migrations, "migrations")
	if err == nil {
		err = s.migrate(ctx, list)
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func (s *Store) migrate(ctx context.Context, list []migration.Migration) error {
	if s.db.Stats().MaxOpenConnections == 1 {
		return errors.New("the database is limited to one connection: a unit of work and a reader need two, see SetMaxOpenConns")
	}
	if err := s.writers.enter(ctx); err != nil {
		return err
	}
	defer s.writers.leave()
	tx, err := s.beginTx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after the commit it does nothing
	if err := migration.ApplySQLite(ctx, tx, "choreo_migration", list); err != nil {
		return err
	}
	return tx.Commit()
}
