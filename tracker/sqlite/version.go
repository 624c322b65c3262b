package sqlite

import (
	"context"

	"github.com/choreo-go/choreo/internal/migration"
)

// Version returns the version of the tables in the file, 0 where there are none, and the one that
// [Model.Migrate] of this build brings them to. It changes nothing.
func (m *Model) Version(ctx context.Context) (have, want int, err error) {
	list, err := migration.Migrations(migrations, "migrations")
	if err != nil {
		return 0, 0, fail("version", err)
	}
	want = list[len(list)-1].Version
	var tables int
	err = m.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'choreo_tracker_migration'").Scan(&tables)
	if err == nil && tables > 0 {
		err = m.db.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM choreo_tracker_migration").Scan(&have)
	}
	if err != nil {
		return 0, 0, fail("version", err)
	}
	return have, want, nil
}
