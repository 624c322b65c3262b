// Package servicetest helps the tests of the services' handlers.
package servicetest

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/order/contract"
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

// Created is what came along of an order.
type Created contract.OrderCreated

// Decode implements choreo.Outputs.
func (c Created) Decode(step string, into any) (bool, error) {
	if step != contract.CreateOrder.Name() {
		return false, choreo.ErrNotCarried
	}
	*into.(*contract.OrderCreated) = contract.OrderCreated(c)
	return true, nil
}
