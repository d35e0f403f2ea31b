package httpserver

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

var manySlashes = regexp.MustCompile("//+")

// OneSlash serves a path with several slashes in a row as that with one, and
// does not redirect to it, as http.ServeMux does: a library whose host ends with
// a slash lost its events, since a browser asks no other address for a
// preflight, and turns a POST that is redirected into a GET.
func OneSlash(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		escaped := r.URL.EscapedPath()
		if !strings.Contains(escaped, "//") {
			h.ServeHTTP(w, r)
			return
		}
		escaped = manySlashes.ReplaceAllLiteralString(escaped, "/")
		path, err := url.PathUnescape(escaped)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		to, at := *r, *r.URL
		at.Path, at.RawPath = path, escaped
		to.URL = &at
		h.ServeHTTP(w, &to)
	})
}
