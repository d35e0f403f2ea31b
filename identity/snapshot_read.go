package identity

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/microseg/microseg/event/codec"
)

// ReadShard reads what AppendTo wrote, or an older version, and leaves what is behind
// it. It keeps at most so many devices of a partition, besides those that stay (see
// lower.go); 0: any number.
func ReadShard(r *codec.Reader, p *Params, limit int64) (*Shard, error) {
	s := NewShard(p)
	v := r.Byte()
	if v < oldestVersion || v > schemaVersion {
		return nil, &codec.VersionError{What: "device shard", Got: int(v), Want: schemaVersion}
	}
	r.Uint()
	s.settled = r.Int()
	for range r.Len() {
		q := s.Partition(int32(r.Int()))
		q.Offset, q.Clock, q.Time, q.idle = r.Int(), r.Int(), r.Int(), r.Bool()
		q.Counts = Counts{Read: r.Uint(), Good: r.Uint(), Duplicate: r.Uint(), Dead: r.Uint()}
		if v > keyedVersion {
			q.Counts.Stray = r.Uint()
		}
		if v > uncopied {
			q.copied = readCopied(r)
		}
		if q.older = q.Offset; v > unproven {
			q.older = r.Int()
		}
		if v > unreceived {
			q.pace = pace{clock: r.Int(), wall: r.Int()}
			q.readLimited(r)
			q.left = readOffsets(r)
		}
		if v > unled {
			q.lead, q.ahead = readLead(r), r.Int()
		}
		if v <= wholeVersion {
			for range r.Len() {
				if s.put(q, readDevice(r, p, v)); r.Err() != nil {
					return nil, r.Err()
				}
			}
		}
	}
	rows := readDirty(r)
	if v <= wholeVersion {
		for range r.Len() {
			s.readFormer(r, r.String(), v)
		}
	} else if err := s.readDevices(r, p, v, newReading(limit, rows)); err != nil {
		return nil, err
	}
	s.setDirty(rows)
	for id, epochs := range s.past { // vectors are made in their order
		slices.SortFunc(epochs, func(a, b *device) int { return cmp.Compare(a.epoch, b.epoch) })
		if d := s.devices[id]; d != nil && v <= unreceived {
			for _, o := range epochs {
				d.Inherit(&o.Profile)
			}
		}
	}
	for _, q := range s.parts {
		heap.Init(&q.agenda)
		s.rankAll(q)
	}
	return s, r.Err()
}

func (q *Partition) readLimited(r *codec.Reader) {
	for c := range q.LetGo {
		q.LetGo[c] = r.Uint()
	}
	for i := range q.gone {
		q.gone[i].floor = r.Int()
	}
}

func (s *Shard) readDevices(r *codec.Reader, p *Params, v byte, within *reading) error {
	n := r.Len()
	var ahead []trailsAhead
	if v > unreceived {
		ahead = s.readTrailsAhead(r)
	}
	for range n {
		q := s.parts[int32(r.Int())]
		d := readDevice(r, p, v)
		if q == nil {
			r.Fail()
		}
		if r.Err() != nil {
			return r.Err()
		}
		if !d.past {
			s.unrank(q, s.devices[d.id]) // an older program's, elsewhere
		}
		if s.put(q, d); !d.past {
			s.readFormer(r, d.id, v)
		}
		within.take(s, q, d)
	}
	s.readTrails(r, ahead, within.traces())
	within.end(s)
	return nil
}

func (s *Shard) readFormer(r *codec.Reader, id string, version byte) {
	for range r.Len() {
		f := former{r.String(), legacy}
		if version > unproven {
			f.proof = readProof(r)
		}
		s.former[id] = append(s.former[id], f)
	}
}

// put takes a device that was read in; the agenda is put in order at the end.
func (s *Shard) put(q *Partition, d *device) {
	q.agenda.Push(d)
	if d.is(markHeld) {
		s.held = append(s.held, held{q, d})
	}
	if d.past {
		s.past[d.id] = append(s.past[d.id], d)
	} else {
		s.devices[d.id] = d
	}
}

// trailsAhead says how many trails come behind the devices.
type trailsAhead struct {
	to *learned
	n  uint64
}

func (s *Shard) readTrailsAhead(r *codec.Reader) (all []trailsAhead) {
	for range r.Len() {
		q, long, n := s.parts[int32(r.Int())], r.Int(), r.Uint()
		if q == nil || long < 0 || long >= int64(len(q.gone)) {
			r.Fail()
			return nil
		}
		all = append(all, trailsAhead{&q.gone[long], n})
	}
	return all
}

// readTrails reads the events of devices that were let go, of which the counts came
// before the devices.
func (s *Shard) readTrails(r *codec.Reader, all []trailsAhead, most int) {
	for _, t := range all {
		for range t.n {
			x := readTrail(r)
			if r.Err() != nil {
				return
			}
			t.to.add(x, most)
		}
	}
}
