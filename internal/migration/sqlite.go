package migration

import (
	"context"
	"database/sql"
	"fmt"
)

// ApplySQLite brings the tables of an SQLite database to the last migration of the list, in the
// caller's transaction. The table holds what was applied; it is made where it is missing. The error
// is that of [Pending] where a newer build has been there.
func ApplySQLite(ctx context.Context, tx *sql.Tx, table string, list []Migration) error {
	_, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+table+` (
		version    INTEGER PRIMARY KEY,
		name       TEXT NOT NULL,
		applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
	) STRICT`)
	if err != nil {
		return err
	}
	var version int
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM "+table).Scan(&version); err != nil {
		return err
	}
	pending, err := Pending(list, version)
	if err != nil {
		return err
	}
	for _, m := range pending {
		if _, err := tx.ExecContext(ctx, m.SQL); err != nil {
			return fmt.Errorf("version %d (%s): %w", m.Version, m.Name, err)
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (version, name) VALUES (?1, ?2)", m.Version, m.Name); err != nil {
			return err
		}
	}
	return nil
}
