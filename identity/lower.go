package identity

import (
	"container/heap"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// A job that died of memory comes back with a lower limit (docs/adr/0023): who is let go
// is not read into memory first, and records that were applied before under a higher
// limit are applied again under the lower one (Shard.Owe). Nobody is told meanwhile,
// since what the process that is gone has told of them has later versions: that is owed,
// and told with the first batches behind. Users' devices stay until then, and so do those
// whose row waits at the moment of the snapshot. So whom a user's shard hears of, and
// with which record, is as it was.

// reading bounds what is read of a snapshot; it is of no use afterwards.
type reading struct {
	limit int             // devices of a partition; 0: any number
	waits map[string]bool // devices whose rows wait
	gone  map[string]bool // devices that were let go and have other epochs
	trace map[*Partition]*[2]learned
	n     int // devices that were let go
}

func newReading(limit int64, rows []waiting) *reading {
	x := &reading{limit: int(limit)}
	if limit > 0 {
		x.waits, x.gone, x.trace = map[string]bool{}, map[string]bool{}, map[*Partition]*[2]learned{}
		for _, y := range rows {
			x.waits[y.id] = true
		}
	}
	return x
}

// take ranks a device that was read in, and lets the least missed go where there are
// more than there is room for.
func (x *reading) take(s *Shard, q *Partition, d *device) {
	if x.limit == 0 {
		return
	}
	if d.past {
		if x.gone[d.id] {
			s.leave(d)
			q.strike(d)
		}
		return
	}
	if x.waits[d.id] {
		return // rankAll does
	}
	d.rank = s.rankOf(d)
	heap.Push(&q.turns[d.rank], turn{d.heard, d})
	for q.Devices() > x.limit && q.strangers() > 0 {
		x.drop(s, q)
	}
}

// strangers is how many devices the partition has of which there is no proof whose they are.
func (q *Partition) strangers() int { return len(q.turns[single]) + len(q.turns[several]) }

// drop lets the least missed device go of those that were read so far.
func (x *reading) drop(s *Shard, q *Partition) {
	d, c := s.leastMissed(q)
	q.LetGo[c]++
	x.n++
	epochs := append(slices.Clone(s.past[d.id]), d)
	if x.trace[q] == nil {
		x.trace[q] = &[2]learned{}
	}
	s.limits.Devices = int64(x.limit)
	q.gone, *x.trace[q] = *x.trace[q], q.gone // those of the snapshot are older
	q.learn(epochs, s)
	q.gone, *x.trace[q] = *x.trace[q], q.gone
	if d.epoch != 0 {
		x.gone[d.id] = true
	}
	q.unrank(d)
	for _, o := range epochs {
		q.strike(o)
	}
	delete(s.devices, d.id)
	delete(s.past, d.id)
	delete(s.former, d.id)
}

// traces is how many events are kept of devices that were let go, of each kind.
func (x *reading) traces() int { return learnedPerDevice * x.limit }

// end puts what was learned behind what the snapshot had.
func (x *reading) end(s *Shard) {
	for q, more := range x.trace {
		for i := range more {
			q.gone[i].floor = max(q.gone[i].floor, more[i].floor)
			for _, t := range more[i].order {
				q.gone[i].add(t, x.traces())
			}
		}
	}
	s.limits, s.asRead = Limits{}, x.n
	s.held = slices.DeleteFunc(s.held, func(h held) bool { return h.device.queued == 0 })
}

// strike takes a device out of an agenda that is not in order yet.
func (q *Partition) strike(d *device) {
	i := int(d.place)
	if i < len(q.agenda) && q.agenda[i] == d {
		q.agenda.Swap(i, len(q.agenda)-1)
		q.agenda.Pop()
	}
	d.queued = 0
}

// LetGoAsRead is how many devices were let go while the shard was read.
func (s *Shard) LetGoAsRead() int { return s.asRead }

// Owe lets devices go for want of room without telling anybody, until it is called
// again: Output.Owed is told. Users' devices stay.
func (s *Shard) Owe(is bool) { s.owing = is }

// oweUnknown owes that a device is gone of which a record has left nothing behind: where
// there was room for it, it has been told of.
func (s *Shard) oweUnknown(q *Partition, e *event.Event, out *Output) {
	if e.Device != "" && e.Kind != event.KindDelete && s.devices[e.Device] == nil {
		out.Owed(e.Device, nil, q.Clock)
	}
}

// Known is what is known of a device's present epoch: its profile, nil while it is a user's.
func (s *Shard) Known(id string) (p *session.Profile, known bool) {
	_, known = s.devices[id]
	return s.Profile(id), known
}
