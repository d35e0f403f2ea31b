package httpserver_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/microseg/microseg/serving/httpserver"
)

// TestLocalHost: a page on evil.example, whose owner let the name point to 127.0.0.1,
// read metrics and health of a node on the visitor's own machine. What listens for this
// machine alone answers to its names alone; what listens for others, to any.
func TestLocalHost(t *testing.T) {
	t.Parallel()
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for addr, hosts := range map[string]map[string]int{
		"127.0.0.1:9090": {"127.0.0.1:9090": 200, "localhost:9090": 200, "LOCALHOST": 200, "[::1]:80": 200, "127.9.9.9": 200, "": 200, "::1": 200,
			"evil.example": 421, "evil.example:9090": 421, "127.0.0.1.evil.example:9090": 421, "localhost.evil.example": 421, "10.0.0.1:9090": 421,
			"0.0.0.0:9090": 421, "[::]:9090": 421, "127.0.0.1@evil.example": 421, "evil.example#127.0.0.1": 421, "2130706433": 421, "0x7f.1": 421},
		"[::1]:9090":     {"[::1]:9090": 200, "localhost:1": 200, "evil.example": 421},
		"localhost:9090": {"localhost:9090": 200, "evil.example": 421},
		"10.0.0.5:9090":  {"node.internal": 200, "10.0.0.5:9090": 200},
		"[::]:9090":      {"node.internal": 200},
		":9090":          {"node.internal": 200},
	} {
		h := httpserver.LocalHost(ok, addr)
		for host, want := range hosts {
			r := httptest.NewRequest("GET", "/metrics", nil)
			r.Host = host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("a listener on %s answers Host %q with %d, want %d", addr, host, w.Code, want)
			}
		}
	}
}
