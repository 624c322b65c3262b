package page_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/tracker/page"
)

func Example() {
	mux := http.NewServeMux()
	mux.Handle("/choreo/", page.Handler("/choreo")) // the API is under /choreo/api/v1
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/choreo/sagas", http.NoBody))
	fmt.Println(answer.Code, answer.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}

func get(h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var linked = regexp.MustCompile(`(?:src|href)="([^"#]+)"`)

func TestAssetsAreKeptForGoodAndTheDocumentIsNot(t *testing.T) {
	for _, base := range []string{"", "/", "/ops/choreo", "ops/choreo/"} {
		h := page.Handler(base)
		prefix := strings.TrimSuffix("/"+strings.Trim(base, "/"), "/")
		index := get(h, prefix+"/")
		require.Equal(t, http.StatusOK, index.Code, base)
		assert.Equal(t, "no-cache", index.Header().Get("Cache-Control"))
		links := linked.FindAllStringSubmatch(index.Body.String(), -1)
		require.Len(t, links, 6)
		for _, l := range links {
			asset := get(h, l[1])
			assert.Equal(t, http.StatusOK, asset.Code, l[1])
			assert.Equal(t, "public, max-age=31536000, immutable", asset.Header().Get("Cache-Control"))
			assert.Equal(t, page.Policy, asset.Header().Get("Content-Security-Policy"))
			old := get(h, regexp.MustCompile(`assets/\w+`).ReplaceAllString(l[1], "assets/0123456789abcdef"))
			assert.Equal(t, http.StatusNotFound, old.Code)
			assert.Equal(t, "no-store", old.Header().Get("Cache-Control"))
			again := get(h, l[1], "If-None-Match", asset.Header().Get("ETag"))
			assert.Equal(t, http.StatusNotModified, again.Code)
		}
	}
}

func TestNothingRunsFromWithinTheDocument(t *testing.T) {
	body := get(page.Handler(""), "/").Body.String()
	assert.NotRegexp(t, `(?i)<style|\sstyle=|\son\w+=|<script[^>]*>[^<]`, body)
	assert.NotContains(t, page.Policy, "unsafe")
}

func TestBasePathIsText(t *testing.T) {
	body := get(page.Handler(`/a"><script>`), `/a%22%3E%3Cscript%3E/`).Body.String()
	assert.NotContains(t, body, `"><script>`)
}

func TestAnswersSmallToWhoUnpacks(t *testing.T) {
	plain := get(page.Handler(""), "/")
	packed := get(page.Handler(""), "/", "Accept-Encoding", "gzip")
	require.Equal(t, "gzip", packed.Header().Get("Content-Encoding"))
	assert.NotEqual(t, plain.Header().Get("ETag"), packed.Header().Get("ETag"))
	r, err := gzip.NewReader(packed.Body)
	require.NoError(t, err)
	body, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, plain.Body.String(), string(body))
}

func TestAddressesThatItDoesNotKnow(t *testing.T) {
	h := page.Handler("/choreo")
	assert.Equal(t, http.StatusMovedPermanently, get(h, "/choreo").Code)
	assert.Equal(t, http.StatusNotFound, get(h, "/choreography/").Code)
	assert.Equal(t, http.StatusNotFound, get(h, "/").Code)
	assert.Equal(t, http.StatusNotFound, get(h, "/choreo/nowhere").Code)
	assert.Equal(t, http.StatusOK, get(h, "/choreo/sagas/order/a%2Fb").Code)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/choreo/", http.NoBody))
	assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
	assert.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
}
