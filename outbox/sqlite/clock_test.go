package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/sqlite"
)

// Rows fall due by the clock that the store was given, not by the process's.
func TestRowsFallDueByTheGivenClock(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "clock.db"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), "CREATE TABLE clock (now INTEGER)")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "INSERT INTO clock VALUES (0)")
	require.NoError(t, err)
	store := sqlite.New(db, &sqlite.Config{Clock: "(SELECT now FROM clock)"})
	require.NoError(t, store.Migrate(t.Context()))

	saga := outbox.SagaID{Saga: "order", ID: "1"}
	unit, err := store.Begin(t.Context(), saga)
	require.NoError(t, err)
	require.NoError(t, unit.Commit(t.Context(), outbox.Changes{Steps: []outbox.StepRow{{
		SagaID: saga, Step: "charge", Version: 1, Row: choreo.Row{State: choreo.RowRetrying}, DueIn: time.Hour,
	}}}))
	dueAt := func(now time.Duration) int {
		_, err := db.ExecContext(t.Context(), "UPDATE clock SET now = $1", now.Microseconds())
		require.NoError(t, err)
		due, err := store.Due(t.Context(), outbox.DueQuery{Limit: 10})
		require.NoError(t, err)
		return len(due)
	}
	require.Zero(t, dueAt(time.Hour-time.Second))
	require.Equal(t, 1, dueAt(time.Hour))
}
