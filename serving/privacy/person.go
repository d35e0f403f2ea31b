package privacy

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

// person finds whom an id is about: "u:<userId>", "d:<anonymousId>", or a bare
// id, which is a user's where one is known and else a device's. A user comes with
// the devices that it is or was linked to, as far as this node and ClickHouse
// know, and with the one that its events without an anonymousId are under. Of those that
// others used, too, only the user's own epochs are the user's.
func (s *Server) person(ctx context.Context, id string) (*identity.Person, error) {
	kind, name, ok := strings.Cut(id, ":")
	if !ok || kind != "u" && kind != "d" {
		name = id
		known, err := s.known(ctx, session.PersonID("", id))
		if err != nil {
			return nil, err
		}
		if kind = "d"; known {
			kind = "u"
		}
	}
	if event.Nobody(name) || len(name) > maxID {
		return nil, &Error{http.StatusBadRequest, "the id is empty, longer than 512 bytes, or stands for nobody, such as null or zeros"}
	}
	if kind == "u" {
		return s.user(ctx, name)
	}
	return s.device(ctx, name)
}

func (s *Server) known(ctx context.Context, person string) (bool, error) {
	if ok, err := s.Store.Get(person, &segment.Record{}); ok || err != nil || s.Record == nil {
		return ok, err
	}
	return s.Record.Known(ctx, person)
}

func (s *Server) user(ctx context.Context, user string) (*identity.Person, error) {
	p := &identity.Person{User: user, Forgotten: s.Retention.Milliseconds(), Devices: append(s.Store.Devices(user), "user:"+user)}
	if s.Record != nil {
		more, err := s.Record.Devices(ctx, user)
		if err != nil {
			return nil, err
		}
		p.Devices = append(p.Devices, more...)
	}
	slices.Sort(p.Devices)
	p.Devices = slices.Compact(p.Devices)
	return p, s.share(ctx, p)
}

// share finds the devices that are not the user's alone. Who was on a device is in ClickHouse:
// without it each may have been others', too, so that only the user's own epochs go, which
// the job knows.
func (s *Server) share(ctx context.Context, p *identity.Person) (err error) {
	shared := slices.Clone(p.Devices)
	if s.Record != nil {
		if shared, err = s.Record.Shared(ctx, p.User, p.Devices); err != nil {
			return err
		}
	}
	for _, d := range p.Devices {
		var r segment.Record
		ok, err := s.Store.Get(session.PersonID(d, ""), &r)
		if err != nil {
			return err
		}
		if ok && r.User != "" && r.User != p.User { // somebody else is on it now
			shared = append(shared, d)
		}
	}
	shared = slices.DeleteFunc(shared, event.IsUserDevice)
	slices.Sort(shared)
	p.Shared = slices.Compact(shared)
	p.Devices = slices.DeleteFunc(p.Devices, func(d string) bool { return slices.Contains(p.Shared, d) })
	return nil
}

func (s *Server) device(ctx context.Context, device string) (*identity.Person, error) {
	p := &identity.Person{Devices: []string{device}}
	var r segment.Record
	if ok, err := s.Store.Get(session.PersonID(device, ""), &r); err != nil {
		return nil, err
	} else if ok && r.User != "" {
		p.Users = append(p.Users, r.User)
	}
	if s.Record != nil {
		more, err := s.Record.Users(ctx, device)
		if err != nil {
			return nil, err
		}
		p.Users = append(p.Users, more...)
	}
	slices.Sort(p.Users)
	p.Users = slices.Compact(p.Users)
	return p, nil
}
