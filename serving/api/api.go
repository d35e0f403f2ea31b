// Package api answers what pages, edges and the site's servers ask: which
// segment a visitor is in, why, and what to show. It holds nothing of its own;
// who may ask what is in docs/adr/0007-serving.md.
package api

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/adminkey"
	userproof "github.com/microseg/microseg/serving/proof"
	"github.com/microseg/microseg/serving/store"
	"github.com/microseg/microseg/serving/throttle"
	"github.com/microseg/microseg/serving/token"
	"github.com/microseg/microseg/session"
	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a node answers from.
type Config struct {
	Site       string
	Store      *store.Store // nil: nothing can be looked up; tokens and claims still count
	Tree       *segment.Tree
	Schema     *segment.Schema // segment.NewRuleSchema of the tree
	Params     segment.Params
	StaleShare float64 // beyond which a visitor's weight counts as stale
	Rules      *rule.Set
	Templates  *rule.Templates
	Pages      *event.Pages
	Keys       *token.Keys
	TokenTTL   time.Duration       // 0: 5 minutes
	Verified   bool                // a user's state is for who has a proof of the userId (docs/adr/0020)
	Proofs     *userproof.Verifier // of userIds; nil: none is one
	AdminKey   string              // one, or two separated by a comma; empty: nobody is admin
	Clients    *throttle.Clients   // whose a request is; nil: that of the connection
	WriteKeys  []string            // refused here
	Origins    []string            // whose pages may read; empty: any
	MaxStreams int                 // 0: 20,000
	Thresholds bool                // explain tells everybody what conditions compare with, not the admin alone
	Share      float64             // of streams, that one address may have; 0: 0.25
	Metrics    prometheus.Registerer
	Now        func() time.Time // nil: event/clock
}

// Server answers. Close ends its streams.
type Server struct {
	Config
	admins    *adminkey.Keys
	published []feature // what records tell of
	stale     *segment.Feature
	facts     []facts // of the rules, by index
	forms     map[*rule.Action]*form
	slots     requestSlots
	enums     []enum
	paths     map[string]int
	metrics   *metrics
	closed    chan struct{}
	closeOnce sync.Once
	visitors  sync.Pool
	streams   *streams
	times     streamTimes
}

// requestSlots are the features that a request overrides, and the orders of the person.
type requestSlots struct{ segment, page, device, orders session.Slot }

// enum is a stored feature that has names. A job of a newer version may know
// codes that this node does not.
type enum struct {
	slot  session.Slot
	known float64
}

const (
	defaultTokenTTL   = 5 * time.Minute
	defaultMaxStreams = 20_000
	defaultShare      = 0.25
)

// New returns a server for the configuration.
func New(c Config) (*Server, error) {
	m, err := newMetrics(c.Metrics, c.Store)
	if err != nil {
		return nil, err
	}
	admins, err := adminkey.New(c.AdminKey, c.WriteKeys, c.Clients)
	if err != nil {
		return nil, err
	}
	return newServer(c, m, admins), nil
}

// Renewed is a server with another configuration of the same site and store: it
// goes on counting where this one stops. Close this one when requests go to the
// other; its streams then come back to that.
func (s *Server) Renewed(c Config) *Server { return newServer(c, s.metrics, s.admins) }

func newServer(c Config, m *metrics, admins *adminkey.Keys) *Server {
	if c.TokenTTL == 0 {
		c.TokenTTL = defaultTokenTTL
	}
	if c.Now == nil {
		c.Now = clock.Now
	}
	if c.MaxStreams == 0 {
		c.MaxStreams = defaultMaxStreams
	}
	if c.Share == 0 {
		c.Share = defaultShare
	}
	s := &Server{Config: c, admins: admins, streams: newStreams(c.MaxStreams, c.Share, m.refused), closed: make(chan struct{}), paths: map[string]int{}, times: defaultStreamTimes,
		slots: requestSlots{c.Schema.SegmentSlot(), session.SlotPageType, session.SlotDevice, segment.Orders(c.Schema)[0]}}
	for n := range c.Tree.Len() {
		s.paths[c.Tree.Path(n)] = n
	}
	s.visitors.New = func() any { return &visitor{} }
	s.published, s.stale = published(&c), c.Schema.Feature("stale_share")
	for slot, f := range c.Schema.Stored() {
		if f.Enum != nil {
			s.enums = append(s.enums, enum{session.Slot(slot), float64(len(f.Enum))})
		}
	}
	s.metrics = m
	s.prepare()
	return s
}

// feature is a feature that answers tell of.
type feature struct {
	*segment.Feature
	key string // its name in JSON, with the colon
}

// published are the features that a record tells of, by name; the served
// segment has a member of its own.
func published(c *Config) (out []feature) {
	for _, f := range c.Schema.Published(c.Tree.Slots(c.Rules.Stored())) {
		if f.Name != "segment" {
			out = append(out, feature{f, string(appendString(nil, f.Name)) + ":"})
		}
	}
	slices.SortFunc(out, func(a, b feature) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (s *Server) nowMS() int64 { return s.Now().UnixMilli() }

// Respond is the time from a request to its answer, of all routes but that of streams.
func (s *Server) Respond() *latency.Minutes { return s.metrics.answers }

// Close ends the streams.
func (s *Server) Close() { s.closeOnce.Do(func() { close(s.closed) }) }

// Register adds the routes.
func (s *Server) Register(mux *http.ServeMux) {
	s.handle(mux, "GET /api/segment", s.personal(s.segment))
	s.handle(mux, "POST /api/segment", s.personal(s.segmentOfBody))
	s.handle(mux, "GET /api/segment/explain", s.personal(s.explain))
	s.handle(mux, "POST /api/segment/explain", s.personal(s.explainOfBody))
	s.handle(mux, "GET /api/stream", s.personal(s.stream))
	s.handle(mux, "POST /api/personalize", s.personal(s.personalize))
	mux.HandleFunc("OPTIONS /api/", s.preflight)
	s.handle(mux, "GET /esi/{slot}", s.esi)
	s.handle(mux, "GET /edge/token", s.edgeToken)
	s.handle(mux, "GET /edge/offer/{slot}", s.edgeOffer)
}

// handle counts and times the answers of a route.
func (s *Server) handle(mux *http.ServeMux, pattern string, h func(http.ResponseWriter, *http.Request) error) {
	_, route, _ := strings.Cut(pattern, " ")
	m := s.metrics.of(route)
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		status := http.StatusOK
		if err := h(w, r); err != nil {
			var e *Error
			if !errors.As(err, &e) { // what it says is not everybody's
				slog.Error("answering", "route", route, "err", err)
				e = &Error{http.StatusInternalServerError, "this node could not answer; its log says why"}
			}
			status = e.Status
			refuse(w, e)
		}
		took := time.Since(start)
		m.answered(status, start.Add(took), took)
	})
}

// personal marks the answers as nobody else's, and refuses write keys: they are
// in every page and must not read.
func (s *Server) personal(h func(http.ResponseWriter, *http.Request, *asked) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		s.allow(w, r)
		w.Header()["Cache-Control"] = headerPrivate
		w.Header()["X-Content-Type-Options"] = headerNoSniff
		q := parse(r.URL.RawQuery)
		if _, _, basic := r.BasicAuth(); basic || q.writeKey {
			return &Error{http.StatusForbidden, "write keys can only write; ask with the visitor's anonymousId, a token, or the admin key as a bearer"}
		}
		return h(w, r, &q.asked)
	}
}

// Values of headers that all answers share; nobody changes them.
var (
	headerAny     = []string{"*"}
	headerPrivate = []string{"private, no-store"}
	headerNoSniff = []string{"nosniff"}
	headerJSON    = []string{"application/json"}
)

// allow names the origins whose pages may read: never the one that asks,
// unless it is configured.
func (s *Server) allow(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if len(s.Origins) == 0 {
		h["Access-Control-Allow-Origin"] = headerAny
		return
	}
	h.Set("Vary", "Origin")
	for _, o := range s.Origins {
		if o == "*" || o == r.Header.Get("Origin") {
			h.Set("Access-Control-Allow-Origin", o)
			return
		}
	}
}

func (s *Server) preflight(w http.ResponseWriter, r *http.Request) {
	s.allow(w, r)
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Content-Type")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}

// admin reports whether the request comes from the site's own servers. A wrong
// key is an error: it should not read as a visitor by mistake.
func (s *Server) admin(r *http.Request) (bool, error) {
	if !adminkey.Asks(r) {
		return false, nil
	}
	if no := s.admins.Check(r); no != nil {
		return false, &Error{no.Status, no.Message}
	}
	return true, nil
}
