package api

import (
	"cmp"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/token"
)

// maxQuiet is for how long the log may say nothing, not even that there is
// nothing new, before a node's answers count as stale.
const maxQuiet = 5 * time.Second

// segmentOfBody answers as segment does what a body asks: so ids and proofs are in no URL.
func (s *Server) segmentOfBody(w http.ResponseWriter, r *http.Request, _ *asked) error {
	return s.ofBody(w, r, s.segment)
}

// explainOfBody is the same for explain.
func (s *Server) explainOfBody(w http.ResponseWriter, r *http.Request, _ *asked) error {
	return s.ofBody(w, r, s.explain)
}

func (s *Server) ofBody(w http.ResponseWriter, r *http.Request, h func(http.ResponseWriter, *http.Request, *asked) error) error {
	var q personalizeRequest
	if err := readBody(w, r, &q); err != nil {
		return err
	}
	a := s.askedOf(&q, r)
	return h(w, r, &a)
}

func (s *Server) segment(w http.ResponseWriter, r *http.Request, a *asked) error {
	if *a == (asked{}) {
		return bad("say whose segment: anonymousId, token, or userId with the admin key")
	}
	v, err := s.find(r, a)
	if err != nil {
		return err
	}
	defer s.give(v)
	v.out = append(s.appendSegment(v.out[:0], v, a.user != "" && a.proof == ""), '\n')
	send(w, v.out)
	return nil
}

// appendSegment appends what may be told of a visitor: the answer of GET
// /api/segment, and what streams push.
//
//	person       of a user, for the admin only: an id may tell who somebody is
//	known        something was published of the visitor
//	path, served the segment, and the deepest active one on the way to it
//	since        ms: on this path
//	version      of the record, digits
//	linked       a user, not a device
//	proof_needed the device is a user's, whose state is for who has a proof of the userId
//	age_ms       since the visitor was last decided
//	lag_ms       since the log last answered this node
//	stale        old behaviour, or a node that is cut off
//	features     by name
//	token        signed; expires: s since the epoch
//	now_ms       the node's
//	token_error  why a token that was sent was not believed
func (s *Server) appendSegment(b []byte, v *visitor, person bool) []byte {
	b = append(b, '{')
	if person {
		b = append(appendText(b, `"person":`, v.person), ',')
	}
	b = appendBool(b, `"known":`, v.proof == known)
	b = appendText(b, `,"path":`, s.Tree.Path(v.node))
	b = appendText(b, `,"served":`, s.Tree.Path(v.served))
	lag := time.Duration(0)
	if s.Store != nil {
		lag = s.Store.Quiet()
	}
	stale, age := lag > maxQuiet, int64(0)
	if v.proof == known {
		if v.record.Since != 0 {
			b = appendInt(b, `,"since":`, v.record.Since)
		}
		b = append(strconv.AppendUint(append(b, `,"version":"`...), v.record.Version, 10), '"')
		age = max(0, v.now-v.record.Evaluated)
		x, ok := s.stale.Value(&v.view, v.now, &s.Params)
		stale = stale || ok && x > s.StaleShare
	}
	b = appendBool(b, `,"linked":`, v.proof == known && v.record.Linked || v.hidden)
	if v.hidden {
		b = append(b, `,"proof_needed":true`...)
	}
	b = appendInt(b, `,"age_ms":`, age)
	b = appendInt(b, `,"lag_ms":`, lag.Milliseconds())
	b = appendBool(b, `,"stale":`, stale)
	// Only what was looked up is signed: a request's own word would come back as
	// a proof of itself, and a token would renew itself for ever.
	if v.proof == known {
		b = s.appendFeatures(b, v)
		text, expires := s.issue(v)
		b = appendInt(appendText(b, `,"token":`, text), `,"expires":`, expires)
	}
	b = appendInt(b, `,"now_ms":`, v.now)
	if v.refuse != "" {
		b = appendText(b, `,"token_error":`, v.refuse)
	}
	return append(b, '}')
}

func (s *Server) appendFeatures(b []byte, v *visitor) []byte {
	b = append(b, `,"features":{`...)
	for i := range s.published {
		f := &s.published[i]
		x, ok := f.Value(&v.view, v.now, &s.Params)
		if !ok || !finite(x) {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(b, f.key...)
		switch {
		case f.Bool:
			b = strconv.AppendBool(b, x != 0)
		case f.Enum != nil && int(x) < len(f.Enum):
			b = appendString(b, f.Enum[int(x)])
		default:
			b = appendFloat(b, x)
		}
	}
	return append(b, '}')
}

// issue signs what is served to the visitor.
func (s *Server) issue(v *visitor) (text string, expires int64) {
	issued := v.now / 1000
	c := token.Claims{Audience: token.Segment, Site: s.Site, Subject: token.Subject(v.id), Path: s.Tree.Path(v.served),
		Issued: issued, Expires: issued + int64(s.TokenTTL/time.Second)}
	if v.proven != "" && v.proven == token.Subject(v.person) {
		c.Proven, c.Until = v.proven, v.until
		c.Expires = min(c.Expires, c.Until)
	}
	return s.Keys.Sign(c), c.Expires
}

// explanation is the answer of GET /api/segment/explain.
type explanation struct {
	Path       string          `json:"path"`
	Served     string          `json:"served"`
	NowMS      int64           `json:"now_ms"`
	NotServed  []notServed     `json:"not_served"`          // of the path, what is below the served segment, and why
	LeavesMS   int64           `json:"leaves_ms,omitempty"` // when the path changes if nothing happens; 0: as far as is known never
	LeavesTo   string          `json:"leaves_to,omitempty"`
	Segments   []explainedNode `json:"segments"`
	Rules      []explainedRule `json:"rules"`
	Activation []string        `json:"active"`
}

type notServed struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

type explainedNode struct {
	Path       string      `json:"path"`
	Holds      bool        `json:"holds"`
	Active     bool        `json:"active"`
	Audience   string      `json:"audience"` // why it is active, or is not
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

	feature string // of the text
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request, a *asked) error {
	if a.device == "" && a.user == "" {
		return bad("say whose segment to explain: anonymousId, or userId with the admin key")
	}
	v, err := s.find(r, a)
	if err != nil {
		return err
	}
	defer s.give(v)
	if v.proof != known {
		return &Error{http.StatusNotFound, "nothing is known of this visitor: no event of theirs has been decided, or the retention is over"}
	}
	admin, err := s.admin(r)
	if err != nil {
		return err
	}
	active := s.Store.Active()
	out := explanation{Path: s.Tree.Path(v.node), Served: s.Tree.Path(v.served), NowMS: v.now, NotServed: s.notServed(v)}
	for _, d := range s.Tree.Explain(&v.view, v.now) {
		out.Segments = append(out.Segments, explainedNode{s.Tree.Path(d.Node), d.Holds, active[d.Node], s.Store.Why(d.Node), conditions(d.Conditions)})
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
	if !admin && !s.Thresholds {
		out.withoutThresholds()
	}
	return answer(w, out)
}

// withoutThresholds takes away what tells where a visitor would have to be to get an
// offer: what is compared with what, how many are needed, and when that may change.
func (e *explanation) withoutThresholds() {
	e.LeavesMS, e.LeavesTo = 0, ""
	for i := range e.NotServed {
		e.NotServed[i].Why = withoutNumbers(e.NotServed[i].Why, false)
	}
	of := func(all []condition) {
		for i := range all {
			all[i].Text, all[i].NextMS = all[i].feature, 0
		}
	}
	for i := range e.Segments {
		n := &e.Segments[i]
		n.Audience = withoutNumbers(n.Audience, n.Active)
		of(n.Conditions)
	}
	for i := range e.Rules {
		of(e.Rules[i].Conditions)
	}
}

// withoutNumbers is why a segment is served or not, where the answer would count.
func withoutNumbers(why string, active bool) string {
	switch {
	case !strings.ContainsAny(why, "0123456789"):
		return why
	case active:
		return "enough active visitors"
	}
	return "too few active visitors"
}

// notServed are the nodes of the visitor's path below what is served, the
// deepest last.
func (s *Server) notServed(v *visitor) []notServed {
	out := []notServed{}
	for _, n := range s.Tree.Ancestors(v.node)[len(s.Tree.Ancestors(v.served)):] {
		why := s.Store.Why(n)
		if v.record.Bot {
			why = segment.WhyBot
		}
		out = append(out, notServed{s.Tree.Path(n), why})
	}
	return out
}

func conditions(in []segment.Condition) []condition {
	out := make([]condition, len(in))
	for i, c := range in {
		out[i] = condition{Text: c.Text, Holds: c.Holds, feature: cmp.Or(c.Feature, "a calculation")}
		switch {
		case c.Name != "":
			out[i].Value = c.Name
		case c.Defined && finite(c.Value):
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
