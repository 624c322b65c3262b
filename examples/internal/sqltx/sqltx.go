// Package sqltx holds the few helpers that the services' statements share. All
// statements are written so that SQLite and PostgreSQL both take them.
package sqltx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/choreo-go/choreo/choreo"
)

// Exec runs a statement and returns how many rows it changed.
func Exec(ctx context.Context, tx *sql.Tx, query string, args ...any) (int64, error) {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// ExecOne runs a statement that must change exactly one row. Where it changes
// another number the data are not as the saga left them, which no retry will mend.
func ExecOne(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
	n, err := Exec(ctx, tx, query, args...)
	if err == nil && n != 1 {
		err = choreo.Permanent(fmt.Errorf("%d rows changed instead of one by: %s", n, query))
	}
	return err
}

// LoadOnce calls load in a transaction unless marker, a table that load fills, has
// rows already. It reports whether it called load.
func LoadOnce(ctx context.Context, db *sql.DB, marker string, load func(*sql.Tx) error) (bool, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }()
	var one int
	switch err := tx.QueryRowContext(ctx, "SELECT 1 FROM "+marker+" LIMIT 1").Scan(&one); {
	case err == nil:
		return false, nil
	case !errors.Is(err, sql.ErrNoRows):
		return false, err
	}
	if err := load(tx); err != nil {
		return false, err
	}
	return true, tx.Commit()
}
