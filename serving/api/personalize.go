package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rule"
)

var proofs = [...]string{claimed: "claimed", signed: "signed", known: "known"}

func (s *Server) personalize(w http.ResponseWriter, r *http.Request, _ *asked) error {
	var q personalizeRequest
	var page pageEvent
	if err := readBody(w, r, &q); err != nil {
		return err
	}
	if err := page.read(q.Event); err != nil {
		return bad("event is neither the page's path, nor {\"page\": …}, nor a page call: " + unlike(err))
	}
	a := s.askedOf(&q, r)
	v, err := s.find(r, &a)
	if err != nil {
		return err
	}
	defer s.give(v)
	at := s.pageOf(&page)
	s.forget(v, at, q.ViewMS)
	s.on(v, at, deviceOf(&page, r))
	s.readOffers(v, s.ordered(v, at), append(q.Offers, q.Segment.Offers...))
	if v.out, err = s.appendPersonalized(v.out[:0], v, &page); err != nil {
		return err
	}
	send(w, v.out)
	return nil
}

// appendPersonalized appends the answer of POST /api/personalize: the segment,
// its proof (claimed, signed or known), the actions, the visitor's offers, and
// the node's now_ms.
func (s *Server) appendPersonalized(b []byte, v *visitor, page *pageEvent) (_ []byte, err error) {
	b = appendText(b, `{"segment":`, s.Tree.Path(v.served))
	b = appendText(b, `,"proof":`, proofs[v.proof])
	b = append(b, `,"actions":[`...)
	for i := range v.offers {
		if o := &v.offers[i]; o.kept {
			b = appendKept(comma(b), o)
		}
	}
	var room [8]rule.Winner
	winners, _ := s.Rules.Decide(&v.view, v.now, func(a *rule.Action) bool { return s.may(v, a) }, room[:0])
	for _, win := range winners {
		if b, err = s.appendAction(comma(b), v, win.Action, page); err != nil {
			return b, err
		}
	}
	if b = append(b, ']'); len(v.offers) > 0 || v.told {
		b = s.appendOffers(b, v)
	}
	b = appendInt(b, `,"now_ms":`, v.now)
	if v.refuse != "" {
		b = appendText(b, `,"token_error":`, v.refuse)
	}
	return append(b, "}\n"...), nil
}

// deviceOf is the form of device that the request comes from.
func deviceOf(p *pageEvent, r *http.Request) event.DeviceType {
	if t := slices.Index(event.DeviceTypes[:], p.Context.Device.Type); t > 0 {
		return event.DeviceType(t)
	}
	return event.DeviceOf(first(p.Context.UserAgent, r.UserAgent()))
}

// allowed reports whether what is known of a visitor is enough for the rule.
func (s *Server) allowed(v *visitor, r *rule.Rule) bool {
	switch {
	case v.proof == claimed && !r.Public:
		return false
	case v.proof != known:
		return !s.facts[r.Index].live
	}
	// An offer to a segment ends some time after the visitor came into it.
	offer := s.facts[r.Index].offer
	return offer == 0 || v.now < v.record.Since+offer
}

// appendAction appends what fills a slot: its name, HTML, the action's data,
// ttl_s, the rule, why, and of an offer its name and deadline (ms since the
// epoch; left out without one).
func (s *Server) appendAction(b []byte, v *visitor, a *rule.Action, page *pageEvent) ([]byte, error) {
	form := s.forms[a]
	form.wins.Inc()
	data := s.templateData(v, a)
	data.Category, data.Product = first(page.Properties.Category, page.Page.Category), page.Properties.Name
	from := v.now
	if a.Deadline > 0 {
		if v.proof == known && s.facts[a.Rule.Index].ofSegment {
			from = v.record.Since
		}
		data.DeadlineMS = from + a.Deadline.Milliseconds()
	}
	html, err := s.Templates.Render(a.Template, data)
	if err != nil {
		return b, err
	}
	b = append(appendString(append(b, form.head...), html), form.data...)
	if data.DeadlineMS != 0 {
		b = appendInt(b, `,"deadline":`, data.DeadlineMS)
	}
	if a.Offer != "" {
		b = appendText(b, `,"offer":`, a.Offer)
		s.grant(v, a, from, data.DeadlineMS, html)
	}
	b = appendConditions(append(b, form.rule...), a.Rule.Why(&v.view, v.now))
	return append(b, '}'), nil
}

func (s *Server) templateData(v *visitor, a *rule.Action) rule.TemplateData {
	return rule.TemplateData{Data: a.Data, Segment: s.Tree.Path(v.served), CountdownS: int64(a.Deadline / time.Second),
		Page: event.PageTypes[int(v.view.Values[s.slots.page])], Device: event.DeviceTypes[int(v.view.Values[s.slots.device])]}
}
