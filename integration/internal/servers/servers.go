package servers

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// startTimeout bounds the choice of a server: a container's image may have to be
// pulled, and Kafka's class path to be resolved.
const startTimeout = 5 * time.Minute

// pool holds the servers of this process; each is chosen at its first use.
var pool = struct{ kafka, postgres, registry, redis lazyServer }{
	kafka:    lazyServer{choice: kafkaChoice},
	postgres: lazyServer{choice: postgresChoice},
	registry: lazyServer{choice: registryChoice},
	redis:    lazyServer{choice: redisChoice},
}

type lazyServer struct {
	choice func() choice
	once   sync.Once
	server *server
	err    error
}

func (l *lazyServer) get() (*server, error) {
	l.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		l.server, l.err = l.choice().choose(ctx)
	})
	return l.server, l.err
}

// need returns the server, or skips or fails the test.
func (l *lazyServer) need(t testing.TB) *server {
	t.Helper()
	s, err := l.get()
	if err != nil {
		giveUp(t, err.Error())
	}
	return s
}

// giveUp skips the test, or fails it where skipping is not allowed.
func giveUp(t testing.TB, why string) {
	t.Helper()
	if required() {
		t.Fatal(why)
	}
	t.Skip(why)
}

func required() bool { return os.Getenv("CHOREO_TEST_REQUIRE_SERVERS") == "1" }

// Kafka returns the addresses of a real Apache Kafka, or skips the test. It does not
// create topics by itself.
func Kafka(t testing.TB) []string {
	t.Helper()
	return strings.Split(pool.kafka.need(t).address, ",")
}

// Postgres returns the connection string of a new, empty database on a real
// PostgreSQL, or skips the test. The database is dropped when the test ends, along
// with the connections that are still open to it.
func Postgres(t testing.TB) string {
	t.Helper()
	return newDatabase(t, pool.postgres.need(t).address)
}

// Registry returns the URL of a real schema registry with Confluent's API, or skips the test. It
// asks for no compatibility by itself.
func Registry(t testing.TB) string {
	t.Helper()
	return pool.registry.need(t).address
}

// Redis returns the URL of a real Redis, or skips the test. Tests share its keys and bring a prefix
// of their own.
func Redis(t testing.TB) string {
	t.Helper()
	return pool.redis.need(t).address
}

// KafkaControl returns the control of the broker that [Kafka] returns, or skips the
// test where it may not be stopped. When the test ends, the broker is started if it
// does not run.
func KafkaControl(t testing.TB) *Control {
	t.Helper()
	return control(t, pool.kafka.need(t), kafkaName, "CHOREO_TEST_KAFKA_CONTROL")
}

// PostgresControl is the same for the server that [Postgres] returns. Call it after
// Postgres: the server is then up again when the database is dropped.
func PostgresControl(t testing.TB) *Control {
	t.Helper()
	return control(t, pool.postgres.need(t), postgresName, "CHOREO_TEST_POSTGRES_CONTROL")
}

// RegistryControl is the same for the registry that [Registry] returns.
func RegistryControl(t testing.TB) *Control {
	t.Helper()
	return control(t, pool.registry.need(t), registryName, "CHOREO_TEST_REGISTRY_CONTROL")
}

// RedisControl is the same for the server that [Redis] returns.
func RedisControl(t testing.TB) *Control {
	t.Helper()
	return control(t, pool.redis.need(t), redisName, "CHOREO_TEST_REDIS_CONTROL")
}

func control(t testing.TB, s *server, name, variable string) *Control {
	t.Helper()
	if s.control == nil {
		giveUp(t, fmt.Sprintf("this test stops and starts %s, which others may be using: run \"make integration\", "+
			"or set %s to a program that takes the arguments start, stop and kill", name, variable))
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		if err := s.control.Start(ctx); err != nil {
			t.Errorf("%s is not up again after the test: %v", name, err)
		}
	})
	return s.control
}

// Main runs the tests of a package and then removes the containers that they used. It
// returns the exit code: call os.Exit(servers.Main(m)) in TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	for _, l := range []*lazyServer{&pool.kafka, &pool.postgres, &pool.registry, &pool.redis} {
		l.once.Do(func() {}) // a server that no test asked for is not started now
		if l.server == nil || l.server.remove == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		if err := l.server.remove(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "servers: a container may be left behind:", err)
			code = max(code, 1)
		}
		cancel()
	}
	return code
}

// Browser skips the test unless browsers are asked for: those tests take minutes.
func Browser(t testing.TB) {
	t.Helper()
	if !required() && os.Getenv("CHOREO_TEST_BROWSER") != "1" {
		t.Skip("it takes a browser, and its time: 'make integration' runs it, and so does CHOREO_TEST_BROWSER=1")
	}
}

// Need skips the test for want of something else than a server, a browser for one, or fails it
// where skipping is not allowed.
func Need(t testing.TB, why string) {
	t.Helper()
	giveUp(t, why)
}
