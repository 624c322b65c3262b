package integration

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/kafka"
)

// post is a saga's log on a real Kafka, written by hand, and the tracker that people start for it.
type post struct {
	*testing.T
	brokers   string
	namespace string
	log       *kafka.Log
	names     topics.Names
	events    int
}

type nothing struct{}

const postPartitions = 2

func newPost(t *testing.T) *post {
	t.Helper()
	brokers := servers.Kafka(t)
	p := &post{T: t, brokers: strings.Join(brokers, ","), namespace: "serve-" + strings.ToLower(rand.Text()), log: openKafka(t, kafka.Config{Brokers: brokers})}
	var err error
	p.names, err = topics.NewNames(p.namespace)
	require.NoError(t, err)

	pack, send := choreo.NewStep[nothing, nothing]("pack"), choreo.NewStep[nothing, nothing]("send")
	saga := choreo.MustDefine[nothing]("parcel", 1, choreo.Deadline(time.Hour), pack.OwnedBy("depot"), send.OwnedBy("carrier").After(pack))
	doc, err := definition.FromGo(saga, nil)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "parcel.yaml")
	require.NoError(t, os.WriteFile(file, definition.Format(doc), 0o600))
	code, _, stderr := runCLI(t, nil, "topics", "apply", file, "--brokers", p.brokers, "--namespace", p.namespace, "--partitions", fmt.Sprint(postPartitions), "--replication", "1", "--yes")
	require.Zero(t, code, stderr)

	contract, err := definition.NewContract([]*definition.Document{doc}, definition.ContractConfig{Service: "depot", Starts: []string{"parcel"}})
	require.NoError(t, err)
	value, err := contract.Encode()
	require.NoError(t, err)
	putRecord(t, p.log, p.names.Definitions(), contract.Key(), value)
	return p
}

// tell writes an event of a saga.
func (p *post) tell(id string, typ choreo.EventType, step string, failure *choreo.Failure) {
	p.Helper()
	p.events++
	ev := choreo.Event{
		ID: fmt.Sprintf("event-%d", p.events), Type: typ, SagaID: id, Saga: "parcel", Version: 1, Step: step, Source: "depot", Initiator: "depot",
		Time: time.Date(2026, 3, 1, 12, 0, p.events, 0, time.UTC), Partition: topics.PartitionFor([]byte(id), postPartitions), Failure: failure,
	}
	for _, err := range p.log.Publish(p.Context(), []choreo.Record{topics.Encode(&ev, p.names.Events("parcel"))}) {
		require.NoError(p, err)
	}
}

// served is a tracker that runs.
type served struct {
	*post
	url    string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan error
}

func (p *post) serve(env []string, model string) *served {
	p.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(p, err)
	address := l.Addr().String()
	require.NoError(p, l.Close())
	s := &served{post: p, url: "http://" + address, ended: make(chan error, 1)}
	s.cmd = cli(p.T, env, "tracker", "serve", "--brokers", p.brokers, "--namespace", p.namespace, "--listen", address, "--keep-ended", "-1s", "--model", model)
	s.cmd.Stderr = &s.stderr
	require.NoError(p, s.cmd.Start())
	gone := make(chan struct{})
	go func() { s.ended <- s.cmd.Wait(); close(gone) }()
	p.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it may have ended
		<-gone
		if p.Failed() {
			p.Logf("the tracker says:\n%s", &s.stderr)
		}
	})
	return s
}

// stop ends the tracker as an operator does.
func (s *served) stop() {
	s.Helper()
	require.NoError(s, s.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-s.ended:
		require.NoError(s, err, "%s", &s.stderr)
	case <-time.After(time.Minute):
		require.Fail(s, "the tracker did not stop within a minute")
	}
}

// get asks the API, and returns the named field of its answer.
func (s *served) get(path, field string) (string, error) {
	resp, err := http.Get(s.url + "/api/v1" + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s: %s", path, resp.Status, body)
	}
	var fields map[string]json.RawMessage
	err = json.Unmarshal(body, &fields)
	return string(fields[field]), err
}

// answers waits until the tracker counts so, and returns all that it tells of the sagas.
func (s *served) answers(counts string) map[string]string {
	s.Helper()
	require.EventuallyWithT(s, func(c *assert.CollectT) {
		got, err := s.get("/overview", "counts")
		require.NoError(c, err)
		require.JSONEq(c, counts, got)
	}, time.Minute, 20*time.Millisecond)
	all := map[string]string{}
	for path, field := range map[string]string{
		"/sagas": "sagas", "/sagas/parcel/p-1": "saga", "/sagas/parcel/p-2": "saga", "/sagas?status=running": "sagas", "/sagas?service=carrier&sort=updated": "sagas",
		"/counts?by=status": "counts", "/counts?by=step&saga=parcel": "counts", "/counts?by=code": "counts",
	} {
		var err error
		all[path], err = s.get(path, field)
		require.NoError(s, err)
		require.NotEmpty(s, all[path], path)
	}
	return all
}

// restarts lets a tracker fold a few sagas, restart and answer the same, and go on from there.
func (p *post) restarts(env []string, model string) {
	p.Helper()
	for _, id := range []string{"p-1", "p-2", "p-3"} {
		p.tell(id, choreo.Started, "", nil)
	}
	p.tell("p-1", choreo.StepCompleted, "pack", nil)
	p.tell("p-2", choreo.StepFailed, "pack", &choreo.Failure{Class: choreo.ClassRefused, Code: "too-heavy", Message: "31 kg"})
	p.tell("p-1", choreo.StepCompleted, "send", nil)
	p.tell("p-3", choreo.StepCompleted, "pack", nil)

	first := p.serve(env, model)
	const before = `{"completed": 1, "compensated": 1, "running": 1}`
	want := first.answers(before)
	require.Contains(p, want["/sagas?service=carrier&sort=updated"], `"p-3"`)
	require.Contains(p, want["/sagas/parcel/p-2"], `"too-heavy"`)
	first.stop()

	second := p.serve(env, model)
	require.Equal(p, want, second.answers(before))
	second.stop()

	// What happens while no tracker runs is folded by the next one.
	p.tell("p-3", choreo.StepCompleted, "send", nil)
	third := p.serve(env, model)
	got := third.answers(`{"completed": 2, "compensated": 1}`)
	require.Equal(p, want["/sagas/parcel/p-1"], got["/sagas/parcel/p-1"])
	require.Equal(p, "[]", got["/sagas?status=running"])
	third.stop()
}

func TestTrackerServesFromPostgres(t *testing.T) {
	newPost(t).restarts([]string{"CHOREO_MODEL=" + servers.Postgres(t)}, "postgres")
}

func TestTrackerServesFromRedis(t *testing.T) {
	options, err := goredis.ParseURL(servers.Redis(t))
	require.NoError(t, err)
	// The command line has no prefix: this test has a database of its own on the server.
	options.DB = 9
	client := goredis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	removeKeys(t, client, "{choreo-tracker}:*")
	t.Cleanup(func() { removeKeys(t, client, "{choreo-tracker}:*") })
	newPost(t).restarts([]string{"CHOREO_MODEL=" + strings.TrimRight(servers.Redis(t), "/") + "/9"}, "redis")
}
