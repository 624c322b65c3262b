package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

// told is a writer that says when a text was written to it.
type told struct {
	mu   sync.Mutex
	b    bytes.Buffer
	text string
	seen chan struct{}
}

func (w *told) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := strings.Contains(w.b.String(), w.text)
	w.b.Write(p)
	if !before && strings.Contains(w.b.String(), w.text) {
		close(w.seen)
	}
	return len(p), nil
}

func (w *told) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func fetch(t *testing.T, client *http.Client, url string) []byte {
	t.Helper()
	res, err := client.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, "%s", body)
	return body
}

// With --serve the example goes on after the orders, and shows each of their sagas.
func TestServe(t *testing.T) {
	address := freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stderr := &told{text: "until ctrl-c", seen: make(chan struct{})}
	var stdout bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"--serve", "--listen", address, "--output", "json"}, &stdout, stderr)
	}()
	select {
	case <-stderr.seen:
	case code := <-ended:
		t.Fatalf("it ended with %d: %s", code, stderr)
	}
	result := outcome{stdout: stdout.String()}.report(t)
	require.Equal(t, 500, result.Orders)

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	require.Contains(t, string(fetch(t, client, "http://"+address+"/")), "<html")
	var counts struct {
		Counts []tracker.Count `json:"counts"`
	}
	// The sagas are at rest; the tracker may have a moment to go until it knows.
	lagging := func() bool {
		require.NoError(t, json.Unmarshal(fetch(t, client, "http://"+address+"/api/v1/counts?by=status"), &counts))
		ended := int64(0)
		for _, c := range counts.Counts {
			if choreo.Status(c.Key).Ended() {
				ended += c.Count
			}
		}
		return ended < 500
	}
	for lagging() {
		require.NoError(t, t.Context().Err())
	}
	for _, c := range counts.Counts {
		switch choreo.Status(c.Key) {
		case choreo.StatusCompleted:
			require.EqualValues(t, result.Completed, c.Count)
		case choreo.StatusCompensated:
			require.EqualValues(t, result.Compensated, c.Count)
		default:
			t.Fatalf("%d sagas are %s", c.Count, c.Key)
		}
	}
	var page struct{ Sagas []*tracker.Snapshot }
	require.NoError(t, json.Unmarshal(fetch(t, client, "http://"+address+"/api/v1/sagas?limit=1&status=compensated"), &page))
	require.NotEmpty(t, page.Sagas[0].Tags["customer"])
	require.NotNil(t, page.Sagas[0].Cause)
	stop()
	require.Equal(t, exitGood, <-ended, "%s", stderr)
}

func TestServeWhereSomebodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	got := example(t.Context(), "--serve", "--listen", l.Addr().String())
	require.Equal(t, exitBad, got.code)
	require.Contains(t, got.stderr, "listen at "+l.Addr().String())
}
