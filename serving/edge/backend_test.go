package edge

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/serving/token"
)

const (
	testKeys  = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	otherKeys = "k1:ffffffffffffffffffffffffffffffff"
	site      = "demo"
	abandoner = "everyone/high_intent/cart_abandoner"
)

// backend is a site's pages and a serving node, the real one, which answers
// from tokens and claims alone; each counts its requests.
type backend struct {
	site, node         *httptest.Server
	pages, fragments   atomic.Int64
	tokens, others     atomic.Int64
	ttl                atomic.Int64 // of fragments, s; 0: the node's own
	mu                 sync.Mutex
	seen               []*http.Request // of fragments
	hostile            atomic.Value    // text of a visitor in the pages
	down               atomic.Bool
	addrSite, addrNode string
}

func newBackend(t *testing.T, change ...func(*config.Config)) *backend {
	t.Helper()
	b := &backend{}
	b.hostile.Store("")
	cfg := config.Demo()
	for _, f := range change {
		f(cfg)
	}
	api, err := node.API(cfg, node.Options{Site: site, Secrets: node.Secrets{TokenKeys: testKeys, AdminKey: strings.Repeat("admin", 8)}})
	check(t, err)
	mux := http.NewServeMux()
	api.Register(mux)
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /v1/batch", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Was-For", r.Header.Get("X-Forwarded-For"))
		io.WriteString(w, `{"success":true}`)
	})
	b.node = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.count(w, r, mux) }))
	b.site = httptest.NewServer(http.HandlerFunc(b.page))
	t.Cleanup(func() { b.site.Close(); b.node.Close() })
	b.addrSite, b.addrNode = b.site.Listener.Addr().String(), b.node.Listener.Addr().String()
	return b
}

func (b *backend) count(w http.ResponseWriter, r *http.Request, mux http.Handler) {
	if b.down.Load() {
		drop(w)
		return
	}
	switch {
	case r.URL.Path == "/livez":
	case r.URL.Path == "/edge/token":
		b.tokens.Add(1)
	case len(r.URL.Path) > 5 && r.URL.Path[:5] == "/esi/":
		b.fragments.Add(1)
		b.mu.Lock()
		b.seen = append(b.seen, r)
		b.mu.Unlock()
		if s := b.ttl.Load(); s > 0 {
			w = &shorter{w, s}
		}
	default:
		b.others.Add(1)
	}
	mux.ServeHTTP(w, r)
}

// drop ends a connection without an answer, as a process that was killed does.
func drop(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// shorter makes fragments old soon.
type shorter struct {
	http.ResponseWriter
	s int64
}

func (w *shorter) WriteHeader(code int) {
	life := fmt.Sprintf("max-age=%d, stale-while-revalidate=60, stale-if-error=86400", w.s)
	w.Header().Set("Surrogate-Control", life)
	w.Header().Set("Cache-Control", "public, max-age=0, s-"+life)
	w.ResponseWriter.WriteHeader(code)
}

func (w *shorter) Write(p []byte) (int, error) {
	if w.Header().Get("X-Shorter") == "" {
		w.Header().Set("X-Shorter", "1")
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// page is a page of the site: one slot by an include, one that the worker fills.
func (b *backend) page(w http.ResponseWriter, r *http.Request) {
	if b.down.Load() {
		drop(w)
		return
	}
	b.pages.Add(1)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=60, stale-while-revalidate=60, stale-if-error=86400")
	if r.URL.Path != "/plain" {
		h.Set("Surrogate-Control", `content="ESI/1.0"`)
	}
	if strings.HasPrefix(r.URL.Path, "/echo") { // as careless a site as can be
		fmt.Fprintf(w, "<!doctype html><p>%s %s %v", html.EscapeString(r.Host), r.Method, html.EscapeString(fmt.Sprint(r.Header)))
		return
	}
	fmt.Fprintf(w, "<!doctype html><html data-ms-page=\"home\"><head><title>%s</title></head><body>\n<div data-ms-slot=\"hero\"><esi:include src=\"/esi/hero?page=home\"/></div>\n<p id=text>%s</p></body></html>\n",
		r.URL.Path, b.hostile.Load())
}

// total is how many requests either has had, health checks aside.
func (b *backend) total() int64 {
	return b.pages.Load() + b.fragments.Load() + b.tokens.Load() + b.others.Load()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// visitorToken is what a visitor's browser has as a cookie.
func visitorToken(t testing.TB, keys, path string, lives time.Duration) string {
	t.Helper()
	k, err := token.ParseKeys(keys)
	check(t, err)
	now := time.Now()
	return k.Sign(token.Claims{Audience: token.Segment, Site: site, Subject: token.Subject("d:1"), Path: path, Issued: now.Unix(), Expires: now.Add(lives).Unix()})
}

// get is a request of a browser; its answer's body and header.
func get(t testing.TB, url, cookie string, change ...func(*http.Request)) (string, *http.Response) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	check(t, err)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36")
	if cookie != "" {
		r.Header.Set("Cookie", "_ga=GA1.1; ms_token="+cookie+"; ajs_anonymous_id=1") // those of scripts, not of the site
	}
	for _, f := range change {
		f(r)
	}
	answer, err := http.DefaultClient.Do(r)
	check(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	check(t, err)
	return string(body), answer
}

// saving reports what an edge saves, next to the brief's figure.
func saving(t *testing.T, edge string, without, with int64, settings map[string]any) {
	t.Helper()
	share := 1 - float64(with)/float64(without)
	out, err := json.Marshal(map[string]any{"edge": edge, "backend_requests_without": without, "backend_requests_with": with, "saved": share, "brief": 0.65, "settings": settings})
	check(t, err)
	t.Logf("%s", out)
	if share < 0.65 {
		t.Errorf("the edge saves %.0f %% of the backend's requests, the brief wants 65 %%", 100*share)
	}
}
