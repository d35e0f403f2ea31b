package edge

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/serving/routes"
	"github.com/microseg/microseg/web"
)

// matched is a node that answers with the pattern of its mux that a request
// reaches, and does nothing else.
func matched(t *testing.T) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	api, err := node.API(config.Demo(), node.Options{Site: site, Secrets: node.Secrets{TokenKeys: testKeys}})
	check(t, err)
	api.Register(mux)
	c, err := collect.New(collect.Config{Brokers: []string{"127.0.0.1:1"}, WriteKeys: []string{"demo"}})
	check(t, err)
	t.Cleanup(func() { c.Close(t.Context()) })
	c.Register(mux)
	web.RegisterScript(mux)
	return httpserver.OneSlash(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := mux.Handler(r)
		w.Header().Set("X-Pattern", pattern)
		if pattern == "" && r.URL.Path != "/livez" {
			http.NotFound(w, r)
		}
	}))
}

// TestRoutes: every route of a node, with each method and in each form in which
// libraries ask for it, reaches its handler: at the node itself, through Varnish
// and through the worker. Mixpanel's /groups and /import, RudderStack's
// /sourceConfig and /beacon, and link.js were pages of the site at both edges,
// Mixpanel's own form with a slash at the end was one at the worker, and a
// doubled slash was a redirect at the node.
func TestRoutes(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	nodeServer := httptest.NewServer(matched(t))
	t.Cleanup(nodeServer.Close)
	b.node, b.addrNode = nodeServer, nodeServer.Listener.Addr().String()
	for name, url := range map[string]string{"node": nodeServer.URL, "varnish": startVarnish(t, b).URL(), "worker": startWorker(t, b).URL()} {
		asks := 0
		for _, r := range slices.Concat(routes.Collector, routes.Others) {
			if r.Edge == routes.Fragment || r.Edge == routes.Hidden {
				continue // TestVarnish, TestWorker
			}
			methods := strings.Fields(r.Methods)
			if slices.Contains(routes.Collector, r) || strings.HasPrefix(r.Path, "/api/") {
				methods = append(methods, "OPTIONS")
			}
			for _, path := range r.Forms() {
				for _, method := range methods {
					asks++
					want := method + " " + r.Path
					switch {
					case method == "OPTIONS" && strings.HasPrefix(r.Path, "/api/"):
						want = "OPTIONS /api/"
					case strings.HasSuffix(path, "/"):
						want += "/{$}"
					}
					query := ""
					if r.Edge == routes.Mixpanel && method == "GET" {
						query = "?data=e30"
					}
					if got, status := pattern(t, method, url+path+query); got != want || status != http.StatusOK {
						t.Errorf("%s: %s %s reaches %q (%d), want %q", name, method, path, got, status, want)
					}
				}
			}
		}
		if asks < 200 {
			t.Errorf("%s: asked %d times only", name, asks)
		}
	}
	for name, text := range map[string]string{"varnish.vcl": vcl, "worker.js": worker} {
		for _, e := range []routes.Edge{routes.Node, routes.Mixpanel, routes.Script} {
			if want := fmt.Sprintf("%q", routes.Pattern(e)); !strings.Contains(text, want) {
				t.Errorf("%s lacks the pattern %s of serving/routes", name, want)
			}
		}
	}
	if want := fmt.Sprintf("%q", routes.Pattern(routes.Hidden)); !strings.Contains(vcl, want) {
		t.Errorf("varnish.vcl lacks the pattern %s of serving/routes", want)
	}
	t.Run("pages of the site", func(t *testing.T) { pagesStay(t, b) })
}

// pagesStay: pages that are called like a route of Mixpanel's, or nearly like one,
// stay the site's.
func pagesStay(t *testing.T, b *backend) {
	for name, url := range map[string]string{"varnish": startVarnish(t, b).URL(), "worker": startWorker(t, b).URL()} {
		for _, path := range []string{"/track", "/track/", "/track?order=1", "/groups", "/groups/hiking", "/import", "/track-order", "/beacon/", "/v10/x"} {
			before := b.pages.Load()
			got, _ := pattern(t, "GET", url+path)
			if got != "" || b.pages.Load() == before {
				t.Errorf("%s: GET %s is not asked of the site, but of %q", name, path, got)
			}
		}
	}
}

// TestNodeIsAway: while no node answers, both edges tell libraries when to come
// back, in words that pages of other origins may read, as the collector itself
// does; Mixpanel's library drops what it may not read.
func TestNodeIsAway(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.node.Close()
	for name, url := range map[string]string{"varnish": startVarnish(t, b).URL(), "worker": startWorker(t, b).URL()} {
		for path, collects := range map[string]bool{"/v1/batch": true, "/track/": true, "/beacon/v1/batch": true, "/api/personalize": false} {
			answer, err := http.Post(url+path, "text/plain", strings.NewReader("{}"))
			check(t, err)
			answer.Body.Close()
			h := answer.Header
			if answer.StatusCode != http.StatusServiceUnavailable || h.Get("Retry-After") == "" || (h.Get("Access-Control-Allow-Origin") == "*") != collects ||
				h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: POST %s: %d %v", name, path, answer.StatusCode, h)
			}
		}
	}
}

// pattern is what a request reaches. It is sent as it is: net/http would mend
// the path, and follow redirects.
func pattern(t *testing.T, method, url string) (string, int) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	check(t, err)
	answer, err := http.DefaultTransport.RoundTrip(r)
	check(t, err)
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	check(t, err)
	return answer.Header.Get("X-Pattern"), answer.StatusCode
}
