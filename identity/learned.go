package identity

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/session"
)

// What is sent again of a device that was let go is a duplicate still, until it would be
// too late anyway: the events of such devices are kept as hashes, so many to a device
// that there may be. Where that is not enough the oldest go, and an event that may be
// one of them is refused as late, so that nothing counts twice.

// learnedPerDevice is how many events of devices that were let go are kept for each
// device that there may be.
const learnedPerDevice = 2

// gone indexes Partition.gone.
const (
	goneShort = iota
	goneLong
)

// trace names an event of a device.
type trace struct{ device, event uint64 }

// learned are events of devices that were let go.
type learned struct {
	known map[trace]struct{}
	order []trail // as they were let go
	floor int64   // event time (ms) up to which some are not known any more
}

// trail is a trace, with the time of its event and the data clock when it was learned.
type trail struct {
	trace
	time, clock int64
}

func hashOf(device string) uint64 {
	h := sha256.Sum256([]byte(device))
	return binary.LittleEndian.Uint64(h[:])
}

// letGo reports whether the event is one of a device that was let go.
func (q *Partition) letGo(e *event.Event) bool {
	if len(q.gone[goneShort].known)+len(q.gone[goneLong].known) == 0 {
		return false
	}
	t := trace{hashOf(e.Device), e.ID}
	for i := range q.gone {
		if _, is := q.gone[i].known[t]; is {
			return true
		}
	}
	return false
}

// learn keeps which events the epochs of a device have had that may come again. Their
// order is that of time, whatever they were kept in.
func (q *Partition) learn(epochs []*device, s *Shard) {
	d := epochs[len(epochs)-1]
	device := hashOf(d.id)
	var had [len(q.gone)][]trail
	for _, o := range epochs {
		o.Kept(func(id uint64, t int64, long bool) {
			i, allowed := goneShort, s.session.Lateness
			if long {
				i, allowed = goneLong, max(s.session.Lateness, s.session.Long)
			}
			if t >= q.Clock-allowed {
				had[i] = append(had[i], trail{trace{device, id}, t, q.Clock})
			}
		})
	}
	if h := d.remembered(); h != nil {
		for _, id := range h.resets {
			had[goneLong] = append(had[goneLong], trail{trace{device, id}, q.Clock, q.Clock})
		}
	}
	for i := range had {
		slices.SortFunc(had[i], func(a, b trail) int { return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.event, b.event)) })
		for _, t := range had[i] {
			q.gone[i].add(t, learnedPerDevice*int(s.limits.Devices))
		}
	}
}

func (g *learned) add(t trail, most int) {
	if _, is := g.known[t.trace]; is {
		return
	}
	if g.known == nil {
		g.known = map[trace]struct{}{}
	}
	g.known[t.trace] = struct{}{}
	g.order = append(g.order, t)
	for most > 0 && len(g.order) > most {
		// An event that is ahead of the clock must not refuse those of others.
		g.floor = max(g.floor, min(g.order[0].time, g.order[0].clock))
		g.pop()
	}
}

func (g *learned) pop() {
	delete(g.known, g.order[0].trace)
	if g.order = g.order[1:]; len(g.order) == 0 {
		*g = learned{floor: g.floor} // lets go of a flood's memory
	}
}

// unlearnOld lets those go that would be too late by now.
func (q *Partition) unlearnOld(p *session.Params) {
	for i, allowed := range [...]int64{goneShort: p.Lateness, goneLong: max(p.Lateness, p.Long)} {
		for g := &q.gone[i]; len(g.order) > 0 && g.order[0].time < q.Clock-allowed; {
			g.pop()
		}
	}
}

// unlearn drops what is kept of a device that is deleted.
func (q *Partition) unlearn(device string) {
	h := hashOf(device)
	for i := range q.gone {
		g := &q.gone[i]
		if !slices.ContainsFunc(g.order, func(t trail) bool { return t.device == h }) {
			continue
		}
		var rest []trail // a snapshot may be about to write the old ones
		for _, t := range g.order {
			if t.device == h {
				delete(g.known, t.trace)
			} else {
				rest = append(rest, t)
			}
		}
		g.order = rest
	}
}

// unknowable says why an event is refused of which nobody can know whether it is a
// duplicate; empty: it is not.
func (s *Shard) unknowable(q *Partition, d *device, e *event.Event) string {
	g := &q.gone[goneShort]
	if s.session.Patient(e.Kind) {
		g = &q.gone[goneLong]
	}
	if g.floor == 0 || e.Time > g.floor || d != nil && !d.is(markAgain) {
		return ""
	}
	return "older than what is still known of the devices that were let go for want of room, so it may be a duplicate (state.max_devices)"
}

func (t *trail) appendTo(w *codec.Writer) {
	w.Fixed(t.device)
	w.Fixed(t.event)
	w.Int(t.time)
	w.Int(t.clock - t.time)
}

func readTrail(r *codec.Reader) trail {
	t := trail{trace: trace{r.Fixed(), r.Fixed()}, time: r.Int()}
	t.clock = t.time + r.Int()
	return t
}
