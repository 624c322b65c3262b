package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// onOne opens a database with a table t (n, text), and a connection to it.
func onOne(t *testing.T) (*sql.Conn, func() statements) {
	t.Helper()
	db, err := Open(filepath.Join(t.TempDir(), "service.db"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	_, err = c.ExecContext(t.Context(), "CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT NOT NULL)")
	require.NoError(t, err)
	return c, func() (kept statements) {
		require.NoError(t, c.Raw(func(driver any) error { kept = driver.(*conn).idle; return nil }))
		return kept
	}
}

const (
	insertText = "INSERT INTO t VALUES ($1, $2)"
	selectText = "SELECT n, text FROM t WHERE n > $1 ORDER BY n"
)

func TestStatementsAreKept(t *testing.T) {
	c, kept := onOne(t)
	require.Empty(t, kept(), "what makes tables is not run twice")
	for n := range 3 {
		_, err := c.ExecContext(t.Context(), insertText, n, "x")
		require.NoError(t, err)
		require.Len(t, kept(), 1)
	}
	statement := kept()[insertText]
	_, err := c.ExecContext(t.Context(), insertText, 2, "x")
	require.ErrorContains(t, err, "UNIQUE")
	_, err = c.ExecContext(t.Context(), insertText, 3, "x")
	require.NoError(t, err, "a statement that failed can be run again")
	require.Same(t, statement, kept()[insertText])
	_, err = c.ExecContext(t.Context(), insertText, 4)
	require.ErrorContains(t, err, "missing", "no argument is left from before")
}

// TestStatementsRunWhileTheyAreRead: a query within the reading of the same query has a
// statement of its own.
func TestStatementsRunWhileTheyAreRead(t *testing.T) {
	c, kept := onOne(t)
	tx, err := c.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for n := range 4 {
		_, err := tx.ExecContext(t.Context(), insertText, n, "x")
		require.NoError(t, err)
	}
	read := func(rows *sql.Rows) (n int, text string) {
		require.True(t, rows.Next())
		require.NoError(t, rows.Scan(&n, &text))
		return n, text
	}
	outer, err := tx.QueryContext(t.Context(), selectText, 0)
	require.NoError(t, err)
	for want := 1; want < 4; want++ {
		n, _ := read(outer)
		require.Equal(t, want, n)
		inner, err := tx.QueryContext(t.Context(), selectText, -1)
		require.NoError(t, err)
		n, _ = read(inner)
		require.Equal(t, 0, n)
		require.NoError(t, inner.Close()) // before its end
	}
	require.False(t, outer.Next())
	require.NoError(t, outer.Close())
	require.NoError(t, tx.Commit())
	types, err := c.QueryContext(t.Context(), selectText, -1)
	require.NoError(t, err)
	columns, err := types.ColumnTypes()
	require.NoError(t, err)
	require.Equal(t, "TEXT", columns[1].DatabaseTypeName())
	require.NoError(t, types.Close())
	require.Len(t, kept(), 2)
}

func TestStatementsFollowTheirTables(t *testing.T) {
	c, _ := onOne(t)
	const all = "SELECT * FROM t WHERE n >= $1"
	columns := func() []string {
		rows, err := c.QueryContext(t.Context(), all, 0)
		require.NoError(t, err)
		defer rows.Close()
		names, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
		}
		require.NoError(t, rows.Err())
		return names
	}
	_, err := c.ExecContext(t.Context(), insertText, 1, "x")
	require.NoError(t, err)
	require.Equal(t, []string{"n", "text"}, columns())
	_, err = c.ExecContext(t.Context(), "ALTER TABLE t ADD COLUMN more TEXT")
	require.NoError(t, err)
	require.Equal(t, []string{"n", "text", "more"}, columns())
	_, err = c.ExecContext(t.Context(), "DROP TABLE t")
	require.NoError(t, err, "a statement that is kept holds no lock")
	err = c.QueryRowContext(t.Context(), all, 0).Scan(new(int))
	require.ErrorContains(t, err, "no such table")
	_, err = c.ExecContext(t.Context(), "CREATE TABLE t (n INTEGER)")
	require.NoError(t, err)
	require.Equal(t, []string{"n"}, columns())
}

func TestStatementsAreBounded(t *testing.T) {
	c, kept := onOne(t)
	for n := range 3 * maxCached {
		var got int
		require.NoError(t, c.QueryRowContext(t.Context(), fmt.Sprintf("SELECT %d + $1", n), 1).Scan(&got))
		require.Equal(t, n+1, got)
		require.LessOrEqual(t, len(kept()), maxCached)
	}
	require.NotEmpty(t, kept())
}
