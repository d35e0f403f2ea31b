package segment

import "github.com/microseg/microseg/event/codec"

// change is a person of whom Records has something to say.
type change struct {
	person *person
	sent   int64 // Shard.Sent when it first had
}

// publish queues the person for Records.
func (s *Shard) publish(q *person) {
	if s.p.Publish && !q.publish {
		q.publish = true
		s.changed = append(s.changed, change{q, s.Sent})
	}
}

// Records hands out the records of the persons whose path, or the truth of
// something that rules read, has changed, and of those whose row was made, each
// once; nil for a user that is forgotten. Of a local person that is gone its
// owner says what its key holds now. The record is valid during the call.
func (s *Shard) Records(f func(person string, r *Record)) {
	for _, u := range s.erased {
		f(u, nil)
	}
	s.erased = s.erased[:0]
	for i, c := range s.changed {
		s.changed[i] = change{}
		q := c.person
		q.publish = false
		switch {
		case q.gone && q.user == nil:
		case q.gone:
			f(q.name(), nil)
		case q.node != nowhere:
			f(q.name(), s.record(q, c.sent))
		}
	}
	s.changed = s.changed[:0]
}

func (s *Shard) record(q *person, sent int64) *Record {
	v := s.view(q, q.evaluated)
	r := &s.published
	*r = Record{Sent: sent, Path: s.p.Tree.Path(int(q.node)), Since: q.since, Evaluated: q.evaluated, Last: v.Last, SessionEnd: v.SessionEnd, Live: v.Live, Long: v.Long,
		Linked: v.Linked, Bot: q.bot(), Once: q.user == nil && !q.profile.Several, Devices: v.Devices, Values: r.Values}
	if r.Values == nil {
		r.Values = make([]float64, len(s.catalog))
	}
	for _, slot := range s.slots {
		r.Values[slot] = v.Values[slot]
	}
	return r
}

// AppendKeyed adds a key and its value to a batch for the topic `segments`;
// an empty value forgets the key.
func AppendKeyed(w *codec.Writer, key string, value []byte) {
	w.String(key)
	w.Bytes(value)
}

// EachKeyed calls f for the keys and values of a batch, which they alias.
func EachKeyed(batch []byte, f func(key, value []byte)) error {
	r := codec.Reader{B: batch}
	for len(r.B) > 0 {
		key, value := r.Bytes(), r.Bytes()
		if r.Err() != nil {
			break
		}
		f(key, value)
	}
	return r.Err()
}
