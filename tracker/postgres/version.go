package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/choreo-go/choreo/internal/migration"
)

// Version returns the version of the tables in the database, 0 where there are none, and the one
// that [Model.Migrate] of this build brings them to. It changes nothing.
func (m *Model) Version(ctx context.Context) (have, want int, err error) {
	list, err := migration.Migrations(migrations, "migrations")
	if err != nil {
		return 0, 0, fail("version", err)
	}
	want = list[len(list)-1].Version
	name := "choreo_tracker_migration"
	if m.schema != "" {
		name = pgx.Identifier{m.schema}.Sanitize() + "." + name
	}
	var there bool
	err = m.pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&there)
	if err == nil && there {
		err = m.pool.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+name).Scan(&have)
	}
	if err != nil {
		return 0, 0, fail("version", err)
	}
	return have, want, nil
}
