// Package servicetest helps the tests of the services' handlers.
package servicetest

import (
	"context"
	"database/sql"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/choreo-go/choreo/choreo"
)

// Open returns an empty database with a schema.
func Open(t *testing.T, schema string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	db.SetMaxOpenConns(1) // each connection would have a database of its own
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), schema)
	require.NoError(t, err)
	return db
}

// InTx runs a handler in a transaction, which is committed unless it fails.
func InTx(t *testing.T, db *sql.DB, handler func(ctx context.Context, tx *sql.Tx) error) error {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	if err := handler(t.Context(), tx); err != nil {
		require.NoError(t, tx.Rollback())
		return err
	}
	require.NoError(t, tx.Commit())
	return nil
}

// RequireRows compares the rows of a query, each as one text, with what is wanted.
func RequireRows(t *testing.T, db *sql.DB, query string, want ...string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var got []string
	for rows.Next() {
		var row string
		require.NoError(t, rows.Scan(&row))
		got = append(got, row)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, want, got)
}

// RequireRefused checks that an error is a refusal with a code.
func RequireRefused(t *testing.T, code string, err error) {
	t.Helper()
	var refusal *choreo.Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, choreo.ClassRefused, refusal.Class)
	require.Equal(t, code, refusal.Code)
}

// Outputs are the outputs of steps that came along, by the step's name; nil stands for
// a step that was bypassed.
type Outputs map[string]any

// Decode implements choreo.Outputs.
func (o Outputs) Decode(step string, into any) (bool, error) {
	output, ok := o[step]
	if !ok {
		return false, choreo.ErrNotCarried
	}
	if output == nil {
		return false, nil
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(output))
	return true, nil
}
