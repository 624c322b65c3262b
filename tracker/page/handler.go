package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed static
var files embed.FS

// Policy is the Content-Security-Policy of every answer. Trusted types keep strings from
// becoming markup; the one exception, named choreo-graph, is the picture of a definition.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types choreo-graph"

// Handler serves the page under a base path, such as "/choreo"; empty or "/" means the root.
// It expects the base path in the requests, and the API under basePath + "/api/v1". What it
// serves is for everybody: it holds no data, and the page asks for a token where the API does.
//
// The files' addresses hold a hash of their content, so that browsers keep them for good and
// never mix those of two releases; the document itself is asked for anew each time.
func Handler(basePath string) http.Handler {
	h := &handler{base: strings.TrimSuffix(path.Clean("/"+basePath), "/"), assets: map[string]*asset{}}
	sum := sha256.New()
	names, err := fs.Glob(files, "static/*")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	slices.Sort(names)
	for _, name := range names {
		body, err := files.ReadFile(name)
		if err != nil {
			panic(err) // the files are part of the program
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(body))
		sum.Write(body)
		h.assets[strings.TrimPrefix(name, "static/")] = newAsset(path.Ext(name), body)
	}
	h.hash = hex.EncodeToString(sum.Sum(nil))[:16]
	index := strings.NewReplacer(
		"{base}", html.EscapeString(h.base),
		"{assets}", html.EscapeString(h.base+"/assets/"+h.hash),
	).Replace(string(h.assets["index.html"].plain))
	h.index = newAsset(".html", []byte(index))
	delete(h.assets, "index.html")
	return h
}

type handler struct {
	base   string // without a slash at its end
	hash   string
	assets map[string]*asset
	index  *asset
}

// asset is a file as it goes out.
type asset struct {
	plain, zipped []byte
	mime, tag     string
}

func newAsset(ext string, body []byte) *asset {
	mime := map[string]string{
		".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
		".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}[ext]
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	// A bytes.Buffer takes everything.
	_, _ = w.Write(body)
	_ = w.Close()
	sum := sha256.Sum256(body)
	return &asset{plain: body, zipped: zipped.Bytes(), mime: mime, tag: hex.EncodeToString(sum[:8])}
}

// pages are the first words of the addresses that the page knows.
func pages(word string) bool {
	return slices.Contains([]string{"", "sagas", "trouble", "definitions", "participants"}, word)
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", Policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "this address is only read: use GET", http.StatusMethodNotAllowed)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, h.base)
	switch {
	case !ok || rest != "" && rest[0] != '/':
		http.Error(w, "the page is under "+h.base+"/", http.StatusNotFound)
	case rest == "":
		http.Redirect(w, r, h.base+"/", http.StatusMovedPermanently)
	case strings.HasPrefix(rest, "/assets/"):
		h.serveAsset(w, r, strings.TrimPrefix(rest, "/assets/"))
	default:
		header.Set("Cache-Control", "no-cache")
		word, _, _ := strings.Cut(rest[1:], "/")
		status := http.StatusOK
		if !pages(word) {
			status = http.StatusNotFound // the page says so in words
		}
		h.index.serve(w, r, status)
	}
}

func (h *handler) serveAsset(w http.ResponseWriter, r *http.Request, rest string) {
	hash, name, _ := strings.Cut(rest, "/")
	file := h.assets[name]
	if hash != h.hash || file == nil {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "no such file in this release: load the page anew", http.StatusNotFound)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	file.serve(w, r, http.StatusOK)
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request, status int) {
	header := w.Header()
	body, tag := a.plain, `"`+a.tag+`"`
	header.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		body, tag = a.zipped, `"`+a.tag+`-gzip"`
	}
	header.Set("ETag", tag)
	if status == http.StatusOK && strings.Contains(r.Header.Get("If-None-Match"), tag) {
		header.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", a.mime)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // who asked may have gone
	}
}
