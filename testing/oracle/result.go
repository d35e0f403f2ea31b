package oracle

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

// Result is what the job must have recorded in the end.
type Result struct {
	Good, Duplicate, Dead int
	Sessions              []Session // by device, epoch and start
	Letters               []Letter  // in the order in which they were taken
	cfg                   *config.Config
	tree                  *segment.Tree
	schema                *segment.Schema
	devices               map[string][]*epoch
	users                 map[string][]*epoch // the epochs linked to each user
}

// Session is a session as the oracle sees it; times are ms.
type Session struct {
	Device            string
	Epoch             int64 // offset of the record that opened it; 0: the device's first
	Start, End        int64
	Events, PageViews uint32
}

// Letter is a record that is a dead letter.
type Letter struct {
	Partition int32
	Offset    int64
	Reason    event.Reason
}

// Result is what must have been recorded of what was taken so far. It ends the oracle.
func (o *Oracle) Result() *Result {
	r := o.res
	for _, device := range slices.Sorted(maps.Keys(r.devices)) {
		for _, e := range r.devices[device] {
			r.sessions(e)
			if o.proven[pair{device, e.name}] {
				e.user = e.name
				r.users[e.user] = append(r.users[e.user], e)
			}
		}
	}
	for _, e := range o.gone {
		r.sessions(e)
	}
	if len(o.gone) > 0 {
		slices.SortFunc(r.Sessions, func(a, b Session) int {
			return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Start, b.Start))
		})
	}
	return r
}

func (r *Result) sessions(e *epoch) {
	slices.SortFunc(e.events, func(a, b event.Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
	})
	var v view // the present one, in the present session
	for i := range e.events {
		ev := &e.events[i]
		if i == 0 || ev.Time-e.events[i-1].Time >= r.cfg.Session.Gap.Milliseconds() {
			r.Sessions = append(r.Sessions, Session{Device: e.device, Epoch: e.number, Start: ev.Time})
			v = view{}
		}
		s := &r.Sessions[len(r.Sessions)-1]
		s.End = ev.Time
		s.Events++
		if v.opens(ev) {
			s.PageViews++
		}
	}
}

// Gap is the time (ms) without an event that ends a session.
func (r *Result) Gap() int64 { return r.cfg.Session.Gap.Milliseconds() }

// Devices are the devices with accepted events, sorted.
func (r *Result) Devices() []string { return slices.Sorted(maps.Keys(r.devices)) }

// Partition is that of a device's records; ok is false for a device without
// accepted events.
func (r *Result) Partition(device string) (p int32, ok bool) {
	es := r.devices[device]
	if len(es) == 0 {
		return 0, false
	}
	return es[0].partition, true
}

// User is whom a device is linked to in the end; empty: nobody.
func (r *Result) User(device string) string {
	es := r.devices[device]
	if len(es) == 0 {
		return ""
	}
	return es[len(es)-1].user
}

// Persons are the persons that exist in the end, "d:" device or "u:" user, sorted.
func (r *Result) Persons() []string {
	var out []string
	for device, es := range r.devices {
		if last := es[len(es)-1]; last.user == "" && len(last.events)+len(last.late) > 0 {
			out = append(out, session.PersonID(device, ""))
		}
	}
	for user := range r.users {
		out = append(out, session.PersonID("", user))
	}
	slices.Sort(out)
	return out
}

// Path is where an unlinked device's person stands at time t (ms), which is not
// before its last event.
func (r *Result) Path(device string, t int64) (string, error) {
	p, err := r.Person(session.PersonID(device, ""))
	if err != nil {
		return "", err
	}
	if p == nil {
		return "", fmt.Errorf("asking for the path of device %s: it is linked, or unknown", device)
	}
	return p.Path(t), nil
}
