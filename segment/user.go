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
	live, long signal.Decayed
	values     []float64 // by Shard.slots
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
	u.last, u.bot = 0, false
	for i := range u.devices {
		if d := &u.devices[i]; !d.left && d.last >= u.last {
			u.last, u.bot = d.last, d.bot
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
	p := &s.p.Params
	latest, cart := -1, -1
	v.Devices = u.linked()
	for i := range u.devices {
		d := &u.devices[i]
		if d.left {
			continue
		}
		v.Live = v.Live.Merge(d.live, p.HalfLives.Live)
		v.Long = v.Long.Merge(d.long, p.HalfLives.Long)
		if latest < 0 || d.last >= u.devices[latest].last {
			latest = i
		}
		if d.values[s.items] > 0 && (cart < 0 || d.values[s.added] >= u.devices[cart].values[s.added]) {
			cart = i
		}
		if end := d.last + p.GapMS; t < end {
			v.SessionEnd = min(v.SessionEnd, end)
		}
	}
	if v.SessionEnd == math.MaxInt64 {
		v.SessionEnd = u.last + p.GapMS
	}
	clear(v.Values)
	for i := range u.devices {
		if d := &u.devices[i]; !d.left {
			d.mergeInto(v.Values, s, t < d.last+p.GapMS, i == latest, i == cart)
		}
	}
}

func (d *deviceVector) mergeInto(values []float64, s *Shard, open, latest, cart bool) {
	for i, x := range d.values {
		slot := s.slots[i]
		f := &s.catalog[slot]
		if x == 0 || f.Session && !open {
			continue
		}
		switch f.Merge {
		case session.MergeSum:
			values[slot] += x
		case session.MergeMax, session.MergeOr:
			values[slot] = max(values[slot], x)
		case session.MergeMin:
			if values[slot] == 0 || x < values[slot] {
				values[slot] = x
			}
		case session.MergeLatest:
			if latest {
				values[slot] = x
			}
		case session.MergeCart:
			if cart {
				values[slot] = x
			}
		}
	}
}

// expires is the next close of a device's session after t, 0 for none.
func (u *user) expires(gap, t int64) int64 {
	var e int64
	for i := range u.devices {
		if end := u.devices[i].last + gap; end > t && !u.devices[i].left && (e == 0 || end < e) {
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
