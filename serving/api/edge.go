package api

import (
	"fmt"
	"html"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/token"
)

// How long an edge may use what it has: fresh, while it asks again, and while
// nobody answers.
const (
	emptyTTL    = time.Minute // of a slot that nothing fills
	revalidate  = time.Minute
	ifError     = 24 * time.Hour
	maxTokenTTL = time.Minute
	negativeTTL = 10                               // seconds for which an edge may remember a bad token
	claimBucket = int64(time.Minute / time.Second) // claims end with a whole one, so that many have the same
)

// esi answers with a slot's HTML. It depends on the slot, the segment and
// whether it is proved, the page's and the device's type, and on nothing else.
func (s *Server) esi(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("slot")
	id, ok := s.Rules.Slot(name)
	if !ok || !s.Rules.Slots()[id].Edge {
		return &Error{http.StatusNotFound, "there is no edge slot of that name: only slots with `edge: true` have fragments"}
	}
	q := parse(r.URL.RawQuery)
	v := visitor{now: s.nowMS()}
	s.believe(&v, &asked{claim: q.claim, segment: q.segment})
	v.record.Values = make([]float64, len(s.Schema.Stored()))
	v.view = segment.View{SessionEnd: math.MaxInt64, Values: v.record.Values}
	v.view.Values[s.slots.segment] = float64(v.served)
	page := max(0, slices.Index(event.PageTypes[:], q.page))
	device := max(0, slices.Index(event.DeviceTypes[:], q.device))
	s.on(&v, event.PageType(page), event.DeviceType(device))
	// An offer is one visitor's, and this is kept for all: see edgeOffer.
	win, ok, _ := s.Rules.DecideSlot(id, &v.view, v.now, func(a *rule.Action) bool { return a.Offer == "" && s.allowed(&v, a.Rule) })
	ttl, body := emptyTTL, ""
	if ok {
		text, err := s.Templates.Render(win.Action.Template, s.templateData(&v, win.Action))
		if err != nil {
			return err
		}
		ttl = win.Action.TTL
		body = fmt.Sprintf("<div data-ms-rule=\"%s\" data-ms-ttl=\"%d\">%s</div>\n", html.EscapeString(win.Action.Rule.Name), int64(ttl/time.Second), text)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	cacheable(h, ttl)
	_, err := io.WriteString(w, body)
	return err
}

// cacheable lets edges keep an answer, and browsers ask each time.
func cacheable(h http.Header, ttl time.Duration) {
	s := func(d time.Duration) int64 { return int64(d / time.Second) }
	h.Set("Surrogate-Control", fmt.Sprintf("max-age=%d, stale-while-revalidate=%d, stale-if-error=%d", s(ttl), s(revalidate), s(ifError)))
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=0, s-maxage=%d, stale-while-revalidate=%d, stale-if-error=%d", s(ttl), s(revalidate), s(ifError)))
}

// edgeToken tells an edge without the key what a token proves, as a claim that
// is the same for everybody in the segment whose token ends in the same minute.
func (s *Server) edgeToken(w http.ResponseWriter, r *http.Request) error {
	now := s.Now()
	h := w.Header()
	h.Set("Cache-Control", "private, no-store")
	h.Set("Vary", "X-Microseg-Token")
	c, err := s.Keys.Verify(r.Header.Get("X-Microseg-Token"), token.Segment, s.Site, now)
	if err != nil {
		h.Set("Surrogate-Control", fmt.Sprintf("max-age=%d", negativeTTL))
		return &Error{http.StatusUnauthorized, "the token is not believed: " + err.Error()}
	}
	path := s.Tree.Path(s.nodeOf(c.Path))
	claim, ends := s.claim(path, time.Unix(c.Expires, 0))
	left := min(time.Duration(ends-now.Unix())*time.Second, maxTokenTTL)
	h.Set("X-Microseg-Segment", path)
	h.Set("X-Microseg-Claim", claim)
	h.Set("Surrogate-Control", fmt.Sprintf("max-age=%d", int64(left/time.Second)))
	return answer(w, map[string]string{"segment": path, "claim": claim})
}

// edgeOffer is the HTML of an offer that the visitor was granted in a slot, for
// an edge: the cookie's tokens prove the device and the offer. Nobody keeps it.
func (s *Server) edgeOffer(w http.ResponseWriter, r *http.Request) error {
	now := s.Now()
	h := w.Header()
	h.Set("Cache-Control", "private, no-store")
	h.Set("Vary", "X-Microseg-Token, X-Microseg-Offer")
	c, err := s.Keys.Verify(r.Header.Get("X-Microseg-Token"), token.Segment, s.Site, now)
	if err != nil {
		return &Error{http.StatusUnauthorized, "the token is not believed: " + err.Error()}
	}
	v := visitor{now: now.UnixMilli(), owner: c.Subject}
	s.readOffers(&v, false, []offerWord{{Token: r.Header.Get("X-Microseg-Offer")}})
	if len(v.offers) == 0 || !v.offers[0].kept || v.offers[0].Slot != r.PathValue("slot") {
		return &Error{http.StatusNotFound, "the visitor has no such offer in this slot"}
	}
	o := &v.offers[0]
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	_, err = fmt.Fprintf(w, "<div data-ms-rule=\"%s\" data-ms-ttl=\"%d\">%s</div>\n", html.EscapeString(o.Rule), o.TTL, o.content.HTML)
	return err
}

// claim proves a segment about nobody, and when that ends: never later than what it is
// given for. For two hours, as it once was, an edge went on showing what its visitor's
// token had not proved for long.
func (s *Server) claim(path string, until time.Time) (text string, ends int64) {
	ends = until.Unix()
	if whole := ends / claimBucket * claimBucket; whole > s.Now().Unix() {
		ends = whole
	}
	return s.Keys.Sign(token.Claims{Audience: token.Claim, Site: s.Site, Path: path, Expires: ends}), ends
}
