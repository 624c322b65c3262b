package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

const (
	maxBody   = 1 << 20
	maxHeader = 32 << 10
	maxToken  = 16 << 10
)

// policy lets an answer load nothing. The page, which loads what the server itself serves, sets its
// own.
const policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// gate is what each request passes before anything of it is looked at.
type gate struct {
	server *Server
	origin *http.CrossOriginProtection
}

func newGate(s *Server) *gate {
	g := &gate{server: s, origin: http.NewCrossOriginProtection()}
	for _, o := range s.config.Origins {
		_ = g.origin.AddTrustedOrigin(o) // withDefaults has tried it
	}
	return g
}

// handle serves a route to whom it may be served.
func (g *gate) handle(rt *route, w http.ResponseWriter, r *http.Request) {
	s := g.server
	began := s.config.Now()
	rec := &recorder{ResponseWriter: w}
	defer func() { s.metrics.request(rt, r.Method, rec.code(), s.config.Now().Sub(began)) }()
	protect(rec.Header())
	r.Body = http.MaxBytesReader(rec, r.Body, maxBody)
	who, err := g.pass(rt, r)
	if err != nil {
		if rt.acts {
			s.audit(r, who, rt.name, "", "", err)
		}
		s.fail(rec, r, err)
		return
	}
	ctx := context.WithValue(r.Context(), identityKey{}, who)
	if !rt.stream {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.config.Timeout)
		defer cancel()
	}
	r = r.WithContext(ctx)
	defer g.recover(rt, rec, r)
	if err := rt.serve(rec, r); err != nil {
		s.fail(rec, r, err)
	}
}

// recover keeps one bad request from ending the process, and the cause from its sender.
func (g *gate) recover(rt *route, rec *recorder, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	g.server.config.Log.Error("A request panicked", zap.String("route", rt.name), zap.Any("cause", cause), zap.Stack("stack"))
	if rec.status != 0 {
		panic(http.ErrAbortHandler) // so that half an answer does not look like a whole one
	}
	g.server.fail(rec, r, problem(CodeInternal, "the tracker's log says more"))
}

// pass checks by which name, from where, and by whom a request comes.
func (g *gate) pass(rt *route, r *http.Request) (Identity, error) {
	if err := g.checkHost(rt, r); err != nil {
		return Identity{}, err
	}
	if err := g.origin.Check(r); err != nil {
		return Identity{}, problem(CodeCrossOrigin, "only the tracker's own page may act, and those of Config.Origins: "+err.Error())
	}
	if rt.needs == roleNobody {
		return Identity{}, nil
	}
	who, err := g.authenticate(r)
	if err != nil {
		return Identity{}, err
	}
	if !who.Role.may(rt.needs) {
		return who, problem(CodeForbidden, "you are "+string(who.Role)+", and it takes "+string(rt.needs))
	}
	return who, nil
}

// checkHost takes only names that the server goes by: a page of another site may point a name of
// its own at the loopback, and would then count as of the same origin.
func (g *gate) checkHost(rt *route, r *http.Request) error {
	c := &g.server.config
	if rt.probe && c.authenticated() {
		return nil // probes come by addresses that change
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	is := func(name string) bool { return strings.EqualFold(name, host) }
	ip, err := netip.ParseAddr(host)
	if is("localhost") || err == nil && ip.Unmap().IsLoopback() || slices.ContainsFunc(c.Hosts, is) {
		return nil
	}
	if c.authenticated() && len(c.Hosts) == 0 {
		return nil // the token is what another site's page lacks
	}
	return problem(CodeWrongHost, "it goes by localhost, addresses of the loopback and the names in Config.Hosts")
}

func (g *gate) authenticate(r *http.Request) (Identity, error) {
	c := &g.server.config
	if !c.authenticated() {
		// Whoever mounts Handler somewhere else by mistake must not open it to everybody.
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && !loopback(local.String()) {
			return Identity{}, problem(CodeUnauthenticated, "without authentication only the loopback is served: set Config.Tokens or Config.OIDC")
		}
		return local(), nil
	}
	token, err := bearer(r.Header)
	if err != nil {
		return Identity{}, err
	}
	if c.Tokens != nil {
		if who, ok := c.Tokens.find(token); ok {
			return who, nil
		}
	}
	if c.OIDC != nil && strings.Count(token, ".") == 2 {
		who, err := c.OIDC.verify(r.Context(), token)
		switch {
		case errors.Is(err, errNoRole):
			return who, problem(CodeForbidden, errNoRole.Error())
		case err == nil:
			return who, nil
		}
		g.server.config.Log.Info("A token was refused", zap.String("from", r.RemoteAddr), zap.Error(err))
	}
	return Identity{}, problem(CodeUnauthenticated, "the token is not known, or not valid any more")
}

func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", problem(CodeUnauthenticated, "send the header Authorization: Bearer and a token")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "bearer") || token == "" || len(token) > maxToken {
		return "", problem(CodeUnauthenticated, "the header Authorization is not one Bearer and a token")
	}
	return token, nil
}

// protect sets the headers that each answer bears. A handler may tighten them.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

type identityKey struct{}

// identity returns who asks. Routes that are open have nobody.
func identity(r *http.Request) Identity {
	who, _ := r.Context().Value(identityKey{}).(Identity)
	return who
}

// audit tells the log who asked for what, and what came of it.
func (s *Server) audit(r *http.Request, who Identity, action, target, reason string, err error) {
	outcome := "accepted"
	var p *Problem
	if err != nil {
		p = s.classify(r, err)
		outcome = string(p.Code)
	}
	s.metrics.action(action, outcome)
	fields := []zap.Field{
		zap.String("who", who.Name), zap.String("role", string(who.Role)), zap.String("action", action),
		zap.String("target", target), zap.String("why", reason), zap.String("outcome", outcome),
		zap.String("from", r.RemoteAddr), zap.String("path", r.URL.Path),
	}
	if p != nil {
		fields = append(fields, zap.String("detail", p.Detail))
	}
	s.config.Log.Named("audit").Info("Action", fields...)
}

// recorder remembers the status that was sent.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets [http.ResponseController] through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) code() string {
	if r.status == 0 {
		return strconv.Itoa(http.StatusOK)
	}
	return strconv.Itoa(r.status)
}
