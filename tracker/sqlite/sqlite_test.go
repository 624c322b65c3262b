package sqlite_test

import (
	"path/filepath"
	"testing"

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
