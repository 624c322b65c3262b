package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// OIDCConfig says how tokens of an identity provider are read: JWTs that it has signed, by OpenID
// Connect or as access tokens.
type OIDCConfig struct {
	// Issuer is the provider's URL, under which it has its .well-known/openid-configuration.
	// Required.
	Issuer string
	// Audience is whom the tokens are for: the client's id, or the API's name. Required.
	Audience string
	// Algorithms are those that a token may be signed by. None that shares a secret is taken.
	// Default: RS256 and ES256.
	Algorithms []string
	// RoleClaim is where the token names roles or groups, as a text or a list of them; dots go
	// into objects, as in "realm_access.roles". Default: "roles".
	RoleClaim string
	// Roles says which role a value of the claim means; somebody with several has the highest.
	// Default: "viewer", "operator" and "admin" mean themselves.
	Roles map[string]Role
	// NameClaim is who it is, for the audit log. Default: "sub".
	NameClaim string
	// Client asks the provider for its keys. Default: one that waits for at most 10 s.
	Client *http.Client
	// KeysEvery is the shortest time between two requests for the provider's keys: tokens that
	// name unknown keys cause no more of them. Default: 30 s.
	KeysEvery time.Duration
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// OIDC verifies tokens of an identity provider. Make it with [NewOIDC]. It is safe for concurrent
// use.
type OIDC struct {
	verifier  *oidc.IDTokenVerifier
	roleClaim []string
	nameClaim string
	roles     map[string]Role
}

// NewOIDC asks the provider where its keys are. The error names every fault of the
// configuration, or says why the provider did not answer.
func NewOIDC(ctx context.Context, config OIDCConfig) (*OIDC, error) {
	c, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	client := *c.Client
	client.Transport = &seldom{next: c.Client.Transport, every: c.KeysEvery, now: c.Now}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, &client), c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("api: OIDC provider %s: %w: look whether OIDCConfig.Issuer is its exact URL, and whether it can be reached", c.Issuer, err)
	}
	// The provider keeps the context that it is made with, and asks for keys with it. It must not
	// end with ours.
	o := &OIDC{roleClaim: strings.Split(c.RoleClaim, "."), nameClaim: c.NameClaim, roles: c.Roles}
	o.verifier = provider.VerifierContext(oidc.ClientContext(context.WithoutCancel(ctx), &client), &oidc.Config{
		ClientID: c.Audience, SupportedSigningAlgs: c.Algorithms, Now: c.Now,
	})
	return o, nil
}

func (c OIDCConfig) withDefaults() (OIDCConfig, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("api: OIDCConfig."+format, args...))
	}
	if c.Issuer == "" {
		fault("Issuer is empty: name the provider's URL")
	}
	if c.Audience == "" {
		fault("Audience is empty: name whom the tokens are for, else those for other programs would count")
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{oidc.RS256, oidc.ES256}
	}
	asymmetric := []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}
	for _, a := range c.Algorithms {
		if !slices.Contains(asymmetric, a) {
			fault("Algorithms has %q: use some of %s", a, strings.Join(asymmetric, ", "))
		}
	}
	if c.RoleClaim == "" {
		c.RoleClaim = "roles"
	}
	if c.NameClaim == "" {
		c.NameClaim = "sub"
	}
	if c.Roles == nil {
		c.Roles = map[string]Role{"viewer": RoleViewer, "operator": RoleOperator, "admin": RoleAdmin}
	}
	for value, role := range c.Roles {
		if _, err := ParseRole(string(role)); err != nil {
			fault("Roles[%q]: %v", value, err)
		}
	}
	if c.Client == nil {
		c.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if c.KeysEvery < 0 {
		fault("KeysEvery is %v: use a positive duration, or 0 for 30 s", c.KeysEvery)
	} else if c.KeysEvery == 0 {
		c.KeysEvery = 30 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, errors.Join(faults...)
}

// errNoRole says that a token is valid and gives no role.
var errNoRole = errors.New("the token is valid, and names no role that counts here")

// verify returns who a token is of.
func (o *OIDC) verify(ctx context.Context, raw string) (Identity, error) {
	token, err := o.verifier.Verify(ctx, raw)
	if err != nil {
		return Identity{}, err
	}
	claims := map[string]json.RawMessage{}
	if err := token.Claims(&claims); err != nil {
		return Identity{}, err
	}
	who := Identity{Name: token.Subject}
	if o.nameClaim != "sub" {
		var name string
		if json.Unmarshal(claims[o.nameClaim], &name) == nil && name != "" {
			who.Name = name
		}
	}
	for _, value := range texts(claims, o.roleClaim) {
		if role := o.roles[value]; role.rank() > who.Role.rank() {
			who.Role = role
		}
	}
	if who.Role == roleNobody {
		return who, errNoRole
	}
	return who, nil
}

// texts returns the texts at a path of claims.
func texts(claims map[string]json.RawMessage, path []string) []string {
	raw := claims[path[0]]
	for _, key := range path[1:] {
		inner := map[string]json.RawMessage{}
		if json.Unmarshal(raw, &inner) != nil {
			return nil
		}
		raw = inner[key]
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return strings.Fields(one) // as the claim "scope" has it
	}
	var many []string
	_ = json.Unmarshal(raw, &many) // anything else names no role
	return many
}

// seldom answers the same request from memory until some time has passed: a token that names a key
// that nobody knows makes the verifier ask for keys, and anybody can write such tokens.
type seldom struct {
	next  http.RoundTripper
	every time.Duration
	now   func() time.Time

	mu    sync.Mutex
	known map[string]held
}

type held struct {
	at       time.Time
	response http.Response
	body     []byte
}

const maxKeys = 1 << 20

func (s *seldom) RoundTrip(r *http.Request) (*http.Response, error) {
	next := s.next
	if next == nil {
		next = http.DefaultTransport
	}
	if r.Method != http.MethodGet {
		return next.RoundTrip(r)
	}
	key := r.URL.String()
	s.mu.Lock()
	defer s.mu.Unlock() // one at a time: the others are answered by what it brings
	if a, ok := s.known[key]; ok && s.now().Sub(a.at) < s.every {
		return a.again(r), nil
	}
	response, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxKeys))
	if err != nil {
		return nil, err
	}
	a := held{at: s.now(), response: *response, body: body}
	if s.known == nil {
		s.known = map[string]held{}
	}
	s.known[key] = a // only the two addresses of the provider come here
	return a.again(r), nil
}

func (a *held) again(r *http.Request) *http.Response {
	response := a.response
	response.Request, response.Body = r, io.NopCloser(bytes.NewReader(a.body))
	return &response
}
