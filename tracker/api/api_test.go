package api_test

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
	registry "github.com/choreo-go/choreo/schema/registry/memory"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
)

func TestDocumentIsSound(t *testing.T) {
	doc, err := libopenapi.NewDocument(api.OpenAPI())
	require.NoError(t, err)
	require.Equal(t, "3.1.0", doc.GetVersion())
	ok, errs := document(t).ValidateDocument()
	require.True(t, ok, "%v", errs)
}

func TestListPagesAndFilters(t *testing.T) {
	r := newRig(t, nil)
	seen := map[string]bool{}
	path := "/api/v1/sagas?limit=2&sort=started"
	for after := ""; ; {
		list := get[api.SagaList](r, path+after)
		require.LessOrEqual(t, len(list.Sagas), 2)
		require.EqualValues(t, 3, list.Freshness.LagEvents)
		for _, s := range list.Sagas {
			require.False(t, seen[s.ID])
			require.Nil(t, s.Fold, "the fold is the tracker's alone")
			seen[s.ID] = true
		}
		if list.Next == "" {
			break
		}
		after = "&after=" + url.QueryEscape(list.Next)
	}
	require.Len(t, seen, 5)

	require.Equal(t, hostile, get[api.SagaList](r, "/api/v1/sagas").Sagas[0].ID, "the newest comes first")
	require.Len(t, get[api.SagaList](r, "/api/v1/sagas?status=completed&status=parked").Sagas, 2)
	require.Len(t, get[api.SagaList](r, "/api/v1/sagas?q=c-o-1").Sagas, 1)
	require.Len(t, get[api.SagaList](r, "/api/v1/sagas?code=undecodable&service=payments&saga=order&version=1&step=charge-payment").Sagas, 1)
	require.Len(t, get[api.SagaList](r, "/api/v1/sagas?started_from=2026-01-31T12:00:01Z&started_to=2026-01-31T12:00:03Z").Sagas, 2)
	require.NotNil(t, get[api.SagaList](r, "/api/v1/sagas?saga=nothing").Sagas)

	res, _ := r.do(http.MethodGet, "/api/v1/sagas", nil)
	require.Equal(t, "3", res.Header.Get("Choreo-Lag-Events"))
	require.Equal(t, "0.250", res.Header.Get("Choreo-Lag-Seconds"))
}

func TestBadParametersAreNamed(t *testing.T) {
	r := newRig(t, nil)
	for query, name := range map[string]string{
		"stauts=stuck": "stauts", "status=stukc": "status", "version=0": "version", "version=x": "version", "limit=0": "limit",
		"limit=1001": "limit", "limit=1&limit=2": "limit", "started_from=yesterday": "started_from", "sort=name": "sort", "sort=": "sort",
		"saga=": "saga", "q=%ff": "q", "q=%00": "q", "q=" + strings.Repeat("x", 1025): "q",
		"started_from=2026-02-01T00:00:00Z&started_to=2026-01-01T00:00:00Z": "started_to", "step=" + strings.Repeat("&step=a", 101): "step",
		"a=%zz": "", "updated_to=2026-01-01T00:00:00+01:00": "updated_to", // the plus is a blank
	} {
		p := r.refused(api.CodeBadParameter, http.MethodGet, "/api/v1/sagas?"+query, nil)
		require.Equal(t, name, p.Parameter, query)
		require.NotEmpty(t, p.Detail)
	}
	p := r.refused(api.CodeBadCursor, http.MethodGet, "/api/v1/sagas?after=nonsense", nil)
	require.Equal(t, "after", p.Parameter)
	r.refused(api.CodeBadParameter, http.MethodGet, "/api/v1/counts?by=colour", nil)
	for _, path := range []string{"/overview", "/definitions", "/participants", "/parked", "/me", "/openapi.json", "/sagas/order/o-1", "/definitions/order/1"} {
		require.Equal(t, "x", r.refused(api.CodeBadParameter, http.MethodGet, "/api/v1"+path+"?x=1", nil).Parameter)
	}
	r.refused(api.CodeBadParameter, http.MethodGet, "/api/v1/dead-letters?by=error&group=g1", nil)
	r.refused(api.CodeBadParameter, http.MethodGet, "/api/v1/dead-letters?by=colour", nil)
	r.refused(api.CodeBadParameter, http.MethodGet, "/api/v1/live?status=x", nil)
	r.refused(api.CodeBadParameter, http.MethodGet, "/api/v1/sagas/order/o-1/events?payload=maybe", nil)
}

func TestReads(t *testing.T) {
	r := newRig(t, nil)
	counts := get[api.CountList](r, "/api/v1/counts")
	require.Equal(t, "running", counts.Counts[0].Key)
	require.EqualValues(t, 3, counts.Counts[0].Count)
	require.NotNil(t, get[api.CountList](r, "/api/v1/counts?by=code&saga=none").Counts)

	o := get[tracker.Overview](r, "/api/v1/overview")
	require.Len(t, o.OldestStuck, 1)
	require.Len(t, o.Freshness.Partitions, 1)

	one := get[api.SagaView](r, "/api/v1/sagas/order/o-1")
	require.Equal(t, "stuck at charge-payment in payments", one.Verdict)
	require.Equal(t, "payments", one.Why.WaitsFor[0].Service)
	r.fake.ended = true
	require.Empty(t, get[api.SagaView](r, "/api/v1/sagas/order/"+api.EscapeID(hostile)).Why.WaitsFor, "it has ended at a step, and waits for none")
	require.Len(t, one.Definition.Steps, 3)
	require.True(t, one.Definition.Steps[1].Pivot)
	require.InDelta(t, 1800, one.Definition.DeadlineSeconds, 0)

	all := get[[]api.DefinitionStanding](r, "/api/v1/definitions")
	require.Len(t, all, 2)
	require.False(t, all[0].Deletable)
	require.Contains(t, all[0].Why, "4 of its sagas have not ended")
	require.EqualValues(t, 5, all[0].Steps["charge-payment"])
	require.Contains(t, all[1].Why, "events behind")
	def := get[api.DefinitionStanding](r, "/api/v1/definitions/order/1")
	require.Contains(t, def.YAML, "saga: order")
	require.Len(t, def.Graph.Steps, 3)
	res, data := r.do(http.MethodGet, "/api/v1/definitions/order/1/graph.svg", nil)
	require.Equal(t, "image/svg+xml", res.Header.Get("Content-Type"))
	require.Contains(t, string(data), "<svg")
	r.refused(api.CodeNoDefinition, http.MethodGet, "/api/v1/definitions/order/9", nil)
	r.refused(api.CodeNoDefinition, http.MethodGet, "/api/v1/definitions/order/x", nil)

	require.Len(t, get[[]api.Participant](r, "/api/v1/participants")[0].Instances, 2)
	require.Len(t, get[[]api.LetterGroup](r, "/api/v1/dead-letters"), 1)
	require.Len(t, get[[]api.Letter](r, "/api/v1/dead-letters?group=g1"), 2)
	require.Len(t, get[[]api.Letter](r, "/api/v1/dead-letters?group=g1&limit=1"), 1)
	r.refused(api.CodeNoGroup, http.MethodGet, "/api/v1/dead-letters?group=g2", nil)
	parked := get[[]api.ParkedGroup](r, "/api/v1/parked")
	require.Equal(t, []api.SagaRef{{Saga: "order", ID: "o-5"}}, parked[0].Sagas)
	require.Equal(t, "no schema", parked[0].Message)
	require.Equal(t, api.Me{Name: "local", Role: api.RoleAdmin, May: []string{"view", "payload", "operate", "admin"}}, get[api.Me](r, "/api/v1/me"))
	require.Equal(t, "3.1.0", get[map[string]any](r, "/api/v1/openapi.json")["openapi"])
}

func TestWhatIsMissingIsTold(t *testing.T) {
	r := newRig(t, nil)
	require.Len(t, get[tracker.Freshness](r, "/api/v1/freshness?partitions=1").Partitions, 1)
	require.Empty(t, get[tracker.Freshness](r, "/api/v1/freshness").Partitions)
	r.fake.missing = []string{"tracker-2:7655", "tracker-3:7655"}
	require.Equal(t, r.fake.missing, get[api.SagaList](r, "/api/v1/sagas").Missing)
	require.Len(t, get[api.SagaList](r, "/api/v1/sagas?limit=3").Sagas, 3)
	require.Equal(t, r.fake.missing, get[api.CountList](r, "/api/v1/counts").Missing)
	require.Equal(t, r.fake.missing, get[api.OverviewView](r, "/api/v1/overview?strict=0").Missing)
	require.NotEmpty(t, get[[]api.ParkedGroup](r, "/api/v1/parked"))
	require.True(t, get[tracker.Freshness](r, "/api/v1/freshness").Parts[0].Away)
	for _, path := range []string{"/sagas", "/counts", "/overview", "/parked"} {
		res, _ := r.do(http.MethodGet, "/api/v1"+path, nil)
		require.Equal(t, "tracker-2:7655, tracker-3:7655", res.Header.Get("Choreo-Partial"), path)
	}
	for _, path := range []string{"/sagas?strict=1", "/counts?strict=1", "/overview?strict=1", "/sagas/order/none"} {
		p := r.refused(api.CodeUnavailable, http.MethodGet, "/api/v1"+path, nil)
		require.Contains(t, p.Detail, "tracker-2:7655, tracker-3:7655", path)
		require.NotContains(t, p.Detail, "10.0.0.7")
	}
	require.Equal(t, "o-1", get[api.SagaView](r, "/api/v1/sagas/order/o-1").Saga.ID)
	require.Equal(t, api.OutcomeAccepted, get[api.Outcome](r, "/api/v1/sagas/order/none/actions/started").State)

	r.fake.caughtUp = true
	for _, id := range []string{"o-1", "o-2", "o-3", "o-5"} {
		r.fake.put(snapshot(id, 10, choreo.StatusCompleted))
	}
	one := get[api.DefinitionStanding](r, "/api/v1/definitions/order/1")
	require.False(t, one.Deletable, "a part that is away may have sagas of it")
	require.Contains(t, one.Why, "tracker-2:7655")
}

func TestDeletable(t *testing.T) {
	r := newRig(t, nil)
	for _, id := range []string{"o-1", "o-2", "o-3", "o-5"} {
		r.fake.put(snapshot(id, 10, choreo.StatusCompleted))
	}
	one := get[api.DefinitionStanding](r, "/api/v1/definitions/order/1")
	require.False(t, one.Deletable)
	require.Contains(t, one.Why, "3 events behind")
	r.fake.caughtUp = true
	one = get[api.DefinitionStanding](r, "/api/v1/definitions/order/1")
	require.True(t, one.Deletable)
	require.EqualValues(t, 5, one.Counts[choreo.StatusCompleted])
	one = get[api.DefinitionStanding](r, "/api/v1/definitions/order/2")
	require.False(t, one.Deletable)
	require.Contains(t, one.Why, "newest version")
}

func TestHostileIDs(t *testing.T) {
	r := newRig(t, nil)
	for n, id := range []string{
		hostile, ".", "..", "~.", "~..", "~~..", "~", "~x", "...", "/", "~/", "~~/", "//", "~//", "a//b", "../..", "./a", "a/.", "%2e%2e", "%", "%25", "%2F", "a+b c", "?x=1", "#x", ";", "actions",
		"\\", "\u2028", "ü", "{id}", strings.Repeat("/", 255),
	} {
		r.fake.put(snapshot(id, 30+n, choreo.StatusRunning))
		at := "/api/v1/sagas/order/" + api.EscapeID(id)
		require.Equal(t, id, get[api.SagaView](r, at).Saga.ID)
		require.Len(t, get[api.EventList](r, at+"/events").Events, 3)
		res, data := r.do(http.MethodPost, at+"/actions", api.Action{Action: api.ActionForceAbort, Reason: "because"})
		require.Equal(t, http.StatusAccepted, res.StatusCode, "%s", data)
		require.Contains(t, r.fake.acted[len(r.fake.acted)-1], "force-abort "+id+" ")
		outcome := get[api.Outcome](r, res.Header.Get("Location"))
		require.Equal(t, "event-1", outcome.EventID)
		require.Contains(t, r.fake.acted[len(r.fake.acted)-1], "of "+id+" from")

		// Clients of today's browsers and Go resolve what looks like folders, as proxies do.
		address, err := url.Parse(r.http.URL + at)
		require.NoError(t, err)
		require.Equal(t, at, address.ResolveReference(&url.URL{}).EscapedPath())
		require.NotContains(t, strings.Split(at, "/"), "..")
		require.NotContains(t, strings.Split(at, "/"), ".")
	}
	for _, id := range []string{"%2e%2e%2e%2e", "%2Fx", "%00", "%ff", "..%2f..%2fetc", "~~~~..", strings.Repeat("x", 5000)} {
		r.refused(api.CodeSagaNotFound, http.MethodGet, "/api/v1/sagas/order/"+id, nil)
	}
}

func TestWhatCameOfAnAction(t *testing.T) {
	r := newRig(t, func(c *api.Config) { c.Timeout = 8 * time.Second })
	res, data := r.do(http.MethodPost, "/api/v1/sagas/order/o-1/actions", api.Action{Action: api.ActionCancel, Reason: "because"})
	require.Equal(t, http.StatusAccepted, res.StatusCode, "%s", data)
	require.Equal(t, "/api/v1/sagas/order/o-1/actions/event-1", res.Header.Get("Location"))
	res, _ = r.do(http.MethodPost, "/api/v1/sagas/order", api.Start{ID: ".."})
	require.Equal(t, "/api/v1/sagas/order/~../actions/event-2", res.Header.Get("Location"))

	no := get[api.Outcome](r, "/api/v1/sagas/order/o-1/actions/event-1?wait=60")
	require.Equal(t, api.OutcomeRejected, no.State)
	require.Equal(t, api.ActionCancel, no.Action)
	require.Equal(t, "it is over", no.Answer.Error.Message)
	require.Empty(t, no.Answer.Payload)
	require.Contains(t, r.fake.acted, "answer to event-1 of o-1 from 0 within 6s", "time is left for the reading")
	open := get[api.Outcome](r, "/api/v1/sagas/order/o-1/actions/open")
	require.Equal(t, api.Outcome{EventID: "open", Action: api.ActionCancel, State: api.OutcomePending}, open)
	started := get[api.Outcome](r, "/api/v1/sagas/order/new/actions/started?wait=1")
	require.Equal(t, api.OutcomeAccepted, started.State)
	require.EqualValues(t, "start", started.Action)
	require.Contains(t, r.fake.acted, "answer to started of new from -1 within 1s", "of which no snapshot is known")
	require.Equal(t, api.ActionResolve, get[api.Outcome](r, "/api/v1/sagas/order/o-1/actions/resolved").Action)
	require.Equal(t, api.ActionForceAbort, get[api.Outcome](r, "/api/v1/sagas/order/o-1/actions/forced").Action)

	r.refused(api.CodeNoCommand, http.MethodGet, "/api/v1/sagas/order/o-1/actions/none", nil)
	for _, wait := range []string{"-1", "61", "soon"} {
		require.Equal(t, "wait", r.refused(api.CodeBadParameter, http.MethodGet, "/api/v1/sagas/order/o-1/actions/event-1?wait="+wait, nil).Parameter)
	}
}

func TestTagsAndHead(t *testing.T) {
	r := newRig(t, nil)
	res, _ := r.do(http.MethodGet, "/api/v1/sagas/order/o-1", nil)
	tag := res.Header.Get("ETag")
	require.NotEmpty(t, tag)
	again := func(q *http.Request) { q.Header.Set("If-None-Match", `"x", `+tag) }
	res, data := r.do(http.MethodGet, "/api/v1/sagas/order/o-1", nil, again)
	require.Equal(t, http.StatusNotModified, res.StatusCode)
	require.Empty(t, data)
	require.Equal(t, "3", res.Header.Get("Choreo-Lag-Events"))
	r.fake.put(snapshot("o-1", 0, choreo.StatusRunning))
	res, _ = r.do(http.MethodGet, "/api/v1/sagas/order/o-1", nil, again)
	require.Equal(t, http.StatusOK, res.StatusCode)

	for _, path := range []string{"/api/v1/sagas", "/api/v1/live", "/api/v1/me", "/livez"} {
		res, data = r.do(http.MethodHead, path, nil)
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.Empty(t, data)
	}
}

func TestLargeListsAreCompressed(t *testing.T) {
	r := newRig(t, nil)
	res, data := r.do(http.MethodGet, "/api/v1/sagas", nil)
	require.True(t, res.Uncompressed, "Go's client asks for gzip by itself")
	zipped := func(q *http.Request) { q.Header.Set("Accept-Encoding", "gzip") }
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.http.URL+"/api/v1/sagas", http.NoBody)
	require.NoError(t, err)
	zipped(req)
	raw, err := r.http.Client().Do(req)
	require.NoError(t, err)
	defer raw.Body.Close()
	require.Equal(t, "gzip", raw.Header.Get("Content-Encoding"))
	z, err := gzip.NewReader(raw.Body)
	require.NoError(t, err)
	plain, err := io.ReadAll(z)
	require.NoError(t, err)
	require.JSONEq(t, string(data), string(plain))
}

func TestEventsAndPayloads(t *testing.T) {
	roles := map[api.Role]bool{api.RoleViewer: false, api.RoleOperator: false, api.RoleAdmin: true}
	for role, sees := range roles {
		r := withTokens(t, role, nil)
		plain := get[api.EventList](r, "/api/v1/sagas/order/o-1/events")
		require.Equal(t, api.PayloadsNotAsked, plain.Payloads)
		require.Len(t, plain.Events, 3)
		res, data := r.do(http.MethodGet, "/api/v1/sagas/order/o-1/events?payload=1", nil)
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Equal(t, sees, strings.Contains(string(data), "4711"), role)
		require.Equal(t, sees, strings.Contains(string(data), "secret"), role)
		asked := get[api.EventList](r, "/api/v1/sagas/order/o-1/events?payload=1")
		if !sees {
			require.Equal(t, api.PayloadsHidden, asked.Payloads)
			require.Contains(t, asked.Events[0].Headers, api.HeaderView{Name: "choreo-output-create-order", Hidden: true, Size: 29})
			continue
		}
		require.JSONEq(t, `{"card":"4711"}`, string(asked.Events[0].Payload))
		require.JSONEq(t, `"wwH/"`, string(asked.Events[1].Payload))
		require.Equal(t, "base64", asked.Events[1].PayloadEncoding)
		require.Equal(t, "because", asked.Events[1].Error.Message)
		require.NotEmpty(t, asked.Events[2].Undecodable)
		require.Equal(t, api.HeaderView{Name: "bin\uFFFD", Value: "/w==", Encoding: "base64"}, asked.Events[2].Headers[0])
	}
	r := withTokens(t, api.RoleViewer, func(c *api.Config) { c.Payloads = api.RoleViewer })
	require.Equal(t, api.PayloadsShown, get[api.EventList](r, "/api/v1/sagas/order/o-1/events?payload=1").Payloads)
	require.True(t, get[api.EventList](r, "/api/v1/sagas/order/o-1/events?limit=1").More)
}

func TestActions(t *testing.T) {
	r := newRig(t, nil)
	res, _ := r.do(http.MethodPost, "/api/v1/sagas/order/o-1/actions", api.Action{Action: api.ActionCancel, Reason: "the customer asked"})
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	res, _ = r.do(http.MethodPost, "/api/v1/sagas/order/o-1/actions", api.Action{Action: api.ActionRetry, Step: "charge-payment", Reason: "the gateway is back"})
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	res, _ = r.do(http.MethodPost, "/api/v1/sagas/order", map[string]any{"id": "n-1", "version": 1, "input": map[string]int{"a": 1}, "tags": map[string]string{"customer": "7"}})
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	res, _ = r.do(http.MethodPost, "/api/v1/dead-letters/redrive", api.Redrive{Group: "g1", Reason: "mended"})
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, []string{
		"cancel o-1  by local: the customer asked", "retry o-1 charge-payment by local: the gateway is back",
		"start order n-1 by local", "redrive by local: mended",
	}, r.fake.acted)

	audit := r.logs.FilterMessage("Action").FilterField(field("action", "retry")).All()
	require.Len(t, audit, 1)
	said := audit[0].ContextMap()
	require.Equal(t, []any{"local", "admin", "order/o-1", "the gateway is back", "accepted"},
		[]any{said["who"], said["role"], said["target"], said["why"], said["outcome"]})
}

func TestActionsThatMakeNoSense(t *testing.T) {
	r := newRig(t, nil)
	ended := "/api/v1/sagas/order/" + url.PathEscape(hostile) + "/actions"
	committed := snapshot("c-1", 20, choreo.StatusRunning)
	committed.Steps[1].Status, committed.Steps[2].Status = choreo.StepDone, choreo.StepRetried
	back := snapshot("b-1", 21, choreo.StatusCompensating)
	back.Steps[0].Status = choreo.StepUndoFailed
	r.fake.put(committed, back)
	for _, c := range []struct {
		path string
		a    api.Action
		why  string
	}{
		{ended, api.Action{Action: api.ActionCancel}, "has ended as completed"},
		{"c-1", api.Action{Action: api.ActionCancel}, "its pivot charge-payment has completed"},
		{"c-1", api.Action{Action: api.ActionForceAbort}, "its pivot charge-payment has completed"},
		{"b-1", api.Action{Action: api.ActionCancel}, "goes backwards already"},
		{"o-1", api.Action{Action: api.ActionRelease, Service: "orders"}, "orders has not parked"},
		{"o-1", api.Action{Action: api.ActionRetry, Step: "ship"}, "step ship is idle"},
		{"o-1", api.Action{Action: api.ActionRetry, Step: "sing"}, "no step sing"},
		{"o-1", api.Action{Action: api.ActionResolve, Step: "charge-payment", Resolve: choreo.ResolveDone}, "past the pivot alone"},
		{"o-1", api.Action{Action: api.ActionResolve, Step: "create-order", Resolve: choreo.ResolveUndone}, "is completed"},
	} {
		if !strings.HasPrefix(c.path, "/") {
			c.path = "/api/v1/sagas/order/" + c.path + "/actions"
		}
		c.a.Reason = "because"
		require.Contains(t, r.refused(api.CodeRefused, http.MethodPost, c.path, c.a).Detail, c.why)
	}
	for path, a := range map[string]api.Action{
		"c-1": {Action: api.ActionResolve, Step: "ship", Resolve: choreo.ResolveDone, Output: []byte(`{}`)},
		"b-1": {Action: api.ActionResolve, Step: "create-order", Resolve: choreo.ResolveUndone},
		"o-5": {Action: api.ActionRelease, Service: "payments"},
	} {
		a.Reason = "by hand"
		res, data := r.do(http.MethodPost, "/api/v1/sagas/order/"+path+"/actions", a)
		require.Equal(t, http.StatusAccepted, res.StatusCode, "%s", data)
	}
	r.refused(api.CodeSagaNotFound, http.MethodPost, "/api/v1/sagas/order/none/actions", api.Action{Action: api.ActionCancel, Reason: "x"})
	r.refused(api.CodeRefused, http.MethodPost, "/api/v1/sagas/other", api.Start{ID: "1"})
}

func TestBadBodies(t *testing.T) {
	r := newRig(t, nil)
	act := "/api/v1/sagas/order/o-1/actions"
	for body, field := range map[string]string{
		``: "", `{`: "", `[]`: "", `{} {}`: "", `null`: "action", `{"action":"cancel"}`: "reason", `{"action":"sing","reason":"x"}`: "action",
		`{"action":"cancel","reason":"x","colour":"red"}`: "colour", `{"action":7}`: "action", "\"\xff\"": "",
		`{"action":"cancel","reason":"a\u0000b"}`: "reason", `{"action":"retry","reason":"x"}`: "step",
		`{"action":"cancel","step":"ship","reason":"x"}`: "step", `{"action":"resolve","step":"ship","reason":"x"}`: "resolve",
		`{"action":"cancel","resolve":"done","reason":"x"}`: "resolve", `{"action":"release","reason":"x"}`: "service",
		`{"action":"retry","step":"a","service":"b","reason":"x"}`: "service", `{"action":"retry","step":"a","output":1,"reason":"x"}`: "output",
		`{"action":"cancel","reason":"` + strings.Repeat("x", 1001) + `"}`: "reason",
	} {
		require.Equal(t, field, r.refused(api.CodeBadBody, http.MethodPost, act, body).Parameter, body)
	}
	for body, field := range map[string]string{
		`{}`: "id", `{"id":"a\nb"}`: "id", `{"id":"` + strings.Repeat("x", 256) + `"}`: "id", `{"id":"1","version":-1}`: "version",
		`{"id":"1","tags":{"UPPER":"x"}}`: "tags", `{"id":"1","reason":"\u0007"}`: "reason",
	} {
		require.Equal(t, field, r.refused(api.CodeBadBody, http.MethodPost, "/api/v1/sagas/order", body).Parameter, body)
	}
	for body, field := range map[string]string{
		`{}`: "group", `{"group":"g1","letters":[{"partition":1,"offset":2}]}`: "group", `{"letters":[{"partition":-1,"offset":2}]}`: "letters",
	} {
		require.Equal(t, field, r.refused(api.CodeBadBody, http.MethodPost, "/api/v1/dead-letters/redrive", body).Parameter, body)
	}
	r.refused(api.CodeNoGroup, http.MethodPost, "/api/v1/dead-letters/redrive", `{"group":"g9"}`)
	r.refused(api.CodeTooLarge, http.MethodPost, act, `{"reason":"`+strings.Repeat("x", 1<<20)+`"}`)
	r.refused(api.CodeUnsupportedMedia, http.MethodPost, act, `{}`, func(q *http.Request) { q.Header.Set("Content-Type", "text/plain") })
	require.Empty(t, r.fake.acted)
}

func TestFaultsOfTheSource(t *testing.T) {
	r := newRig(t, func(c *api.Config) { c.Timeout = 20 * time.Millisecond })
	r.fake.fail = errors.New("dial 10.0.0.7: password=hunter2")
	for _, path := range []string{"/sagas", "/counts", "/overview", "/sagas/order/o-1", "/sagas/order/o-1/events", "/sagas/order/o-1/actions/event-1", "/definitions", "/participants", "/dead-letters", "/dead-letters?group=g1", "/parked"} {
		p := r.refused(api.CodeUnavailable, http.MethodGet, "/api/v1"+path, nil)
		require.NotContains(t, p.Detail, "hunter2")
	}
	require.NotZero(t, r.logs.FilterMessage("A request failed").Len())
	r.fake.wait = true
	r.refused(api.CodeTimeout, http.MethodGet, "/api/v1/sagas", nil)
}

func TestWhatIsNotSetUp(t *testing.T) {
	f := newFake()
	server, err := api.New(api.Source{Sagas: f}, nil)
	require.NoError(t, err)
	defer server.Close()
	r := &rig{t: t, fake: f, check: document(t), http: serve(t, server.Handler())}
	for _, path := range []string{"/definitions", "/definitions/a/1", "/participants", "/dead-letters", "/sagas/order/o-1/events", "/sagas/order/o-1/actions/event-1"} {
		r.refused(api.CodeNotAvailable, http.MethodGet, "/api/v1"+path, nil)
	}
	r.refused(api.CodeNotAvailable, http.MethodPost, "/api/v1/sagas/order/o-1/actions", api.Action{Action: api.ActionCancel, Reason: "x"})
	r.refused(api.CodeNotAvailable, http.MethodPost, "/api/v1/sagas/order", api.Start{ID: "x"})
	r.refused(api.CodeNotAvailable, http.MethodPost, "/api/v1/dead-letters/redrive", api.Redrive{Group: "x"})
	require.Empty(t, get[api.SagaView](r, "/api/v1/sagas/order/o-1").Verdict)
}

type cardCharged struct {
	Card string `avro:"card"`
}

func TestPayloadsAreDecoded(t *testing.T) {
	registry, err := registry.New(nil)
	require.NoError(t, err)
	codec, err := avro.New(registry, &avro.Config{Topic: "choreo.order.events"})
	require.NoError(t, err)
	data, err := codec.Encode(cardCharged{Card: "4712"})
	require.NoError(t, err)
	f := newFake()
	f.avro = data
	server, err := api.New(api.Source{Sagas: f, Events: f, Codecs: []schema.Codec{codec}}, nil)
	require.NoError(t, err)
	defer server.Close()
	r := &rig{t: t, fake: f, check: document(t), http: serve(t, server.Handler())}
	asked := get[api.EventList](r, "/api/v1/sagas/order/o-1/events?payload=1")
	require.JSONEq(t, `{"card":"4712"}`, string(asked.Events[1].Payload))
	require.Equal(t, "json", asked.Events[1].PayloadEncoding)
	f.avro = []byte{0xC3, 0x01, 0xFF}
	asked = get[api.EventList](r, "/api/v1/sagas/order/o-1/events?payload=1")
	require.Equal(t, "base64", asked.Events[1].PayloadEncoding, "what cannot be decoded is shown as it is")
}
