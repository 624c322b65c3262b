package sqlite

import (
	"context"
	"fmt"

	"github.com/choreo-go/choreo/internal/migration"
)

// Version returns the version of the tables in the database, 0 where there are none, and the one
// that [Store.Migrate] of this build brings them to. It changes nothing.
func (s *Store) Version(ctx context.Context) (have, want int, err error) {
	list, err := migration.Migrations(migrations, "migrations")
	if err != nil {
		return 0, 0, fmt.Errorf("version: %w", err)
	}
	want = list[len(list)-1].Version
	var tables int
	err = s.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'choreo_migration'").Scan(&tables)
	if err == nil && tables > 0 {
		err = s.db.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM choreo_migration").Scan(&have)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("version: %w", err)
	}
	return have, want, nil
}
