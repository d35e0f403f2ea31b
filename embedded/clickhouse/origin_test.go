package clickhouse

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestAPageReadsNothing: a page of another origin, and one whose name points to this
// machine (DNS rebinding: the Host is the page's), gets no row and no leave to read an
// answer, for it has no password and a browser sends none by itself.
func TestAPageReadsNothing(t *testing.T) {
	s := start(t, Options{Dir: filepath.Join(t.TempDir(), "ch")})
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
		for _, host := range []string{"evil.example", s.HTTPAddr()} {
			req, err := http.NewRequest(method, "http://"+s.HTTPAddr()+"/?query=SELECT+%27treasure%27&add_http_cors_header=1", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			req.Header.Set("Origin", "https://evil.example")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || strings.Contains(string(body), "treasure\n") || res.Header.Get("Access-Control-Allow-Origin") != "" || res.Header.Get("WWW-Authenticate") != "" && res.StatusCode == http.StatusOK {
				t.Errorf("%s of %s: %d %v %.200s", method, host, res.StatusCode, res.Header, body)
			}
		}
	}
}
