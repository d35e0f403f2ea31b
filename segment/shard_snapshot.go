package segment

import (
	"container/heap"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// shardVersion is the first byte of a snapshot; a newer one is refused.
const shardVersion = 1

// AppendTo writes the whole shard.
func (s *Shard) AppendTo(w *codec.Writer) {
	w.Byte(shardVersion)
	w.Int(s.Now)
	w.Uint(s.Dropped)
	s.audience.appendTo(w)
	w.Uint(uint64(len(s.persons)))
	for _, q := range s.persons {
		q.appendTo(w)
	}
	var gone []*person
	for _, q := range s.dirty {
		if q.gone {
			gone = append(gone, q) // their last row has not been made yet
		}
	}
	w.Uint(uint64(len(gone)))
	for _, q := range gone {
		q.appendTo(w)
	}
}

func (q *person) appendTo(w *codec.Writer) {
	w.String(q.id)
	for _, b := range []bool{q.gone, q.dirty, q.bot, q.linked} {
		w.Bool(b)
	}
	w.Uint(uint64(q.transitions))
	for _, v := range []int64{int64(q.node), int64(q.count), q.since, q.evaluated, q.last, q.wake, q.queued} {
		w.Int(v)
	}
	w.Uint(uint64(len(q.devices)))
	for i := range q.devices {
		q.devices[i].appendTo(w)
	}
}

func (d *deviceVector) appendTo(w *codec.Writer) {
	w.String(d.device)
	w.Int(d.epoch)
	w.Uint(uint64(d.version.Generation))
	w.Int(d.version.Offset)
	w.Uint(uint64(d.version.Revision))
	w.Bool(d.left)
	w.Int(d.last)
	w.Float(d.live.Sum)
	w.Int(d.live.Ref)
	w.Float(d.long.Sum)
	w.Int(d.long.Ref)
	w.Sparse(d.values)
}

func readVector(r *codec.Reader) deviceVector {
	return deviceVector{device: r.String(), epoch: r.Int(),
		version: session.Version{Generation: uint32(r.Uint()), Offset: r.Int(), Revision: uint32(r.Uint())},
		left:    r.Bool(), last: r.Int(), live: signal.Decayed{Sum: r.Float(), Ref: r.Int()}, long: signal.Decayed{Sum: r.Float(), Ref: r.Int()},
		values: r.Sparse(nil)}
}

func readPerson(r *codec.Reader) *person {
	q := &person{id: r.String(), gone: r.Bool(), dirty: r.Bool(), bot: r.Bool(), linked: r.Bool(), transitions: uint32(r.Uint())}
	q.node, q.count, q.since, q.evaluated, q.last, q.wake, q.queued = int(r.Int()), int(r.Int()), r.Int(), r.Int(), r.Int(), r.Int(), r.Int()
	for range r.Len() {
		q.devices = append(q.devices, readVector(r))
	}
	return q
}

// ReadShard reads what AppendTo wrote.
func ReadShard(b []byte, p *ShardParams) (*Shard, error) {
	r := codec.Reader{B: b}
	s := NewShard(p)
	if v := r.Byte(); v != shardVersion {
		return nil, &codec.VersionError{What: "person shard", Got: int(v), Want: shardVersion}
	}
	s.Now, s.Dropped = r.Int(), r.Uint()
	s.audience.read(&r)
	for range 2 { // the living, then those whose last row is due
		for range r.Len() {
			q := readPerson(&r)
			if r.Err() != nil {
				return nil, r.Err()
			}
			if !q.gone {
				s.persons[q.id] = q
			}
			if q.dirty {
				s.dirty = append(s.dirty, q)
			}
			if q.queued != 0 && !q.gone {
				s.wakes = append(s.wakes, wake{q.queued, q})
			}
		}
	}
	heap.Init(&s.wakes)
	return s, r.Err()
}

func (a *audience) appendTo(w *codec.Writer) {
	w.Int(a.done)
	w.Uint(uint64(len(a.counts)))
	for n := range a.counts {
		w.Int(int64(a.counts[n]))
		w.Bool(a.stale[n])
	}
	w.Uint(uint64(len(a.deltas)))
	for m, d := range a.deltas {
		w.Int(m)
		for _, v := range d {
			w.Int(int64(v))
		}
	}
	w.Int(a.weighed)
	w.Sparse(a.live)
	w.Sparse(a.long)
}

func (a *audience) read(r *codec.Reader) {
	a.done = r.Int()
	if n := r.Len(); n != len(a.counts) {
		r.Fail()
		return
	}
	for n := range a.counts {
		a.counts[n], a.stale[n] = int32(r.Int()), r.Bool()
	}
	for range r.Len() {
		m, d := r.Int(), make([]int32, len(a.counts))
		for i := range d {
			d[i] = int32(r.Int())
		}
		a.deltas[m] = d
	}
	a.weighed, a.live, a.long = r.Int(), r.Sparse(nil), r.Sparse(nil)
}
