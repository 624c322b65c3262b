package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
)

// stream is the server-sent events of one client.
type stream struct {
	t      *testing.T
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

func (r *rig) live(query, lastID string) *stream {
	ctx, cancel := context.WithCancel(r.t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.http.URL+"/api/v1/live"+query, http.NoBody)
	require.NoError(r.t, err)
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := r.http.Client().Do(req)
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusOK, res.StatusCode)
	require.Equal(r.t, "text/event-stream", res.Header.Get("Content-Type"))
	r.t.Cleanup(func() {
		cancel()
		res.Body.Close()
	})
	s := &stream{t: r.t, lines: bufio.NewScanner(res.Body), cancel: cancel}
	require.True(r.t, s.lines.Scan())
	require.Equal(r.t, "retry: 2000", s.lines.Text())
	require.True(r.t, s.lines.Scan())
	return s
}

// next returns the next event; its name is empty at the end.
func (s *stream) next() (event, id, data string) {
	for s.lines.Scan() && s.lines.Text() != "" {
		name, value, ok := strings.Cut(s.lines.Text(), ": ")
		require.True(s.t, ok)
		switch name {
		case "event":
			event = value
		case "id":
			id = value
		case "data":
			data = value
		}
	}
	return event, id, data
}

func TestLive(t *testing.T) {
	r := newRig(t, nil)
	s := r.live("?status=stuck&id=o-1", "")
	event, id, data := s.next()
	require.Equal(t, "freshness", event)
	require.Empty(t, id)
	require.JSONEq(t, `{"lag_events":3,"lag_seconds":0.25}`, data)

	r.fake.change(snapshot("o-1", 1, choreo.StatusRunning)) // another status
	r.fake.change(snapshot("o-2", 1, choreo.StatusStuck))   // another saga
	r.fake.change(snapshot("o-1", 2, choreo.StatusStuck))
	event, id, data = s.next()
	require.Equal(t, "saga", event)
	var got tracker.Snapshot
	require.NoError(t, json.Unmarshal([]byte(data), &got))
	require.Equal(t, "o-1", got.ID)
	require.Nil(t, got.Fold)
	s.cancel()

	s = r.live("", id) // where it was
	event, _, _ = s.next()
	require.Equal(t, "freshness", event)
	r.fake.change(snapshot("o-1", 3, choreo.StatusRunning))
	s = r.live("", id) // behind
	s.next()
	event, _, _ = s.next()
	require.Equal(t, "reset", event)
	for _, other := range []string{"other-3", "nonsense", "-1"} {
		s = r.live("", other)
		event, _, _ = s.next()
		require.Equal(t, "reset", event, other)
	}

	r.server.Close() // ends them all
	for event != "" {
		event, _, _ = s.next()
	}
	require.NoError(t, s.lines.Err())
}

func TestLivePings(t *testing.T) {
	r := newRig(t, func(c *api.Config) { c.PingEvery = time.Millisecond })
	s := r.live("", "")
	var events []string
	for len(events) < 3 {
		event, _, _ := s.next()
		events = append(events, event)
	}
	require.Equal(t, []string{"freshness", "freshness", "ping"}, events)
}

func TestLiveClientsAreBounded(t *testing.T) {
	r := newRig(t, func(c *api.Config) { c.LiveClients = 1 })
	r.live("", "")
	r.refused(api.CodeUnavailable, http.MethodGet, "/api/v1/live", nil)
}
