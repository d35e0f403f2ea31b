package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
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

// action is what fills a slot.
type action struct {
	Slot     string            `json:"slot"`
	HTML     string            `json:"html"`
	Data     map[string]string `json:"data,omitempty"`
	TTL      int64             `json:"ttl_s"`
	Deadline int64             `json:"deadline,omitempty"` // ms since the epoch
	Rule     string            `json:"rule"`
	Why      []condition       `json:"why"`
}

type personalizeAnswer struct {
	Segment   string   `json:"segment"`
	Proof     string   `json:"proof"` // claimed, signed or known
	Actions   []action `json:"actions"`
	NowMS     int64    `json:"now_ms"`
	TokenFail string   `json:"token_error,omitempty"`
}

var proofs = [...]string{claimed: "claimed", signed: "signed", known: "known"}

func (s *Server) personalize(w http.ResponseWriter, r *http.Request) error {
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
	out := personalizeAnswer{Segment: s.Tree.Path(v.served), Proof: proofs[v.proof], Actions: []action{}, NowMS: v.now, TokenFail: v.refuse}
	var room [8]rule.Winner
	winners, _ := s.Rules.Decide(&v.view, v.now, func(r *rule.Rule) bool { return s.allowed(v, r) }, room[:0])
	for _, win := range winners {
		a, err := s.act(v, win.Action, &page)
		if err != nil {
			return err
		}
		out.Actions = append(out.Actions, a)
	}
	return answer(w, &out)
}

func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	err := d.Decode(into)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &Error{http.StatusRequestEntityTooLarge, "the body is longer than 64 KiB"}
	case err != nil:
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
		return !live(r)
	}
	// An offer to a segment ends some time after the visitor came into it.
	limit := longest(r)
	return limit == 0 || !ofSegment(r) || v.now < v.record.Since+limit.Milliseconds()
}

// live reports whether the rule reads more than what a token and a request tell.
func live(r *rule.Rule) bool {
	return slices.ContainsFunc(r.When.Features, func(f *segment.Feature) bool {
		return f.Name != "segment" && f.Name != "page.type" && f.Name != "device.type"
	})
}

func ofSegment(r *rule.Rule) bool {
	return slices.ContainsFunc(r.When.Features, func(f *segment.Feature) bool { return f.Name == "segment" })
}

// longest is the longest countdown of a rule whose actions all have one, else 0.
func longest(r *rule.Rule) (d time.Duration) {
	for _, a := range r.Actions {
		if a.Deadline == 0 {
			return 0
		}
		d = max(d, a.Deadline)
	}
	return d
}

func (s *Server) act(v *visitor, a *rule.Action, page *pageEvent) (action, error) {
	out := action{Slot: a.Slot, Data: a.Data, TTL: int64(a.TTL / time.Second), Rule: a.Rule.Name, Why: conditions(a.Rule.Why(&v.view, v.now))}
	data := s.templateData(v, a)
	data.Category, data.Product = page.Properties.Category, page.Properties.Name
	if a.Deadline > 0 {
		from := v.now
		if v.proof == known && ofSegment(a.Rule) {
			from = v.record.Since
		}
		out.Deadline = from + a.Deadline.Milliseconds()
		data.DeadlineMS = out.Deadline
	}
	var err error
	out.HTML, err = s.Templates.Render(a.Template, data)
	s.metrics.wins.WithLabelValues(a.Slot, a.Rule.Name).Inc()
	return out, err
}

func (s *Server) templateData(v *visitor, a *rule.Action) rule.TemplateData {
	return rule.TemplateData{Data: a.Data, Segment: s.Tree.Path(v.served), CountdownS: int64(a.Deadline / time.Second),
		Page: event.PageTypes[int(v.view.Values[s.slots.page])], Device: event.DeviceTypes[int(v.view.Values[s.slots.device])]}
}
