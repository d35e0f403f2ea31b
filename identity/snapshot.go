package identity

import (
	"container/heap"
	"slices"

	"github.com/microseg/microseg/event/codec"
)

// schemaVersion is the first byte of a snapshot; a newer one is refused. Version
// 2 knew no epochs without events and counted no users.
const (
	schemaVersion = 3
	oldestVersion = 2
)

// AppendTo writes the whole shard.
func (s *Shard) AppendTo(w *codec.Writer) {
	w.Byte(schemaVersion)
	w.Uint(s.Dropped)
	w.Int(s.settled)
	w.Uint(uint64(len(s.parts)))
	for id, q := range s.parts {
		w.Int(int64(id))
		w.Int(q.Offset)
		w.Int(q.Clock)
		w.Int(q.Time)
		w.Bool(q.idle)
		for _, c := range []uint64{q.Counts.Read, q.Counts.Good, q.Counts.Duplicate, q.Counts.Dead} {
			w.Uint(c)
		}
		// The agenda holds every device, also those whose newer epoch hides them.
		w.Uint(uint64(len(q.agenda)))
		for _, d := range q.agenda {
			d.appendTo(w)
		}
	}
	s.appendDirty(w)
	w.Uint(uint64(len(s.former)))
	for id, users := range s.former {
		w.String(id)
		w.Uint(uint64(len(users)))
		for _, u := range users {
			w.String(u)
		}
	}
}

// appendDirty writes which rows wait, and since when: who takes over must make
// them at the same batch, or it may believe that they have left.
func (s *Shard) appendDirty(w *codec.Writer) {
	n := 0
	for _, y := range s.dirty {
		if y.device.dirty {
			n++
		}
	}
	w.Uint(uint64(n))
	for _, y := range s.dirty {
		if y.device.dirty {
			w.String(y.device.id)
			w.Int(y.device.epoch)
			w.Int(y.at)
		}
	}
}

func (s *Shard) readDirty(r *codec.Reader) {
	for range r.Len() {
		id, epoch, at := r.String(), r.Int(), r.Int()
		d := s.devices[id]
		for _, p := range s.past[id] {
			if p.epoch == epoch {
				d = p
			}
		}
		if d == nil || d.epoch != epoch {
			continue // an epoch that has ended: its sessions have their last rows
		}
		d.dirty = true
		s.dirty = append(s.dirty, dirty{d, at})
	}
}

func (d *device) appendTo(w *codec.Writer) {
	w.String(d.id)
	w.String(d.userID())
	w.Int(d.epoch)
	w.Int(d.offset)
	w.Int(d.queued)
	w.Bool(d.closed)
	w.Bool(d.past)
	w.Bool(d.held)
	w.Bool(d.isShared())
	// Epochs share the history; the present one brings it.
	own := d.remembered() != nil && !d.past
	if w.Bool(own); own {
		d.link.history.appendTo(w)
	}
	d.Profile.AppendTo(w)
}

// ReadShard reads what AppendTo wrote.
func ReadShard(b []byte, p *Params) (*Shard, error) {
	r := codec.Reader{B: b}
	s := NewShard(p)
	v := r.Byte()
	if v < oldestVersion || v > schemaVersion {
		return nil, &codec.VersionError{What: "device shard", Got: int(v), Want: schemaVersion}
	}
	s.Dropped, s.settled = r.Uint(), r.Int()
	for range r.Len() {
		id := int32(r.Int())
		q := s.Partition(id)
		q.Offset, q.Clock, q.Time, q.idle = r.Int(), r.Int(), r.Int(), r.Bool()
		q.Counts = Counts{Read: r.Uint(), Good: r.Uint(), Duplicate: r.Uint(), Dead: r.Uint()}
		n := r.Len()
		q.agenda = slices.Grow(q.agenda, n)
		for range n {
			d := readDevice(&r, p, v)
			if r.Err() != nil {
				return nil, r.Err()
			}
			q.agenda.Push(d)
			if d.held {
				s.held = append(s.held, held{q, d})
			}
			if d.past {
				s.past[d.id] = append(s.past[d.id], d)
			} else {
				s.devices[d.id] = d
			}
		}
		heap.Init(&q.agenda)
	}
	s.readDirty(&r)
	for range r.Len() {
		id := r.String()
		for range r.Len() {
			s.former[id] = append(s.former[id], r.String())
		}
	}
	return s, r.Err()
}

func readDevice(r *codec.Reader, p *Params, version byte) *device {
	d := &device{id: r.String()}
	d.linkTo(r.String())
	d.epoch, d.offset, d.queued, d.closed, d.past, d.held = r.Int(), r.Int(), r.Int(), r.Bool(), r.Bool(), r.Bool()
	if version > oldestVersion {
		shared, own := r.Bool(), r.Bool()
		if own {
			*d.told() = readHistory(r)
		}
		if shared {
			d.told()
			d.link.shared = true
		}
	}
	d.Profile.Read(r, &p.Session)
	return d
}
