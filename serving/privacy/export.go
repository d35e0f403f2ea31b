package privacy

import (
	"net/http"
	"strings"
	"time"

	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

// Export is all that is kept of a person.
type Export struct {
	Person     string                      `json:"person"` // "u:…" or "d:…"
	ExportedAt time.Time                   `json:"exported_at"`
	Profile    *Profile                    `json:"profile,omitempty"` // absent: nothing is published
	Devices    []Device                    `json:"devices"`
	Users      []string                    `json:"users,omitempty"`      // that the device was linked to
	ClickHouse map[string][]map[string]any `json:"clickhouse,omitempty"` // rows by table
	RawEvents  string                      `json:"raw_events"`
	Missing    []string                    `json:"missing,omitempty"` // stores that could not be asked
}

// Device is one of the person's devices.
type Device struct {
	ID      string   `json:"anonymous_id"`
	User    string   `json:"user,omitempty"`    // that it is linked to
	Profile *Profile `json:"profile,omitempty"` // of a device that is linked to nobody
}

// Profile is a published record.
type Profile struct {
	Path      string         `json:"path"`
	Served    string         `json:"served"`
	Since     time.Time      `json:"since"`
	Evaluated time.Time      `json:"evaluated_at"`
	LastEvent time.Time      `json:"last_event"`
	Linked    bool           `json:"linked"`
	Bot       bool           `json:"bot"`
	Devices   int            `json:"devices"`
	Features  map[string]any `json:"features"`
}

func (s *Server) export(w http.ResponseWriter, r *http.Request) error {
	p, err := s.person(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	out, err := s.collect(r, p)
	if err != nil {
		return err
	}
	if out.empty() {
		return &Error{http.StatusNotFound, "nothing is kept of that person"}
	}
	answer(w, http.StatusOK, out)
	return nil
}

func (s *Server) collect(r *http.Request, p *identity.Person) (*Export, error) {
	retention, err := s.retention(r.Context())
	if err != nil {
		return nil, err
	}
	out := &Export{Person: p.Names()[0], ExportedAt: clock.Now().UTC(), Devices: []Device{}, Users: p.Users, RawEvents: retention.says()}
	if p.User != "" {
		if out.Profile, _, err = s.profile(out.Person); err != nil {
			return nil, err
		}
	}
	for _, id := range p.Devices {
		d := Device{ID: id}
		if d.Profile, d.User, err = s.profile(session.PersonID(id, "")); err != nil {
			return nil, err
		}
		if p.User != "" && d.User != p.User { // somebody else is on it now, or nobody
			d.Profile, d.User = nil, ""
		}
		if d.Profile != nil || d.User != "" || !strings.HasPrefix(id, "user:") {
			out.Devices = append(out.Devices, d)
		}
	}
	for _, id := range p.Shared { // what others do there is not the person's
		d := Device{ID: id}
		if _, d.User, err = s.profile(session.PersonID(id, "")); err != nil {
			return nil, err
		}
		if d.User != p.User {
			d.User = ""
		}
		out.Devices = append(out.Devices, d)
	}
	if s.Record == nil {
		out.Missing = append(out.Missing, "clickhouse: this node has no DSN")
		return out, nil
	}
	out.ClickHouse, err = s.Record.Export(r.Context(), p)
	return out, err
}

// empty reports whether nothing is kept.
func (e *Export) empty() bool {
	for _, rows := range e.ClickHouse {
		if len(rows) > 0 {
			return false
		}
	}
	for _, d := range e.Devices {
		if d.Profile != nil || d.User != "" {
			return false
		}
	}
	return e.Profile == nil
}

// profile is the record of a person id, or the user that a device points to.
func (s *Server) profile(person string) (*Profile, string, error) {
	var r segment.Record
	ok, err := s.Store.Get(person, &r)
	if !ok || err != nil || r.User != "" {
		return nil, r.User, err
	}
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	p := &Profile{Path: r.Path, Served: r.Path, Since: at(r.Since), Evaluated: at(r.Evaluated), LastEvent: at(r.Last), Linked: r.Linked, Bot: r.Bot, Devices: r.Devices}
	if node, ok := s.Tree.Find(r.Path); ok {
		p.Served = s.Tree.Path(s.Tree.Served(node, s.Store.Active()))
	}
	r.Fit(len(s.Schema.Stored()))
	v := r.View()
	p.Features = segment.Describe(s.Schema.Features(), &v, clock.NowMS(), &s.Params)
	return p, "", nil
}
