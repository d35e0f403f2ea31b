package segment

import (
	"slices"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/session"
)

// Who was let go while a job came back under a lower limit of devices is a person no
// longer, and those who were told of it are not told so yet (identity/lower.go): that is
// owed. Of each only what the last rows name is kept, as bytes.

// owed are persons whose leaving is still to be told, the first ones first.
type owed struct {
	n    int
	list codec.Reader
	more codec.Writer // behind list
}

// leaver is one of them.
type leaver struct {
	device      string
	node        int
	transitions uint32
	at          int64 // when it was let go
}

func (o *owed) add(q *person, t int64) {
	o.put(leaver{q.id, int(q.node), q.transitions, max(t, q.evaluated)})
}

func (o *owed) put(x leaver) {
	o.n++
	o.more.String(x.device)
	o.more.Int(int64(x.node))
	o.more.Uint(uint64(x.transitions))
	o.more.Int(x.at)
}

// next takes the first one out.
func (o *owed) next() leaver {
	if len(o.list.B) == 0 {
		o.list.B, o.more.B = o.more.B, nil
	}
	o.n--
	return leaver{o.list.String(), int(o.list.Int()), uint32(o.list.Uint()), o.list.Int()}
}

// remove takes those of a device out.
func (o *owed) remove(device string) {
	for n := o.n; n > 0; n-- {
		if x := o.next(); x.device != device {
			o.put(x)
		}
	}
}

func (o *owed) appendTo(w *codec.Writer) {
	w.Uint(uint64(o.n))
	w.Uint(uint64(len(o.list.B) + len(o.more.B)))
	w.B = append(append(w.B, o.list.B...), o.more.B...)
}

func (o *owed) read(r *codec.Reader) {
	o.n = int(r.Uint())
	o.list.B = append([]byte(nil), r.Bytes()...)
}

// Owe drops the person that is a device which was let go at t, and tells nobody.
func (s *Shard) Owe(p *session.Profile, t int64, out *Effects) {
	q, ok := p.PersonState.(*person)
	if !ok {
		return
	}
	t = max(t, q.evaluated)
	s.wakeUntil(q, t, out)
	s.count(q, nowhere, false, t)
	s.owed.add(q, t)
	q.gone = true
	s.remove(q)
}

// OweUnknown is Owe for a device that may have been a person.
func (s *Shard) OweUnknown(device string, t int64) {
	s.owed.put(leaver{device: device, node: nowhere, at: t})
}

// owe is Owe for a person of a snapshot whose device was not read.
func (s *Shard) owe(q *person) {
	if q.counted {
		s.audience.move(s.p.Tree, int(q.node), nowhere, s.Now)
	}
	s.owed.add(q, s.Now)
}

// Owed is how many persons' leaving is still to be told.
func (s *Shard) Owed() int { return s.owed.n }

// Forget takes a device that is deleted at t out of those whose leaving is owed.
func (s *Shard) Forget(device string, t int64, out *Effects) {
	if n := s.owed.n; n > 0 {
		if s.owed.remove(device); s.owed.n < n {
			out.States = append(out.States, erasedRow(&person{id: device, profile: &session.Profile{}}, t))
		}
	}
}

// Tell tells that up to n persons have left whose leaving is owed, as of a record. Who has
// come back is somebody new: find says whether, with its profile unless it is a user's.
// left is called for who has not.
func (s *Shard) Tell(n int, offset int64, partition int32, find func(device string) (*session.Profile, bool), left func(device string), out *Effects) {
	for ; n > 0 && s.owed.n > 0; n-- {
		x := s.owed.next()
		q := &person{id: x.device, profile: &session.Profile{}, node: int32(x.node), transitions: x.transitions}
		s.move(q, nowhere, x.at, CauseEvicted, offset, partition, out)
		p, back := find(x.device)
		if p != nil {
			if again, ok := p.PersonState.(*person); ok { // what was told last may be of before
				s.keep(again)
				s.touch(again)
				s.publish(again)
				continue
			}
		}
		out.States = append(out.States, erasedRow(q, x.at))
		if !back || p != nil {
			left(x.device)
		}
	}
}

// Recount tells the audience how many there are, as of the last minute that was counted:
// it may have been told otherwise.
func (s *Shard) Recount(out *Effects) {
	if a := &s.audience; a.done > 0 {
		out.Counts = append(out.Counts, MinuteCounts{Minute: a.done, Members: slices.Clone(a.counts)})
	}
}

// Each calls f for each person with its node.
func (s *Shard) Each(f func(person string, node int)) {
	for _, q := range s.all {
		f(q.name(), int(q.node))
	}
}
