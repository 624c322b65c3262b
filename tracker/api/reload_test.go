package api_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/choreo-go/choreo/tracker/api"
)

func TestTokensFollowTheirFile(t *testing.T) {
	ada, adaLine, err := api.NewToken("ada", api.RoleAdmin)
	require.NoError(t, err)
	bob, bobLine, err := api.NewToken("bob", api.RoleViewer)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "tokens.txt")
	write := func(lines ...string) {
		t.Helper()
		require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600))
	}
	write(adaLine, bobLine)
	tokens, err := api.LoadTokens(file)
	require.NoError(t, err)
	r := newRig(t, func(c *api.Config) { c.Tokens = tokens })
	comesIn := func(token string) bool {
		t.Helper()
		r.token = token
		res, _ := r.do(http.MethodGet, "/api/v1/me", nil)
		return res.StatusCode == http.StatusOK
	}
	core, logs := observer.New(zap.DebugLevel)
	told := func(level zapcore.Level) (n int) {
		return logs.FilterLevelExact(level).Len()
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		again := make(chan os.Signal)
		ended := make(chan error)
		go func() { ended <- tokens.Follow(ctx, again, zap.New(core)) }()
		later := func() {
			time.Sleep(5 * time.Second)
			synctest.Wait()
		}
		later()
		require.Zero(t, logs.Len(), "nothing has changed")

		write(adaLine)
		later()
		require.Equal(t, 1, tokens.Len())
		for _, broken := range []string{"nonsense", "", "# nobody\n"} {
			write(broken)
			later()
			require.Equal(t, 1, tokens.Len())
		}
		require.NoError(t, os.Remove(file))
		later()
		require.Equal(t, 1, tokens.Len())
		require.Equal(t, 3, told(zap.ErrorLevel), "each fault is told once: %v", logs.All())
		require.Contains(t, logs.FilterLevelExact(zap.ErrorLevel).All()[0].ContextMap()["error"], "line 1")
		write(adaLine)
		later()
		require.Equal(t, 2, told(zap.InfoLevel), "it is well again")

		write(adaLine, bobLine)
		again <- syscall.SIGHUP
		synctest.Wait()
		require.Equal(t, 2, tokens.Len(), "at once")
		write(bobLine)
		later()
		stop()
		require.NoError(t, <-ended)
	})
	require.False(t, comesIn(ada), "it is revoked")
	require.True(t, comesIn(bob))
}

// Who follows changes with a token that is revoked meanwhile sees no more of them.
func TestAStreamEndsWithItsToken(t *testing.T) {
	token, line, err := api.NewToken("ada", api.RoleViewer)
	require.NoError(t, err)
	_, other, err := api.NewToken("bob", api.RoleViewer)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "tokens.txt")
	require.NoError(t, os.WriteFile(file, []byte(line), 0o600))
	tokens, err := api.LoadTokens(file)
	require.NoError(t, err)
	r := newRig(t, func(c *api.Config) { c.Tokens, c.PingEvery = tokens, time.Millisecond })
	r.token = token
	s := r.live("", "")
	event, _, _ := s.next()
	require.Equal(t, "freshness", event)
	require.NoError(t, os.WriteFile(file, []byte(other), 0o600))
	ctx, stop := context.WithCancel(t.Context())
	again := make(chan os.Signal, 1)
	again <- syscall.SIGHUP
	ended := make(chan error)
	go func() { ended <- tokens.Follow(ctx, again, nil) }()
	for event != "" {
		event, _, _ = s.next()
	}
	stop()
	require.NoError(t, <-ended)
}
