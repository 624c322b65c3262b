package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/choreo-go/choreo/tracker/api"
)

func field(key, value string) zapcore.Field { return zap.String(key, value) }

func serve(t *testing.T, h http.Handler) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// withTokens is a rig that asks for tokens, and whose client has one of the role.
func withTokens(t *testing.T, role api.Role, change func(*api.Config)) *rig {
	token, line, err := api.NewToken("somebody", role)
	require.NoError(t, err)
	tokens, err := api.ReadTokens(strings.NewReader("# who may come in\n\n" + line + "\n"))
	require.NoError(t, err)
	require.NotContains(t, line, token)
	r := newRig(t, func(c *api.Config) {
		c.Tokens = tokens
		if change != nil {
			change(c)
		}
	})
	r.token = token
	return r
}

type documented struct {
	Paths map[string]map[string]json.RawMessage
}

// operations calls do with each operation of the document and an address that fits it.
func operations(t *testing.T, do func(method, path, template string, needs api.Role)) {
	var doc documented
	require.NoError(t, json.Unmarshal(api.OpenAPI(), &doc))
	n := 0
	for template, item := range doc.Paths {
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			var op struct {
				Role api.Role `json:"x-choreo-role"`
			}
			require.NoError(t, json.Unmarshal(raw, &op))
			path := strings.NewReplacer("{saga}", "order", "{id}", "o-1", "{version}", "1", "{event}", "event-1").Replace(template)
			do(strings.ToUpper(method), "/api/v1"+path, template, op.Role)
			n++
		}
	}
	require.Equal(t, 19, n)
}

func TestEveryRouteIsBehindTheGate(t *testing.T) {
	rank := map[api.Role]int{"": 0, api.RoleViewer: 1, api.RoleOperator: 2, api.RoleAdmin: 3}
	for have := range rank {
		r := withTokens(t, api.RoleAdmin, nil)
		if have != "" {
			r = withTokens(t, have, nil)
		} else {
			r.token = "choreo_wrong"
		}
		operations(t, func(method, path, _ string, needs api.Role) {
			require.NotZero(t, rank[needs], path)
			if strings.HasSuffix(path, "/live") {
				method = http.MethodHead // it would not end
			}
			var body any
			if method == http.MethodPost {
				body = "{}"
			}
			res, _ := r.do(method, path, body)
			switch {
			case have == "":
				require.Equal(t, http.StatusUnauthorized, res.StatusCode, path)
				require.Contains(t, res.Header.Get("WWW-Authenticate"), "Bearer")
			case rank[have] < rank[needs]:
				require.Equal(t, http.StatusForbidden, res.StatusCode, path)
			default:
				require.Contains(t, []int{http.StatusOK, http.StatusBadRequest}, res.StatusCode, "%s %s", method, path)
			}
		})
	}
}

func TestEveryRouteIsDocumented(t *testing.T) {
	there := map[string]api.Role{}
	operations(t, func(method, _, template string, needs api.Role) { there[method+" /api/v1"+template] = needs })
	r := newRig(t, nil)
	for _, route := range r.server.Routes() {
		if !strings.HasPrefix(route.Path, "/api/") {
			continue
		}
		require.Equal(t, there[route.Method+" "+route.Path], route.Needs, route.Path)
		delete(there, route.Method+" "+route.Path)
	}
	require.Empty(t, there, "these are documented and not served")
}

func TestTokens(t *testing.T) {
	r := withTokens(t, api.RoleViewer, nil)
	good := r.token
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic " + good, good, "Bearer " + good + "x", "Bearer " + strings.Repeat("x", 20_000)} {
		r.token = ""
		r.refused(api.CodeUnauthenticated, http.MethodGet, "/api/v1/me", nil, func(q *http.Request) {
			if header != "" {
				q.Header.Set("Authorization", header)
			}
		})
	}
	r.refused(api.CodeUnauthenticated, http.MethodGet, "/api/v1/me", nil, func(q *http.Request) {
		q.Header["Authorization"] = []string{"Bearer " + good, "Bearer " + good}
	})
	r.token = good
	require.Equal(t, api.Me{Name: "somebody", Role: api.RoleViewer, May: []string{"view"}}, get[api.Me](r, "/api/v1/me"))
	r.refused(api.CodeForbidden, http.MethodPost, "/api/v1/sagas/order", api.Start{ID: "1"})
	denied := r.logs.FilterMessage("Action").All()
	require.Len(t, denied, 1)
	require.Equal(t, "forbidden", denied[0].ContextMap()["outcome"])
	require.Equal(t, "somebody", denied[0].ContextMap()["who"])

	for _, line := range []string{
		"a", "a viewer", "a king sha256:" + strings.Repeat("0", 64), "a viewer choreo_secret", "a viewer sha256:00", strings.Repeat("n", 200) + " viewer sha256:" + strings.Repeat("0", 64),
	} {
		_, err := api.ReadTokens(strings.NewReader(line))
		require.ErrorContains(t, err, "line 1", line)
		require.NotContains(t, err.Error(), "secret")
	}
	_, _, err := api.NewToken("two words", api.RoleViewer)
	require.Error(t, err)
	_, _, err = api.NewToken("one", "king")
	require.Error(t, err)
	_, err = api.LoadTokens(t.TempDir() + "/none")
	require.Error(t, err)
}

func TestOpenAddressesNeedAuthentication(t *testing.T) {
	for _, address := range []string{":7654", "0.0.0.0:7654", "[::]:7654", "10.0.0.1:7654", "example.com:80"} {
		_, err := api.New(api.Source{Sagas: newFake()}, &api.Config{Address: address})
		require.ErrorContains(t, err, "Config.Address", address)
		_, err = api.New(api.Source{Sagas: newFake()}, &api.Config{MetricsAddress: address})
		require.ErrorContains(t, err, "Config.MetricsAddress", address)
	}
	_, err := api.New(api.Source{}, &api.Config{
		Address: "nonsense", BasePath: "choreo/", Payloads: "king", Hosts: []string{"http://x/"}, Origins: []string{"x"}, Timeout: -1,
		LiveClients: -1, Tokens: &api.Tokens{}, OIDC: &api.OIDC{},
	})
	for _, name := range []string{"Source.Sagas", "Address", "BasePath", "Payloads", "Hosts[0]", "Origins[0]", "Timeout", "LiveClients", "Tokens", "OIDC"} {
		require.ErrorContains(t, err, name)
	}
	_, err = api.New(api.Source{Sagas: newFake()}, &api.Config{Hosts: []string{"ops.example.com"}})
	require.ErrorContains(t, err, "no authentication")
}

func TestNamesOfOthersAreRefused(t *testing.T) {
	r := newRig(t, nil)
	for _, host := range []string{"evil.example", "evil.example:7654", "127.0.0.1.nip.io", "localhost.evil.example", "10.0.0.1", "[::ffff:10.0.0.1]:80"} {
		r.refused(api.CodeWrongHost, http.MethodGet, "/api/v1/me", nil, func(q *http.Request) { q.Host = host })
	}
	for _, host := range []string{"localhost", "localhost:1", "LOCALHOST.", "127.0.0.1:7654", "[::1]:7654", "127.9.9.9"} {
		res, _ := r.do(http.MethodGet, "/api/v1/me", nil, func(q *http.Request) { q.Host = host })
		require.Equal(t, http.StatusOK, res.StatusCode, host)
	}
	r = withTokens(t, api.RoleViewer, func(c *api.Config) { c.Hosts = []string{"ops.example.com"} })
	r.refused(api.CodeWrongHost, http.MethodGet, "/api/v1/me", nil, func(q *http.Request) { q.Host = "evil.example" })
	res, _ := r.do(http.MethodGet, "/api/v1/me", nil, func(q *http.Request) { q.Host = "ops.example.com:443" })
	require.Equal(t, http.StatusOK, res.StatusCode)
}

func TestPagesOfOthersCannotAct(t *testing.T) {
	r := newRig(t, func(c *api.Config) { c.Origins = []string{"https://ops.example.com"} })
	body := api.Start{ID: "1"}
	for _, headers := range []map[string]string{
		{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"},
	} {
		r.refused(api.CodeCrossOrigin, http.MethodPost, "/api/v1/sagas/order", body, set(headers))
	}
	require.Empty(t, r.fake.acted)
	for _, headers := range []map[string]string{
		{"Origin": r.http.URL}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "https://ops.example.com", "Sec-Fetch-Site": "cross-site"}, {},
	} {
		res, _ := r.do(http.MethodPost, "/api/v1/sagas/order", body, set(headers))
		require.Equal(t, http.StatusAccepted, res.StatusCode, "%v", headers)
		require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
	}
	res, _ := r.do(http.MethodOptions, "/api/v1/sagas/order", nil, set(map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}))
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
}

func set(headers map[string]string) func(*http.Request) {
	return func(q *http.Request) {
		for k, v := range headers {
			q.Header.Set(k, v)
		}
	}
}

func TestHeadersUnderABasePath(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("page")) })
	r := newRig(t, func(c *api.Config) { c.BasePath, c.Page = "/choreo", page })
	for _, path := range []string{"/api/v1/me", "/api/v1/none", "/", "/sagas", "/livez", "/readyz", "/metrics"} {
		res, data := r.do(http.MethodGet, path, nil)
		require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'")
		require.Contains(t, res.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
		require.NotContains(t, res.Header.Get("Content-Security-Policy"), "unsafe")
		require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-referrer", res.Header.Get("Referrer-Policy"))
		if path == "/" || path == "/sagas" {
			require.Equal(t, "page", string(data))
		}
	}
	r.refused(api.CodeNotFound, http.MethodGet, "/api/v1/none", nil)
	p := r.refused(api.CodeMethodNotAllowed, http.MethodDelete, "/api/v1/sagas", nil)
	require.Equal(t, "use GET, HEAD", p.Detail)
	r.base = ""
	r.refused(api.CodeNotFound, http.MethodGet, "/api/v1/me", nil)
}

func TestProbesAndMetrics(t *testing.T) {
	r := withTokens(t, api.RoleViewer, nil)
	res, data := r.do(http.MethodGet, "/metrics", nil)
	require.Equal(t, http.StatusOK, res.StatusCode)
	for _, line := range []string{
		`choreo_tracker_lag_events 3`, `choreo_tracker_sagas{status="running"} 3`, `choreo_tracker_sagas{status="stuck"} 0`, `choreo_tracker_ready 1`,
	} {
		require.Contains(t, string(data), line)
	}
	r.do("BREW", "/api/v1/me", nil)
	_, data = r.do(http.MethodGet, "/metrics", nil)
	require.Contains(t, string(data), `choreo_tracker_http_requests_total{method="other",route="wrong-method",status="405"} 1`)
	r.token = ""
	for path, status := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 401} {
		res, _ = r.do(http.MethodGet, path, nil)
		require.Equal(t, status, res.StatusCode, path)
	}
	r.server.Close()
	res, _ = r.do(http.MethodGet, "/readyz", nil)
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
}

func TestReadyOnceTheTrackerHasCaughtUp(t *testing.T) {
	var mu sync.Mutex
	behind := errors.New("choreo.order.events is read up to 5 events before its end")
	server, err := api.New(api.Source{Sagas: newFake(), Ready: func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		return behind
	}}, nil)
	require.NoError(t, err)
	defer server.Close()
	r := &rig{t: t, http: serve(t, server.Handler())}
	res, data := r.do(http.MethodGet, "/readyz", nil)
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Equal(t, "not ready: choreo.order.events is read up to 5 events before its end\n", string(data))
	res, _ = r.do(http.MethodGet, "/livez", nil)
	require.Equal(t, http.StatusOK, res.StatusCode, "it need not be started anew")
	mu.Lock()
	behind = nil
	mu.Unlock()
	res, _ = r.do(http.MethodGet, "/readyz", nil)
	require.Equal(t, http.StatusOK, res.StatusCode)
}

func TestPanicsStayInside(t *testing.T) {
	r := newRig(t, func(c *api.Config) {
		c.Page = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") })
	})
	res, data := r.do(http.MethodGet, "/", nil)
	require.Equal(t, http.StatusInternalServerError, res.StatusCode)
	require.NotContains(t, string(data), "secret")
	require.Equal(t, 1, r.logs.FilterMessage("A request panicked").Len())
}
