package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/sqlite"
)

// TestPruneFindsOldRows ages the first rows of a table with gaps, as former prunings leave them.
func TestPruneFindsOldRows(t *testing.T) {
	const rows = 60
	for old := 0; old <= rows; old += 12 {
		db := open(t, filepath.Join(t.TempDir(), "service.db"))
		store := sqlite.New(db, nil)
		require.NoError(t, store.Migrate(t.Context()))
		var ids []outbox.SagaID
		var changes outbox.Changes
		for i := range rows {
			id := outbox.SagaID{Saga: "order", ID: fmt.Sprint(i * 7919 % rows)}
			ids = append(ids, id)
			changes.Steps = append(changes.Steps, outbox.StepRow{SagaID: id, Step: "charge", Version: 1, Row: choreo.Row{State: choreo.RowCompleted}})
		}
		u, err := store.Begin(t.Context(), ids...)
		require.NoError(t, err)
		require.NoError(t, u.Commit(t.Context(), changes))
		for _, statement := range []string{
			"DELETE FROM choreo_step WHERE rowid % 7 = 3 OR rowid BETWEEN 20 AND 35",
			fmt.Sprintf("UPDATE choreo_step SET created_at = '2001-01-01T00:00:00.000Z', updated_at = '2001-01-02T00:00:00.000Z' WHERE rowid <= %d", old),
			"UPDATE choreo_step SET state = 'undo-failed' WHERE rowid % 5 = 1",
		} {
			_, err := db.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		var want, got int
		require.NoError(t, db.QueryRowContext(t.Context(),
			"SELECT count(*) FROM choreo_step WHERE rowid <= ? AND state = 'completed'", old).Scan(&want))
		for {
			n, err := store.Prune(t.Context(), 24*time.Hour, 4)
			require.NoError(t, err)
			require.LessOrEqual(t, n, 4)
			if n == 0 {
				break
			}
			got += n
		}
		require.Equal(t, want, got, "with %d old rows", old)
	}
}

func TestMigrationKeepsStepRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "service.db")
	db := open(t, path)
	store := sqlite.New(db, nil)
	require.NoError(t, store.Migrate(t.Context()))
	id := outbox.SagaID{Saga: "order", ID: "7"}
	u, err := store.Begin(t.Context(), id)
	require.NoError(t, err)
	row := choreo.Row{State: choreo.RowRetrying, Attempt: 2, Noted: []string{""}, Origin: choreo.Origin{Initiator: "orders"}}
	require.NoError(t, u.Commit(t.Context(), outbox.Changes{Steps: []outbox.StepRow{{SagaID: id, Step: "charge", Version: 1, Row: row, DueIn: time.Hour}}}))
	// As it was before the third version.
	for _, statement := range []string{
		"DROP TABLE choreo_parked",
		"DROP INDEX choreo_saga_open",
		"DROP INDEX choreo_step_held",
		"DROP INDEX choreo_outbox_key",
		"ALTER TABLE choreo_outbox DROP COLUMN handed_by",
		"ALTER TABLE choreo_outbox DROP COLUMN handed_until",
		"ALTER TABLE choreo_step DROP COLUMN created_at",
		"DELETE FROM choreo_migration WHERE version >= 3",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	again := sqlite.New(open(t, path), nil)
	require.NoError(t, again.Migrate(t.Context()))
	u, err = again.Begin(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, row, u.Rows(id).Steps["charge"])
	require.NoError(t, u.Rollback(t.Context()))
	var due int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM choreo_step WHERE due_at IS NOT NULL").Scan(&due))
	require.Equal(t, 1, due)
}
