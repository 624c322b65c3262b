package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// shop runs the services of the shipment saga on a broker of their own.
type shop struct {
	brokers string
	saga    *choreo.Saga[parcel]
	depot   *participant.Participant[*memory.Tx]
	stop    func() // the services
}

func openShop(t *testing.T) *shop {
	t.Helper()
	broker, err := embedded.Start(embedded.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, broker.Close()) })
	saga := shipment("till")
	s := &shop{brokers: strings.Join(broker.Addresses(), ","), saga: saga}
	got := run(t.Context(), nil, "topics", "apply", save(t, saga), "--brokers", s.brokers, "--partitions", "2", "--yes")
	require.Equal(t, exit.OK, got.code, got.stderr)
	log, err := kafka.New(kafka.Config{Brokers: broker.Addresses()})
	require.NoError(t, err)
	s.depot = depot(t, log, saga)
	till, err := participant.New[*memory.Tx](log, memory.New(memory.NewDatabase()), &participant.Config{
		Service: "till", Sagas: []choreo.AnySaga{saga},
	})
	require.NoError(t, err)
	participant.HandleForward(till, takeMoney, participant.ExecuteFunc[*memory.Tx, label, struct{}](
		func(_ context.Context, _ *memory.Tx, call *participant.Call[label]) (struct{}, error) {
			if strings.HasPrefix(call.SagaID, "poor") {
				return struct{}{}, choreo.Refusef("no-money", "not a cent")
			}
			return struct{}{}, nil
		}))
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, p := range []*participant.Participant[*memory.Tx]{s.depot, till} {
		running.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Errorf("a service stopped: %v", err)
			}
		})
	}
	s.stop = func() { stop(); running.Wait() }
	t.Cleanup(func() { s.stop(); require.NoError(t, log.Close()) })
	return s
}

// serve runs a tracker until the test ends, and returns its URL once it is ready.
func (s *shop) serve(t *testing.T, flags ...string) string {
	t.Helper()
	url, _ := s.serveUntil(t, flags...)
	return url
}

// serveUntil runs a tracker until it is stopped or the test ends, and returns its URL once it is ready.
func (s *shop) serveUntil(t *testing.T, flags ...string) (url string, stop func()) {
	t.Helper()
	address := freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan session, 1)
	args := append([]string{"tracker", "serve", "--brokers", s.brokers, "--listen", address, "--quiet"}, flags...)
	go func() { ended <- run(ctx, nil, args...) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		got := <-ended
		require.Equal(t, exit.OK, got.code, got.stderr)
		require.Contains(t, got.stderr, "listens at http://"+address)
	}
	t.Cleanup(stop)
	base := ""
	if i := slices.Index(flags, "--base-path"); i >= 0 {
		base = flags[i+1]
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		select {
		case got := <-ended:
			ended <- got
			t.Errorf("the tracker ended with %d: %s", got.code, got.stderr)
		default:
		}
		status, why := ask(t, "http://"+address+base+"/readyz")
		require.Equal(c, http.StatusOK, status, why)
	}, 30*time.Second, 5*time.Millisecond)
	return "http://" + address, stop
}

// ask gets what is at a URL; the status is 0 where nobody answers.
func ask(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(data)
}

func TestWhatServicesDoIsSeenOverATrackerAndOverItsTopics(t *testing.T) {
	s := openShop(t)
	url := s.serve(t)
	_, err := participant.Start(t.Context(), s.depot, s.saga, "s-1", parcel{To: "Ada"}, participant.WithTags(map[string]string{"to": "ada"}))
	require.NoError(t, err)
	got := run(t.Context(), nil, "saga", "start", "shipment", "poor-1", "--input", `{"To":"Bob"}`, "--tracker", url, "--yes", "--wait")
	require.Equal(t, exit.OK, got.code, got.stderr)
	require.Contains(t, got.out, "the saga answers: started")

	for _, from := range [][]string{{"--tracker", url}, {"--brokers", s.brokers}} {
		saga := func(args ...string) session {
			return run(t.Context(), nil, append(append([]string{"saga"}, args...), from...)...)
		}
		got := saga("wait", "shipment", "s-1", "--within", "30s")
		require.Equal(t, exit.OK, got.code, got.stderr)
		require.Contains(t, got.out, "shipment/1 s-1  completed  ✓✓")
		got = saga("wait", "shipment", "poor-1", "--within", "30s")
		require.Equal(t, exit.Turned, got.code, got.stderr)
		require.Contains(t, strings.Join(strings.Fields(got.stderr), " "), "no-money: not a cent")
		got = saga("watch", "shipment", "poor-1", "-o", "jsonl")
		require.Equal(t, exit.Turned, got.code, got.stderr)
		require.Contains(t, got.out, `"status":"compensated"`)
		got = saga("list", "-q", "to=ada")
		require.Equal(t, exit.OK, got.code, got.stderr)
		require.Contains(t, got.out, "s-1")
		require.NotContains(t, got.out, "poor-1")
		got = saga("events", "shipment", "s-1", "--payload")
		require.Equal(t, exit.OK, got.code, got.stderr)
		require.Contains(t, got.out, `{"To":"Ada"}`)
		got = saga("why", "shipment", "poor-1")
		require.Equal(t, exit.OK, got.code, got.stderr)
		require.Contains(t, got.out, "compensated")
		got = saga("cancel", "shipment", "s-1", "--reason", "late", "--yes")
		require.Equal(t, exit.Error, got.code)
		require.Contains(t, got.stderr, "refused")
	}
}

// Who waits for the answer to a command hears a refusal, and why, from wherever sagas are seen.
func TestARefusalIsHeard(t *testing.T) {
	s := openShop(t)
	url := s.serve(t)
	for n, from := range [][]string{{"--tracker", url}, {"--brokers", s.brokers}} {
		saga := func(args ...string) session {
			return run(t.Context(), nil, append(append([]string{"saga"}, args...), from...)...)
		}
		id := fmt.Sprint("s-", n)
		got := saga("start", "shipment", id, "--input", `[]`, "--yes", "--wait")
		require.Equal(t, exit.Error, got.code, "%s%s", got.out, got.stderr)
		require.Contains(t, got.out, "start-rejected: ")
		require.Contains(t, got.out, "undecodable")
		got = saga("start", "shipment", id, "--input", `{"To":"Ada"}`, "--yes", "--wait", "-o", "json")
		require.Equal(t, exit.OK, got.code, "%s%s", got.out, got.stderr)
		require.Contains(t, got.out, `"choreo.saga.started"`)
		got = saga("start", "shipment", id, "--input", `{"To":"Bob"}`, "--yes", "--wait")
		require.Equal(t, exit.Error, got.code, "%s%s", got.out, got.stderr)
		require.Contains(t, strings.Join(strings.Fields(got.out), " "), "a saga of this id was started before")
		got = saga("wait", "shipment", id, "--within", "30s")
		require.Equal(t, exit.OK, got.code, got.stderr)
		got = saga("force-abort", "shipment", id, "--reason", "wrong", "--yes", "--wait")
		require.Equal(t, exit.OK, got.code, "%s%s", got.out, got.stderr)
		require.Contains(t, got.out, "aborted")
	}
	// Nobody reads what a service is to answer that has stopped.
	s.stop()
	got := run(t.Context(), nil, "saga", "start", "shipment", "s-9", "--input", `{"To":"Ada"}`, "--yes", "--wait", "--timeout", "1s", "--tracker", url)
	require.Equal(t, exit.TimedOut, got.code, got.stderr)
	require.Contains(t, strings.Join(strings.Fields(got.stderr), " "), "does the service run that is to answer?")
}

// Ids that a path cannot hold as they are.
func TestIDsOfAnyKindAreAddressed(t *testing.T) {
	s := openShop(t)
	url := s.serve(t, "--base-path", "/choreo") + "/choreo"
	for _, id := range []string{"..", ".", "/", "a/../b", "~.", "100%", "a b?c#d", "%2F"} {
		got := run(t.Context(), nil, "saga", "start", "shipment", id, "--input", `{"To":"Ada"}`, "--yes", "--wait", "--tracker", url)
		require.Equal(t, exit.OK, got.code, "%s%s", got.out, got.stderr)
		for _, from := range [][]string{{"--tracker", url}, {"--brokers", s.brokers}} {
			got = run(t.Context(), nil, append([]string{"saga", "wait", "shipment", id, "--within", "30s", "-o", "json"}, from...)...)
			require.Equal(t, exit.OK, got.code, got.stderr)
			var seen tracker.Snapshot
			require.NoError(t, json.Unmarshal([]byte(got.out), &seen))
			require.Equal(t, id, seen.ID)
			for _, verb := range []string{"show", "events", "why"} {
				got = run(t.Context(), nil, append([]string{"saga", verb, "shipment", id}, from...)...)
				require.Equal(t, exit.OK, got.code, "%s %s: %s", verb, id, got.stderr)
			}
		}
	}
}

func TestWhoComesInAtATracker(t *testing.T) {
	s := openShop(t)
	tokens := filepath.Join(t.TempDir(), "tokens.txt")
	got := run(t.Context(), nil, "tracker", "token", "ada", "--tokens", tokens)
	require.Equal(t, exit.OK, got.code, got.stderr)
	token := strings.TrimSpace(got.out)
	lines, err := os.ReadFile(tokens)
	require.NoError(t, err)
	require.NotContains(t, string(lines), token, "the file holds its hash alone")
	url := s.serve(t, "--tokens", tokens)
	as := func(token string, args ...string) session {
		return run(t.Context(), func(c *cli) {
			c.env = func(name string) string {
				return map[string]string{"CHOREO_TRACKER": url, "CHOREO_TRACKER_TOKEN": token}[name]
			}
		}, args...)
	}
	got = as("", "saga", "list")
	require.Equal(t, exit.Error, got.code)
	require.Contains(t, got.stderr, "CHOREO_TRACKER_TOKEN")
	got = as(token, "saga", "list")
	require.Equal(t, exit.OK, got.code, got.stderr)
	got = as(token, "saga", "start", "shipment", "s-1", "--input", "{}", "--yes")
	require.Equal(t, exit.Error, got.code)
	require.Contains(t, strings.Join(strings.Fields(got.stderr), " "), "does not let you")

	got = run(t.Context(), nil, "tracker", "token", "bob", "--tokens", tokens+".new")
	require.Equal(t, exit.OK, got.code, got.stderr)
	require.NoError(t, os.Rename(tokens+".new", tokens))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Equal(c, exit.Error, as(token, "saga", "list").code, "without a restart")
	}, 20*time.Second, 50*time.Millisecond)
	require.Equal(t, exit.OK, as(strings.TrimSpace(got.out), "saga", "list").code)
}

func TestATrackerRefusesToListenToAllWithoutTokens(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"--listen :0", "there is no authentication"},
		{"--shard 4/3", "--shard"},
		{"--shard 0/3", "--shard"},
		{"--model mysql", "use memory, sqlite:FILE, postgres or redis"},
		{"--model postgres", "CHOREO_MODEL"},
		{"--model postgres://me:secret@db/x", "which every process could read"},
		{"--tokens nowhere.txt", "--tokens"},
		{"--listen-cert x.pem", "belong together"},
		{"--base-path choreo", "BasePath"},
	} {
		got := run(t.Context(), nil, append([]string{"tracker", "serve", "--brokers", "127.0.0.1:1"}, strings.Fields(test.args)...)...)
		require.Equal(t, exit.Usage, got.code, "%s: %s", test.args, got.stderr)
		require.Contains(t, strings.Join(strings.Fields(got.stderr), " "), test.says, test.args)
		require.NotContains(t, got.stderr, "secret")
	}
}

// Several trackers, each with a part of the partitions, answer for each other.
func TestTrackersThatShareThePartitions(t *testing.T) {
	s := openShop(t)
	peers := []string{freeAddress(t), freeAddress(t)}
	first := s.serve(t, "--shard", "1/2", "--peer-listen", peers[0], "--peers", "http://"+peers[1])
	second, stop := s.serveUntil(t, "--shard", "2/2", "--peer-listen", peers[1], "--peers", "http://"+peers[0])
	ctx, unwatch := context.WithCancel(t.Context())
	var changes safeBuffer
	watched := make(chan session)
	go func() {
		watched <- run(ctx, func(c *cli) { c.out = &changes }, "saga", "watch", "shipment", "-o", "jsonl", "--tracker", first)
	}()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, metrics := ask(t, first+"/metrics")
		require.Contains(c, metrics, "choreo_tracker_live_clients 1")
		_, metrics = ask(t, second+"/metrics")
		require.Contains(c, metrics, "choreo_tracker_lag_events 0")
	}, 20*time.Second, 10*time.Millisecond)
	ids := strings.Fields("a b c d e f g h")
	for _, id := range ids {
		_, err := participant.Start(t.Context(), s.depot, s.saga, id, parcel{To: "Ada"})
		require.NoError(t, err)
	}
	for _, url := range []string{first, second} {
		for _, id := range ids {
			got := run(t.Context(), nil, "saga", "wait", "shipment", id, "--tracker", url, "--within", "30s")
			require.Equal(t, exit.OK, got.code, got.stderr)
		}
		got := run(t.Context(), nil, "saga", "list", "-n", "3", "--all", "--strict", "-o", "jsonl", "--tracker", url)
		require.Equal(t, exit.OK, got.code, got.stderr)
		require.Equal(t, len(ids), strings.Count(got.out, "\n"), "%s", got.out)
		var o api.OverviewView
		_, data := ask(t, url+"/api/v1/overview?strict=1")
		require.NoError(t, json.Unmarshal([]byte(data), &o), data)
		require.EqualValues(t, len(ids), o.Counts[choreo.StatusCompleted], data)
		var started, ended int64
		for _, m := range o.PerMinute {
			started, ended = started+m.Started, ended+m.Completed
		}
		require.Equal(t, []int64{8, 8}, []int64{started, ended})
		require.EqualValues(t, 8, o.SlowestSteps[0].Count)
		require.Len(t, o.Freshness.Parts, 2)
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		for _, id := range ids {
			require.Contains(c, changes.String(), `"id":"`+id+`"`, "the changes of all parts are seen live")
		}
	}, 20*time.Second, 10*time.Millisecond)
	unwatch()
	require.Equal(t, exit.OK, (<-watched).code)

	stop()
	got := run(t.Context(), nil, "saga", "list", "--tracker", first)
	require.Equal(t, exit.OK, got.code, got.stderr)
	require.Contains(t, got.stderr, peers[1]+", which is away")
	got = run(t.Context(), nil, "saga", "list", "--strict", "--tracker", first)
	require.Equal(t, exit.Error, got.code)
	var fresh tracker.Freshness
	_, data := ask(t, first+"/api/v1/freshness")
	require.NoError(t, json.Unmarshal([]byte(data), &fresh))
	require.True(t, fresh.Parts[0].Away, data)
	require.Equal(t, peers[1], fresh.Parts[0].Part)
	got = run(t.Context(), nil, "doctor", "--tracker", first)
	require.Equal(t, exit.Error, got.code)
	require.Contains(t, got.out, peers[1]+" is away")
	status, _ := ask(t, first+"/readyz")
	require.Equal(t, http.StatusOK, status, "it has caught up with its own part")
}

func TestALiveViewIsDrawnOverItself(t *testing.T) {
	s := openShop(t)
	url := s.serve(t)
	_, err := participant.Start(t.Context(), s.depot, s.saga, "s-1", parcel{To: "Ada"})
	require.NoError(t, err)
	var screen bytes.Buffer
	got := run(t.Context(), func(c *cli) { c.out, c.outTerminal, c.height = &screen, true, 24 }, "saga", "watch", "shipment", "s-1", "--tracker", url)
	require.Equal(t, exit.OK, got.code, got.stderr)
	require.Contains(t, screen.String(), "\x1b[2K")
	require.Contains(t, screen.String(), "completed")
	require.Contains(t, screen.String(), "\x1b[32m✓")
}

// A tracker decodes what a registry over HTTP has the schemas of.
func TestATrackerDecodesByTheRegistryThatIsNamed(t *testing.T) {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/schemas/ids/7" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"schema":"{\"type\":\"record\",\"name\":\"Parcel\",\"fields\":[{\"name\":\"to\",\"type\":\"string\"}]}"}`)
	}))
	t.Cleanup(registry.Close)
	s := openShop(t)
	log, err := kafka.New(kafka.Config{Brokers: strings.Split(s.brokers, ",")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	started := topics.Encode(&choreo.Event{
		ID: "e-1", Type: choreo.Started, Saga: "shipment", Version: 1, SagaID: "avro-1", Source: "till", Initiator: "till", Time: time.Now(),
		ContentType: string(choreo.Avro), Payload: append([]byte{0, 0, 0, 0, 7, 6}, "Ada"...), Partition: choreo.AnyPartition,
	}, "choreo.shipment.events")
	require.Nil(t, log.Publish(t.Context(), []choreo.Record{started}))
	url := s.serve(t, "--registry", registry.URL)
	for _, from := range [][]string{{"--tracker", url}, {"--brokers", s.brokers, "--registry", registry.URL}} {
		var got session
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			got = run(t.Context(), nil, append([]string{"saga", "events", "shipment", "avro-1", "--payload"}, from...)...)
			require.Equal(c, exit.OK, got.code, got.stderr)
		}, 20*time.Second, 10*time.Millisecond)
		require.Contains(t, got.out, `{"to":"Ada"}`)
	}
	got := run(t.Context(), nil, "tracker", "serve", "--brokers", s.brokers, "--registry", "nonsense")
	require.Equal(t, exit.Usage, got.code)
	require.Contains(t, got.stderr, "--registry")
}

// safeBuffer is a buffer that is read while it is written.
type safeBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}
