package api

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/store"
	"github.com/microseg/microseg/serving/token"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	testAdmin = "the admin's key - it is long enough"
	testSite  = "shop"
	abandoner = "everyone/high_intent/cart_abandoner"
)

// testNow is where the clock of a test's site begins.
var testNow = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// claimed is a claim of a segment for the next hour.
func (s *site) claimed(path string) string {
	text, _ := s.claim(path, s.Now().Add(time.Hour))
	return text
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a server over a real log and a real store, with a clock of its own.
type site struct {
	*Server
	t         testing.TB
	mux       *http.ServeMux
	cfg       *config.Config
	w         *segmentsio.Writer
	st        *store.Store
	clock     atomic.Int64 // ms
	published uint64
	version   uint64
	registry  *prometheus.Registry
}

// newSite serves the shipped configuration, all of whose segments are active;
// change may be nil.
func newSite(t testing.TB, change func(*config.Config, *Config)) *site {
	t.Helper()
	log, err := kafkalog.Start(kafkalog.Options{})
	check(t, err)
	t.Cleanup(log.Close)
	check(t, segmentsio.CreateTopic(context.Background(), log.Brokers(), "segments", 3))
	s := &site{t: t, mux: http.NewServeMux(), cfg: config.Demo(), registry: prometheus.NewRegistry()}
	s.clock.Store(testNow.UnixMilli())
	s.w, err = segmentsio.Open(segmentsio.Config{Brokers: log.Brokers(), Topic: "segments"})
	check(t, err)
	t.Cleanup(func() { s.w.Close(context.Background()) })
	tree, err := s.cfg.SegmentTree()
	check(t, err)
	st, err := store.Open(context.Background(), store.Config{Brokers: log.Brokers(), Topic: "segments", Tree: tree, Activation: s.cfg.Activation(tree)})
	check(t, err)
	t.Cleanup(st.Close)
	s.st = st
	keys, err := token.ParseKeys("new:" + strings.Repeat("0a", 32) + ",old:" + strings.Repeat("0b", 32))
	check(t, err)
	c := Config{Site: testSite, Store: st, Keys: keys, AdminKey: testAdmin, WriteKeys: []string{"demo"}, Metrics: s.registry, StaleShare: s.cfg.Audience.StaleShare,
		Now: func() time.Time { return time.UnixMilli(s.clock.Load()) }}
	if change != nil {
		change(s.cfg, &c)
	}
	c.Tree, err = s.cfg.SegmentTree()
	check(t, err)
	c.Rules, err = s.cfg.RuleSet(c.Tree)
	check(t, err)
	c.Templates, err = s.cfg.RuleTemplates()
	check(t, err)
	c.Pages, err = event.NewPages(s.cfg.EventConfig().Pages, s.cfg.HashRoutes)
	check(t, err)
	c.Schema, c.Params = segment.NewRuleSchema(s.cfg.Elements, c.Tree), s.cfg.SegmentParams()
	s.Server, err = New(c)
	check(t, err)
	t.Cleanup(s.Close)
	s.Register(s.mux)
	all := make([]string, tree.Len())
	for i := range all {
		all[i] = tree.Path(i)
	}
	s.activate(all...)
	return s
}

// publish puts a key's value into the log; sync waits until the store has it.
func (s *site) publish(key string, value []byte) {
	s.t.Helper()
	var w codec.Writer
	segment.AppendKeyed(&w, key, value)
	check(s.t, s.w.Publish(context.Background(), w.B))
	s.published++
}

func (s *site) sync() {
	s.t.Helper()
	check(s.t, s.w.Flush(context.Background()))
	for end := time.Now().Add(30 * time.Second); s.st.Stats().Consumed < s.published; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("the store has read %d of %d records", s.st.Stats().Consumed, s.published)
		}
	}
}

func (s *site) put(person string, r segment.Record) {
	s.t.Helper()
	s.version++
	s.send(person, r, s.version)
	s.sync()
}

// send publishes a record and waits for nothing.
func (s *site) send(person string, r segment.Record, version uint64) {
	s.t.Helper()
	r.Version = version
	var w codec.Writer
	r.AppendTo(&w)
	s.publish(person, w.B)
}

func (s *site) activate(paths ...string) {
	s.t.Helper()
	s.count(segment.Active{Paths: paths})
}

// count publishes what was decided of audiences.
func (s *site) count(a segment.Active) {
	s.t.Helper()
	s.version++
	a.Version, a.Minute = s.version, s.clock.Load()/60_000
	var w codec.Writer
	a.AppendTo(&w)
	s.publish(segment.ActiveKey, w.B)
	s.sync()
}

// record is of a visitor on the path, who was last seen now.
func (s *site) record(path string) segment.Record {
	now := s.clock.Load()
	return segment.Record{Path: path, Since: now, Evaluated: now, Last: now, SessionEnd: now + 30*60_000,
		Live: signal.Decayed{Sum: 25, Ref: now}, Long: signal.Decayed{Sum: 25, Ref: now}, Values: make([]float64, s.Schema.SegmentSlot())}
}

// random is a visitor in any state, with values that conditions care about.
func (s *site) random(r *rand.Rand) segment.Record {
	now := s.clock.Load()
	out := s.record(s.Tree.Path(r.IntN(s.Tree.Len())))
	out.Last = now - r.Int64N(50*60_000)
	out.Since, out.SessionEnd = out.Last-r.Int64N(20*60_000), out.Last+30*60_000
	out.Live, out.Long = signal.Decayed{Sum: 40 * r.Float64(), Ref: out.Last}, signal.Decayed{Sum: 80 * r.Float64(), Ref: out.Last}
	for i := range out.Values {
		if r.IntN(2) == 0 {
			out.Values[i] = []float64{1, 90, 130, 500, 2000}[r.IntN(5)]
		}
	}
	out.Values[session.SlotScrollDepth], out.Values[session.SlotScrollVelocity] = r.Float64(), r.Float64()
	out.Values[session.SlotStart], out.Values[session.SlotCartChanged] = float64(out.Last-60_000), float64(out.Last-30_000)
	out.Values[session.SlotPageType] = float64(r.IntN(int(event.NumPageTypes)))
	out.Values[session.SlotDevice] = float64(r.IntN(len(event.DeviceTypes)))
	out.Values[session.SlotOS] = float64(r.IntN(len(event.OSes)))
	out.Values[session.SlotNetwork] = float64(r.IntN(len(event.Networks)))
	return out
}

// segmentAnswer is the answer of GET /api/segment.
type segmentAnswer struct {
	Person    string         `json:"person,omitempty"`
	Known     bool           `json:"known"`
	Path      string         `json:"path"`
	Served    string         `json:"served"`
	Since     int64          `json:"since,omitempty"`
	Version   string         `json:"version,omitempty"`
	Linked    bool           `json:"linked"`
	AgeMS     int64          `json:"age_ms"`
	LagMS     int64          `json:"lag_ms"`
	Stale     bool           `json:"stale"`
	Features  map[string]any `json:"features,omitempty"`
	Token     string         `json:"token,omitempty"`
	Expires   int64          `json:"expires,omitempty"`
	NowMS     int64          `json:"now_ms"`
	TokenFail string         `json:"token_error,omitempty"`
}

// personalizeAnswer is the answer of POST /api/personalize.
type personalizeAnswer struct {
	Segment   string    `json:"segment"`
	Proof     string    `json:"proof"`
	Actions   []action  `json:"actions"`
	Offers    []granted `json:"offers,omitzero"`
	NowMS     int64     `json:"now_ms"`
	TokenFail string    `json:"token_error,omitempty"`
}

type action struct {
	Slot     string            `json:"slot"`
	HTML     string            `json:"html"`
	Data     map[string]string `json:"data,omitempty"`
	TTL      int64             `json:"ttl_s"`
	Deadline int64             `json:"deadline,omitempty"`
	Offer    string            `json:"offer,omitempty"`
	Rule     string            `json:"rule"`
	Kept     bool              `json:"kept,omitempty"`
	Why      []condition       `json:"why"`
}

type granted struct {
	Offer    string `json:"offer"`
	Slot     string `json:"slot"`
	Rule     string `json:"rule"`
	State    string `json:"state"`
	Granted  int64  `json:"granted"`
	Deadline int64  `json:"deadline,omitempty"`
	Until    int64  `json:"until"`
	Edge     bool   `json:"edge,omitempty"`
	Token    string `json:"token"`
}

// ask sends a request; header holds names and values in turn.
func (s *site) ask(method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}

// get asks and reads the answer.
func (s *site) get(into any, method, target, body string, header ...string) {
	s.t.Helper()
	w := s.ask(method, target, body, header...)
	if w.Code != http.StatusOK {
		s.t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		s.t.Fatalf("%s %s: %v in %s", method, target, err, w.Body)
	}
	// Answers are appended by hand, in the form that encoding/json gives them.
	if again, err := json.Marshal(into); err != nil || string(again)+"\n" != w.Body.String() {
		s.t.Fatalf("%s %s: %s\nencoding/json has %s, %v", method, target, w.Body, again, err)
	}
}

func (s *site) lookUp(device string) (out segmentAnswer) {
	s.t.Helper()
	s.get(&out, "GET", "/api/segment?anonymousId="+device, "")
	return out
}

// personalized asks for what to show; fields are those of the request.
func (s *site) personalized(fields map[string]any) (out personalizeAnswer) {
	s.t.Helper()
	b, err := json.Marshal(fields)
	check(s.t, err)
	s.get(&out, "POST", "/api/personalize", string(b))
	return out
}

// won are the rules that fill slots, by slot.
func (a *personalizeAnswer) won() map[string]string {
	out := map[string]string{}
	for _, x := range a.Actions {
		out[x.Slot] = x.Rule
	}
	return out
}

// sign makes a token of the site's keys; change may be nil.
func (s *site) sign(person, path string, change func(*token.Claims)) string {
	now := s.Now().Unix()
	c := token.Claims{Audience: token.Segment, Site: testSite, Subject: token.Subject(person), Path: path, Issued: now, Expires: now + 300}
	if change != nil {
		change(&c)
	}
	return s.Keys.Sign(c)
}
