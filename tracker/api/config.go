package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// DefaultAddress is where a server listens if nothing else is said.
const DefaultAddress = "127.0.0.1:7654"

// Config configures a [Server]. The zero value of a field is its default.
type Config struct {
	// Address to listen at. One that is not of the loopback takes Tokens or OIDC. Default:
	// 127.0.0.1:7654.
	Address string
	// MetricsAddress serves /livez, /readyz and /metrics at an address of their own, under the
	// same rules. Default: they are served at Address.
	MetricsAddress string
	// BasePath is before all paths, such as "/choreo" behind a proxy that shares a host among
	// several programs. Default: none.
	BasePath string
	// Page answers all paths that are not of the API. It sees whole paths, with BasePath.
	// Default: there is no page.
	Page http.Handler
	// TLS to listen with. Default: none; put a proxy before the server that has it.
	TLS *tls.Config

	// Tokens are who may come in with which token; [Tokens.Follow] keeps them up to date. Default:
	// nobody.
	Tokens *Tokens
	// OIDC lets in whom an identity provider knows. Default: nobody.
	OIDC *OIDC
	// Payloads is the least role that sees payloads: inputs and outputs. Default: RoleAdmin.
	Payloads Role
	// Hosts are names, without a port, that the server answers to. Default: any name with
	// authentication; without it those of the loopback.
	Hosts []string
	// Origins are origins of other sites, such as "https://ops.example.com", whose pages may
	// act. Default: none.
	Origins []string

	// Timeout bounds one answer. Default: 20 s.
	Timeout time.Duration
	// Grace is how long answers that are under way may take once the server stops. Default:
	// 10 s.
	Grace time.Duration
	// LiveClients bounds how many follow changes at a time. Default: 256.
	LiveClients int
	// PingEvery is how often a client that follows changes hears how fresh they are. Default:
	// 15 s.
	PingEvery time.Duration

	// Log gets what the server tells, and each action: who asked for what, why, and what came of
	// it. Default: nothing is logged.
	Log *zap.Logger
	// Metrics is where the server's metrics are registered, and what /metrics shows. Default: a
	// registry of its own.
	Metrics *prometheus.Registry
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// withDefaults returns a checked copy. The error names every fault.
func (c *Config) withDefaults() (Config, error) {
	var out Config
	if c != nil {
		out = *c
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("api: Config."+format, args...))
	}
	if out.Address == "" {
		out.Address = DefaultAddress
	}
	for _, a := range []struct{ field, address string }{{"Address", out.Address}, {"MetricsAddress", out.MetricsAddress}} {
		switch _, _, err := net.SplitHostPort(a.address); {
		case a.address == "":
		case err != nil:
			fault("%s is %q: %v: write host:port", a.field, a.address, err)
		case !out.authenticated() && !loopback(a.address):
			fault("%s is %s, which others can reach, and there is no authentication: set Tokens or OIDC, or listen at %s",
				a.field, a.address, DefaultAddress)
		}
	}
	out.checkAccess(fault)
	for _, d := range []struct {
		field string
		value *time.Duration
		def   time.Duration
	}{
		{"Timeout", &out.Timeout, 20 * time.Second}, {"Grace", &out.Grace, 10 * time.Second},
		{"PingEvery", &out.PingEvery, 15 * time.Second},
	} {
		if *d.value < 0 {
			fault("%s is %v: use a positive duration, or 0 for %v", d.field, *d.value, d.def)
		} else if *d.value == 0 {
			*d.value = d.def
		}
	}
	if out.LiveClients < 0 {
		fault("LiveClients is %d: use a positive number, or 0 for 256", out.LiveClients)
	} else if out.LiveClients == 0 {
		out.LiveClients = 256
	}
	if out.Log == nil {
		out.Log = zap.NewNop()
	}
	if out.Metrics == nil {
		out.Metrics = prometheus.NewRegistry()
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	return out, errors.Join(faults...)
}

// checkAccess finds faults in who may come in, and by which names.
func (c *Config) checkAccess(fault func(format string, args ...any)) {
	if err := checkBasePath(c.BasePath); err != nil {
		fault("BasePath is %q: %v", c.BasePath, err)
	}
	if c.Tokens != nil && c.Tokens.Len() == 0 {
		fault("Tokens has none: add one, see NewToken")
	}
	if c.OIDC != nil && c.OIDC.verifier == nil {
		fault("OIDC was not made by NewOIDC: make it so")
	}
	if c.Payloads == "" {
		c.Payloads = RoleAdmin
	} else if _, err := ParseRole(string(c.Payloads)); err != nil {
		fault("Payloads: %v", err)
	}
	for i, host := range c.Hosts {
		if host == "" || strings.ContainsAny(host, "/@ ") {
			fault("Hosts[%d] is %q: write a host name without scheme and port", i, host)
		}
	}
	if len(c.Hosts) > 0 && !c.authenticated() {
		fault("Hosts names hosts of others, and there is no authentication: set Tokens or OIDC")
	}
	for i, origin := range c.Origins {
		if err := http.NewCrossOriginProtection().AddTrustedOrigin(origin); err != nil {
			fault("Origins[%d]: %v: write it like https://ops.example.com", i, err)
		}
	}
}

func (c *Config) authenticated() bool { return c.Tokens != nil || c.OIDC != nil }

// loopback reports whether only this machine can reach an address. Of names "localhost" alone
// does: what another one stands for can change.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

func checkBasePath(path string) error {
	switch {
	case path == "":
		return nil
	case !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/"):
		return errors.New("write it with a slash before and none behind, such as /choreo")
	}
	for word := range strings.SplitSeq(path[1:], "/") {
		if word == "" || word == "." || word == ".." || url.PathEscape(word) != word || strings.ContainsAny(word, "{}") {
			return errors.New("use words of letters, digits, '-', '_' and '.', each after one slash")
		}
	}
	return nil
}
