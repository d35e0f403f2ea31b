package api

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/token"
)

// maxQuiet is for how long the log may say nothing, not even that there is
// nothing new, before a node's answers count as stale.
const maxQuiet = 5 * time.Second

// segmentAnswer is the answer of GET /api/segment, and what streams push.
type segmentAnswer struct {
	Person    string         `json:"person,omitempty"` // for the admin only: an id may tell who somebody is
	Known     bool           `json:"known"`            // something was published of the visitor
	Path      string         `json:"path"`
	Served    string         `json:"served"`
	Since     int64          `json:"since,omitempty"` // ms: on this path
	Version   string         `json:"version,omitempty"`
	Linked    bool           `json:"linked"`
	AgeMS     int64          `json:"age_ms"` // since the visitor was last decided
	LagMS     int64          `json:"lag_ms"` // since the log last answered this node
	Stale     bool           `json:"stale"`  // old behaviour, or a node that is cut off
	Features  map[string]any `json:"features,omitempty"`
	Token     string         `json:"token,omitempty"`
	Expires   int64          `json:"expires,omitempty"` // of the token, s since the epoch
	NowMS     int64          `json:"now_ms"`
	TokenFail string         `json:"token_error,omitempty"` // why a token that was sent was not believed
}

func (s *Server) segment(w http.ResponseWriter, r *http.Request) error {
	a := query(r)
	if a == (asked{}) {
		return bad("say whose segment: anonymousId, token, or userId with the admin key")
	}
	v, err := s.find(r, &a)
	if err != nil {
		return err
	}
	defer s.give(v)
	out := s.describe(v)
	if a.user != "" {
		out.Person = v.person
	}
	return answer(w, out)
}

// describe is what may be told of a visitor.
func (s *Server) describe(v *visitor) *segmentAnswer {
	out := &segmentAnswer{Known: v.proof == known, Path: s.Tree.Path(v.node), Served: s.Tree.Path(v.served), NowMS: v.now, TokenFail: v.refuse}
	if s.Store != nil {
		st := s.Store.Stats()
		out.LagMS, out.Stale = st.Quiet.Milliseconds(), st.Quiet > maxQuiet
	}
	if v.proof == known {
		out.Since, out.Version, out.Linked = v.record.Since, strconv.FormatUint(v.record.Version, 10), v.record.Linked
		out.AgeMS = max(0, v.now-v.record.Evaluated)
		out.Features = s.features(v)
		if x, ok := out.Features["stale_share"].(float64); ok && x > s.StaleShare {
			out.Stale = true
		}
	}
	if v.id != "" {
		out.Token, out.Expires = s.issue(v)
	}
	return out
}

func (s *Server) features(v *visitor) map[string]any {
	out := make(map[string]any, len(s.published))
	for _, f := range s.published {
		if f.Name == "segment" {
			continue
		}
		x, ok := f.Value(&v.view, v.now, &s.Params)
		switch {
		case !ok || math.IsNaN(x) || math.IsInf(x, 0):
		case f.Bool:
			out[f.Name] = x != 0
		case f.Enum != nil && int(x) < len(f.Enum):
			out[f.Name] = f.Enum[int(x)]
		default:
			out[f.Name] = x
		}
	}
	return out
}

// issue signs what is served to the visitor.
func (s *Server) issue(v *visitor) (text string, expires int64) {
	issued := v.now / 1000
	c := token.Claims{Audience: token.Segment, Site: s.Site, Subject: token.Subject(v.id), Path: s.Tree.Path(v.served),
		Issued: issued, Expires: issued + int64(s.TokenTTL/time.Second)}
	return s.Keys.Sign(c), c.Expires
}

// explanation is the answer of GET /api/segment/explain.
type explanation struct {
	Path       string          `json:"path"`
	Served     string          `json:"served"`
	NowMS      int64           `json:"now_ms"`
	LeavesMS   int64           `json:"leaves_ms,omitempty"` // when the path changes if nothing happens; 0: as far as is known never
	LeavesTo   string          `json:"leaves_to,omitempty"`
	Segments   []explainedNode `json:"segments"`
	Rules      []explainedRule `json:"rules"`
	Activation []string        `json:"active"`
}

type explainedNode struct {
	Path       string      `json:"path"`
	Holds      bool        `json:"holds"`
	Active     bool        `json:"active"`
	Conditions []condition `json:"conditions"`
}

type explainedRule struct {
	Rule       string      `json:"rule"`
	Title      string      `json:"title,omitempty"`
	Holds      bool        `json:"holds"`
	Conditions []condition `json:"conditions"`
}

type condition struct {
	Text   string `json:"text"`
	Holds  bool   `json:"holds"`
	Value  any    `json:"value,omitempty"`
	NextMS int64  `json:"next_ms,omitempty"` // earliest time at which it may change without an event
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) error {
	a := query(r)
	v, err := s.find(r, &a)
	if err != nil {
		return err
	}
	defer s.give(v)
	if v.proof != known {
		return &Error{http.StatusNotFound, "nothing is known of this visitor: no event of theirs has been decided, or the retention is over"}
	}
	active := s.Store.Active()
	out := explanation{Path: s.Tree.Path(v.node), Served: s.Tree.Path(v.served), NowMS: v.now}
	for _, d := range s.Tree.Explain(&v.view, v.now) {
		out.Segments = append(out.Segments, explainedNode{s.Tree.Path(d.Node), d.Holds, active[d.Node], conditions(d.Conditions)})
	}
	for _, rl := range s.Rules.Rules() {
		out.Rules = append(out.Rules, explainedRule{rl.Name, rl.Title, rl.When.Value(&v.view, v.now), conditions(rl.Why(&v.view, v.now))})
	}
	for n, on := range active {
		if on {
			out.Activation = append(out.Activation, s.Tree.Path(n))
		}
	}
	if at, to := s.leaves(v); at > 0 {
		out.LeavesMS, out.LeavesTo = at, s.Tree.Path(to)
	}
	return answer(w, out)
}

func conditions(in []segment.Condition) []condition {
	out := make([]condition, len(in))
	for i, c := range in {
		out[i] = condition{Text: c.Text, Holds: c.Holds}
		switch {
		case c.Name != "":
			out[i].Value = c.Name
		case c.Defined:
			out[i].Value = c.Value
		}
		if c.Next != math.MaxInt64 {
			out[i].NextMS = c.Next
		}
	}
	return out
}

// maxWakes bounds how many times leaves looks ahead: conditions without a
// closed form are looked at every few minutes.
const maxWakes = 10_000

// leaves is when the path changes if nothing happens, and to what; 0 when it
// does not as far as can be seen.
func (s *Server) leaves(v *visitor) (at int64, to int) {
	node, next := s.Tree.Decide(&v.view, v.now)
	if node != v.node { // the job will say so any moment
		return v.now, node
	}
	for range maxWakes {
		if next == math.MaxInt64 {
			return 0, 0
		}
		t := next
		if node, next = s.Tree.Decide(&v.view, t); node != v.node {
			return t, node
		}
	}
	return 0, 0
}
