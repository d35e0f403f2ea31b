package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microseg/microseg/serving/routes"
)

// TestPublicProbesSayAWord: /readyz told everybody on the public port which folder was
// full, where ClickHouse was, and what it answered. The admin listener still does.
func TestPublicProbesSayAWord(t *testing.T) {
	t.Parallel()
	secret := errors.New("ClickHouse at 10.1.2.3 refuses user microseg")
	p := &probes{live: func() error { return secret }, ready: func(context.Context) error { return secret },
		notes: func() []string { return []string{"", "degraded: rows wait in events-spill"} }, metrics: processRegistry()}
	public, admin := http.NewServeMux(), http.NewServeMux()
	p.public(public)
	p.admin(admin)
	for path, word := range map[string]string{"/livez": "this process does not work\n", "/healthz": "this process does not work\n", "/readyz": "not ready\n"} {
		if code, text := told(public, path); code != http.StatusServiceUnavailable || text != word {
			t.Errorf("public %s: %d %q", path, code, text)
		}
	}
	for _, path := range []string{"/health", "/metrics"} {
		if code, text := told(public, path); code != http.StatusNotFound {
			t.Errorf("public %s: %d %q", path, code, text)
		}
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if code, text := told(admin, path); code != http.StatusServiceUnavailable || text != secret.Error()+"\ndegraded: rows wait in events-spill\n" {
			t.Errorf("admin %s: %d %q", path, code, text)
		}
	}
	if code, text := told(admin, "/metrics"); code != http.StatusOK || !strings.Contains(text, "go_goroutines") {
		t.Errorf("admin /metrics: %d %.200q", code, text)
	}
}

// TestHealthIsAskedOnce: each request for /health was a query of some seconds' work in
// ClickHouse. A hundred at once are one, and so are those of the next five seconds; one
// that goes away in the middle takes the answer from nobody.
func TestHealthIsAskedOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	release := make(chan struct{})
	p := &probes{live: works, metrics: processRegistry(), ready: func(context.Context) error { return nil }, health: func(ctx context.Context) *report {
		asked.Add(1)
		<-release
		return &report{body: []byte("{}\n"), ok: ctx.Err() == nil}
	}}
	mux := http.NewServeMux()
	p.admin(mux)
	gone, leave := context.WithCancel(t.Context())
	first := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", "/health", nil).WithContext(gone))
		first <- w.Code
	}()
	for asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	leave()
	if code := <-first; code != http.StatusServiceUnavailable {
		t.Errorf("one that has gone: %d", code)
	}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if code, text := told(mux, "/health"); code != http.StatusOK || text != "{}\n" {
				t.Errorf("%d %q", code, text)
			}
		})
	}
	close(release)
	all.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("101 requests are %d queries", n)
	}
}

// TestKeptIsAskedAgain: what is kept is asked for again when its time is over, and only then.
func TestKeptIsAskedAgain(t *testing.T) {
	t.Parallel()
	n := 0
	k := &kept[int]{every: time.Hour, ask: func(context.Context) int { n++; return n }, late: func(error) int { return -1 }}
	for range 3 {
		if got := k.get(t.Context()); got != 1 {
			t.Errorf("%d within the hour", got)
		}
	}
	k.at = k.at.Add(-2 * time.Hour)
	if got := k.get(t.Context()); got != 2 {
		t.Errorf("%d after it", got)
	}
}

// told is what a handler answers.
func told(h http.Handler, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

// twoListeners: what acts on persons and what tells details is on the admin listener and
// nowhere else, for a node of its own as for `up`; and that listener, which is this
// machine's alone, answers no page that had its name pointed there.
func twoListeners(t *testing.T, public, admin, key string) {
	t.Helper()
	status := func(method, addr, path, host string) int {
		r, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		r.Host = host
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for _, r := range routes.Admin {
		path := r.Forms()[0]
		for method := range strings.FieldsSeq(r.Methods) {
			if got := status(method, public, path, ""); got != http.StatusNotFound {
				t.Errorf("%s %s of the public listener: %d", method, path, got)
			}
			if got := status(method, admin, path, "evil.example"); got != http.StatusMisdirectedRequest {
				t.Errorf("%s %s of the admin listener, by another name: %d", method, path, got)
			}
		}
	}
	for path, want := range map[string]int{"/v1/profiles/u:nobody": 404, "/metrics": 200, "/api/segment?userId=nobody": 200, "/v1/batch": 404} {
		if got := status("GET", admin, path, "localhost"); got != want {
			t.Errorf("GET %s of the admin listener: %d, want %d", path, got, want)
		}
	}
}
