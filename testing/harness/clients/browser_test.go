package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/throttle"
	"github.com/microseg/microseg/testing/harness/chromium"
	"github.com/twmb/franz-go/pkg/kgo"
)

// faulty is a collector whose first two requests with events are answered by
// something before it: 503 and 429.
type faulty struct {
	url   string // also of the pages
	log   *kafkalog.Log
	mu    sync.Mutex
	asked []string        // method, path and status of what has come
	wants map[string]bool // request headers that a browser asks for
}

func newFaulty(t *testing.T) *faulty {
	return newServer(t, collect.Limits{}, http.StatusServiceUnavailable, http.StatusTooManyRequests)
}

// newServer has a collector with these limits behind these faults.
func newServer(t *testing.T, limits collect.Limits, faults ...int) *faulty {
	t.Helper()
	log, h := collecting(t, collect.Config{WriteKeys: []string{"demo"}, Limits: limits})
	f := &faulty{log: log, wants: map[string]bool{}}
	mux := http.NewServeMux()
	mux.Handle("GET /modules/", http.StripPrefix("/modules/", http.FileServer(http.Dir(modules(t)))))
	mux.Handle("GET /crossorigin.html", http.FileServerFS(Pages))
	mux.Handle("/", h)
	f.serve(t, mux, faults)
	return f
}

// serve puts the faults before a handler.
func (f *faulty) serve(t *testing.T, h http.Handler, faults []int) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		fault := 0
		if r.Method == http.MethodPost && r.URL.Path != "/v1/m" && len(faults) > 0 {
			fault, faults = faults[0], faults[1:]
		}
		if r.Method == http.MethodOptions {
			for name := range strings.SplitSeq(r.Header.Get("Access-Control-Request-Headers"), ",") {
				f.wants[name] = true
			}
		}
		f.mu.Unlock()
		seen := httptest.NewRecorder()
		if fault > 0 { // as the collector's own, which a browser lets its page read
			seen.Header().Set("Access-Control-Allow-Origin", "*")
			seen.Header().Set("Retry-After", "1")
			seen.WriteHeader(fault)
		} else {
			h.ServeHTTP(seen, r)
		}
		for k, v := range seen.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(seen.Code)
		_, _ = w.Write(seen.Body.Bytes())
		f.mu.Lock()
		f.asked = append(f.asked, fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, seen.Code))
		f.mu.Unlock()
	}))
	t.Cleanup(srv.Close)
	f.url = srv.URL
}

// arrived counts the events on the log by their number, until all are there and
// no more come for a while, or the time is over in which some have come.
func (f *faulty) arrived(t *testing.T, n int, within time.Duration) (times []int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(f.log.Brokers()...), kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	d, err := event.NewDecoder(event.Config{})
	if err != nil {
		t.Fatal(err)
	}
	times = make([]int, n)
	begun := time.Now()
	for time.Since(begun) < within || slices.Max(times) == 0 && time.Since(begun) < 2*time.Minute {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		if fetches.Empty() && !slices.Contains(times, 0) {
			break
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var e event.Event
			var in struct {
				Event      string
				Properties struct{ Seq *int }
			}
			if err := json.Unmarshal(r.Value, &in); err != nil || in.Properties.Seq == nil {
				return // a library's own
			}
			if err := d.Decode(r.Value, event.Unstated, r.Timestamp.UnixMilli(), &e); err != nil || e.Kind != event.KindProductView || e.Flags&event.FlagBot != 0 {
				t.Errorf("%v, %+v: %s", err, e, r.Value)
			}
			times[*in.Properties.Seq]++
		})
	}
	return times
}

// setting is how a page uses a library.
type setting struct {
	library, options string
	omit             bool           // does what docs/collector.md says of Mixpanel's library on other origins
	own              bool           // the collector is on the page's origin
	limits           collect.Limits // met all the time, instead of one 503 and one 429
}

// send opens a page that sends n events.
func (f *faulty) send(t *testing.T, browser *chromium.Browser, c setting, n int) *chromium.Page {
	t.Helper()
	at := "http://localhost" + f.url[strings.LastIndex(f.url, ":"):] // another origin than that of 127.0.0.1
	if c.own {
		at = f.url
	}
	query := url.Values{"library": {c.library}, "options": {c.options}, "key": {"demo"}, "collector": {f.url}, "n": {fmt.Sprint(n)}}
	if c.omit {
		query.Set("credentials", "omit")
	}
	p := browser.Page(t)
	p.Goto(at + "/crossorigin.html?" + query.Encode())
	p.Wait(`document.title !== "sending"`)
	if title := p.Text(`document.title`); title != "sent" {
		t.Fatalf("the page says %q", title)
	}
	return p
}

// TestAcrossOrigins: the browser libraries of others, unmodified, in a real
// Chromium, on a page of another origin than the collector's, through one 503 and
// one 429, or a limit that they meet all the time: 50 events each, each once. RudderStack's sent none: the browser asks
// whether the page may send the header SentAt, and it might not.
func TestAcrossOrigins(t *testing.T) {
	t.Parallel()
	browser := chromium.Start(t)
	low := collect.Limits{Address: throttle.Rate{PerSecond: 20, Burst: 10}}
	const n = 50
	for name, c := range map[string]setting{
		"segment":              {library: "segment"},
		"segment, batches":     {library: "segment", options: `{"integrations":{"Segment.io":{"deliveryStrategy":{"strategy":"batching","config":{"size":10,"timeout":500}}}}}`},
		"rudderstack":          {library: "rudderstack"},
		"rudderstack, batches": {library: "rudderstack", options: `{"queueOptions":{"batch":{"enabled":true,"maxItems":10,"flushInterval":500}}}`},
		"mixpanel":             {library: "mixpanel", options: `{"batch_flush_interval_ms":1000}`, omit: true},
		"mixpanel, own origin": {library: "mixpanel", options: `{"batch_flush_interval_ms":1000}`, own: true},
		"segment, limit":       {library: "segment", limits: low},
		"rudderstack, limit":   {library: "rudderstack", limits: low},
		"mixpanel, limit":      {library: "mixpanel", options: `{"batch_flush_interval_ms":1000,"batch_size":5}`, own: true, limits: low},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			if c.limits.Address.PerSecond > 0 {
				f = newServer(t, c.limits)
			}
			p := f.send(t, browser, c, n)
			times := f.arrived(t, n, 90*time.Second)
			f.mu.Lock()
			defer f.mu.Unlock()
			if want := slices.Repeat([]int{1}, n); !slices.Equal(times, want) {
				t.Errorf("events arrived %v times\n%s\n%s", times, strings.Join(f.asked, "\n"), strings.Join(p.Problems(), "\n"))
			}
			if refused := strings.Count(strings.Join(f.asked, "\n"), " 429"); refused == 0 {
				t.Error("the library was never told to come back, so this shows nothing")
			}
			t.Logf("the browser asked for the headers %v; %d requests", f.wants, len(f.asked))
		})
	}
}

// TestWhatLibrariesCannot holds docs/collector.md to what it says: so used, a
// library loses what a refused request has carried, and nothing comes twice.
func TestWhatLibrariesCannot(t *testing.T) {
	t.Parallel()
	browser := chromium.Start(t)
	const n = 20
	for name, c := range map[string]setting{
		"mixpanel, another origin": {library: "mixpanel", options: `{"batch_flush_interval_ms":500,"batch_size":5}`},
		"mixpanel, one by one":     {library: "mixpanel", options: `{"batch_requests":false}`, omit: true},
		"mixpanel, beacon":         {library: "mixpanel", options: `{"api_transport":"sendBeacon","batch_flush_interval_ms":500,"batch_size":5}`},
		"rudderstack, beacon":      {library: "rudderstack", options: `{"useBeacon":true,"beaconQueueOptions":{"maxItems":5,"flushQueueInterval":500}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			f.send(t, browser, c, n)
			times := f.arrived(t, n, 12*time.Second)
			there := 0
			for _, k := range times {
				there += k
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if slices.Max(times) > 1 || there == 0 || there == n {
				t.Errorf("events arrived %v times: docs/collector.md says otherwise\n%s", times, strings.Join(f.asked, "\n"))
			}
			t.Logf("%d of %d arrived", there, n)
		})
	}
}
