package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/postgres"
	"github.com/choreo-go/choreo/tracker/trackertest"
)

func TestTrackerOnPostgres(t *testing.T) {
	db := newOutboxDatabase(t)
	trackertest.Exercise(t, func(t *testing.T) trackertest.Harness {
		schema := db.schema(t)
		another := func(t *testing.T) tracker.Model {
			m := postgres.New(db.pool(t, nil), &postgres.Config{Schema: schema})
			require.NoError(t, m.Migrate(t.Context()))
			return m
		}
		return trackertest.Harness{Model: another(t), Another: another}
	})
}
