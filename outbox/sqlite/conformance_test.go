package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/outboxtest"
	"github.com/choreo-go/choreo/outbox/sqlite"
)

// open opens a database that is closed at the end of the test.
func open(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sqlite.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestConformance(t *testing.T) {
	outboxtest.Exercise(t, func(t *testing.T) outboxtest.Harness[*sql.Tx] {
		path := filepath.Join(t.TempDir(), "service.db")
		db, other := open(t, path), open(t, path)
		_, err := other.ExecContext(t.Context(), "CREATE TABLE users_own (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
		require.NoError(t, err)
		return outboxtest.Harness[*sql.Tx]{
			Store:     sqlite.New(db, nil),
			Another:   func(t *testing.T) outbox.Store[*sql.Tx] { return sqlite.New(open(t, path), nil) },
			OneWriter: true, ClaimsPerProcess: true,
			Transact: func(ctx context.Context, fn func(*sql.Tx) error) error {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				if err := fn(tx); err != nil {
					return errors.Join(err, tx.Rollback())
				}
				return tx.Commit()
			},
			Put: func(ctx context.Context, tx *sql.Tx, key, value string) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO users_own VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, value)
				return err
			},
			Get: func(ctx context.Context, key string) (string, error) {
				var value string
				err := other.QueryRowContext(ctx, "SELECT value FROM users_own WHERE key = ?", key).Scan(&value)
				if errors.Is(err, sql.ErrNoRows) {
					err = nil
				}
				return value, err
			},
		}
	})
}
