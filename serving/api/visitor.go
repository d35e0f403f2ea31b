package api

import (
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/token"
	"github.com/microseg/microseg/session"
)

// proof is how well a visitor's segment is known.
type proof uint8

const (
	claimed proof = iota // somebody says so
	signed               // a token or a claim says so
	known                // it was looked up, and the features with it
)

// visitor is who a request is about, at one moment.
type visitor struct {
	id     string // "d:" device or "u:" user that was asked for; empty: nobody in particular
	person string // whom the record is of
	proof  proof
	node   int // of the path; the root when nothing is known
	served int // the deepest active node on the way to it
	now    int64
	record segment.Record
	view   segment.View
	refuse string // why a token was not believed
	proven string // token.Subject of the user whose proof the request has
	until  int64  // s since the epoch: the proof holds so long
	hidden bool   // the device is a user's, of which there is no proof
	owner  string // how offers name the visitor; empty: nobody in particular
	offers []offer
	told   bool   // the request tells of offers, so that the answer does, too
	out    []byte // the answer
}

// isKnown reports whether the node has heard of the visitor, or it has a good token.
func (v *visitor) isKnown() bool { return v.proof != claimed || v.hidden }

// asked is what a request says of who it is about.
type asked struct {
	device, user, token, claim, segment string
	stated                              string // a device that a token must be of, and that is not looked up
	cookie                              string // the token of the browser's cookie
	proof                               string // of the userId
}

// maxID bounds the ids that are looked up, in bytes.
const maxID = 512

// find fills a visitor of the pool, which give takes back.
func (s *Server) find(r *http.Request, a *asked) (*visitor, error) {
	admin, err := s.admin(r)
	if err != nil {
		return nil, err
	}
	if !s.Verified && a.proof != "" && a.device != "" { // no proof is asked for
		without := *a
		without.user, without.proof = "", ""
		a = &without
	}
	if a.user != "" && !admin && a.proof == "" {
		return nil, &Error{http.StatusForbidden, "a userId can be guessed: ask with a proof of it (docs/identity.md), with the admin key as a bearer, or with the device's anonymousId alone"}
	}
	if event.IsUserDevice(a.device) && !admin {
		return nil, &Error{http.StatusForbidden, "an anonymousId that begins with user: is what servers send of a userId; ask as for a userId"}
	}
	if len(a.device) > maxID || len(a.user) > maxID {
		return nil, bad("the id is longer than 512 bytes")
	}
	v := s.visitors.Get().(*visitor)
	*v = visitor{now: s.nowMS(), record: segment.Record{Values: v.record.Values}, out: v.out, offers: v.offers[:0]}
	switch {
	case a.device != "" && (a.user == "" || !admin):
		v.id = session.PersonID(a.device, "")
	case a.user != "":
		v.id = session.PersonID("", a.user)
	}
	if err := s.prove(v, a, admin); err != nil {
		s.give(v)
		return nil, err
	}
	if err := s.lookUp(v, a, admin); err != nil {
		s.give(v)
		return nil, err
	}
	if v.proof != known {
		s.believe(v, a)
	}
	switch {
	case v.id != "":
		v.owner = token.Subject(v.id)
	case a.stated != "":
		v.owner = subjectOf(a.stated)
	}
	s.fill(v)
	return v, nil
}

func (s *Server) give(v *visitor) { s.visitors.Put(v) }

// subjectOf is how tokens name a device.
func subjectOf(device string) string { return token.Subject(session.PersonID(device, "")) }

// lookUp asks the store.
func (s *Server) lookUp(v *visitor, a *asked, admin bool) (err error) {
	if s.Store == nil || v.id == "" {
		return nil
	}
	ok := false
	v.person = v.id
	if strings.HasPrefix(v.id, "u:") {
		ok, err = s.Store.Get(v.id, &v.record)
	} else {
		v.person, ok, err = s.Store.Find(a.device, &v.record)
	}
	if err == nil && s.Verified && !admin {
		ok, err = s.proved(v, a, ok)
	}
	if err != nil || !ok {
		return err
	}
	v.proof, v.node = known, s.nodeOf(v.record.Path)
	v.served = s.Tree.Served(v.node, s.Store.Active())
	return nil
}

// nodeOf is the node of a path. The job and the node may run different
// configurations for a while: then the nearest node above that both know.
func (s *Server) nodeOf(path string) int {
	for {
		if n, ok := s.paths[path]; ok {
			return n
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return 0
		}
		path = path[:i]
	}
}

// believe takes the segment that a request proves or claims.
func (s *Server) believe(v *visitor, a *asked) {
	now := time.UnixMilli(v.now)
	for _, t := range []struct{ text, audience string }{{a.token, token.Segment}, {a.cookie, token.Segment}, {a.claim, token.Claim}} {
		if t.text == "" {
			continue
		}
		c, err := s.Keys.Verify(t.text, t.audience, s.Site, now)
		switch {
		case err != nil:
			v.refuse = err.Error()
		case t.audience == token.Segment && (v.id != "" && c.Subject != token.Subject(v.id) || a.stated != "" && c.Subject != subjectOf(a.stated)):
			v.refuse = "it is another visitor's"
		default:
			v.proof, v.served, v.refuse = signed, s.nodeOf(c.Path), ""
			v.owner = c.Subject
			v.node = v.served
			return
		}
	}
	v.served = s.nodeOf(a.segment)
	v.node = v.served
}

// fill makes the view that predicates read.
func (s *Server) fill(v *visitor) {
	n := len(s.Schema.Stored())
	if v.proof == known {
		v.record.Fit(n)
		v.view = v.record.View()
	} else {
		if cap(v.record.Values) < n {
			v.record.Values = make([]float64, n)
		}
		v.record.Values = v.record.Values[:n]
		clear(v.record.Values)
		v.view = segment.View{SessionEnd: math.MaxInt64, Values: v.record.Values}
	}
	v.view.Values[s.slots.segment] = float64(v.served)
	if v.proof == known && v.now >= v.view.SessionEnd {
		v.view.Values[s.slots.page] = 0
	}
	for _, e := range s.enums {
		if x := v.view.Values[e.slot]; !(x >= 0 && x < e.known) {
			v.view.Values[e.slot] = 0
		}
	}
}

// on puts the request's page and device over the record's.
func (s *Server) on(v *visitor, page event.PageType, device event.DeviceType) {
	if page != event.PageUnknown {
		v.view.Values[s.slots.page] = float64(page)
	}
	if device != event.DeviceUnknown {
		v.view.Values[s.slots.device] = float64(device)
	}
}
