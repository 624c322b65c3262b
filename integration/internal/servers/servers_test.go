package servers

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// This test sees to the harness itself on real servers; what they are for is tested
// in package integration.
func TestRealServers(t *testing.T) {
	t.Run("every database is new", func(t *testing.T) {
		for range 2 {
			conn, err := pgx.Connect(t.Context(), Postgres(t))
			require.NoError(t, err)
			_, err = conn.Exec(t.Context(), "CREATE TABLE one_of_a_kind (x int)")
			require.NoError(t, err)
			require.NoError(t, conn.Close(t.Context()))
		}
	})
	t.Run("a database is dropped", func(t *testing.T) {
		var dsn string
		t.Run("use", func(t *testing.T) {
			dsn = Postgres(t)
			conn, err := pgx.Connect(t.Context(), dsn)
			require.NoError(t, err)
			require.NoError(t, conn.Ping(t.Context())) // and is left open
		})
		if dsn == "" {
			t.Skip("no server")
		}
		_, err := pgx.Connect(t.Context(), dsn)
		require.ErrorContains(t, err, "does not exist")
	})
	t.Run("Kafka answers", func(t *testing.T) {
		conn, err := kafka.DialContext(t.Context(), "tcp", Kafka(t)[0])
		require.NoError(t, err)
		brokers, err := conn.Brokers()
		require.NoError(t, err)
		require.NotEmpty(t, brokers)
		require.NoError(t, conn.Close())
	})
	t.Run("the schema registry comes back after a kill", func(t *testing.T) {
		url, control := Registry(t), RegistryControl(t)
		img, err := registryContainer()
		require.NoError(t, err)
		require.NoError(t, img.ready(t.Context(), url))
		require.NoError(t, control.Kill(t.Context()))
		require.Error(t, img.ready(t.Context(), url))
		require.NoError(t, control.Start(t.Context()))
		require.NoError(t, img.waitReady(t.Context(), url))
	})
	t.Run("Kafka comes back after a kill", func(t *testing.T) {
		broker, control := Kafka(t)[0], KafkaControl(t)
		require.NoError(t, control.Kill(t.Context()))
		_, err := kafka.DialContext(t.Context(), "tcp", broker)
		require.Error(t, err)
		require.NoError(t, control.Start(t.Context()))
		conn, err := kafka.DialContext(t.Context(), "tcp", broker)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	})
	t.Run("PostgreSQL comes back after a kill and a restart", func(t *testing.T) {
		dsn, control := Postgres(t), PostgresControl(t)
		conn, err := pgx.Connect(t.Context(), dsn)
		require.NoError(t, err)
		require.NoError(t, control.Kill(t.Context()))
		require.Error(t, conn.Ping(t.Context()))
		require.NoError(t, control.Start(t.Context()))
		require.NoError(t, control.Restart(t.Context()))
		conn, err = pgx.Connect(t.Context(), dsn)
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
	})
}
