package oracle

import (
	"cmp"
	"math"
	"slices"

	"github.com/microseg/microseg/event"
)

// How many devices a partition has is bounded (state.max_devices), and a device of one
// event without a proof is forgotten early (state.single_event_retention). Whoever must go
// is found by sorting all devices of the partition.

// room is what a partition's devices, and those that were let go, share.
type room struct {
	first  int64 // earliest time of an event
	count  int   // devices that are there
	let    int   // devices that were let go so far
	past   [2][]trail
	lost   [2]int64 // time up to which some are not known any more
	places map[string]*stay
}

// stay is a device from when it came until it is let go.
type stay struct {
	heard  int64 // when it was last heard of
	again  bool  // others had been let go before it came
	resets []uint64
}

// trail is an event of a device that was let go: what is sent again is a duplicate still.
type trail struct {
	device      string
	id          uint64
	time, clock int64
}

// short and long are the kinds of trails: of what may come late, and late for long.
const (
	short = iota
	long
)

func (o *Oracle) room(partition int32) *room {
	r := o.rooms[partition]
	if r == nil {
		r = &room{first: math.MaxInt64, places: map[string]*stay{}}
		o.rooms[partition] = r
	}
	return r
}

// limit is how many devices a partition may have.
func (o *Oracle) limit() int {
	parts := max(1, o.Partitions)
	return (o.res.cfg.State.MaxDevices + parts - 1) / parts
}

// expire lets go who did one thing and was silent for long enough, as of a record.
func (o *Oracle) expire(e *event.Event) {
	r, clock, single := o.room(e.Partition), o.now(e.Partition), o.res.cfg.State.Single.Milliseconds()
	o.unlearn(e.Partition)
	if single == 0 || clock-r.first < single {
		return
	}
	for _, d := range o.inTurn(e.Partition) {
		if o.rank(d) == 0 && r.places[d].heard+single <= clock {
			o.letGo(e.Partition, d)
		}
	}
}

// comes makes room for a device that is not known.
func (o *Oracle) comes(e *event.Event) {
	o.expire(e)
	r := o.room(e.Partition)
	if r.count >= o.limit() {
		for _, d := range o.inTurn(e.Partition)[:r.count+1-o.limit()] {
			o.letGo(e.Partition, d)
		}
	}
	r.count++
	r.places[e.Device] = &stay{again: r.let > 0}
}

// hear notes that something came of a device at a time, which may be ahead of the clock
// where nobody says when it was received.
func (o *Oracle) hear(e *event.Event, t int64) {
	if e.Receipt > 0 {
		t = min(t, o.now(e.Partition))
	}
	r := o.room(e.Partition)
	s := r.places[e.Device]
	s.heard, r.first = max(s.heard, t), min(r.first, t)
}

// inTurn are the devices of a partition in the order in which they are let go.
func (o *Oracle) inTurn(partition int32) (out []string) {
	r := o.room(partition)
	for d := range r.places {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(o.rank(a), o.rank(b)), cmp.Compare(r.places[a].heard, r.places[b].heard), cmp.Compare(a, b))
	})
	return out
}

// rank is 2 for a device that is, or was, a user's by a proof, else 1 for one of several
// events, else 0.
func (o *Oracle) rank(device string) int {
	events := 0
	for _, p := range o.res.devices[device] {
		if p.name != "" && o.proven[pair{device, p.name}] {
			return 2
		}
		events += len(p.events) + len(p.late)
	}
	return min(1, events/2)
}

// letGo drops a device with all that is known of it but for its sessions, which were told,
// and for what would be a duplicate.
func (o *Oracle) letGo(partition int32, device string) {
	r, clock, b := o.room(partition), o.now(partition), o.boundOf(device)
	var had [2][]trail
	for _, p := range o.res.devices[device] {
		for _, e := range slices.Concat(p.events, p.late) {
			x := trail{device, e.ID, e.Time, clock}
			if o.patient(e.Kind) && e.Time >= max(b.lost, clock-o.allowed(e.Kind)) {
				had[long] = append(had[long], x)
			}
			if e.Time >= max(b.folded, clock-o.res.cfg.Lateness.Short.Milliseconds()) {
				had[short] = append(had[short], x)
			}
		}
	}
	for _, id := range r.places[device].resets {
		had[long] = append(had[long], trail{device, id, clock, clock})
	}
	for kind, all := range had {
		slices.SortFunc(all, func(a, b trail) int { return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.id, b.id)) })
		for _, x := range all {
			r.learn(kind, x, 2*o.limit())
		}
	}
	for _, devices := range o.seen {
		delete(devices, device)
	}
	for p := range o.proven {
		if p.device == device {
			delete(o.proven, p)
		}
	}
	o.gone = append(o.gone, o.res.devices[device]...)
	delete(o.res.devices, device)
	delete(o.bounds, device)
	delete(r.places, device)
	r.count, r.let = r.count-1, r.let+1
}

// learn keeps an event of a device that was let go, and at most so many.
func (r *room) learn(kind int, x trail, most int) {
	if slices.ContainsFunc(r.past[kind], func(y trail) bool { return y.device == x.device && y.id == x.id }) {
		return
	}
	for r.past[kind] = append(r.past[kind], x); len(r.past[kind]) > most; r.past[kind] = r.past[kind][1:] {
		first := r.past[kind][0]
		r.lost[kind] = max(r.lost[kind], min(first.time, first.clock))
	}
}

// unlearn drops what would be too late by now.
func (o *Oracle) unlearn(partition int32) {
	r := o.room(partition)
	for kind, allowed := range []int64{short: o.res.cfg.Lateness.Short.Milliseconds(), long: o.allowed(event.KindOrder)} {
		for len(r.past[kind]) > 0 && r.past[kind][0].time < o.now(partition)-allowed {
			r.past[kind] = r.past[kind][1:]
		}
	}
}

// wasOf reports whether the event is one of a device that was let go.
func (o *Oracle) wasOf(e *event.Event) bool {
	r := o.room(e.Partition)
	return slices.ContainsFunc(slices.Concat(r.past[short], r.past[long]), func(x trail) bool { return x.device == e.Device && x.id == e.ID })
}

// unknowable reports whether the event is so old that it may be one of a device that was
// let go, and nobody knows any more.
func (o *Oracle) unknowable(e *event.Event) bool {
	r, kind := o.room(e.Partition), short
	if o.patient(e.Kind) {
		kind = long
	}
	s := r.places[e.Device]
	return r.lost[kind] > 0 && e.Time <= r.lost[kind] && (s == nil || s.again)
}
