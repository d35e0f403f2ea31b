package identity

import (
	"container/heap"
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/session"
)

// How many devices a partition has is bounded (docs/adr/0023): whoever has the public
// key can make as many as there are words. Where one more comes than there is room for,
// another one is let go, at the offset of the record that brings it. Which one follows
// from the records of the partition at lower offsets alone, never from free memory.

// Limits bound what a partition holds. They travel with the batches, so that others hold
// from a batch on, and what was decided before is decided so again.
type Limits struct {
	Devices int64 // of a partition; 0: any number
	Single  int64 // ms of the data clock after which a device of one event, of which there is no proof, is forgotten; 0: as any other
}

// AppendTo writes the limits.
func (l Limits) AppendTo(w *codec.Writer) {
	w.Int(l.Devices)
	w.Int(l.Single)
}

// ReadLimits reads what AppendTo wrote.
func ReadLimits(r *codec.Reader) Limits { return Limits{Devices: r.Int(), Single: r.Int()} }

// Class says what a device was that was let go.
type Class uint8

// Classes, in the order in which devices are let go where there is no room. Of each the
// longest silent goes first.
const (
	ClassStale   Class = iota // one event, older than the short lateness, and no proof
	ClassSingle               // one event, and no proof
	ClassSilent               // no proof
	ClassUser                 // it is, or was, a user's by a proof
	ClassExpired              // of one event and silent for Limits.Single: it is not for room that it went
	classes      = 5
)

// Classes names the classes.
var Classes = [classes]string{"single_stale", "single", "silent", "user", "single_expired"}

// rank is who goes before whom; of one rank the longest silent first.
type rank uint8

const (
	unranked rank = iota // an epoch that is over, or a device that is being made
	single
	several
	users
	ranks
)

// turn is a device that may be let go, by when it was last heard of. That may be too
// early, never too late, so that an event costs nothing here.
type turn struct {
	heard  int64
	device *device
}

// turns is a heap of the present devices of one rank in a partition.
type turns []turn

func (t turns) Len() int { return len(t) }
func (t turns) Less(i, j int) bool {
	// A shard that was read from a snapshot must take them in the same order.
	return t[i].heard < t[j].heard || t[i].heard == t[j].heard && t[i].device.id < t[j].device.id
}
func (t turns) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].device.turn, t[j].device.turn = int32(i), int32(j)
}

func (t *turns) Push(x any) {
	n := x.(turn)
	n.device.turn = int32(len(*t))
	*t = append(*t, n)
}

func (t *turns) Pop() any {
	old := *t
	n := old[len(old)-1]
	old[len(old)-1] = turn{}
	*t = old[:len(old)-1]
	return n
}

// first is the device that has been silent for longest, nil without one.
func (t *turns) first() *device {
	for len(*t) > 0 {
		f := &(*t)[0]
		if f.heard >= f.device.heard {
			return f.device
		}
		f.heard = f.device.heard
		heap.Fix(t, 0)
	}
	return nil
}

// before reports whether somebody may be silent since then or longer; it is quick to say no.
func (t turns) before(at int64) bool { return len(t) > 0 && t[0].heard <= at }

// Devices is how many devices the partition has.
func (q *Partition) Devices() (n int) {
	for r := range q.turns {
		n += len(q.turns[r])
	}
	return n
}

// rankOf is the rank that the device has now.
func (s *Shard) rankOf(d *device) rank {
	if d.userID() != "" || len(s.former) > 0 && slices.ContainsFunc(s.former[d.id], func(f former) bool { return f.proof > claimed }) {
		return users
	}
	if d.Several {
		return several
	}
	return single
}

// rerank gives a present device the place that it has by now.
func (s *Shard) rerank(q *Partition, d *device) {
	r := s.rankOf(d)
	if r == d.rank || d.past {
		return
	}
	if d.queued != 0 && !q.isHome(d) {
		_, q = s.homeOf(d)
	}
	s.unrank(q, d)
	d.rank = r
	heap.Push(&q.turns[r], turn{d.heard, d})
}

// unrank takes a device out of those that may be let go.
func (s *Shard) unrank(q *Partition, d *device) {
	if q.unrank(d) {
		return
	}
	for _, q := range s.parts { // an older program's, elsewhere than its records
		if q.unrank(d) {
			return
		}
	}
}

func (q *Partition) unrank(d *device) bool {
	if d == nil || d.rank == unranked {
		return true
	}
	if t := q.turns[d.rank]; int(d.turn) >= len(t) || t[d.turn].device != d {
		return false
	}
	heap.Remove(&q.turns[d.rank], int(d.turn))
	d.rank = unranked
	return true
}

// rankAll ranks the devices of a partition that was read.
func (s *Shard) rankAll(q *Partition) {
	for _, d := range q.agenda {
		if d.past || s.devices[d.id] != d || d.rank != unranked {
			continue
		}
		d.rank = s.rankOf(d)
		q.turns[d.rank].Push(turn{d.heard, d})
	}
	for r := range q.turns {
		heap.Init(&q.turns[r])
	}
}

// newcomer is a device that is not known, as of a record.
func (s *Shard) newcomer(q *Partition, e *event.Event, epoch int64, out *Output) *device {
	s.makeRoom(q, 1, e, out)
	d := s.fresh(strings.Clone(e.Device), epoch)
	d.set(markAgain, q.LetGo != [classes]uint64{})
	s.devices[d.id] = d
	return d
}

// makeRoom lets devices of the partition go until there is room for n more, as of a
// record. Those that the retention has forgotten are not among them, whether or not the
// agenda has got there.
func (s *Shard) makeRoom(q *Partition, n int, e *event.Event, out *Output) {
	q.unlearnOld(s.session)
	if l := s.limits.Single; l > 0 && q.turns[single].before(q.Clock-l) {
		s.forgetSilent(q, single, out)
		for t := &q.turns[single]; t.before(q.Clock - l); {
			if d := t.first(); d.heard <= q.Clock-l {
				s.letGo(q, d, ClassExpired, e, out)
			}
		}
	}
	limit := int(s.limits.Devices)
	if limit == 0 || q.Devices()+n <= limit {
		return
	}
	for r := range q.turns {
		s.forgetSilent(q, rank(r), out)
	}
	for q.Devices()+n > limit && q.Devices() > 0 && (!s.owing || q.strangers() > 0) {
		d, c := s.leastMissed(q)
		s.letGo(q, d, c, e, out)
	}
}

// forgetSilent forgets the devices of a rank that have been silent for the retention.
func (s *Shard) forgetSilent(q *Partition, r rank, out *Output) {
	var ahead []*device // an event of theirs was ahead of the data clock
	for t := &q.turns[r]; t.before(q.Clock - s.p.Retention); {
		d := t.first()
		switch {
		case d.heard > q.Clock-s.p.Retention:
			continue
		case d.seen() > q.Clock-s.p.Retention:
			q.unrank(d)
			ahead = append(ahead, d)
		default:
			s.keepAll(d.id)
			s.forget(q, d, out)
		}
	}
	for _, d := range ahead {
		s.rerank(q, d)
	}
}

// leastMissed is whom to let go.
func (s *Shard) leastMissed(q *Partition) (*device, Class) {
	if d := q.turns[single].first(); d != nil {
		if d.heard < q.Clock-s.session.Lateness {
			return d, ClassStale
		}
		return d, ClassSingle
	}
	if d := q.turns[several].first(); d != nil {
		return d, ClassSilent
	}
	return q.turns[users].first(), ClassUser
}

// letGo drops a device with all of its epochs, as of the partition's data clock. What it
// has shown stays: an open session gets its last row as far as it is known. Its users
// lose it. What is kept is which of its events would be duplicates.
func (s *Shard) letGo(q *Partition, d *device, c Class, e *event.Event, out *Output) {
	s.keepAll(d.id)
	q.LetGo[c]++
	users := s.allUsers(d)
	epochs := append(slices.Clone(s.past[d.id]), d)
	for _, o := range epochs {
		if f := o.State().Fold; f != nil && !o.closed {
			out.Sessions = append(out.Sessions, s.row(o, cloneFold(f), false))
		}
	}
	q.learn(epochs, s)
	if s.owing && c != ClassExpired {
		out.Owed(d.id, &d.Profile, q.Clock)
		users = nil // none has it now
	} else {
		out.Evicted(d.id, &d.Profile, c, q.Clock, Place{e.Partition, e.Offset})
	}
	s.unrank(q, d)
	for _, o := range epochs {
		if _, home := s.homeOf(o); home != nil {
			heap.Remove(&home.agenda, int(o.place))
		}
		o.queued, o.dirty, o.past = 0, false, true // others may still look at it
	}
	delete(s.devices, d.id)
	delete(s.past, d.id)
	delete(s.former, d.id)
	for _, u := range users {
		s.vector = session.Vector{Device: d.id, User: u, Version: s.versionAt(e.Offset), Retract: true, Evicted: true, At: s.now(q, d, nil)}
		out.Vector(&s.vector, e)
	}
}

// allUsers are the users that have vectors of the device, sorted.
func (s *Shard) allUsers(d *device) (out []string) {
	for _, o := range append(slices.Clone(s.past[d.id]), d) {
		if u := o.userID(); u != "" {
			out = append(out, u)
		}
	}
	for _, f := range s.former[d.id] {
		out = append(out, f.user)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
