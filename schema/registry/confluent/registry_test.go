package confluent_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/confluent"
	"github.com/choreo-go/choreo/schema/registry/registrytest"
)

func open(t *testing.T, config confluent.Config) *confluent.Registry {
	t.Helper()
	r, err := confluent.New(&config)
	require.NoError(t, err)
	return r
}

func TestConformance(t *testing.T) {
	var server *srfake.Registry
	registrytest.Exercise(t, registrytest.Harness{
		Framing:        schema.Confluent,
		AvroReferences: true,
		New: func(t *testing.T) func(*testing.T) schema.Registry {
			server = srfake.New()
			t.Cleanup(server.Close)
			return func(t *testing.T) schema.Registry { return open(t, confluent.Config{URLs: []string{server.URL()}}) }
		},
		Strict: func(_ *testing.T, _ schema.Registry, subject string) {
			server.Intercept(func(w http.ResponseWriter, req *http.Request) bool { return refuseMore(server, w, req, subject) })
		},
		Away: func(*testing.T) { server.Close() },
	})
}

// refuseMore answers as a registry would whose subject is BACKWARD, for it does not
// check that itself.
func refuseMore(server *srfake.Registry, w http.ResponseWriter, req *http.Request, subject string) bool {
	if req.Method != http.MethodPost || !strings.Contains(req.URL.Path, subject) {
		return false
	}
	body, err := io.ReadAll(req.Body)
	req.Body = io.NopCloser(strings.NewReader(string(body)))
	first, ok := server.GetSchema(subject, 1)
	fields := func(text string) int { return strings.Count(text, "long") }
	if err != nil || !ok || fields(string(body)) <= fields(first.Schema.Schema) {
		return false
	}
	w.WriteHeader(http.StatusConflict)
	fmt.Fprint(w, `{"error_code":409,"message":"Schema being registered is incompatible with an earlier schema, details: [{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'added' has no default value'}]"}`)
	return true
}

var order = schema.Schema{Kind: schema.Avro, Text: `{"type":"record","name":"Order","namespace":"shop","fields":[]}`}

// stub answers all requests in one way and counts them.
func stub(t *testing.T, status int, body string) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return server, &asked
}

func TestAnErrorSaysWhatToDo(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		is     error
		says   string
	}{
		{401, `{"error_code":401,"message":"HTTP 401 Unauthorized"}`, nil, "check User and Password, or Token, in Config"},
		{403, `{"error_code":40301,"message":"not yours"}`, nil, "have it granted to the login"},
		{404, `<html>nginx</html>`, nil, "check the path in Config.URLs"},
		{404, `{"error_code":40401,"message":"Subject not found"}`, schema.ErrUnknownSchema, "Subject not found"},
		{409, `{"error_code":409,"message":"field cents"}`, schema.ErrIncompatible, "field cents"},
		{422, `{"error_code":42201,"message":"Invalid schema"}`, nil, "mend it: 422: Invalid schema"},
		{429, `{"error_code":429,"message":"slow down"}`, nil, "try again later"},
		{503, `gone fishing`, nil, "broken or busy (503: gone fishing): try again later"},
		{418, ``, nil, "refuses it"},
		{200, `no JSON`, nil, "see whether it runs and Config.URLs is right"},
		{200, `{"id":99999999999}`, nil, "no place in 32 bits"},
		{200, `{"id":-1}`, nil, "no place in 32 bits"},
		{500, strings.Repeat("x", 10_000), nil, "xxx…"},
	} {
		server, _ := stub(t, test.status, test.body)
		_, err := open(t, confluent.Config{URLs: []string{server.URL}}).Register(t.Context(), "s", order)
		require.ErrorContains(t, err, test.says)
		require.Less(t, len(err.Error()), 3000)
		for _, sentinel := range []error{schema.ErrUnknownSchema, schema.ErrIncompatible} {
			if errors.Is(test.is, sentinel) {
				require.ErrorIs(t, err, sentinel)
			} else {
				require.NotErrorIs(t, err, sentinel)
			}
		}
	}
}

func TestAnUnreachableRegistryIsNamed(t *testing.T) {
	server, _ := stub(t, 200, "")
	server.Close()
	r := open(t, confluent.Config{URLs: []string{server.URL}})
	_, err := r.Schema(t.Context(), schema.ID{Framing: schema.Confluent, Number: 1})
	require.ErrorContains(t, err, server.URL)
	require.ErrorContains(t, err, "cannot be reached")
	require.NotErrorIs(t, err, schema.ErrUnknownSchema)
}

func TestASilentRegistryIsGivenUp(t *testing.T) {
	silent := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-silent:
		case <-req.Context().Done():
		}
	}))
	defer server.Close()
	defer close(silent)
	r := open(t, confluent.Config{URLs: []string{server.URL}, Timeout: 20 * time.Millisecond})
	_, err := r.Subjects(t.Context())
	require.ErrorContains(t, err, "no answer within Config.Timeout, 20ms")
}

func TestTheNextURLIsAskedWhenOneFails(t *testing.T) {
	broken, asked := stub(t, 500, "broken")
	closed, _ := stub(t, 200, "")
	closed.Close()
	server := srfake.New()
	defer server.Close()
	r := open(t, confluent.Config{URLs: []string{closed.URL, broken.URL, server.URL()}})
	id, err := r.Register(t.Context(), "s", order)
	require.NoError(t, err)
	_, err = r.Versions(t.Context(), "s")
	require.NoError(t, err)
	require.EqualValues(t, 1, asked.Load(), "the one that answered is asked first")
	require.EqualValues(t, 1, id.Number)
	server.Close()
	_, err = r.Register(t.Context(), "other", order)
	for _, url := range []string{closed.URL, broken.URL, server.URL()} {
		require.ErrorContains(t, err, url, "each is named")
	}
}

func TestARegistrationThatIsOvertakenIsTriedAgain(t *testing.T) {
	server := srfake.New()
	defer server.Close()
	var asked atomic.Int32
	turnAway := int32(3)
	server.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if asked.Add(1) > turnAway {
			return false
		}
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"error_code":409,"message":"An artifact with ID 's' in group 'null' already exists."}`)
		return true
	})
	r := open(t, confluent.Config{URLs: []string{server.URL()}})
	_, err := r.Register(t.Context(), "s", order)
	require.NoError(t, err)
	require.EqualValues(t, 4, asked.Load())

	turnAway = 1 << 30
	_, err = r.Register(t.Context(), "other", order)
	require.ErrorContains(t, err, "busy with others who register the same")
	require.NotErrorIs(t, err, schema.ErrIncompatible)
	require.EqualValues(t, 4+12, asked.Load())
}

func TestLogins(t *testing.T) {
	for name, test := range map[string]struct {
		config confluent.Config
		want   string
	}{
		"basic":  {confluent.Config{User: "me", Password: "secret"}, "Basic bWU6c2VjcmV0"},
		"bearer": {confluent.Config{Token: "secret"}, "Bearer secret"},
	} {
		t.Run(name, func(t *testing.T) {
			server := srfake.New(srfake.WithAuth(test.want))
			defer server.Close()
			var agent atomic.Value
			server.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
				agent.Store(req.Header.Get("User-Agent"))
				return false
			})
			test.config.URLs = []string{server.URL()}
			_, err := open(t, test.config).Register(t.Context(), "s", order)
			require.NoError(t, err)
			require.Equal(t, "choreo", agent.Load())
			test.config.Password, test.config.Token = "wrong", strings.Replace(test.config.Token, "secret", "wrong", 1)
			if test.config.Token != "" {
				test.config.Password = ""
			}
			_, err = open(t, test.config).Register(t.Context(), "s", order)
			require.ErrorContains(t, err, "403: User not authorized")
			require.NotContains(t, err.Error(), "wrong")
			for _, verb := range []string{"%v", "%+v", "%#v"} {
				require.NotContains(t, fmt.Sprintf(verb, test.config), "wrong")
			}
		})
	}
}

func TestTLS(t *testing.T) {
	fake := srfake.NewRegistry()
	server := httptest.NewUnstartedServer(fake.Handler())
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	authorities := x509.NewCertPool()
	authorities.AddCert(server.Certificate())

	_, err := open(t, confluent.Config{URLs: []string{server.URL}}).Subjects(t.Context())
	require.ErrorContains(t, err, "Config.TLS.RootCAs")
	_, err = open(t, confluent.Config{URLs: []string{server.URL}, TLS: &tls.Config{RootCAs: authorities}}).Subjects(t.Context())
	require.ErrorContains(t, err, "certificate")
	_, err = open(t, confluent.Config{URLs: []string{server.URL}, TLS: &tls.Config{
		RootCAs: authorities, Certificates: server.TLS.Certificates,
	}}).Subjects(t.Context())
	require.NoError(t, err)
}

func TestAvroIsTheDefaultOnTheWire(t *testing.T) {
	server := srfake.New()
	defer server.Close()
	var bodies []string
	server.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		body, err := io.ReadAll(req.Body)
		if err == nil && req.Method == http.MethodPost {
			bodies = append(bodies, string(body))
		}
		req.Body = io.NopCloser(strings.NewReader(string(body)))
		return false
	})
	r := open(t, confluent.Config{URLs: []string{server.URL()}})
	for _, s := range []schema.Schema{order, {Kind: schema.JSONType, Text: `{"type":"object"}`}} {
		_, err := r.Register(t.Context(), "s-"+string(s.Kind), s)
		require.NoError(t, err)
	}
	require.Len(t, bodies, 2)
	require.JSONEq(t, fmt.Sprintf(`{"schema":%q}`, order.Text), bodies[0])
	require.JSONEq(t, `{"schema":"{\"type\":\"object\"}","schemaType":"JSON"}`, bodies[1])
}

func TestCallsForTheSameShareOneRequest(t *testing.T) {
	server := srfake.New()
	defer server.Close()
	var asked atomic.Int32
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	r := open(t, confluent.Config{URLs: []string{server.URL()}})
	id, err := r.Register(t.Context(), "s", order)
	require.NoError(t, err)
	server.Intercept(func(http.ResponseWriter, *http.Request) bool {
		asked.Add(1)
		arrived <- struct{}{}
		<-release
		return false
	})
	other := open(t, confluent.Config{URLs: []string{server.URL()}})
	impatient, giveUp := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := other.Schema(impatient, id)
		first <- err
	}()
	<-arrived
	giveUp()
	require.ErrorIs(t, <-first, context.Canceled)
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if got, err := other.Schema(t.Context(), id); err != nil || got.Name != "shop.Order" {
				t.Errorf("%+v: %v", got, err)
			}
		})
	}
	close(release)
	calls.Wait()
	_, err = other.Schema(t.Context(), id)
	require.NoError(t, err)
	require.EqualValues(t, 1, asked.Load(), "although the first caller gave up")
}

func TestAnUnknownIDIsBelievedForAMoment(t *testing.T) {
	id := schema.ID{Framing: schema.Confluent, Number: 7}
	for unknownFor, want := range map[time.Duration]int32{time.Hour: 1, -1: 3} {
		server, asked := stub(t, 404, `{"error_code":40403,"message":"Schema not found"}`)
		r := open(t, confluent.Config{URLs: []string{server.URL}, UnknownFor: unknownFor})
		for range 3 {
			_, err := r.Schema(t.Context(), id)
			require.ErrorIs(t, err, schema.ErrUnknownSchema)
			require.ErrorContains(t, err, "7")
		}
		require.Equal(t, want, asked.Load())
	}
}

func TestASchemaThatRefersToItselfIsRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		answer := map[string]any{"id": 1, "version": 1, "schema": `{}`, "schemaType": "JSON",
			"references": []map[string]any{{"name": "n" + req.URL.Path, "subject": "s", "version": 1}}}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	_, err := open(t, confluent.Config{URLs: []string{server.URL}}).Schema(t.Context(), schema.ID{Framing: schema.Confluent, Number: 1})
	require.ErrorContains(t, err, "or to itself")
}

func TestCompatibility(t *testing.T) {
	server := srfake.New()
	defer server.Close()
	r := open(t, confluent.Config{URLs: []string{server.URL()}})
	level, err := r.Compatibility(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, "BACKWARD", level)
	_, err = r.Register(t.Context(), "s", order)
	require.NoError(t, err)
	require.NoError(t, r.SetCompatibility(t.Context(), "s", "full_transitive"))
	level, err = r.Compatibility(t.Context(), "s")
	require.NoError(t, err)
	require.Equal(t, "FULL_TRANSITIVE", level)
	require.ErrorContains(t, r.SetCompatibility(t.Context(), "s", "some"), "use NONE, BACKWARD")
}

func TestEveryFaultOfAConfigIsNamed(t *testing.T) {
	_, err := confluent.New(nil)
	require.ErrorContains(t, err, "Config.URLs is empty")
	_, err = confluent.New(&confluent.Config{
		URLs: []string{"registry:8081", "http://me:secret@registry", "http://registry?x=1", "ftp://registry", "http://ok:1/apis/ccompat/v7"},
		User: "me", Token: "t", Timeout: -1,
	})
	for _, says := range []string{"URLs[0]", "URLs[1] holds a login", "URLs[2]", "URLs[3]", "Token and User", "Timeout is -1ns"} {
		require.ErrorContains(t, err, says)
	}
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, err.Error(), "URLs[4]")
	_, err = confluent.New(&confluent.Config{URLs: []string{"http://registry"}, Password: "secret"})
	require.ErrorContains(t, err, "User is empty")
}
