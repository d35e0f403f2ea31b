package clickhouse

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/testing/harness/chromium"
)

// refusal is what a page gets: an error of the browser's, or who is no user, or `default`, whose only
// session the server has itself.
var refusal = regexp.MustCompile(`^refused |AUTHENTICATION_FAILED|USER_SESSION_LIMIT_EXCEEDED`)

// TestAPageInABrowser: a page of another origin in a real Chromium, and one whose name points to
// this machine, so that the answers are of its own origin (DNS rebinding), read nothing from the
// embedded ClickHouse, whatever login they guess, from the embedded log, nor from an admin listener.
func TestAPageInABrowser(t *testing.T) {
	s := start(t, Options{Dir: filepath.Join(t.TempDir(), "ch")})
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(treasure), 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := kafkalog.Start(kafkalog.Options{Topics: []string{"events"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>evil</title>")
	}))
	t.Cleanup(evil.Close)
	admin := httptest.NewUnstartedServer(nil)
	admin.Config.Handler = httpserver.LocalHost(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, treasure) }), admin.Listener.Addr().String())
	admin.Start()
	t.Cleanup(admin.Close)
	rebound := func(addr string) string {
		return "http://rebound.example:" + addr[strings.LastIndex(addr, ":")+1:]
	}
	p := chromium.Start(t, "host-resolver-rules=MAP *.example 127.0.0.1").Page(t)
	queries := []string{"SELECT '" + treasure + "'", "SELECT file('" + file + "')", "SELECT * FROM url('" + admin.URL + "', 'LineAsString', 'a String')"}
	for _, from := range []string{rebound(evil.URL), rebound(s.HTTPAddr()) + "/ping", rebound(admin.URL)} {
		p.Goto(from)
		for _, to := range []string{"http://" + s.HTTPAddr(), rebound(s.HTTPAddr())} {
			for _, q := range queries {
				for _, login := range []string{"", "&user=default", "&user=" + User, "&user=" + Analyst + "&password=guess"} {
					var got string
					p.Eval(fmt.Sprintf(`(async () => { try { return await (await fetch(%q + "/?query=" + encodeURIComponent(%q) + %q, {signal: AbortSignal.timeout(20000)})).text() }
						catch (e) { return "refused " + e.name } })()`, to, q, login), &got)
					if strings.Contains(got, treasure+"\n") || !refusal.MatchString(got) {
						t.Errorf("%s reads %s%s, %s: %.300s", from, to, login, q, got)
					}
				}
			}
		}
		for _, to := range []string{admin.URL, rebound(admin.URL), "http://" + log.Brokers()[0], rebound(log.Brokers()[0])} {
			var got string
			p.Eval(fmt.Sprintf(`(async () => { try { return await (await fetch(%q, {signal: AbortSignal.timeout(500)})).text() } catch (e) { return "refused " + e.name } })()`, to), &got)
			if strings.Contains(got, treasure) {
				t.Errorf("%s reads %s: %.300s", from, to, got)
			}
		}
	}
}
