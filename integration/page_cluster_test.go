package integration

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/kafka"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
	"github.com/choreo-go/choreo/tracker/cluster"
	trackermemory "github.com/choreo-go/choreo/tracker/memory"
	"github.com/choreo-go/choreo/tracker/page"
)

type (
	trip   struct{ Guest string }
	room   struct{ Number int }
	bill   struct{ Cents int }
	letter struct{ Sent bool }
)

var (
	bookRoom   = choreo.NewStep[trip, room]("book-room")
	takeMoney  = choreo.NewStep[room, bill]("take-money")
	sendLetter = choreo.NewStep[bill, letter]("send-letter")
	journey    = choreo.MustDefine[trip]("journey", 3,
		bookRoom.OwnedBy("hotel").NoCompensation(),
		takeMoney.OwnedBy("bank").After(bookRoom).Pivot(),
		sendLetter.OwnedBy("post").After(takeMoney).Retry(choreo.NoRetry()), // past the pivot: it fails, and is stuck
	)
)

// agency is three services on a real cluster, followed by a tracker with its page.
type agency struct {
	t     *testing.T
	log   topics.Log
	names topics.Names
	hotel *participant.Participant[*memory.Tx]
	post  *memory.Database
	url   string // of the page
	token string

	strike atomic.Bool // no letter goes out
}

func newAgency(t *testing.T) *agency {
	t.Helper()
	log := openKafka(t, kafka.Config{Brokers: servers.Kafka(t)})
	names, err := topics.NewNames("agency-" + rand.Text())
	require.NoError(t, err)
	plan, err := topics.NewPlan(t.Context(), log, topics.Topology(names, []choreo.AnySaga{journey}, topics.TopologyOptions{Partitions: 3}))
	require.NoError(t, err)
	require.NoError(t, plan.Apply(t.Context(), log))
	a := &agency{t: t, log: log, names: names, post: memory.NewDatabase()}

	a.hotel = a.service("hotel", memory.NewDatabase())
	participant.HandleForward(a.hotel, bookRoom, participant.ExecuteFunc[*memory.Tx, trip, room](
		func(context.Context, *memory.Tx, *participant.Call[trip]) (room, error) { return room{Number: 12}, nil }))
	bank := a.service("bank", memory.NewDatabase())
	participant.HandleForward(bank, takeMoney, participant.ExecuteFunc[*memory.Tx, room, bill](
		func(context.Context, *memory.Tx, *participant.Call[room]) (bill, error) {
			return bill{Cents: 9900}, nil
		}))
	a.run(a.hotel.Run)
	a.run(bank.Run)
	a.serve()
	return a
}

func (a *agency) service(name string, db *memory.Database) *participant.Participant[*memory.Tx] {
	a.t.Helper()
	p, err := participant.New(a.log, memory.New(db), &participant.Config{
		Service: name, Sagas: []choreo.AnySaga{journey}, Namespace: nameOf(a.names), Build: "v7.4.1", StatusEvery: time.Second,
	})
	require.NoError(a.t, err)
	return p
}

// openPost has letters sent, in a process of its own that ends with stop.
func (a *agency) openPost() (stop func()) {
	a.t.Helper()
	post := a.service("post", a.post)
	participant.HandleForward(post, sendLetter, participant.ExecuteFunc[*memory.Tx, bill, letter](
		func(context.Context, *memory.Tx, *participant.Call[bill]) (letter, error) {
			if a.strike.Load() {
				// It is tried again by itself, but later than this test lasts.
				return letter{}, choreo.RetryAfter(time.Hour, errors.New("the post is on strike"))
			}
			return letter{Sent: true}, nil
		}))
	return a.run(post.Run)
}

// run runs something until stop, or the test's end.
func (a *agency) run(do func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(a.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			a.t.Errorf("ended: %v", err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	a.t.Cleanup(stop)
	return stop
}

// serve follows the sagas with a tracker, and serves its page to an operator.
func (a *agency) serve() {
	a.t.Helper()
	model := trackermemory.New(trackermemory.Options{})
	a.t.Cleanup(func() { require.NoError(a.t, model.Close()) })
	follow, err := tracker.New(a.log, model, &tracker.Config{Namespace: nameOf(a.names), Logger: zaptest.NewLogger(a.t).Named("tracker")})
	require.NoError(a.t, err)
	token, line, err := api.NewToken("ada", api.RoleAdmin)
	require.NoError(a.t, err)
	tokens, err := api.ReadTokens(strings.NewReader(line))
	require.NoError(a.t, err)
	whole := cluster.New(a.log, a.names, &cluster.Config{Fresh: 500 * time.Millisecond})
	server, err := api.New(whole.Source(follow), &api.Config{BasePath: deskBase, Page: page.Handler(deskBase), Tokens: tokens})
	require.NoError(a.t, err)
	web := httptest.NewServer(server.Handler())
	a.t.Cleanup(func() { server.Close(); web.Close() })
	a.run(follow.Run)
	a.url, a.token = web.URL+deskBase, token
}

func (a *agency) travel(id string) {
	a.t.Helper()
	_, err := participant.Start(a.t.Context(), a.hotel, journey, id, trip{Guest: "ann"}, participant.WithTags(map[string]string{"guest": "ann"}))
	require.NoError(a.t, err)
}

// TestPageOnACluster shows sagas of services that run: counts, a letter that nobody can read, who is
// there by its heartbeats and how far behind, a saga that comes while one looks; and has a stuck
// saga go on to its end. Nothing is reloaded in between.
func TestPageOnACluster(t *testing.T) {
	a := newAgency(t)
	a.strike.Store(true)
	stop := a.openPost()
	a.travel("trip-1")
	require.Nil(t, a.log.Publish(t.Context(), []choreo.Record{{
		Topic: a.names.Events(journey.Name()), Partition: choreo.AnyPartition, Key: []byte("trip-0"), Value: []byte("no event"),
	}}))

	b := browseAt(t, a.url)
	b.open("/")
	b.do(enter("#token", a.token), click("form button"), b.until(`document.querySelector("[data-count=stuck]")?.textContent === "1"`))
	b.do(b.until(`document.querySelector("main .columns").textContent.includes("the post is on strike")`))
	b.clean("401 (Unauthorized)")
	b.shoot("cluster-overview-light-1280")

	visit := func(section string) { b.do(click(`nav a[href$="/` + section + `"]`)) }
	visit("participants")
	card := func(service string) string {
		return `[...document.querySelectorAll("main .card")].find((c) => c.querySelector("h2").textContent === "` + service + `")`
	}
	for _, service := range []string{"hotel", "bank", "post"} {
		b.do(b.until(card(service) + `?.innerText.includes("1 process")`))
		b.do(b.until(card(service) + `.innerText.includes("build v7.4.1") && ` + card(service) + `.innerText.includes("has read every event")`))
		b.do(b.until(card(service) + `.querySelector('[data-label="Partitions"]').textContent === "3"`))
	}
	b.do(b.until(card("post") + `.querySelector('.waiting')?.innerText.includes("send-letter of journey trip-1")`))
	b.shoot("cluster-participants-light-1280")

	// The post closes, and says so. What comes meanwhile waits for it.
	stop()
	b.do(b.until(card("post") + `.innerText.includes("nobody there")`))
	visit("sagas")
	b.do(b.until(`document.querySelector(".live.live")`), b.until(`document.querySelectorAll("main tbody tr").length === 1`))
	a.travel("trip-2")
	b.do(b.until(`[...document.querySelectorAll("main tbody tr")].some((r) => /trip-2.*running.*waits for send-letter in post/s.test(r.textContent))`))
	visit("participants")
	b.do(b.until(`/[1-9]\d* events? behind/.test(` + card("post") + `.innerText)`))
	b.shoot("cluster-behind-light-1280")
	a.strike.Store(false)
	a.openPost()
	b.do(b.until(card("post") + `.innerText.includes("has read every event")`))
	visit("sagas")
	b.do(b.until(`[...document.querySelectorAll("main tbody tr")].some((r) => r.textContent.includes("trip-2") && r.querySelector("[data-status=completed]"))`))

	visit("trouble")
	b.do(b.until(`[...document.querySelectorAll("main .card")].at(-1).querySelectorAll("tbody tr").length === 3`)) // one by each service
	b.shoot("cluster-trouble-light-1280")
	b.do(click("main .card:last-of-type .actions button"), b.until(`document.querySelector("dialog tbody tr")`))
	b.shoot("cluster-letters-light-1280")
	b.do(click("dialog .actions button"), click("main .card:first-of-type a.button"), b.until(`document.querySelectorAll("main tbody tr").length === 1`))
	b.do(click(`main tbody a[href$="/sagas/journey/trip-1"]`), b.until(`document.querySelector(".verdict")?.textContent.startsWith("stuck for ")`))
	b.do(b.until(`document.querySelector(".verdict").textContent.includes("at send-letter in post: the post is on strike, attempt 1, next in ")`),
		b.until(`document.querySelector('g.step[data-step="send-letter"][data-status=stuck]')`), b.until(`document.querySelectorAll(".events tbody tr:not(.more-row)").length >= 4`))
	b.shoot("cluster-stuck-light-1280")
	b.do(click("[data-action=retry]"), enter("dialog textarea", "the strike is over"), click("dialog button[type=submit]"), b.until(`!document.querySelector("dialog")`))
	b.do(b.until(`document.querySelector(".saga-head [data-status=completed]")`), b.until(`document.querySelector(".events").textContent.includes("the strike is over")`))
	b.is(`document.querySelector('g.step[data-step="send-letter"]').dataset.status === "completed" && !document.querySelector("[data-action=retry]")`)
	b.is(`document.querySelector(".events").textContent.includes("ada")`)
	b.shoot("cluster-completed-light-1280")
	b.is(`performance.getEntriesByType("navigation").length === 1 && performance.getEntriesByType("navigation")[0].type === "navigate"`)
	b.clean()
}
