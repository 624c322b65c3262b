package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// TestPlans: what is asked often, or of a table that may be large, is found by an index, and
// in its order.
func TestPlans(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "service.db"), nil)
	require.NoError(t, err)
	defer db.Close()
	store := New(db, nil)
	require.NoError(t, store.Migrate(t.Context()))
	texts, sagas := store.tables.Texts(dialect), table.SagaList(nil)
	for name, c := range map[string]struct {
		query string
		args  []any
		plan  []string
		sorts int
	}{
		"due": {store.due, []any{10, sagas}, []string{
			"SEARCH choreo_step USING INDEX choreo_step_due (due_at<?)",
			"SEARCH choreo_saga USING INDEX choreo_saga_due (due_at<?)",
		}, 1}, // of what both found
		"hasten steps": {
			store.tables.Hasten(dialect, outbox.DueKind{Step: "charge"}), []any{"order", "retrying", "charge"},
			[]string{"SEARCH choreo_step USING INDEX choreo_step_due (due_at>?)"}, 0,
		},
		"hasten sagas": {
			store.tables.Hasten(dialect, outbox.DueKind{}), []any{"order", "open"},
			[]string{"SEARCH choreo_saga USING INDEX choreo_saga_open (saga=?)"}, 0,
		},
		"waiting": {store.waiting, []any{100, outbox.WaitingMax}, []string{
			"USING INDEX choreo_step_held", "USING INDEX choreo_step_due", "USING INDEX choreo_saga_due", "INDEX choreo_saga_open",
		}, 0},
		"count open":   {texts.CountOpen, []any{"order", 10}, []string{"USING COVERING INDEX choreo_saga_open (saga=?)"}, 0},
		"parked":       {texts.Parked, []any{"7", "order", 10}, []string{"USING INDEX choreo_parked_order (saga_id=? AND saga=?)"}, 0},
		"unpark":       {texts.Unpark[1], []any{sagas, 1, 2}, []string{"SEARCH choreo_parked USING INTEGER PRIMARY KEY (rowid=?)"}, 0},
		"prune parked": {store.prunes.Parked, []any{"2026", sagas}, []string{"INDEX choreo_parked_order (saga_id=? AND saga=?)"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+c.query, c.args...)
			require.NoError(t, err)
			defer rows.Close()
			var plan strings.Builder
			for rows.Next() {
				var id, parent, unused int
				var detail string
				require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
				plan.WriteString(detail + "\n")
			}
			require.NoError(t, rows.Err())
			for _, part := range c.plan {
				require.Contains(t, plan.String(), part)
			}
			// These indexes hold few of many rows: to walk one of them is no scan of the table.
			few := strings.NewReplacer("SCAN choreo_step USING INDEX choreo_step_held", "", "SCAN choreo_saga USING COVERING INDEX choreo_saga_open", "")
			require.NotContains(t, few.Replace(plan.String()), "SCAN choreo_")
			require.Equal(t, c.sorts, strings.Count(plan.String(), "ORDER BY"), plan.String())
		})
	}
}

// TestPruneLeavesParkedWithoutRows: between the look and the deletion another process took
// the saga's rows, and a unit parked a record of it anew.
func TestPruneLeavesParkedWithoutRows(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "service.db"), nil)
	require.NoError(t, err)
	defer db.Close()
	store := New(db, nil)
	require.NoError(t, store.Migrate(t.Context()))
	id := outbox.SagaID{Saga: "order", ID: "7"}
	u, err := store.Begin(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, u.Commit(t.Context(), outbox.Changes{Park: []outbox.Parked{{SagaID: id}}}))
	n, err := store.pruneSagas(t.Context(), "9999", []outbox.SagaID{id})
	require.NoError(t, err)
	require.Zero(t, n)
	u, err = store.Begin(t.Context(), id)
	require.NoError(t, err)
	list, err := u.Parked(t.Context(), id, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.NoError(t, u.Rollback(t.Context()))
}
