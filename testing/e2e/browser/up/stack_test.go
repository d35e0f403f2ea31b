// Package up holds `./run.sh up` to account as a newcomer meets it: the built
// binary at shipped settings, on free ports and in a folder of its own, and a real
// Chromium. Nothing is seeded and no clock is moved; paths that need 90 seconds
// take them, all at the same time, in contexts of their own.
package up

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/microseg/microseg/testing/harness/child"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The visits wait; as many at a time as there are processors would take hours.
	flag.Set("test.parallel", "64")
	os.Exit(m.Run())
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build builds the binary as run.sh does, and returns its path and the clone's.
func build(t *testing.T) (bin, root string) {
	t.Helper()
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	check(t, err)
	root, bin = filepath.Dir(string(mod)), filepath.Join(t.TempDir(), "microseg")
	c := exec.Command("go", "build", "-o", bin, "./cmd/microseg")
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("building the binary: %v\n%s", err, out)
	}
	return bin, root
}

// stack is a running `up`.
type stack struct {
	url  string // of shop, collector and API
	site *httptest.Server
}

// start runs `up` until the test ends.
func start(t *testing.T, bin, root string, args ...string) *stack {
	t.Helper()
	dir := t.TempDir()
	c := exec.Command(bin, append([]string{"up", "--dir", dir}, args...)...)
	c.Dir = root
	p, err := child.Start(c, filepath.Join(dir, "up.log"))
	check(t, err)
	t.Cleanup(func() {
		p.Signal(syscall.SIGTERM)
		select {
		case <-p.Exited():
		case <-time.After(30 * time.Second):
			p.Kill()
			t.Errorf("up does not end\n%s", p.Log())
		}
	})
	s := &stack{}
	for deadline := time.Now().Add(2 * time.Minute); !s.ready(dir); time.Sleep(50 * time.Millisecond) {
		select {
		case <-p.Exited():
			t.Fatalf("up has ended\n%s", p.Log())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("up is not ready\n%s", p.Log())
		}
	}
	s.openSite(t)
	return s
}

// ready reads the addresses that up writes, and asks.
func (s *stack) ready(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	var a struct{ HTTP string }
	if err != nil || json.Unmarshal(b, &a) != nil || a.HTTP == "" {
		return false
	}
	s.url = "http://" + a.HTTP
	answer, err := http.Get(s.url + "/readyz")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// snippet is the brief's own page: our script, and what the brief shows.
const snippet = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,"><title>Snippet</title>
<script src="/microseg.js" data-write-key="demo"></script></head>
<body><div id="place"></div>
<script type="module">
const seg = await getUserSegment();
const r = await fetch('/api/personalize', {method: 'POST', body: JSON.stringify({segment: seg, event: {page: location.pathname}})});
const answer = await r.json();
const banner = answer.actions.find((a) => a.slot === "banner");
document.querySelector("#place").innerHTML = banner ? banner.html : "nothing";
window.result = [r.status, String(seg), banner && banner.rule].join(" ");
</script></body></html>`

// openSite is a site's own server in front of `up`, which has a page more.
func (s *stack) openSite(t *testing.T) {
	to, err := url.Parse(s.url)
	check(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("GET /snippet", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, snippet) })
	s.site = httptest.NewServer(mux)
	t.Cleanup(func() { s.site.CloseClientConnections(); s.site.Close() })
}
