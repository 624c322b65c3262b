package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/sqlite"
	"github.com/choreo-go/choreo/tracker/trackertest"
)

func open(t *testing.T, path string) tracker.Model {
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

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	_, err := sqlite.Open(":memory:")
	require.ErrorContains(t, err, "no path of a file")
}
