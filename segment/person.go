package segment

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// person is a view over the vectors of the devices now linked to it.
type person struct {
	id          string
	devices     []deviceVector // sorted by (device, epoch): sums are folded in this order
	gone        bool
	dirty       bool
	bot         bool
	linked      bool
	node        int // -1 before the first evaluation
	count       int // node + 1 while counted in the audience, 0 while not
	transitions uint32
	since       int64
	evaluated   int64
	last        int64
	wake        int64 // when to evaluate next if nothing happens
	queued      int64 // time of the person's live entry in the wake heap, 0 for none
}

// deviceVector is the newest vector of one (device, epoch), or the tombstone of one that left.
type deviceVector struct {
	device     string
	epoch      int64
	version    session.Version
	left       bool
	last       int64
	live, long signal.Decayed
	values     []float64
}

func (q *person) counted() int     { return q.count - 1 }
func (q *person) setCounted(n int) { q.count = n + 1 }

// put takes a vector in; false means that a newer or equal version is there.
func (q *person) put(v *session.Vector, slots int) bool {
	i, found := slices.BinarySearchFunc(q.devices, v, func(d deviceVector, v *session.Vector) int {
		return cmp.Or(cmp.Compare(d.device, v.Device), cmp.Compare(d.epoch, v.Epoch))
	})
	if !found {
		q.devices = slices.Insert(q.devices, i, deviceVector{device: strings.Clone(v.Device), epoch: v.Epoch})
	} else if !q.devices[i].version.Less(v.Version) {
		return false
	}
	d := &q.devices[i]
	d.version, d.left, d.last, d.live, d.long = v.Version, v.Retract, v.Last, v.Live, v.Long
	if v.Retract {
		d.values, d.live, d.long = nil, signal.Decayed{}, signal.Decayed{}
		return true
	}
	if len(d.values) != slots {
		d.values = make([]float64, slots)
	}
	copy(d.values, v.Values)
	return true
}

// merge fills the view from the devices by the catalogue's merge rules; a
// device whose session is over gives only what outlives it.
func (q *person) merge(v *View, catalog []session.Feature, p *Params, t int64) {
	latest, cart := -1, -1
	for i := range q.devices {
		d := &q.devices[i]
		if d.left {
			continue
		}
		v.Live = v.Live.Merge(d.live, p.HalfLives.Live)
		v.Long = v.Long.Merge(d.long, p.HalfLives.Long)
		if latest < 0 || d.last >= q.devices[latest].last {
			latest = i
		}
		if d.values[session.SlotCartItems] > 0 && (cart < 0 || d.values[session.SlotCartAdded] >= q.devices[cart].values[session.SlotCartAdded]) {
			cart = i
		}
		if end := d.last + p.GapMS; t < end {
			v.SessionEnd = min(v.SessionEnd, end)
		}
	}
	if v.SessionEnd == math.MaxInt64 {
		v.SessionEnd = q.last + p.GapMS
	}
	for i := range q.devices {
		if d := &q.devices[i]; !d.left {
			d.mergeInto(v.Values, catalog, t < d.last+p.GapMS, i == latest, i == cart)
		}
	}
}

func (d *deviceVector) mergeInto(values []float64, catalog []session.Feature, open, latest, cart bool) {
	for slot, x := range d.values {
		f := &catalog[slot]
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
func (q *person) expires(gap, t int64) int64 {
	var e int64
	for i := range q.devices {
		if end := q.devices[i].last + gap; end > t && !q.devices[i].left && (e == 0 || end < e) {
			e = end
		}
	}
	return e
}

// sums are the person's decayed sums at t.
func (q *person) sums(p *Params, t int64) (live, long float64) {
	for i := range q.devices {
		d := &q.devices[i]
		live += d.live.At(max(t, d.live.Ref), p.HalfLives.Live)
		long += d.long.At(max(t, d.long.Ref), p.HalfLives.Long)
	}
	return live, long
}

// wake is an entry of the wake heap. A person has one live entry, that whose
// time is person.queued; it may be earlier than the wake-up, never later, so
// that an event, which mostly moves the wake-up back, costs nothing here.
type wake struct {
	at     int64
	person *person
}

type wakes []wake

func (h wakes) Len() int           { return len(h) }
func (h wakes) Less(i, j int) bool { return h[i].at < h[j].at }
func (h wakes) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *wakes) Push(x any)        { *h = append(*h, x.(wake)) }
func (h *wakes) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = wake{}
	*h = old[:len(old)-1]
	return w
}

func (s *Shard) queue(q *person) {
	if q.queued == 0 || q.wake < q.queued {
		q.queued = q.wake
		s.pushWake(wake{q.wake, q})
	}
}
