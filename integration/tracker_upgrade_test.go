package integration

import (
	"crypto/rand"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/postgres"
	"github.com/choreo-go/choreo/tracker/redis"
)

// upgradable are sagas of which one is unknown, and one looks like it.
func upgradable() []*tracker.Snapshot {
	ended := time.Unix(9, 0)
	return []*tracker.Snapshot{
		{Saga: "order", ID: "o-1", Version: 1, Status: "running", StartedAt: time.Unix(1, 0), UpdatedAt: time.Unix(7, 0), Offset: 9, Unknown: true},
		{Saga: "order", ID: "o-2", Version: 1, Status: "completed", StartedAt: time.Unix(2, 0), EndedAt: &ended, Offset: 9},
		{
			Saga: "order", ID: "o-3", Version: 1, Status: "running", StartedAt: time.Unix(3, 0), UpdatedAt: time.Unix(6, 0), Offset: 9,
			Tags: map[string]string{"a": `"definition_unknown":true`, "nul": "\x00"},
		},
	}
}

// isUpgraded checks that the model knows of each saga whether it is unknown.
func isUpgraded(t *testing.T, m tracker.Model) {
	t.Helper()
	for _, s := range upgradable() {
		older := *s
		older.Offset, older.Unknown = 5, false
		require.NoError(t, m.Put(t.Context(), []*tracker.Snapshot{&older}, nil))
		got, err := m.Get(t.Context(), s.Saga, s.ID)
		require.NoError(t, err)
		require.Equal(t, s.Unknown, got.Offset == 5, s.ID)
	}
}

func statusCounts(t *testing.T, m tracker.Model) []tracker.Count {
	t.Helper()
	counts, err := m.Count(t.Context(), tracker.Filter{}, tracker.GroupStatus)
	require.NoError(t, err)
	return counts
}

// TestTrackerMigrationCountsWhatIsThere takes back what the second migration did, and migrates again.
func TestTrackerMigrationCountsWhatIsThere(t *testing.T) {
	pool := newOutboxDatabase(t).pool(t, nil)
	m := postgres.New(pool, nil)
	require.NoError(t, m.Migrate(t.Context()))
	require.NoError(t, m.Put(t.Context(), upgradable(), nil))
	counts := statusCounts(t, m)
	run := func(statement string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	run("DROP FUNCTION choreo_tracker_saga_count CASCADE") // and its triggers
	run("DROP TABLE choreo_tracker_count")
	run("DROP INDEX choreo_tracker_saga_open")
	run("ALTER TABLE choreo_tracker_saga DROP COLUMN unknown")
	run("DELETE FROM choreo_tracker_migration WHERE version = 2")
	require.NoError(t, m.Migrate(t.Context()))
	require.Equal(t, counts, statusCounts(t, m))
	isUpgraded(t, m)

	// A build that knows nothing of the counts may still be running.
	run("UPDATE choreo_tracker_saga SET status = 'failed' WHERE id = 'o-3'")
	run("DELETE FROM choreo_tracker_saga WHERE id = 'o-1'")
	at := time.Unix(3, 0).UTC()
	require.Equal(t, []tracker.Count{{Key: "completed", Count: 1}, {Key: "failed", Count: 1, Oldest: &at}}, statusCounts(t, m))
}

// TestTrackerAddsCountsUp puts often: the table of counts stays as short as there are classes.
func TestTrackerAddsCountsUp(t *testing.T) {
	pool := newOutboxDatabase(t).pool(t, nil)
	m := postgres.New(pool, nil)
	require.NoError(t, m.Migrate(t.Context()))
	for n := range 300 {
		s := &tracker.Snapshot{Saga: "order", ID: "o-1", Version: 1 + n, Status: "running", Offset: int64(n)}
		require.NoError(t, m.Put(t.Context(), []*tracker.Snapshot{s}, nil))
	}
	var rows int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM choreo_tracker_count").Scan(&rows))
	require.Less(t, rows, 2*64)
	require.Len(t, statusCounts(t, m), 1)
}

// older turns data into those of format 1, which had no classes and no sets by update.
const older = `
local prefix = KEYS[1]
for _, name in ipairs(ARGV) do
	local saga = prefix .. 'saga:' .. name
	local kept = {}
	local list = cmsgpack.unpack(redis.call('HGET', saga, 'entries'))
	for i = 1, #list, 2 do
		if string.sub(list[i], 1, 3) == 'x:k' or string.sub(list[i], 1, 2) == 'y:' then
			redis.call('DEL', prefix .. list[i])
		else
			kept[#kept + 1], kept[#kept + 2] = list[i], list[i + 1]
		end
	end
	redis.call('HSET', saga, 'entries', cmsgpack.pack(kept))
end
redis.call('DEL', prefix .. 'values:k')
redis.call('SET', prefix .. 'format', '1')
return 'done'`

func TestTrackerUpgradesRedis(t *testing.T) {
	options, err := goredis.ParseURL(servers.Redis(t))
	require.NoError(t, err)
	client := goredis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	prefix := rand.Text()
	t.Cleanup(func() { removeKeys(t, client, "{"+prefix+"}:*") })
	m := redis.New(client, &redis.Config{Prefix: prefix})
	require.NoError(t, m.Put(t.Context(), upgradable(), nil))
	counts := statusCounts(t, m)
	updated := func() (ids []string) {
		t.Helper()
		page, err := m.List(t.Context(), tracker.Query{Filter: tracker.Filter{Statuses: []choreo.Status{choreo.StatusRunning}}, Order: tracker.ByUpdated})
		require.NoError(t, err)
		for _, s := range page.Sagas {
			ids = append(ids, s.ID)
		}
		return ids
	}
	require.Equal(t, []string{"o-3", "o-1"}, updated())
	names := []any{"order\x00o-1", "order\x00o-2", "order\x00o-3"}
	require.NoError(t, client.Eval(t.Context(), older, []string{"{" + prefix + "}:"}, names...).Err())
	require.Equal(t, counts, statusCounts(t, m), "answers are right before the upgrade")
	require.Equal(t, []string{"o-3", "o-1"}, updated())

	require.NoError(t, m.Put(t.Context(), nil, []tracker.Position{{Topic: "t", Next: 4}}))
	require.Equal(t, "2", client.Get(t.Context(), "{"+prefix+"}:format").Val())
	require.Equal(t, counts, statusCounts(t, m))
	require.Equal(t, []string{"o-3", "o-1"}, updated())
	positions, err := m.Positions(t.Context(), "t")
	require.NoError(t, err)
	require.Equal(t, []tracker.Position{{Topic: "t", Next: 4}}, positions, "what was to be put is put")
	isUpgraded(t, m)
}
