package segment

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// user is a view over the vectors of the devices now linked to it.
type user struct {
	devices []deviceVector // sorted by (device, epoch): sums are folded in this order
	last    int64
	seen    session.Presence
	bot     bool
	beyond  *session.Day // devices that were left out today; nil without one
}

// deviceVector is the newest vector of one (device, epoch), or the tombstone of
// a device that left: nothing of it that is older counts any more.
type deviceVector struct {
	device     string
	epoch      int64 // everyEpoch of a tombstone
	version    session.Version
	left       bool
	bot        bool
	last       int64
	end        int64 // of the open session
	said       int64 // newest event that says something of the device
	paged      int64 // and of a page
	carts      *session.Carts
	seen       session.Presence
	live, long signal.Decayed
	values     []float64 // by Shard.slots
	folded     bool      // epochs before it are in it, too
}

// everyEpoch is the epoch of a tombstone. It comes before all others.
const everyEpoch = -1

// outcome says what became of a vector.
type outcome uint8

const (
	taken  outcome = iota // in the place of an older one
	joined                // as the first of its device's epoch
	stale                 // not at all: a newer or an equal version was there
	beyond                // not at all: the user has as many devices as it may
)

// find is where the vector of a device's epoch is or would be.
func (u *user) find(device string, epoch int64) (int, bool) {
	return slices.BinarySearchFunc(u.devices, epoch, func(d deviceVector, epoch int64) int {
		return cmp.Or(cmp.Compare(d.device, device), cmp.Compare(d.epoch, epoch))
	})
}

// put takes a vector in, unless its device is one more than limit.
func (u *user) put(v *session.Vector, limit int) outcome {
	i, found := u.find(v.Device, v.Epoch)
	if found && !u.devices[i].version.Less(v.Version) {
		return stale
	}
	if t, left := u.find(v.Device, everyEpoch); left && !u.devices[t].version.Less(v.Version) {
		return stale
	}
	if u.hasFolded(v) {
		return stale
	}
	got := taken
	if !found {
		if limit > 0 && !u.has(v.Device) && u.linked() >= limit {
			return beyond
		}
		u.devices = slices.Insert(u.devices, i, deviceVector{device: strings.Clone(v.Device), epoch: v.Epoch})
		got = joined
	}
	d := &u.devices[i]
	d.version, d.bot, d.last, d.live, d.long = v.Version, v.Bot, v.Last, v.Live, v.Long
	d.end, d.said, d.paged, d.carts = v.End, v.Said, v.Paged, v.Carts
	d.seen = v.Presence
	d.values = append(d.values[:0], v.Values...)
	u.settle()
	return got
}

// lose takes all epochs of a device out that are older than the retraction, and
// keeps a tombstone. It reports whether there were any.
func (u *user) lose(v *session.Vector) bool {
	n := len(u.devices)
	u.devices = slices.DeleteFunc(u.devices, func(d deviceVector) bool {
		return d.device == v.Device && !d.left && d.version.Less(v.Version) && (!v.Rebuilt || d.epoch == v.Epoch)
	})
	lost := len(u.devices) < n
	if v.Rebuilt { // its other epochs go on
		u.settle()
		return lost
	}
	i, found := u.find(v.Device, everyEpoch)
	if !found {
		u.devices = slices.Insert(u.devices, i, deviceVector{device: strings.Clone(v.Device), epoch: everyEpoch, left: true})
	}
	if d := &u.devices[i]; d.version.Less(v.Version) {
		d.version = v.Version
	}
	u.settle()
	return lost
}

// settle finds what the vectors say of the user as a whole.
func (u *user) settle() {
	u.last, u.bot, u.seen = 0, false, session.Presence{}
	said := int64(0)
	for i := range u.devices {
		d := &u.devices[i]
		if d.left {
			continue
		}
		u.last, u.seen = max(u.last, d.last), u.seen.With(d.seen)
		if d.said >= said { // a server's event says nothing of who browses
			said, u.bot = d.said, d.bot
		}
	}
}

// has reports whether the device is linked, in any epoch.
func (u *user) has(device string) bool {
	i, _ := u.find(device, 0)
	return i < len(u.devices) && u.devices[i].device == device
}

// linked is the number of devices that have not left.
func (u *user) linked() (n int) {
	for i := range u.devices {
		if d := &u.devices[i]; !d.left && (i == 0 || u.devices[i-1].left || u.devices[i-1].device != d.device) {
			n++
		}
	}
	return n
}

// merge fills the view from the devices by the catalogue's merge rules; a
// device whose session is over gives only what outlives it.
func (u *user) merge(v *View, s *Shard, t int64) {
	if !s.Semantics.Has(2) {
		u.olderMerge(v, s, t)
		return
	}
	u.sum(v, s, t)
	c := session.Together(u.parts())
	v.Values[session.SlotCartItems], v.Values[session.SlotCartValue], v.Values[session.SlotCartChanged] = c.Items, c.Value, float64(c.Changed)
	var page *deviceVector
	for i := range u.devices {
		if d := &u.devices[i]; !d.left && d.paged > 0 && t < d.end && (page == nil || d.paged >= page.paged) {
			page = d
		}
	}
	for i, slot := range s.slots {
		switch s.catalog[slot].Merge {
		case session.MergePage:
			if page != nil {
				v.Values[slot] = page.values[i]
			}
		case session.MergeDevice:
			said := int64(0)
			for k := range u.devices {
				if d := &u.devices[k]; !d.left && d.values[i] != 0 && d.said >= said {
					said, v.Values[slot] = d.said, d.values[i]
				}
			}
		}
	}
}

// sum fills what adds up over the devices, and what time it is for them.
func (u *user) sum(v *View, s *Shard, t int64) {
	p := &s.p.Params
	v.Devices = u.linked()
	clear(v.Values)
	over := int64(0)
	for i := range u.devices {
		d := &u.devices[i]
		if d.left {
			continue
		}
		v.Live = v.Live.Merge(d.live, p.HalfLives.Live)
		v.Long = v.Long.Merge(d.long, p.HalfLives.Long)
		if t < d.end {
			v.SessionEnd = min(v.SessionEnd, d.end)
		}
		over = max(over, d.end)
		d.addTo(v.Values, s, t < d.end)
	}
	if v.SessionEnd == math.MaxInt64 {
		v.SessionEnd = over
	}
}

// addTo adds what the device has of the features that are sums and extremes.
func (d *deviceVector) addTo(values []float64, s *Shard, open bool) {
	for i, x := range d.values {
		slot := s.slots[i]
		f := &s.catalog[slot]
		if x == 0 || f.Session && !open {
			continue
		}
		switch f.Merge {
		case session.MergeSum:
			values[slot] += x
		case session.MergeMax:
			values[slot] = max(values[slot], x)
		case session.MergeMin:
			if values[slot] == 0 || x < values[slot] {
				values[slot] = x
			}
		}
	}
}

// parts are what the devices say of the cart.
func (u *user) parts() []session.Part {
	var parts []session.Part
	for i := range u.devices {
		if d := &u.devices[i]; !d.left && d.carts != nil {
			parts = append(parts, session.Part{Device: d.device, Carts: d.carts})
		}
	}
	return parts
}

// olderMerge is merge as of semantics 1: what is not a sum came from the device
// with the newest event, and the cart was the latest that is not empty.
func (u *user) olderMerge(v *View, s *Shard, t int64) {
	u.sum(v, s, t)
	if v.Devices == 0 {
		return
	}
	latest, cart := -1, -1
	for i := range u.devices {
		d := &u.devices[i]
		if d.left {
			continue
		}
		if latest < 0 || d.last >= u.devices[latest].last {
			latest = i
		}
		if c := d.carts.Cart(); c.Items > 0 && (cart < 0 || c.Changed >= u.devices[cart].carts.Cart().Changed) {
			cart = i
		}
	}
	if cart >= 0 {
		c := u.devices[cart].carts.Cart()
		v.Values[session.SlotCartItems], v.Values[session.SlotCartValue], v.Values[session.SlotCartChanged] = c.Items, c.Value, float64(c.Changed)
	}
	for i, slot := range s.slots {
		f := &s.catalog[slot]
		if d := &u.devices[latest]; (f.Merge == session.MergePage || f.Merge == session.MergeDevice) && (!f.Session || t < d.end) {
			v.Values[slot] = d.values[i]
		}
	}
}

// expires is the next close of a device's session after t, 0 for none.
func (u *user) expires(t int64) int64 {
	var e int64
	for i := range u.devices {
		if end := u.devices[i].end; end > t && !u.devices[i].left && (e == 0 || end < e) {
			e = end
		}
	}
	return e
}

// sums are the user's decayed sums at t.
func (u *user) sums(p *Params, t int64) (live, long float64) {
	for i := range u.devices {
		live += sumAt(u.devices[i].live, t, p.HalfLives.Live)
		long += sumAt(u.devices[i].long, t, p.HalfLives.Long)
	}
	return live, long
}
