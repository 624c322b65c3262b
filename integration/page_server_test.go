package integration

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
	"github.com/choreo-go/choreo/tracker/memory"
	"github.com/choreo-go/choreo/tracker/page"
)

// trackerDesk is what the real server answers from: a tracker over the model in memory, which
// hears of changes from the test in the place of a broker.
type trackerDesk struct {
	*tracker.Tracker

	mu       sync.Mutex
	seq      uint64
	watchers []chan tracker.Change
	asked    []api.Action
	by       string
}

func (d *trackerDesk) Watch(ctx context.Context, f tracker.Filter, _ uint64) <-chan tracker.Change {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, out := make(chan tracker.Change, 16), make(chan tracker.Change)
	d.watchers = append(d.watchers, in)
	go func() {
		defer close(out)
		for {
			select {
			case c := <-in:
				if !f.Matches(c.Snapshot) {
					continue
				}
				select {
				case out <- c:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (d *trackerDesk) tell(s *tracker.Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seq++
	for _, w := range d.watchers {
		w <- tracker.Change{Seq: d.seq, Snapshot: s}
	}
}

func (d *trackerDesk) Act(_ context.Context, _ *tracker.Snapshot, by string, a api.Action) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked, d.by = append(d.asked, a), by
	return "0190-1111", nil
}

func (d *trackerDesk) Start(context.Context, string, string, api.Start) (string, error) {
	return "", &api.RefusedError{Why: "nothing is started here"}
}

func (d *trackerDesk) Definitions(context.Context) ([]api.Published, error) {
	var all []api.Published
	for _, saga := range contract.Versions {
		doc, err := definition.FromGo(saga, nil)
		if err != nil {
			return nil, err
		}
		mark := definition.Fingerprint(doc.Definition)
		all = append(all, api.Published{Document: doc, Fingerprint: mark, By: []api.Publisher{{Service: "orders", Build: "v1.9.0", Fingerprint: mark, Starts: true}}})
	}
	return all, nil
}

func (d *trackerDesk) Explain(_ context.Context, s *tracker.Snapshot) (tracker.Verdict, error) {
	return tracker.Explain(s, nil, time.Now()), nil
}

func (d *trackerDesk) Events(_ context.Context, _ *tracker.Snapshot, _ int) ([]choreo.Record, bool, error) {
	return nil, false, nil
}

// TestPageOverTheServer runs the page over the server of the tracker, with its gate, its model and
// its answers, under a base path and with a token.
func TestPageOverTheServer(t *testing.T) {
	scripted := newDesk(t)
	model := memory.New(memory.Options{})
	require.NoError(t, model.Put(t.Context(), scripted.sagas, nil))
	tr, err := tracker.New(nil, model, nil) // it does not run: the model has all
	require.NoError(t, err)
	d := &trackerDesk{Tracker: tr}
	token, line, err := api.NewToken("ada", api.RoleOperator)
	require.NoError(t, err)
	tokens, err := api.ReadTokens(strings.NewReader(line))
	require.NoError(t, err)
	server, err := api.New(api.Source{Sagas: d, Commands: d, Definitions: d, Events: d, Explainer: d}, &api.Config{BasePath: deskBase, Page: page.Handler(deskBase), Tokens: tokens})
	require.NoError(t, err)
	web := httptest.NewServer(server.Handler())
	t.Cleanup(func() { server.Close(); web.Close() })

	b := browseAt(t, web.URL+deskBase)
	b.open("/")
	b.do(enter("#token", token), click("form button"), b.until(`document.querySelector("[data-count=running]")?.textContent === "62"`))
	b.clean("401 (Unauthorized)")

	b.open("/sagas?status=stuck")
	b.do(b.until(`document.querySelector(".found").textContent === "1 saga" && document.querySelector(".live.live")`))
	b.open("/sagas?q=customer%3Dc-118&limit=25&sort=updated&step=check-fraud")
	b.do(b.until(`document.querySelectorAll("main tbody tr").length > 3`))
	b.open("/sagas?limit=25")
	b.do(click(".pager a"), b.until(`location.search.includes("after=") && document.querySelectorAll("main tbody tr").length === 25`))

	b.open("/sagas/order/o-20931")
	b.do(b.until(`document.querySelector('g.step[data-step="charge-payment"][data-status=stuck]')`))
	assert.Contains(t, b.text(".verdict"), "charge-payment")
	b.do(click("[data-action=retry]"), enter("dialog textarea", "the gateway is back"), click("dialog button[type=submit]"), b.until(`!document.querySelector("dialog")`))
	require.Len(t, d.asked, 1)
	assert.Equal(t, api.Action{Action: api.ActionRetry, Step: "charge-payment", Reason: "the gateway is back"}, d.asked[0])
	assert.Equal(t, "ada", d.by)

	s, err := model.Get(t.Context(), "order", "o-20931")
	require.NoError(t, err)
	s.Offset, s.Events, s.Status = s.Offset+1, s.Events+1, choreo.StatusRunning
	s.Steps[3].Status, s.Steps[3].Error = choreo.StepDone, nil
	require.NoError(t, model.Put(t.Context(), []*tracker.Snapshot{s}, nil))
	d.tell(s)
	b.do(b.until(`document.querySelector(".saga-head [data-status=running]")`))

	b.open("/definitions")
	b.do(b.until(`document.querySelectorAll("main tbody tr").length === 2`))
	b.open("/definitions/order/2")
	b.do(b.until(`document.querySelector(".graph g.step .state.number") && document.querySelector("pre")`))
	b.open("/trouble")
	b.do(b.until(`document.querySelectorAll(".card").length === 3`))
	b.is(`document.body.textContent.includes("schema-unknown")`)
	b.is(`document.querySelector("main .card:last-of-type .empty")`) // it has no dead letters to read
	b.clean("501", "503", "404")
	b.open("/sagas/order/o-0")
	b.is(`document.querySelector("main [role=alert] h1")`)
	// The browser may have kept the page that was left: it must go on from where it was.
	_ = evaluate[bool](b, `history.back() === undefined`)
	b.do(b.until(`document.querySelector("h1").textContent === "Trouble"`))
	b.clean("501", "503", "404")
}
