package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rule"
)

// maxBody bounds the body of a request, in bytes: an event and a token.
const maxBody = 64 << 10

// personalizeRequest is the body of POST /api/personalize. The event is the
// page's path or URL, or a page call in the form of the Segment spec.
type personalizeRequest struct {
	Segment     string          `json:"segment"`
	Event       json.RawMessage `json:"event"`
	AnonymousID string          `json:"anonymousId"`
	UserID      string          `json:"userId"`
	Token       string          `json:"token"`
	Claim       string          `json:"claim"`
}

// pageEvent is what rules and templates read of a page call. Its texts are
// anybody's.
type pageEvent struct {
	Name       string `json:"name"`
	Properties struct {
		Path     string `json:"path"`
		URL      string `json:"url"`
		Name     string `json:"name"`
		Category string `json:"category"`
		PageType string `json:"page_type"`
	} `json:"properties"`
	Context struct {
		Page struct {
			Path string `json:"path"`
			URL  string `json:"url"`
		} `json:"page"`
		UserAgent string `json:"userAgent"`
		Device    struct {
			Type string `json:"type"`
		} `json:"device"`
	} `json:"context"`
}

func (p *pageEvent) read(raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if raw[0] == '"' {
		return json.Unmarshal(raw, &p.Properties.Path)
	}
	// Properties are the site's own: one of another type is none of ours.
	err := json.Unmarshal(raw, p)
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) && typed.Field != "" {
		return nil
	}
	return err
}

// first is the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

var proofs = [...]string{claimed: "claimed", signed: "signed", known: "known"}

func (s *Server) personalize(w http.ResponseWriter, r *http.Request, _ *asked) error {
	var q personalizeRequest
	var page pageEvent
	if err := readBody(w, r, &q); err != nil {
		return err
	}
	if err := page.read(q.Event); err != nil {
		return bad("event is neither the page's path nor a page call: " + err.Error())
	}
	v, err := s.find(r, &asked{q.AnonymousID, q.UserID, q.Token, q.Claim, q.Segment})
	if err != nil {
		return err
	}
	defer s.give(v)
	s.on(v, s.pageOf(&page), deviceOf(&page, r))
	if v.out, err = s.appendPersonalized(v.out[:0], v, &page); err != nil {
		return err
	}
	send(w, v.out)
	return nil
}

// appendPersonalized appends the answer of POST /api/personalize: the segment,
// its proof (claimed, signed or known), the actions, and the node's now_ms.
func (s *Server) appendPersonalized(b []byte, v *visitor, page *pageEvent) (_ []byte, err error) {
	b = appendText(b, `{"segment":`, s.Tree.Path(v.served))
	b = appendText(b, `,"proof":`, proofs[v.proof])
	b = append(b, `,"actions":[`...)
	var room [8]rule.Winner
	winners, _ := s.Rules.Decide(&v.view, v.now, func(r *rule.Rule) bool { return s.allowed(v, r) }, room[:0])
	for i, win := range winners {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = s.appendAction(b, v, win.Action, page); err != nil {
			return b, err
		}
	}
	b = appendInt(append(b, ']'), `,"now_ms":`, v.now)
	if v.refuse != "" {
		b = appendText(b, `,"token_error":`, v.refuse)
	}
	return append(b, "}\n"...), nil
}

func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	var b bytes.Buffer
	b.Grow(int(max(0, min(r.ContentLength, maxBody))) + bytes.MinRead)
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &Error{http.StatusRequestEntityTooLarge, "the body is longer than 64 KiB"}
	case err != nil:
		return &Error{http.StatusBadRequest, "the body did not come: " + err.Error()}
	}
	if err := json.Unmarshal(b.Bytes(), into); err != nil {
		return bad("the body is not the JSON that is wanted: " + err.Error())
	}
	return nil
}

// pageOf is the type of the page that the request is about.
func (s *Server) pageOf(p *pageEvent) event.PageType {
	if t := slices.Index(event.PageTypes[:], p.Properties.PageType); t > 0 {
		return event.PageType(t)
	}
	at := first(p.Context.Page.Path, p.Properties.Path, p.Context.Page.URL, p.Properties.URL)
	name := first(p.Name, p.Properties.Name)
	if at == "" && name == "" {
		return event.PageUnknown
	}
	return s.Pages.Of(at, name)
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
// ttl_s, the deadline (ms since the epoch; left out without one), the rule, why.
func (s *Server) appendAction(b []byte, v *visitor, a *rule.Action, page *pageEvent) ([]byte, error) {
	form := s.forms[a]
	form.wins.Inc()
	data := s.templateData(v, a)
	data.Category, data.Product = page.Properties.Category, page.Properties.Name
	if a.Deadline > 0 {
		from := v.now
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
	b = appendConditions(append(b, form.rule...), a.Rule.Why(&v.view, v.now))
	return append(b, '}'), nil
}

func (s *Server) templateData(v *visitor, a *rule.Action) rule.TemplateData {
	return rule.TemplateData{Data: a.Data, Segment: s.Tree.Path(v.served), CountdownS: int64(a.Deadline / time.Second),
		Page: event.PageTypes[int(v.view.Values[s.slots.page])], Device: event.DeviceTypes[int(v.view.Values[s.slots.device])]}
}
