package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/testing/harness/chromium"
	"github.com/microseg/microseg/web"
)

// browser is shared by the tests: each page has storage of its own.
var (
	browser = sync.OnceValues(func() (*chromium.Browser, error) {
		launched = true
		return chromium.Launch(context.Background())
	})
	launched bool
)

func TestMain(m *testing.M) {
	code := m.Run()
	if launched {
		if b, err := browser(); err == nil {
			b.Close()
		}
	}
	os.Exit(code)
}

// visit opens a page of a new visitor.
func visit(t *testing.T) *chromium.Page {
	t.Helper()
	b, err := browser()
	if err != nil {
		t.Fatal(err)
	}
	return b.Page(t)
}

// arrived is one event that the collector got.
type arrived struct {
	Raw                             json.RawMessage
	Type, Event, MessageID          string
	AnonymousID, UserID, PreviousID string
	Properties, Context, Traits     map[string]any
	mode                            string // Sec-Fetch-Mode: sendBeacon's is no-cors
	writeKey                        string
	decoded                         event.Event
}

func (a arrived) name() string {
	if a.Event != "" {
		return a.Event
	}
	return a.Type
}

// backend stores what it gets, and answers what a test tells it to.
type backend struct {
	t   *testing.T
	url string
	dec *event.Decoder

	mu         sync.Mutex
	events     []arrived
	requests   int      // of the collector, the refused ones, too
	refuse     []string // Retry-After of the next answers, which are 503
	asked      []map[string]any
	actions    []map[string]any
	offers     []map[string]any // nil: of no such thing
	served     string
	ahead      time.Duration // of the server's clock
	streams    map[chan string]string
	noPersonal bool   // personalize fails
	loose      bool   // pages have no policy
	edge       string // what an edge puts into the slot hero
	paths      []string
	preflights int
	noStream   bool             // streams are refused
	refused    int              // streams
	tokens     []string         // that streams came with
	proofs     []map[string]any // bodies of POST /api/segment that have a proof
	older      int              // status of POST /api/segment at a node that does not know it; 0: it does
	addresses  int              // ids that were asked for in an address, but for streams
	links      []map[string]any // bodies of POST /v1/identity/link
	noLink     int              // status of those that are refused
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	dec, err := event.NewDecoder(config.Demo().EventConfig())
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{t: t, dec: dec, served: "everyone", streams: map[chan string]string{}}
	mux := http.NewServeMux()
	pages := http.NewServeMux()
	web.Register(pages)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { b.page(pages, w, r) })
	mux.HandleFunc("POST /v1/batch", b.collect)
	mux.HandleFunc("GET /api/segment", b.segment)
	mux.HandleFunc("POST /api/segment", b.proven)
	mux.HandleFunc("POST /v1/identity/link", b.link)
	mux.HandleFunc("GET /api/stream", b.stream)
	mux.HandleFunc("POST /api/personalize", b.personalize)
	srv := httptest.NewServer(b.cors(mux))
	b.url = srv.URL
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return b
}

// cors lets any site read the answers, as the real one does.
func (b *backend) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions {
			b.do(func() { b.preflights++ })
			return
		}
		next.ServeHTTP(w, r)
	})
}

// page serves the shop, changed as an edge or another site would.
func (b *backend) page(shop http.Handler, w http.ResponseWriter, r *http.Request) {
	b.do(func() { b.paths = append(b.paths, r.URL.Path) })
	if !b.loose && b.edge == "" {
		shop.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	shop.ServeHTTP(rec, r)
	body := rec.Body.String()
	if b.edge != "" {
		body = hero.ReplaceAllString(body, "${1}"+b.edge+"</div>")
	}
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.Header().Del("Content-Length")
	if b.loose {
		w.Header().Del("Content-Security-Policy")
	}
	w.WriteHeader(rec.Code)
	io.WriteString(w, body)
}

// hero is the slot with what the page has in it.
var hero = regexp.MustCompile(`(?s)(<div class="slot hero" data-ms-slot="hero">).*?</div>`)

func (b *backend) collect(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	if len(b.refuse) > 0 {
		w.Header().Set("Retry-After", b.refuse[0])
		b.refuse = b.refuse[1:]
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var batch struct {
		SentAt   time.Time
		WriteKey string
		Batch    []json.RawMessage
	}
	if err == nil {
		err = json.Unmarshal(body, &batch)
	}
	if err != nil || batch.SentAt.IsZero() {
		b.t.Errorf("reading a batch: %v\n%s", err, body)
	}
	for _, raw := range batch.Batch {
		a := arrived{Raw: raw, mode: r.Header.Get("Sec-Fetch-Mode"), writeKey: batch.WriteKey}
		if err := json.Unmarshal(raw, &a); err != nil {
			b.t.Errorf("reading an event: %v\n%s", err, raw)
		}
		if err := b.dec.Decode(raw, event.Unstated, time.Now().Add(b.ahead).UnixMilli(), &a.decoded); err != nil {
			b.t.Errorf("decoding %s: %v\n%s", a.name(), err, raw)
		}
		if !b.repeated(a) {
			b.events = append(b.events, a)
		}
	}
}

// repeated reports whether an event has arrived before, under the messageId by
// which the job drops it. What is under way when a page is left may be sent
// again by the next; it must be the same then.
func (b *backend) repeated(a arrived) bool {
	if a.MessageID == "" {
		b.t.Errorf("an event without messageId: %s", a.Raw)
	}
	for _, old := range b.events {
		if old.MessageID == a.MessageID {
			if string(old.Raw) != string(a.Raw) {
				b.t.Errorf("one messageId for\n%s\nand\n%s", old.Raw, a.Raw)
			}
			return true
		}
	}
	return false
}

func (b *backend) answer(w http.ResponseWriter, v map[string]any) {
	v["now_ms"] = time.Now().Add(b.ahead).UnixMilli()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		b.t.Logf("answering: %v", err) // the page has gone
	}
}

func (b *backend) segment(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.addresses++
	b.answer(w, map[string]any{"person": "d:" + r.URL.Query().Get("anonymousId"), "served": b.served, "token": "v1.t.t"})
}

// proven answers who has brought a proof.
func (b *backend) proven(w http.ResponseWriter, r *http.Request) {
	var ask map[string]any
	err := json.NewDecoder(r.Body).Decode(&ask)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.t.Errorf("reading a request of a segment: %v", err)
	}
	if b.older > 0 {
		http.Error(w, "no such thing", b.older)
		return
	}
	if ask["proof"] == nil {
		b.answer(w, map[string]any{"person": "d:" + ask["anonymousId"].(string), "served": b.served, "token": "v1.t.t"})
		return
	}
	b.proofs = append(b.proofs, ask)
	b.answer(w, map[string]any{"known": true, "served": b.served, "token": "v1.proven.t", "expires": time.Now().Add(time.Minute).Unix()})
}

// link notes who is to be linked.
func (b *backend) link(w http.ResponseWriter, r *http.Request) {
	var ask map[string]any
	err := json.NewDecoder(r.Body).Decode(&ask)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.t.Errorf("reading a link: %v", err)
	}
	b.links = append(b.links, ask)
	if b.noLink > 0 {
		w.WriteHeader(b.noLink)
		io.WriteString(w, `{"success": false, "error": {"message": "the token is not good: it has expired", "code": "token_expired"}}`)
		return
	}
	b.answer(w, map[string]any{"success": true})
}

func (b *backend) personalize(w http.ResponseWriter, r *http.Request) {
	var ask map[string]any
	err := json.NewDecoder(r.Body).Decode(&ask)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.t.Errorf("reading a personalize request: %v", err)
	}
	b.asked = append(b.asked, ask)
	if b.older > 0 && ask["userId"] != nil {
		http.Error(w, "a userId can be guessed", http.StatusForbidden)
		return
	}
	if b.noPersonal {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	out := map[string]any{"segment": ask["segment"], "actions": append([]map[string]any{}, b.actions...)}
	if b.offers != nil {
		out["offers"] = b.offers
	}
	b.answer(w, out)
}

func (b *backend) stream(w http.ResponseWriter, r *http.Request) {
	ch := make(chan string, 16)
	b.mu.Lock()
	if b.noStream {
		b.refused++
		b.mu.Unlock()
		http.Error(w, "not yet", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	b.streams[ch] = r.URL.Query().Get("anonymousId")
	b.tokens = append(b.tokens, r.URL.Query().Get("token"))
	ch <- b.served
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.streams, ch)
	}()
	for {
		select {
		case <-r.Context().Done():
			return
		case served := <-ch:
			fmt.Fprintf(w, "event: segment\ndata: {\"served\":%q,\"token\":\"v1.pushed\"}\n\n", served)
			w.(http.Flusher).Flush()
		}
	}
}

// push makes the visitors' segment served, and tells the pages that listen.
func (b *backend) push(served string, actions ...map[string]any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.served, b.actions = served, actions
	for ch := range b.streams {
		ch <- served
	}
}

// do runs fn while no request is answered.
func (b *backend) do(fn func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fn()
}

// until waits for a condition about what arrived.
func (b *backend) until(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		b.mu.Lock()
		ok := is()
		b.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("waiting for %s: arrived were %s", what, b.names())
		}
	}
}

// wait returns the first n events of a name, once they are there.
func (b *backend) wait(name string, n int) []arrived {
	b.t.Helper()
	var out []arrived
	b.until(fmt.Sprintf("%d × %s", n, name), func() bool {
		out = b.named(name)
		return len(out) >= n
	})
	return out
}

func (b *backend) named(name string) (out []arrived) {
	for _, a := range b.events {
		if a.name() == name {
			out = append(out, a)
		}
	}
	return out
}

func (b *backend) names() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.events {
		out = append(out, a.name())
	}
	return out
}

// number is a property that is a number; -1 where it is none.
func (a arrived) number(name string) float64 {
	if v, ok := a.Properties[name].(float64); ok {
		return v
	}
	return -1
}
