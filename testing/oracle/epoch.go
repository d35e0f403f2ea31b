package oracle

import (
	"slices"

	"github.com/microseg/microseg/event"
)

// epoch is what a device did as one user, or as none so far.
type epoch struct {
	device    string
	number    int64
	partition int32
	name      string // of the user whom it names
	user      string // the same, if that is proven in the end
	left      string // whose it was until an unlink, while nobody else is named
	events    []event.Event
	late      []event.Event // too late for a session
	visits    []visit       // in the order of the log
}

// pair is a device and a user, of which there is a proof that they belong together.
type pair struct{ device, user string }

// accept takes an event into its epoch: a userId names a device that names nobody,
// with all that it did before but for a link by a token, and another user's opens a new epoch. Whether the
// epoch is that user's is seen in the end, by whether there ever was a proof.
func (o *Oracle) accept(e *event.Event, late bool) {
	last := o.present(e)
	o.hear(e, e.Time)
	switch {
	case e.User == "" || e.User == last.name:
	case last.name == "" && (e.Trust != event.Linked || len(last.events)+len(last.late) == 0):
		last.name, last.left = e.User, ""
	default:
		last = o.open(e)
		last.name = e.User
	}
	if e.User != "" && e.Trust.Verified() {
		o.proven[pair{e.Device, e.User}] = true
	}
	last.visited(e)
	if late {
		last.late = append(last.late, *e)
		return
	}
	last.events = append(last.events, *e)
}

// present is the present epoch of a device, which is made when there is none.
func (o *Oracle) present(e *event.Event) *epoch {
	es := o.res.devices[e.Device]
	if len(es) == 0 {
		o.comes(e)
		es = []*epoch{{device: e.Device, partition: e.Partition}}
		o.res.devices[e.Device] = es
	}
	return es[len(es)-1]
}

// open begins a new epoch of the device, which is nobody's.
func (o *Oracle) open(e *event.Event) *epoch {
	n := &epoch{device: e.Device, partition: e.Partition, number: e.Offset}
	o.res.devices[e.Device] = append(o.res.devices[e.Device], n)
	return n
}

// merges reports whether an alias would merge two users, or link what is not known.
func (o *Oracle) merges(e *event.Event) bool {
	es := o.res.devices[e.Device]
	if len(es) == 0 {
		return true
	}
	last := es[len(es)-1]
	return last.name != "" && last.name != e.User
}

// reset is a log-out: what follows is nobody's yet.
func (o *Oracle) reset(e *event.Event) {
	known := len(o.res.devices[e.Device]) > 0
	if !known {
		o.comes(e)
	}
	if !known || o.present(e).name != "" {
		o.open(e)
		o.hear(e, o.nowOf(e))
	}
	s := o.room(e.Partition).places[e.Device]
	s.resets = append(s.resets, e.ID)
}

// unlink takes the device from the user, in all of its epochs.
func (o *Oracle) unlink(e *event.Event) {
	o.res.Good++
	for _, p := range o.res.devices[e.Device] {
		if p.name == e.User && o.proven[pair{e.Device, e.User}] {
			p.left = e.User
		}
	}
	delete(o.proven, pair{e.Device, e.User})
	o.unname(e)
}

// deleteUser takes the user's epochs of the device away, and the name where it is only
// claimed. Where the present one goes a new one begins, nobody's.
func (o *Oracle) deleteUser(e *event.Event) {
	es := o.res.devices[e.Device]
	theirs := func(p *epoch) bool {
		return p.left == e.User || p.name == e.User && o.proven[pair{e.Device, e.User}]
	}
	present := len(es) > 0 && theirs(es[len(es)-1])
	if es = slices.DeleteFunc(es, theirs); present {
		es = append(es, &epoch{device: e.Device, partition: e.Partition, number: e.Offset})
	}
	if len(es) > 0 {
		o.res.devices[e.Device] = es
	}
	delete(o.proven, pair{e.Device, e.User})
	o.unname(e)
}

// unname lets no epoch of the device name the user.
func (o *Oracle) unname(e *event.Event) {
	for _, p := range o.res.devices[e.Device] {
		if p.name == e.User {
			p.name = ""
		}
	}
}
