package connect_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
)

func env(of map[string]string) connect.Env { return func(name string) string { return of[name] } }

func flags(t interface{ Helper() }, args ...string) *pflag.FlagSet {
	t.Helper()
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	connect.Flags(set, connect.Namespace|connect.Brokers|connect.Registry|connect.Tracker)
	if err := set.Parse(args); err != nil {
		panic(err)
	}
	return set
}

func ExampleResolve() {
	set := pflag.NewFlagSet("example", pflag.ContinueOnError)
	connect.Flags(set, connect.Brokers|connect.Namespace)
	_ = set.Parse([]string{"--namespace", "shop"})
	settings, err := connect.Resolve(set, func(name string) string {
		return map[string]string{"CHOREO_BROKERS": "kafka-1:9092, kafka-2:9092", "CHOREO_NAMESPACE": "other"}[name]
	})
	fmt.Println(settings.Namespace, settings.Brokers, settings.Timeout, err)
	// Output: shop [kafka-1:9092 kafka-2:9092] 30s <nil>
}

func TestAFlagCountsBeforeTheEnvironmentBeforeAProfile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte("profiles: {p: {namespace: of-profile, timeout: 3s}}"), 0o600))
	of := map[string]string{"CHOREO_CONFIG": file}

	settings, err := connect.Resolve(flags(t), env(of))
	require.NoError(t, err)
	require.Equal(t, "choreo", settings.Namespace, "the default")
	settings, err = connect.Resolve(flags(t, "--profile", "p"), env(of))
	require.NoError(t, err)
	require.Equal(t, "of-profile", settings.Namespace)
	require.Equal(t, 3*time.Second, settings.Timeout)
	of["CHOREO_NAMESPACE"] = "of-environment"
	settings, err = connect.Resolve(flags(t, "--profile", "p"), env(of))
	require.NoError(t, err)
	require.Equal(t, "of-environment", settings.Namespace)
	settings, err = connect.Resolve(flags(t, "--profile", "p", "--namespace", "of-flag"), env(of))
	require.NoError(t, err)
	require.Equal(t, "of-flag", settings.Namespace)
}

func TestTheFileOfProfiles(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"CHOREO_CONFIG": "x.yaml", "HOME": "/home/me"}, "x.yaml"},
		{map[string]string{"XDG_CONFIG_HOME": "/cfg", "HOME": "/home/me"}, filepath.FromSlash("/cfg/choreo/config.yaml")},
		{map[string]string{"HOME": "/home/me"}, filepath.FromSlash("/home/me/.config/choreo/config.yaml")},
		{nil, ""},
	} {
		require.Equal(t, test.want, connect.ProfileFile(env(test.env)))
	}
	_, err := connect.Resolve(flags(t), env(map[string]string{"HOME": t.TempDir()}))
	require.NoError(t, err, "nobody needs one")
}

func TestEveryFaultIsNamed(t *testing.T) {
	_, err := connect.Resolve(flags(t, "--timeout", "0s"), env(map[string]string{
		"CHOREO_TLS": "maybe", "CHOREO_SASL_PASSWORD": "a", "CHOREO_SASL_PASSWORD_FILE": "b", "CHOREO_REGISTRY_TOKEN_FILE": "/nowhere",
	}))
	require.Equal(t, exit.Usage, exit.Of(err))
	for _, says := range []string{"timeout", "CHOREO_TLS", "CHOREO_SASL_PASSWORD_FILE are both set", "CHOREO_REGISTRY_TOKEN"} {
		require.ErrorContains(t, err, says)
	}
}

func TestASecretOfAFileLosesItsLineBreak(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("s3cret\n"), 0o600))
	settings, err := connect.Resolve(flags(t, "--brokers", "localhost:9092", "--sasl", "scram-sha-256", "--sasl-user", "me"),
		env(map[string]string{"CHOREO_SASL_PASSWORD_FILE": file}))
	require.NoError(t, err)
	log, err := settings.Log()
	require.NoError(t, err)
	require.NoError(t, log.Close())
}

func TestEverySettingIsDocumented(t *testing.T) {
	variables := map[string]bool{}
	for _, v := range connect.Variables() {
		require.False(t, variables[v.Variable], "%s stands there twice", v.Variable)
		variables[v.Variable] = true
		require.NotEmpty(t, v.Text)
	}
	flags(t).VisitAll(func(f *pflag.Flag) {
		require.NotEmpty(t, f.Usage)
		require.True(t, variables[connect.Variable(f.Name)], f.Name)
	})
	require.Empty(t, connect.Variable("output"))
}

func TestTheTrackerIsAskedUnlessBrokersAreNamed(t *testing.T) {
	for _, test := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{nil, nil, connect.LocalTracker},
		{nil, map[string]string{"CHOREO_BROKERS": "b:9092"}, ""},
		{nil, map[string]string{"CHOREO_BROKERS": "b:9092", "CHOREO_TRACKER": "http://t"}, "http://t"},
		{[]string{"--brokers", "b:9092"}, map[string]string{"CHOREO_TRACKER": "http://t"}, ""},
		{[]string{"--brokers", "b:9092", "--tracker", "http://t"}, nil, "http://t"},
	} {
		settings, err := connect.Resolve(flags(t, test.args...), env(test.env))
		require.NoError(t, err)
		require.Equal(t, test.want, settings.Tracker, "%v %v", test.args, test.env)
	}
}

func TestTheTokenOfATracker(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("s3cret\n"), 0o600))
	_, err := connect.Resolve(flags(t, "--tracker-token-file", file+"x"), env(nil))
	require.ErrorContains(t, err, "CHOREO_TRACKER_TOKEN")
	require.Equal(t, exit.Usage, exit.Of(err))
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	for _, test := range []struct {
		args []string
		env  map[string]string
	}{
		{[]string{"--tracker-token-file", file}, nil},
		{nil, map[string]string{"CHOREO_TRACKER_TOKEN_FILE": file}},
		{nil, map[string]string{"CHOREO_TRACKER_TOKEN": "s3cret"}},
	} {
		settings, err := connect.Resolve(flags(t, append(test.args, "--tracker", server.URL)...), env(test.env))
		require.NoError(t, err)
		source, err := settings.Remote()
		require.NoError(t, err)
		_, err = source.Participants(t.Context())
		require.NoError(t, err)
		require.Equal(t, "Bearer s3cret", got)
		require.NoError(t, source.Close())
	}
}
