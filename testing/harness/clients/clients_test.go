package clients

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/downloads"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/collect"
	"github.com/twmb/franz-go/pkg/kgo"
)

var rewrite = flag.Bool("rewrite", false, "rewrite event/crawlers.txt from the pinned package")

func modules(t *testing.T) string {
	t.Helper()
	cache, err := downloads.Dir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := Install(t.Context(), cache, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLibraries: the libraries of others, unmodified but for the host, send
// every kind of event, through one 503 and one 429, and each arrives once and can
// be read. Mixpanel's tells its caller of an error and does not try again: here
// the caller does.
func TestLibraries(t *testing.T) {
	t.Parallel()
	dir := modules(t)
	const n = 50
	for library, c := range map[string]struct {
		kinds []string
	}{
		"segment":     {[]string{"track", "page", "screen", "identify", "group", "alias"}},
		"rudderstack": {[]string{"track", "page", "screen", "identify", "group", "alias"}},
		"mixpanel":    {[]string{"track", "import", "people", "alias", "track_batch", "import_batch"}},
	} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			log, url := collector(t, http.StatusServiceUnavailable, http.StatusTooManyRequests)
			sends(t, dir, library, url, "demo", n)
			marks, ids := read(t, log, n*len(c.kinds))
			for _, kind := range c.kinds {
				for i := range n {
					if m := fmt.Sprintf("%s-%s-%d", library, kind, i); marks[m] != 1 {
						t.Errorf("%s arrived %d times", m, marks[m])
					}
				}
			}
			if len(ids) != n*len(c.kinds) {
				t.Errorf("%d different ids of %d events", len(ids), n*len(c.kinds))
			}
		})
	}
}

// collector runs a collector that first answers with these errors.
func collector(t *testing.T, fails ...int) (*kafkalog.Log, string) {
	t.Helper()
	log, h := collecting(t, collect.Config{WriteKeys: []string{"demo"}})
	busy := make(chan int, len(fails))
	for _, status := range fails {
		busy <- status
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case status := <-busy:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(status)
		default:
			h.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return log, srv.URL
}

// collecting is a collector and the log that it writes to.
func collecting(t *testing.T, cfg collect.Config) (*kafkalog.Log, http.Handler) {
	t.Helper()
	log, err := kafkalog.Start(kafkalog.Options{Topics: []string{"events"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	cfg.Brokers = log.Brokers()
	c, err := collect.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return log, c.Handler()
}

// read counts the marks and ids of n records, and fails when there are more or fewer.
func read(t *testing.T, log *kafkalog.Log, n int) (marks, ids map[string]int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(log.Brokers()...), kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	d, err := event.NewDecoder(event.Config{})
	if err != nil {
		t.Fatal(err)
	}
	marks, ids = map[string]int{}, map[string]int{}
	seen := 0
	// Everything is acknowledged: what is there is there at once. The last
	// look, for more than n, ends with its own time.
	for {
		wait := 20 * time.Second
		if seen >= n {
			wait = 300 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		f := client.PollFetches(ctx)
		cancel()
		if f.NumRecords() == 0 {
			break
		}
		for _, r := range f.Records() {
			seen++
			var e event.Event
			if err := d.Decode(r.Value, event.Unstated, r.Timestamp.UnixMilli(), &e); err != nil || e.Flags&event.FlagBot != 0 {
				t.Errorf("%v, %+v: %s", err, e, r.Value)
			}
			mark, id := marked(t, r.Value)
			marks[mark]++
			ids[id]++
		}
	}
	if seen != n {
		t.Fatalf("%d records of %d", seen, n)
	}
	return marks, ids
}

func marked(t *testing.T, raw []byte) (mark, id string) {
	t.Helper()
	var m struct {
		Type, UserID, MessageID string
		Properties, Traits      struct{ Mark string }
		Context                 struct{ Traits struct{ Mark string } }
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	if m.Type == "alias" {
		return m.UserID, m.MessageID
	}
	// RudderStack's library states traits twice.
	return cmp.Or(m.Properties.Mark, m.Traits.Mark, m.Context.Traits.Mark), m.MessageID
}

// TestCrawlerList: event/crawlers.txt is the pinned package's list, and every
// user agent that the package gives as an instance is a bot to the decoder. To
// renew it, after a new version in npm/:
//
//	go test ./testing/harness/clients -run CrawlerList -rewrite
func TestCrawlerList(t *testing.T) {
	t.Parallel()
	const path = "../../../event/crawlers.txt"
	raw, err := os.ReadFile(filepath.Join(modules(t), "crawler-user-agents", "crawler-user-agents.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Pattern         string
		Tags, Instances []string
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, c := range list {
		want.WriteString(strings.ReplaceAll(c.Pattern, `\/`, "/"))
		if strings.Contains(strings.Join(c.Tags, " "), "http-library") {
			want.WriteString("\thttp-library")
		}
		want.WriteByte('\n')
		for _, ua := range c.Instances {
			if len(ua) <= 1024 && event.AgentOf(ua) == event.AgentOther && !inApp.MatchString(ua) {
				t.Errorf("%q is on the list as %s, and no bot", ua, c.Pattern)
			}
		}
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want.String() {
		t.Errorf("%s is not the pinned list (%v); run this test with -rewrite", path, err)
	}
}

// inApp are messengers' own browsers, in which people open links.
var inApp = regexp.MustCompile(`^Mozilla/.*AppleWebKit/.*(Viber|WhatsApp|Tumblr|Daum)`)

// TestPage: the page finds the library where the package has it.
func TestPage(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(filepath.Join(modules(t), Browser, "index.js")); err != nil {
		t.Error(err)
	}
	if b, err := Pages.ReadFile("browser.html"); err != nil || !strings.Contains(string(b), "/analytics-next/index.js") {
		t.Errorf("%s, %v", b, err)
	}
}
