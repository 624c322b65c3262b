package servers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"
)

// fakeEngine is a Docker engine that runs nothing.
type fakeEngine struct {
	unhealthy error
	runs      error
	requests  []testcontainers.ContainerRequest
	container *fakeContainer
}

func (e *fakeEngine) Health(context.Context) error               { return e.unhealthy }
func (e *fakeEngine) DaemonHost(context.Context) (string, error) { return "docker.test", nil }
func (e *fakeEngine) RunContainer(_ context.Context, req testcontainers.ContainerRequest) (testcontainers.Container, error) {
	e.requests = append(e.requests, req)
	return e.container, e.runs
}

// fakeContainer notes what is done to it.
type fakeContainer struct {
	testcontainers.Container
	done []string
	down bool
}

func (c *fakeContainer) note(what string, down bool) error {
	c.done, c.down = append(c.done, what), down
	return nil
}

func (c *fakeContainer) IsRunning() bool             { return !c.down }
func (c *fakeContainer) Start(context.Context) error { return c.note("start", false) }
func (c *fakeContainer) Stop(_ context.Context, timeout *time.Duration) error {
	if timeout != nil && *timeout == 0 {
		return c.note("kill", true)
	}
	return c.note("stop", true)
}

func (c *fakeContainer) Terminate(context.Context, ...testcontainers.TerminateOption) error {
	return c.note("terminate", true)
}

var testImage = image{
	name: "product:1", port: 9092, log: "serves", times: 1,
	env:     func(host string, port int) []string { return []string{"ADVERTISED=" + hostPort(host, port)} },
	address: hostPort,
	ready:   func(context.Context, string) error { return nil },
}

// fakeScript writes a control script that runs or does not, and that notes its arguments.
func fakeScript(t *testing.T, running bool) (s *script, calls func() []string) {
	t.Helper()
	dir := t.TempDir()
	if running {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "running"), nil, 0o600))
	}
	path := filepath.Join(dir, "control.sh")
	require.NoError(t, os.WriteFile(path, []byte(`#!/bin/sh
cd "$(dirname "$0")" || exit
echo "$1" >>calls
case $1 in
start) [ ! -e broken ] || { echo "no java" >&2; exit 1; }; : >running ;;
stop | kill) rm running ;;
show) [ -e running ] || exit 3; echo local:1 ;;
esac
`), 0o700)) //nolint:gosec // it is there to be run
	return &script{path: path, show: "show"}, func() []string {
		data, err := os.ReadFile(filepath.Join(dir, "calls"))
		if !errors.Is(err, os.ErrNotExist) {
			require.NoError(t, err)
		}
		return strings.Fields(string(data))
	}
}

func TestChoiceOrder(t *testing.T) {
	noDocker := func() (engine, error) { panic("rootless Docker not found") }
	docker := func() (engine, error) { return &fakeEngine{container: &fakeContainer{}}, nil }
	for _, c := range []struct {
		name     string
		env      string
		lookup   func() (engine, error)
		running  bool // the local server
		required bool
		want     string // prefix of the address; empty: none
		calls    []string
		control  bool
	}{
		{name: "environment before all", env: "env:1,env:2", lookup: docker, running: true, want: "env:1,env:2"},
		{name: "container before local", lookup: docker, running: true, want: "docker.test:", control: true},
		{name: "local without Docker", lookup: noDocker, running: true, want: "local:1", calls: []string{"show"}},
		{name: "none", lookup: noDocker, calls: []string{"show"}},
		{name: "started when required", lookup: noDocker, required: true, want: "local:1", calls: []string{"start", "show"}, control: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			local, calls := fakeScript(t, c.running)
			s, err := choice{
				name: "Product", address: c.env, variable: "PRODUCT_ADDRESS", required: c.required, local: local,
				container: inContainer(c.lookup, func() (image, error) { return testImage, nil }),
			}.choose(t.Context())
			require.ElementsMatch(t, c.calls, calls())
			if c.want == "" {
				require.ErrorContains(t, err, "real Product")
				require.ErrorContains(t, err, "make servers-up")
				require.ErrorContains(t, err, "PRODUCT_ADDRESS is not set")
				require.ErrorContains(t, err, "no Docker engine: rootless Docker not found")
				require.ErrorContains(t, err, "it does not run")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.control, s.control != nil)
			require.True(t, strings.HasPrefix(s.address, c.want), "address %q", s.address)
		})
	}
}

func TestChoiceSaysWhyNothingWorked(t *testing.T) {
	local, _ := fakeScript(t, false)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(local.path), "broken"), nil, 0o600))
	for name, lookup := range map[string]func() (engine, error){
		"error":     func() (engine, error) { return nil, errors.New("no socket") },
		"unhealthy": func() (engine, error) { return &fakeEngine{unhealthy: errors.New("no socket")}, nil },
		"no image": func() (engine, error) {
			return &fakeEngine{runs: errors.New("no socket"), container: &fakeContainer{}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := choice{
				name: "Product", required: true, local: local,
				container: inContainer(lookup, func() (image, error) { return testImage, nil }),
			}.choose(t.Context())
			require.ErrorContains(t, err, "no socket")
			require.ErrorContains(t, err, "no java")
		})
	}
}

func TestContainerKeepsItsAddress(t *testing.T) {
	e := &fakeEngine{container: &fakeContainer{}}
	s, err := testImage.run(t.Context(), e)
	require.NoError(t, err)
	require.Len(t, e.requests, 1)
	require.Equal(t, s.address, e.requests[0].Env["ADVERTISED"])

	require.NoError(t, s.control.Kill(t.Context()))
	require.NoError(t, s.control.Start(t.Context()))
	require.NoError(t, s.control.Start(t.Context()), "a second start")
	require.NoError(t, s.control.Restart(t.Context()))
	require.NoError(t, s.remove(t.Context()))
	require.Equal(t, []string{"kill", "start", "stop", "start", "terminate"}, e.container.done)
}

func TestContainerThatDoesNotStartIsRemoved(t *testing.T) {
	e := &fakeEngine{container: &fakeContainer{}, runs: errors.New("port taken")}
	_, err := testImage.run(t.Context(), e)
	require.ErrorContains(t, err, "port taken")
	require.Equal(t, []string{"terminate"}, e.container.done)
}

func TestControlOfAGivenServer(t *testing.T) {
	local, calls := fakeScript(t, true)
	given := choice{address: "env:1", control: local.path}
	s, err := given.choose(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.control.Restart(t.Context()))
	require.NoError(t, s.control.Kill(t.Context()))
	require.Equal(t, []string{"stop", "start", "kill"}, calls())

	given.control = ""
	s, err = given.choose(t.Context())
	require.NoError(t, err)
	require.Nil(t, s.control, "nobody said that it may be stopped")
}

func TestContainerGetsTheLocalBrokersSettings(t *testing.T) {
	img, err := kafkaContainer()
	require.NoError(t, err)
	env := img.env("docker.test", 1234)
	require.Contains(t, env, "KAFKA_AUTO_CREATE_TOPICS_ENABLE=false")
	require.Contains(t, env, "KAFKA_PROCESS_ROLES=broker,controller")
	require.Contains(t, env, "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://docker.test:1234")
}

func TestWithDatabase(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:p%2F@h:5/a?sslmode=disable": "postgres://u:p%2F@h:5/new?sslmode=disable",
		"host=/run user=u dbname=a":               "host=/run user=u dbname=a dbname=new",
	} {
		got, err := withDatabase(dsn, "new")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := withDatabase("postgres://h:port/", "new")
	require.ErrorContains(t, err, "connection string")
}
