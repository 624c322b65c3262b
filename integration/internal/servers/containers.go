package servers

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

const (
	kafkaImage    = "apache/kafka-native:4.3.1"
	postgresImage = "postgres:17-alpine"
	redisImage    = "redis:7-alpine"
	registryImage = "apicurio/apicurio-registry-mem:2.6.13.Final"
)

// engine is what is needed of a Docker engine.
type engine interface {
	Health(ctx context.Context) error
	DaemonHost(ctx context.Context) (string, error)
	RunContainer(ctx context.Context, req testcontainers.ContainerRequest) (testcontainers.Container, error)
}

// dockerEngine returns the engine that testcontainers finds.
func dockerEngine() (engine, error) { return testcontainers.NewDockerProvider() }

// findEngine returns the engine if it answers. The first look-up of testcontainers
// panics where there is no Docker.
func findEngine(ctx context.Context, lookup func() (engine, error)) (e engine, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, err = nil, fmt.Errorf("no Docker engine: %v", r)
		}
	}()
	if e, err = lookup(); err != nil {
		return nil, fmt.Errorf("no Docker engine: %w", err)
	}
	if err = e.Health(ctx); err != nil {
		return nil, fmt.Errorf("the Docker engine does not answer: %w", err)
	}
	return e, nil
}

// image is a server as a container.
type image struct {
	name    string
	port    int                                          // in the container
	cmd     []string                                     // instead of the image's own
	env     func(host string, port int) []string         // KEY=value, given the outer address
	log     string                                       // line that says that it serves
	times   int                                          // how often that line comes until it does
	address func(host string, port int) string           // what tests get
	ready   func(ctx context.Context, addr string) error // whether it serves
}

func kafkaContainer() (image, error) {
	settings, err := kafkaSettings()
	if err != nil {
		return image{}, err
	}
	return image{
		name: kafkaImage, port: 9092, log: "Kafka Server started", times: 1,
		env: func(host string, port int) []string {
			return append(settings,
				"CLUSTER_ID=Y2hvcmVvLWthZmthLWRldg",
				"KAFKA_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093",
				"KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9093",
				"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://"+hostPort(host, port))
		},
		address: hostPort,
		ready: func(ctx context.Context, addr string) error {
			conn, err := kafka.DialContext(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			_, err = conn.Brokers()
			return errors.Join(err, conn.Close())
		},
	}, nil
}

// kafkaSettings returns the local broker's settings as the environment variables that
// Kafka's images take: both kinds of server are to behave alike.
func kafkaSettings() ([]string, error) {
	dir, err := scriptFolder()
	if err != nil {
		return nil, err
	}
	file, err := os.ReadFile(filepath.Join(dir, "kafka", "server.properties"))
	if err != nil {
		return nil, err
	}
	var env []string
	for lines := bufio.NewScanner(bytes.NewReader(file)); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), "=")
		if ok && !strings.HasPrefix(key, "#") {
			env = append(env, "KAFKA_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))+"="+value)
		}
	}
	return env, nil
}

func postgresContainer() (image, error) {
	return image{
		// The image starts the server once to set it up and then for good.
		name: postgresImage, port: 5432, log: "ready to accept connections", times: 2,
		env: func(string, int) []string { return []string{"POSTGRES_HOST_AUTH_METHOD=trust"} },
		address: func(host string, port int) string {
			return "postgres://postgres@" + hostPort(host, port) + "/postgres?sslmode=disable"
		},
		ready: func(ctx context.Context, addr string) error {
			conn, err := pgx.Connect(ctx, addr)
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		},
	}, nil
}

// registryContainer is the registry that integration/scripts/registry.sh runs, too; this one
// forgets its schemas when it stops.
func registryContainer() (image, error) {
	return image{
		name: registryImage, port: 8080, log: "Listening on: http", times: 1,
		env: func(string, int) []string { return nil },
		address: func(host string, port int) string {
			return "http://" + hostPort(host, port) + "/apis/ccompat/v7"
		},
		ready: func(ctx context.Context, addr string) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, addr+"/subjects", http.NoBody)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			if err := resp.Body.Close(); err != nil {
				return err
			}
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("it answers %s", resp.Status)
			}
			return nil
		},
	}, nil
}

// redisContainer keeps its data as the server of integration/scripts/redis.sh does: by a log of what
// it was told, which outlives a kill.
func redisContainer() (image, error) {
	return image{
		name: redisImage, port: 6379, log: "Ready to accept connections", times: 1,
		cmd:     []string{"redis-server", "--appendonly", "yes"},
		env:     func(string, int) []string { return nil },
		address: func(host string, port int) string { return "redis://" + hostPort(host, port) },
		ready: func(ctx context.Context, addr string) error {
			options, err := redis.ParseURL(addr)
			if err != nil {
				return err
			}
			client := redis.NewClient(options)
			return errors.Join(client.Ping(ctx).Err(), client.Close())
		},
	}, nil
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// inContainer returns the choice that runs an image.
func inContainer(lookup func() (engine, error), find func() (image, error)) func(context.Context) (*server, error) {
	return func(ctx context.Context) (*server, error) {
		e, err := findEngine(ctx, lookup)
		if err != nil {
			return nil, err
		}
		img, err := find()
		if err != nil {
			return nil, err
		}
		return img.run(ctx, e)
	}
}

// run starts the container. Its outer port is chosen here and not by the engine, since
// Kafka must know it before it starts, and since it must outlive a restart.
func (i image) run(ctx context.Context, e engine) (*server, error) {
	host, err := e.DaemonHost(ctx)
	if err != nil {
		return nil, fmt.Errorf("host of the Docker engine: %w", err)
	}
	outer, err := freePort()
	if err != nil {
		return nil, err
	}
	inner := strconv.Itoa(i.port) + "/tcp"
	env := make(map[string]string)
	for _, setting := range i.env(host, outer) {
		key, value, _ := strings.Cut(setting, "=")
		env[key] = value
	}
	c, err := e.RunContainer(ctx, testcontainers.ContainerRequest{
		Image: i.name, Cmd: i.cmd, Env: env, ExposedPorts: []string{inner},
		HostConfigModifier: func(h *container.HostConfig) {
			h.PortBindings = network.PortMap{network.MustParsePort(inner): {{HostPort: strconv.Itoa(outer)}}}
		},
		WaitingFor: wait.ForLog(i.log).WithOccurrence(i.times).WithStartupTimeout(2 * time.Minute),
	})
	if err != nil {
		if c != nil { // it was created and did not start
			err = errors.Join(err, c.Terminate(ctx))
		}
		return nil, fmt.Errorf("container of %s: %w", i.name, err)
	}
	addr := i.address(host, outer)
	s := &server{
		address: addr,
		control: &Control{do: func(ctx context.Context, verb string) error { return i.do(ctx, c, verb, addr) }},
		remove:  func(ctx context.Context) error { return c.Terminate(ctx) },
	}
	return s, s.control.Start(ctx)
}

// do carries out a verb of [Control] on the container.
func (i image) do(ctx context.Context, c testcontainers.Container, verb, addr string) error {
	switch verb {
	case "stop":
		return c.Stop(ctx, nil)
	case "kill", "immediate":
		return c.Stop(ctx, new(time.Duration)) // no time to stop: SIGKILL
	}
	if !c.IsRunning() {
		if err := c.Start(ctx); err != nil {
			return err
		}
	}
	return i.waitReady(ctx, addr)
}

// waitReady asks the server itself: after a restart the log already holds the line
// that the container waits for.
func (i image) waitReady(ctx context.Context, addr string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := i.ready(ctx, addr)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w", i.name, err)
		case <-tick.C:
		}
	}
}

// freePort returns a port that nothing listens on just now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
