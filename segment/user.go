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
}

// deviceVector is the newest vector of one (device, epoch), or the tombstone of one that left.
type deviceVector struct {
	device     string
	epoch      int64
	version    session.Version
	left       bool
	last       int64
	live, long signal.Decayed
	values     []float64 // by Shard.slots
}

// put takes a vector in; stale means that a newer or equal version is there,
// fresh that the device was not linked before.
func (u *user) put(v *session.Vector) (stale, fresh bool) {
	i, found := slices.BinarySearchFunc(u.devices, v, func(d deviceVector, v *session.Vector) int {
		return cmp.Or(cmp.Compare(d.device, v.Device), cmp.Compare(d.epoch, v.Epoch))
	})
	if !found {
		u.devices = slices.Insert(u.devices, i, deviceVector{device: strings.Clone(v.Device), epoch: v.Epoch, left: true})
	} else if !u.devices[i].version.Less(v.Version) {
		return true, false
	}
	d := &u.devices[i]
	fresh = d.left && !v.Retract
	d.version, d.left, d.last, d.live, d.long = v.Version, v.Retract, v.Last, v.Live, v.Long
	u.last, u.bot = max(u.last, v.Last), v.Bot
	if v.Retract {
		d.values, d.live, d.long = nil, signal.Decayed{}, signal.Decayed{}
		return false, false
	}
	d.values = append(d.values[:0], v.Values...)
	return false, fresh
}

// linked is the number of devices that have not left.
func (u *user) linked() (n int) {
	for i := range u.devices {
		if !u.devices[i].left {
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
	for i := range u.devices {
		d := &u.devices[i]
		if d.left {
			continue
		}
		v.Devices++
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
