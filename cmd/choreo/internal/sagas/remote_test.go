package sagas_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/memory"
	"github.com/choreo-go/choreo/tracker"
)

func ExampleNewRemote() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"saga":{"id":"1","saga":"order","status":"stuck"},"verdict":"stuck for 14 min"}`)
	}))
	defer server.Close()
	source, err := sagas.NewRemote(sagas.RemoteConfig{URL: server.URL})
	if err != nil {
		panic(err)
	}
	defer source.Close()
	d, err := source.Saga(context.Background(), "order", "1")
	fmt.Println(d.Saga.Status, d.Verdict, err)
	// Output: stuck stuck for 14 min <nil>
}

// answering returns a source over a server that answers all alike.
func answering(t *testing.T, handler http.HandlerFunc) sagas.Source {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	source, err := sagas.NewRemote(sagas.RemoteConfig{URL: server.URL + "/base/"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, source.Close()) })
	return source
}

func TestAnswersThatAreNoSuccess(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		code   exit.Code
		says   string
		is     error
	}{
		{400, `{"title":"Bad parameter","detail":"limit: use a number"}`, exit.Usage, "limit: use a number", nil},
		{401, `{"title":"Who are you?"}`, exit.Error, "CHOREO_TRACKER_TOKEN", nil},
		{403, `{"title":"No"}`, exit.Error, "does not let you", nil},
		{404, `{"title":"No such saga","code":"saga-not-found"}`, exit.NotFound, "No such saga", tracker.ErrNotFound},
		{404, `<html>`, exit.NotFound, "no tracker's API", nil},
		{409, `{"title":"Refused","detail":"it has completed","code":"refused"}`, exit.Error, "refused: it has completed", sagas.ErrRefused},
		{302, ``, exit.Error, "302", nil},
		{500, `{`, exit.Error, "500", nil},
		{504, `{"title":"Too long"}`, exit.TimedOut, "timed out", nil},
		{200, `<html>`, exit.Error, "makes no sense", nil},
		{200, `{}`, exit.Error, "holds no saga", nil},
	} {
		source := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			if test.status == http.StatusFound {
				w.Header().Set("Location", "http://example.org/")
			}
			w.WriteHeader(test.status)
			fmt.Fprint(w, test.body)
		})
		_, err := source.Saga(t.Context(), "order", "1")
		require.ErrorContains(t, err, test.says)
		require.Equal(t, test.code, exit.Of(err), "%d: %v", test.status, err)
		if test.is != nil {
			require.ErrorIs(t, err, test.is)
		}
	}
}

func TestNamesAreEscapedAndFiltersAreParameters(t *testing.T) {
	var path, query string
	source := answering(t, func(w http.ResponseWriter, r *http.Request) {
		path, query = r.URL.EscapedPath(), r.URL.RawQuery
		fmt.Fprint(w, `{"saga":{"id":"a/b ?"},"sagas":[],"next":"n"}`)
	})
	_, err := source.Saga(t.Context(), "order", "a/b ?")
	require.NoError(t, err)
	require.Equal(t, "/base/api/v1/sagas/order/a%2Fb%20%3F", path)
	list, err := source.List(t.Context(), tracker.Query{
		Filter: tracker.Filter{
			Sagas: []string{"order"}, Versions: []int{1, 2}, Statuses: []choreo.Status{choreo.StatusStuck}, Search: "a&b",
			StartedFrom: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
		},
		Order: tracker.ByEnded, Descending: true, Limit: 7, After: "c",
	})
	require.NoError(t, err)
	require.Equal(t, "n", list.Next)
	require.Equal(t, "after=c&limit=7&q=a%26b&saga=order&sort=-ended&started_from=2026-01-31T12%3A00%3A00Z&status=stuck&version=1&version=2", query)
}

func TestURLsThatMakeNoSense(t *testing.T) {
	for _, url := range []string{"", "localhost:7654", "ftp://x", "http://", "http://me:secret@x", "http://x/?a=b", "http://x\x00"} {
		_, err := sagas.NewRemote(sagas.RemoteConfig{URL: url})
		require.Equal(t, exit.Usage, exit.Of(err), url)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestTheStreamOfChanges(t *testing.T) {
	source := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, ": hello\n\nevent: ping\ndata: {}\n\nevent: saga\ndata: {\"id\":\"1\",\ndata: \"saga\":\"order\"}\n\n"+
			"event: saga\ndata: no json\n\nevent: reset\ndata:\n\nevent: saga\ndata: {\"id\":\"2\"}\n\n")
	})
	var seen []string
	resets := 0
	enough := errors.New("enough")
	err := source.Watch(t.Context(), tracker.Filter{}, func() { resets++ }, func(s *tracker.Snapshot) error {
		if seen = append(seen, s.ID); len(seen) == 2 {
			return enough
		}
		return nil
	})
	require.ErrorIs(t, err, enough)
	require.Equal(t, []string{"1", "2"}, seen)
	require.Equal(t, 2, resets, "at its begin, and when the server says so")
}

// What reads the topics itself tells of what is not there as a tracker does.
func TestTopicsThatDoNotExist(t *testing.T) {
	names, err := topics.NewNames("choreo")
	require.NoError(t, err)
	source, err := sagas.NewTopics(sagas.TopicsConfig{Log: memory.New(memory.Options{}), Names: names, By: "ada"})
	require.NoError(t, err)
	list, err := source.List(t.Context(), tracker.Query{})
	require.NoError(t, err)
	require.Empty(t, list.Sagas)
	_, err = source.Saga(t.Context(), "order", "1")
	require.ErrorIs(t, err, tracker.ErrNotFound)
	_, err = source.Events(t.Context(), "order", "1", true)
	require.ErrorIs(t, err, tracker.ErrNotFound)
	groups, err := source.Groups(t.Context())
	require.NoError(t, err)
	require.Empty(t, groups)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, source.Watch(cancelled, tracker.Filter{}, func() {}, func(*tracker.Snapshot) error { return nil }))
	require.NoError(t, source.Close())
}
