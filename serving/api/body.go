package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/token"
)

// maxBody bounds the body of a request, in bytes: an event, tokens and offers.
const (
	maxBody   = 64 << 10
	usualBody = 4 << 10
)

// personalizeRequest is the body of POST /api/personalize. The event is the
// page's path or URL, {"page": …}, or a page call in the form of the Segment spec.
type personalizeRequest struct {
	Segment     statement       `json:"segment"`
	Event       json.RawMessage `json:"event"`
	AnonymousID string          `json:"anonymousId"`
	UserID      string          `json:"userId"`
	Proof       string          `json:"proof"` // of the userId
	Token       string          `json:"token"`
	Claim       string          `json:"claim"`
	Offers      []offerWord     `json:"offers"`
	ViewMS      *float64        `json:"view_ms"` // since the page was come to
}

// statement is what a request says of the segment: its path, or the object that
// getUserSegment() resolves to, with the visitor's signed token inside.
type statement struct {
	Path        string // only said
	Token       string
	AnonymousID string // counts with its token alone
	Offers      []offerWord
}

// UnmarshalJSON reads a path, an object or null. A member of another type is
// an error: who posts it should hear of it.
func (s *statement) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		return json.Unmarshal(b, &s.Path)
	case 'n':
		return nil
	case '{':
		var o struct {
			Served, Token, AnonymousID string
			Offers                     []offerWord
		}
		if err := json.Unmarshal(b, &o); err != nil {
			return inOwnWords("segment", err)
		}
		*s = statement{o.Served, o.Token, o.AnonymousID, o.Offers}
		return nil
	}
	return errors.New("segment is neither a path nor what getUserSegment() resolves to")
}

// inOwnWords names the member that has another type than text.
func inOwnWords(at string, err error) error {
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) && typed.Field != "" {
		return errors.New(at + "." + strings.ToLower(typed.Field[:1]) + typed.Field[1:] + " must be text, not " + typed.Value)
	}
	return err
}

// askedOf is who the request is about. What stands in the segment's object
// counts as far as its token proves it: a bare id proves nothing there. The
// cookie is the browser's own statement, so it counts only where the page that
// asks is of this very origin.
func (s *Server) askedOf(q *personalizeRequest, r *http.Request) (a asked) {
	a = asked{device: q.AnonymousID, user: q.UserID, proof: q.Proof, token: q.Token, claim: q.Claim, segment: q.Segment.Path}
	if a.token == "" {
		a.token = q.Segment.Token
	}
	if a.device == "" && a.user == "" && q.Segment.AnonymousID != "" {
		a.stated = q.Segment.AnonymousID
		if c, err := s.Keys.Verify(q.Segment.Token, token.Segment, s.Site, s.Now()); err == nil && c.Subject == subjectOf(a.stated) {
			a.device = a.stated
		}
	}
	if sameOrigin(r) {
		if c, err := r.Cookie("ms_token"); err == nil {
			a.cookie = c.Value
		}
	}
	return a
}

// sameOrigin reports whether the browser says that the page which asks is of
// this origin. Without such a statement it is not known to be.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	u, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// pageEvent is what rules and templates read of a request's event. Its texts are
// anybody's.
type pageEvent struct {
	Name       string   `json:"name"`
	Page       pageWord `json:"page"`
	Path       string   `json:"path"`
	URL        string   `json:"url"`
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

// pageWord is event.page: a path, a URL, the name of a page type, or an object.
type pageWord struct {
	At, Type, Name, Category string
}

// UnmarshalJSON takes what it can read: a page that is not told of is none of ours.
func (p *pageWord) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, &p.At)
	}
	var o struct {
		Path, URL, Href, Type, Name, Category string
		PageType                              string `json:"page_type"`
	}
	var typed *json.UnmarshalTypeError
	if err := json.Unmarshal(b, &o); err != nil && !errors.As(err, &typed) {
		return err
	}
	*p = pageWord{first(o.Path, o.URL, o.Href), first(o.PageType, o.Type), o.Name, o.Category}
	return nil
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

// pageOf is the type of the page that the request is about.
func (s *Server) pageOf(p *pageEvent) event.PageType {
	for _, stated := range []string{p.Properties.PageType, p.Page.Type, p.Page.At} {
		if t := slices.Index(event.PageTypes[:], stated); t > 0 {
			return event.PageType(t)
		}
	}
	at := first(p.Page.At, p.Context.Page.Path, p.Properties.Path, p.Path, p.Context.Page.URL, p.Properties.URL, p.URL)
	name := first(p.Name, p.Properties.Name, p.Page.Name)
	if at == "" && name == "" {
		return event.PageUnknown
	}
	return s.Pages.Of(at, name)
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

func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	var b bytes.Buffer
	b.Grow(int(max(0, min(r.ContentLength, usualBody))) + bytes.MinRead) // the rest as it arrives
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &Error{http.StatusRequestEntityTooLarge, "the body is longer than 64 KiB"}
	case err != nil:
		return &Error{http.StatusBadRequest, "the body did not come: " + err.Error()}
	}
	if err := json.Unmarshal(b.Bytes(), into); err != nil {
		return bad("the body is not the JSON that is wanted: " + unlike(err))
	}
	return nil
}

// unlike says what is wrong with JSON, without what this program calls it.
func unlike(err error) string {
	var other *json.UnmarshalTypeError
	if errors.As(err, &other) {
		return fmt.Sprintf("%s must not be of the type %s", cmp.Or(other.Field, "all of it"), other.Value)
	}
	return err.Error()
}
