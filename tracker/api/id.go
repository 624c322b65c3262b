package api

import (
	"net/http"
	"net/url"
	"strings"
)

// EscapeID writes the id of a saga as one part of a path. What browsers and proxies take for
// a folder, dots alone, has a '~' before it.
func EscapeID(id string) string {
	if special(id, false) {
		id = "~" + id
	}
	return url.PathEscape(id)
}

// pathID reads what [EscapeID] has written. Dots as such are taken as well, where they came through.
func pathID(r *http.Request) string {
	id := r.PathValue("id")
	if bare, ok := strings.CutPrefix(id, "~"); ok && special(bare, true) {
		return bare
	}
	return id
}

// special reports whether an id is one or two dots, with or without '~' before them, or, where that is
// asked for, one slash.
func special(id string, slash bool) bool {
	bare := strings.TrimLeft(id, "~")
	return bare == "." || bare == ".." || slash && bare == "/"
}

// slashes lets ids through that are one slash: [http.ServeMux] takes a part "%2F" of a path for the
// slash at its end. They get a '~' before them, and one more where they have some already, which
// pathID takes away.
func slashes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw := r.URL.EscapedPath()
		parts := strings.Split(raw, "/")
		changed := false
		for i, part := range parts {
			if bare := strings.TrimLeft(part, "~"); strings.EqualFold(bare, "%2F") {
				parts[i], changed = "~"+part, true
			}
		}
		if !changed {
			next.ServeHTTP(w, r)
			return
		}
		raw = strings.Join(parts, "/")
		path, err := url.PathUnescape(raw)
		if err != nil { // net/http has read it before
			next.ServeHTTP(w, r)
			return
		}
		at := *r.URL
		at.Path, at.RawPath = path, raw
		inner := *r
		inner.URL = &at
		next.ServeHTTP(w, &inner)
	})
}
