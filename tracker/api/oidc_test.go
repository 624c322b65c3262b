package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/tracker/api"
)

// provider is an identity provider.
type provider struct {
	t       *testing.T
	server  *httptest.Server
	key     *ecdsa.PrivateKey
	fetches atomic.Int64
}

func newProvider(t *testing.T) *provider {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	p := &provider{t: t, key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.server.URL, "jwks_uri": p.server.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		p.fetches.Add(1)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256"}}})
	})
	p.server = serve(t, mux)
	return p
}

func (p *provider) sign(key any, alg jose.SignatureAlgorithm, kid string, claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	require.NoError(p.t, err)
	all := map[string]any{"iss": p.server.URL, "aud": "choreo", "sub": "u-1", "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range claims {
		all[k] = v
	}
	token, err := jwt.Signed(signer).Claims(all).Serialize()
	require.NoError(p.t, err)
	return token
}

func TestTokensOfAProvider(t *testing.T) {
	p := newProvider(t)
	o, err := api.NewOIDC(t.Context(), api.OIDCConfig{
		Issuer: p.server.URL, Audience: "choreo", RoleClaim: "realm.groups", NameClaim: "email", Client: p.server.Client(),
		Roles: map[string]api.Role{"ops": api.RoleOperator, "everybody": api.RoleViewer},
	})
	require.NoError(t, err)
	r := newRig(t, func(c *api.Config) { c.OIDC = o })

	groups := func(g any) map[string]any {
		return map[string]any{"realm": map[string]any{"groups": g}, "email": "a@example.com"}
	}
	r.token = p.sign(p.key, jose.ES256, "k1", groups([]string{"everybody", "ops", "others"}))
	require.Equal(t, api.Me{Name: "a@example.com", Role: api.RoleOperator, May: []string{"view", "operate"}}, get[api.Me](r, "/api/v1/me"))
	r.token = p.sign(p.key, jose.ES256, "k1", map[string]any{"realm": map[string]any{"groups": "everybody other"}})
	require.Equal(t, api.RoleViewer, get[api.Me](r, "/api/v1/me").Role)
	require.Equal(t, "u-1", get[api.Me](r, "/api/v1/me").Name)

	for _, claims := range []map[string]any{groups([]string{"others"}), groups(7), {"realm": 7}, {}} {
		r.token = p.sign(p.key, jose.ES256, "k1", claims)
		r.refused(api.CodeForbidden, http.MethodGet, "/api/v1/me", nil)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	good := groups("ops")
	with := func(name string, value any) map[string]any {
		c := groups("ops")
		c[name] = value
		return c
	}
	for name, token := range map[string]string{
		"signed by another":  p.sign(other, jose.ES256, "k1", good),
		"shared secret":      p.sign([]byte(strings.Repeat("s", 32)), jose.HS256, "k1", good),
		"for another":        p.sign(p.key, jose.ES256, "k1", with("aud", "other")),
		"of another":         p.sign(p.key, jose.ES256, "k1", with("iss", "https://evil.example")),
		"expired":            p.sign(p.key, jose.ES256, "k1", with("exp", time.Now().Add(-time.Hour).Unix())),
		"none":               "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
		"nonsense":           "a.b.c",
		"not a token at all": "choreo_x",
	} {
		r.token = token
		require.NotContains(t, r.refused(api.CodeUnauthenticated, http.MethodGet, "/api/v1/me", nil).Detail, "key", name)
	}
	for range 20 { // they all name a key that there is not
		r.token = p.sign(other, jose.ES256, "k9", good)
		r.refused(api.CodeUnauthenticated, http.MethodGet, "/api/v1/me", nil)
	}
	require.EqualValues(t, 1, p.fetches.Load(), "who sends bad tokens must not make us ask for keys")
}

func TestProviderFaults(t *testing.T) {
	_, err := api.NewOIDC(t.Context(), api.OIDCConfig{Algorithms: []string{"HS256", "none"}, Roles: map[string]api.Role{"x": "king"}, KeysEvery: -1})
	for _, name := range []string{"Issuer", "Audience", "HS256", "none", `Roles["x"]`, "KeysEvery"} {
		require.ErrorContains(t, err, name)
	}
	p := newProvider(t)
	_, err = api.NewOIDC(t.Context(), api.OIDCConfig{Issuer: p.server.URL + "/elsewhere", Audience: "choreo", Client: p.server.Client()})
	require.ErrorContains(t, err, "OIDCConfig.Issuer")
}
