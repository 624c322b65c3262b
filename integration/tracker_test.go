package integration

import (
	"context"
	"crypto/rand"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/postgres"
	"github.com/choreo-go/choreo/tracker/redis"
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

func TestTrackerOnRedis(t *testing.T) {
	options, err := goredis.ParseURL(servers.Redis(t))
	require.NoError(t, err)
	client := func(t *testing.T) *goredis.Client {
		c := goredis.NewClient(options)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		return c
	}
	trackertest.Exercise(t, func(t *testing.T) trackertest.Harness {
		config := redis.Config{Prefix: "test " + rand.Text()}
		first := client(t)
		t.Cleanup(func() { removeKeys(t, first, "{"+config.Prefix+"}:*") })
		return trackertest.Harness{
			Model:   redis.New(first, &config),
			Another: func(t *testing.T) tracker.Model { return redis.New(client(t), &config) },
		}
	})
}

// removeKeys removes what a test has left.
func removeKeys(t *testing.T, client *goredis.Client, pattern string) {
	t.Helper()
	ctx := context.Background() // the test's own has ended
	var keys []string
	all := client.Scan(ctx, 0, pattern, 1000).Iterator()
	for all.Next(ctx) {
		keys = append(keys, all.Val())
	}
	require.NoError(t, all.Err())
	for len(keys) > 0 {
		n := min(len(keys), 1000)
		require.NoError(t, client.Unlink(ctx, keys[:n]...).Err())
		keys = keys[n:]
	}
}
