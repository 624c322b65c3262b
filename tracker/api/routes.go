package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

const prefix = "/api/v1"

// route is one row of the table of all that is served.
type route struct {
	name    string // in metrics and the audit log
	method  string // GET answers HEAD, too
	path    string // below BasePath
	needs   Role
	acts    bool // is told to the audit log
	stream  bool // has no end, so that no timeout holds
	probe   bool
	metrics bool // is served at Config.MetricsAddress
	serve   func(w http.ResponseWriter, r *http.Request) error
}

// table is all that is served, and to whom. Nothing is served that is not in it.
func (s *Server) table() []*route {
	const get, post = http.MethodGet, http.MethodPost
	view, operate := RoleViewer, RoleOperator
	routes := []*route{
		{name: "sagas", method: get, path: prefix + "/sagas", needs: view, serve: s.listSagas},
		{name: "counts", method: get, path: prefix + "/counts", needs: view, serve: s.counts},
		{name: "overview", method: get, path: prefix + "/overview", needs: view, serve: s.overview},
		{name: "freshness", method: get, path: prefix + "/freshness", needs: view, serve: s.freshness},
		{name: "saga", method: get, path: prefix + "/sagas/{saga}/{id}", needs: view, serve: s.getSaga},
		{name: "events", method: get, path: prefix + "/sagas/{saga}/{id}/events", needs: view, serve: s.events},
		{name: "answer", method: get, path: prefix + "/sagas/{saga}/{id}/actions/{event}", needs: view, serve: s.answer},
		{name: "live", method: get, path: prefix + "/live", needs: view, stream: true, serve: s.serveLive},
		{name: "definitions", method: get, path: prefix + "/definitions", needs: view, serve: s.definitions},
		{name: "definition", method: get, path: prefix + "/definitions/{saga}/{version}", needs: view, serve: s.definition},
		{name: "graph", method: get, path: prefix + "/definitions/{saga}/{version}/graph.svg", needs: view, serve: s.graph},
		{name: "participants", method: get, path: prefix + "/participants", needs: view, serve: s.participants},
		{name: "dead-letters", method: get, path: prefix + "/dead-letters", needs: view, serve: s.deadLetters},
		{name: "parked", method: get, path: prefix + "/parked", needs: view, serve: s.parked},
		{name: "me", method: get, path: prefix + "/me", needs: view, serve: s.me},
		{name: "openapi", method: get, path: prefix + "/openapi.json", needs: view, serve: s.openAPI},

		{name: "start", method: post, path: prefix + "/sagas/{saga}", needs: operate, acts: true, serve: s.start},
		{name: "act", method: post, path: prefix + "/sagas/{saga}/{id}/actions", needs: operate, acts: true, serve: s.act},
		{name: "redrive", method: post, path: prefix + "/dead-letters/redrive", needs: operate, acts: true, serve: s.redrive},

		{name: "livez", method: get, path: "/livez", probe: true, metrics: true, serve: s.livez},
		{name: "readyz", method: get, path: "/readyz", probe: true, metrics: true, serve: s.readyz},
		{name: "metrics", method: get, path: "/metrics", needs: view, probe: true, metrics: true, serve: s.serveMetrics},
	}
	if s.config.Page != nil {
		routes = append(routes, &route{name: "page", method: get, path: "/", serve: func(w http.ResponseWriter, r *http.Request) error {
			s.config.Page.ServeHTTP(w, r) // it holds no data: it asks for a token where the API does
			return nil
		}})
	}
	return routes
}

// mux serves the chosen routes behind the gate. Each path has one handler that tells methods apart,
// so that wrong ones are answered by a problem, as all else is.
func (s *Server) mux(chosen func(*route) bool) http.Handler {
	g := newGate(s)
	byPath := map[string][]*route{}
	for _, r := range s.routes {
		if chosen(r) {
			byPath[r.path] = append(byPath[r.path], r)
		}
	}
	mux := http.NewServeMux()
	for path, routes := range byPath {
		mux.Handle(s.config.BasePath+path, s.methods(g, routes))
	}
	nothing := &route{name: "nothing", serve: func(http.ResponseWriter, *http.Request) error {
		return problem(CodeNotFound, "the API's addresses are in "+s.config.BasePath+prefix+"/openapi.json")
	}}
	for _, path := range []string{s.config.BasePath + prefix + "/", "/"} {
		if path == s.config.BasePath+"/" && byPath["/"] != nil {
			continue // the page says itself what it does not have
		}
		mux.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.handle(nothing, w, r) }))
	}
	return slashes(mux)
}

func (s *Server) methods(g *gate, routes []*route) http.Handler {
	var allowed []string
	for _, rt := range routes {
		allowed = append(allowed, rt.method)
		if rt.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	wrong := &route{name: "wrong-method", serve: func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Allow", allow)
		return problem(CodeMethodNotAllowed, "use "+allow)
	}}
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		at := slices.IndexFunc(routes, func(rt *route) bool { return rt.method == method })
		if at < 0 {
			g.handle(wrong, w, r)
			return
		}
		g.handle(routes[at], w, r)
	})
	if slices.ContainsFunc(routes, func(r *route) bool { return r.stream }) {
		return plain // what is sent must leave at once
	}
	return gzhttp.GzipHandler(plain)
}

// read takes the query of a request that has no parameters but those that take takes.
func read(r *http.Request, take func(p *parameters)) error {
	p := parseParameters(r.URL.RawQuery)
	take(p)
	return p.done()
}

func noParameters(*parameters) {}

// answer sends a value as JSON.
func answer(w http.ResponseWriter, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
	return nil
}

// Me is who asks, and what that allows.
type Me struct {
	Name string   `json:"name"`
	Role Role     `json:"role"`
	May  []string `json:"may"`
}

func (s *Server) me(w http.ResponseWriter, r *http.Request) error {
	if err := read(r, noParameters); err != nil {
		return err
	}
	who := identity(r)
	me := Me{Name: who.Name, Role: who.Role, May: []string{"view"}}
	for _, m := range []struct {
		needs Role
		what  string
	}{{s.config.Payloads, "payload"}, {RoleOperator, "operate"}, {RoleAdmin, "admin"}} {
		if who.Role.may(m.needs) {
			me.May = append(me.May, m.what)
		}
	}
	return answer(w, http.StatusOK, me)
}

// Route is what is served at an address, and to whom.
type Route struct {
	Method, Path string
	Needs        Role // empty: it is open to everybody
}

// Routes returns all that the server serves.
func (s *Server) Routes() []Route {
	out := make([]Route, len(s.routes))
	for i, r := range s.routes {
		out[i] = Route{Method: r.method, Path: r.path, Needs: r.needs}
	}
	return out
}
