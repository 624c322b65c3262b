package postgres

import (
	"context"
	"fmt"

	"github.com/choreo-go/choreo/internal/migration"
)

// Version returns the version of the tables in the database, 0 where there are none, and the one
// that [Store.Migrate] of this build brings them to. It changes nothing.
func (s *Store) Version(ctx context.Context) (have, want int, err error) {
	list, err := migration.Migrations(migrations, "migrations")
	if err == nil {
		err = s.base.checkSchema()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("version: %w", err)
	}
	want = list[len(list)-1].Version
	name := s.base.tables.Migration
	var there bool
	err = s.pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&there)
	if err == nil && there {
		err = s.pool.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+name).Scan(&have)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("version: %w", err)
	}
	return have, want, nil
}
