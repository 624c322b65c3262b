package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	outbox "github.com/choreo-go/choreo/outbox/sqlite"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/sqlite"
	"github.com/choreo-go/choreo/tracker/trackertest"
)

func open(t *testing.T, path string) *sqlite.Model {
	t.Helper()
	m, err := sqlite.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	require.NoError(t, m.Migrate(t.Context()))
	return m
}

func TestModel(t *testing.T) {
	trackertest.Exercise(t, func(t *testing.T) trackertest.Harness {
		path := filepath.Join(t.TempDir(), "tracker.db")
		return trackertest.Harness{
			Model:   open(t, path),
			Another: func(t *testing.T) tracker.Model { return open(t, path) },
		}
	})
}

// TestModelThatWalks asks the same of the ways to read that a test's few sagas do not need.
func TestModelThatWalks(t *testing.T) {
	trackertest.Exercise(t, func(t *testing.T) trackertest.Harness {
		m := open(t, filepath.Join(t.TempDir(), "tracker.db"))
		m.Walk()
		return trackertest.Harness{Model: m}
	})
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	_, err := sqlite.Open(":memory:")
	require.ErrorContains(t, err, "no path of a file")
}

func TestMigrateTwiceAndRefusesNewer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tracker.db")
	open(t, path)
	m, err := sqlite.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	require.NoError(t, m.Migrate(t.Context()))

	db, err := outbox.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), "INSERT INTO choreo_tracker_migration (version, name) VALUES (99, 'later')")
	require.NoError(t, err)
	require.ErrorContains(t, m.Migrate(t.Context()), "a newer build has migrated it")
}

// TestReopened finds after a restart what was put before.
func TestReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tracker.db")
	m, err := sqlite.Open(path)
	require.NoError(t, err)
	require.NoError(t, m.Migrate(t.Context()))
	require.NoError(t, m.Put(t.Context(), []*tracker.Snapshot{{Saga: "order", ID: "o-1"}}, []tracker.Position{{Topic: "t", Next: 4}}))
	require.NoError(t, m.Close())

	again := open(t, path)
	_, err = again.Get(t.Context(), "order", "o-1")
	require.NoError(t, err)
	positions, err := again.Positions(t.Context(), "t")
	require.NoError(t, err)
	require.Equal(t, []tracker.Position{{Topic: "t", Next: 4}}, positions)
}

// TestMigrationCountsWhatIsThere takes back what the second migration did, and migrates again.
func TestMigrationCountsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tracker.db")
	m := open(t, path)
	ended := time.Unix(9, 0)
	sagas := []*tracker.Snapshot{
		{Saga: "order", ID: "o-1", Version: 1, Status: "running", StartedAt: time.Unix(1, 0), Offset: 9, Unknown: true},
		{Saga: "order", ID: "o-2", Version: 1, Status: "completed", StartedAt: time.Unix(2, 0), EndedAt: &ended, Offset: 9},
		{Saga: "order", ID: "o-3", Version: 1, Status: "running", StartedAt: time.Unix(3, 0), Offset: 9, Tags: map[string]string{"a": `"definition_unknown":true`}},
	}
	require.NoError(t, m.Put(t.Context(), sagas, nil))
	counts, err := m.Count(t.Context(), tracker.Filter{}, tracker.GroupStatus)
	require.NoError(t, err)

	db, err := outbox.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	run := func(statement string) {
		t.Helper()
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	for _, of := range []string{
		"TRIGGER choreo_tracker_saga_added", "TRIGGER choreo_tracker_saga_changed", "TRIGGER choreo_tracker_saga_removed",
		"INDEX choreo_tracker_saga_open", "TABLE choreo_tracker_count",
	} {
		run("DROP " + of)
	}
	run("ALTER TABLE choreo_tracker_saga DROP COLUMN unknown")
	run("DELETE FROM choreo_tracker_migration WHERE version = 2")
	require.NoError(t, m.Migrate(t.Context()))
	again, err := m.Count(t.Context(), tracker.Filter{}, tracker.GroupStatus)
	require.NoError(t, err)
	require.Equal(t, counts, again)

	// Which of them are unknown is told from their JSON.
	for _, s := range sagas {
		older := *s
		older.Offset, older.Unknown = 5, false
		require.NoError(t, m.Put(t.Context(), []*tracker.Snapshot{&older}, nil))
		got, err := m.Get(t.Context(), s.Saga, s.ID)
		require.NoError(t, err)
		require.Equal(t, s.Unknown, got.Offset == 5, s.ID)
	}

	// A build that knows nothing of the counts may still be running.
	run("UPDATE choreo_tracker_saga SET status = x'6661696c6564' WHERE id = CAST('o-3' AS BLOB)")
	run("DELETE FROM choreo_tracker_saga WHERE id = CAST('o-1' AS BLOB)")
	again, err = m.Count(t.Context(), tracker.Filter{}, tracker.GroupStatus)
	require.NoError(t, err)
	at := time.Unix(3, 0).UTC()
	require.Equal(t, []tracker.Count{{Key: "completed", Count: 1}, {Key: "failed", Count: 1, Oldest: &at}}, again)
}
