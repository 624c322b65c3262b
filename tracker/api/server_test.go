package api_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/choreo-go/choreo/tracker/api"
)

func TestListenAndServe(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	server, err := api.New(api.Source{Sagas: newFake()}, &api.Config{Address: "127.0.0.1:0", MetricsAddress: "localhost:0", Log: zap.New(core)})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.ListenAndServe(ctx) }()
	require.Eventually(t, func() bool { return logs.FilterMessage("Serving").Len() == 2 }, 10*time.Second, time.Millisecond)
	said := logs.FilterMessage("Serving").All()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	status := func(at int, path string) int {
		res, err := client.Get("http://" + said[at].ContextMap()["address"].(string) + path)
		require.NoError(t, err)
		defer res.Body.Close()
		return res.StatusCode
	}
	require.Equal(t, 200, status(0, "/api/v1/me"))
	require.Equal(t, 404, status(0, "/metrics"))
	require.Equal(t, 200, status(1, "/metrics"))
	require.Equal(t, 200, status(1, "/readyz"))
	require.Equal(t, 404, status(1, "/api/v1/me"))

	live, err := client.Get("http://" + said[0].ContextMap()["address"].(string) + "/api/v1/live")
	require.NoError(t, err)
	defer live.Body.Close()
	lines := bufio.NewScanner(live.Body)
	require.True(t, lines.Scan())
	stop() // ends the stream, too
	for lines.Scan() {
	}
	require.NoError(t, lines.Err())
	require.NoError(t, <-done)
}

func TestListenWhereSomebodyDoes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	server, err := api.New(api.Source{Sagas: newFake()}, &api.Config{Address: taken.Addr().String()})
	require.NoError(t, err)
	require.ErrorContains(t, server.ListenAndServe(t.Context()), "choose another address")
}
