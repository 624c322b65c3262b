package integration

import (
	"context"
	"crypto/rand"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

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
func removeKeys(t testing.TB, client *goredis.Client, pattern string) {
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

// TestTrackerMigration lets several processes migrate one database at once, and refuses a newer one.
func TestTrackerMigration(t *testing.T) {
	db := newOutboxDatabase(t)
	pool := db.pool(t, nil)
	var group errgroup.Group
	for range 4 {
		group.Go(func() error { return postgres.New(pool, &postgres.Config{Schema: `New "one"`}).Migrate(t.Context()) })
	}
	require.NoError(t, group.Wait())
	m := postgres.New(pool, &postgres.Config{Schema: `New "one"`})
	require.NoError(t, m.Put(t.Context(), []*tracker.Snapshot{{Saga: "order", ID: "o-1"}}, nil))
	_, err := pool.Exec(t.Context(), `INSERT INTO "New ""one""".choreo_tracker_migration (version, name) VALUES (99, 'later')`)
	require.NoError(t, err)
	require.ErrorContains(t, m.Migrate(t.Context()), "a newer build has migrated it")
}

func TestTrackerRefusesRedisOfANewerBuild(t *testing.T) {
	options, err := goredis.ParseURL(servers.Redis(t))
	require.NoError(t, err)
	client := goredis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	prefix := rand.Text()
	t.Cleanup(func() { removeKeys(t, client, "{"+prefix+"}:*") })
	require.NoError(t, client.Set(t.Context(), "{"+prefix+"}:format", "3", 0).Err())
	m := redis.New(client, &redis.Config{Prefix: prefix})
	require.ErrorContains(t, m.Put(t.Context(), []*tracker.Snapshot{{Saga: "order", ID: "o-1"}}, nil), "the data have format 3, this build knows 2")
	_, err = m.Get(t.Context(), "order", "o-1")
	require.ErrorIs(t, err, tracker.ErrNotFound, "nothing was put")
}

// TestTrackerOnRedisThatWasKilled goes on with a server that comes back: what it has lost of the
// last second, it has lost together with the positions.
func TestTrackerOnRedisThatWasKilled(t *testing.T) {
	options, err := goredis.ParseURL(servers.Redis(t))
	require.NoError(t, err)
	control := servers.RedisControl(t)
	client := goredis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	prefix := rand.Text()
	t.Cleanup(func() { removeKeys(t, client, "{"+prefix+"}:*") })
	m := redis.New(client, &redis.Config{Prefix: prefix})
	for n := range 50 {
		s := &tracker.Snapshot{Saga: "order", ID: "o-1", Offset: int64(n)}
		require.NoError(t, m.Put(t.Context(), []*tracker.Snapshot{s}, []tracker.Position{{Topic: "t", Next: int64(n) + 1}}))
	}
	require.NoError(t, control.Kill(t.Context()))
	require.Error(t, m.Put(t.Context(), []*tracker.Snapshot{{Saga: "order", ID: "o-2"}}, nil))
	require.NoError(t, control.Start(t.Context()))
	positions, err := m.Positions(t.Context(), "t")
	require.NoError(t, err)
	if len(positions) > 0 {
		s, err := m.Get(t.Context(), "order", "o-1")
		require.NoError(t, err)
		require.Equal(t, positions[0].Next-1, s.Offset)
	}
	require.NoError(t, m.Put(t.Context(), []*tracker.Snapshot{{Saga: "order", ID: "o-1", Offset: 50}}, nil))
}
