package transforms

import (
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

// records makes the batches for the topic `segments`; both stages that decide
// have one.
type records struct {
	batch, value codec.Writer
}

// reset drops what a batch that failed has left.
func (p *records) reset() { p.batch.B = p.batch.B[:0] }

// pointer adds the record of a device that is linked to a user, as of t (ms).
func (p *records) pointer(v *session.Vector, version uint64, t, decided int64) {
	r := segment.Record{Version: version, User: v.User, Decided: decided, Evaluated: t}
	p.add(session.PersonID(v.Device, ""), &r)
}

// take adds what a shard has to say of its persons; decided is wall clock, µs.
func (p *records) take(s *segment.Shard, version uint64, decided int64) {
	s.Records(func(person string, r *segment.Record) {
		if r != nil {
			r.Version, r.Decided = version, decided
		}
		p.add(person, r)
	})
}

func (p *records) add(key string, r *segment.Record) {
	p.value.B = p.value.B[:0]
	if r != nil {
		r.AppendTo(&p.value)
	}
	segment.AppendKeyed(&p.batch, key, p.value.B)
}

// active adds the activation record.
func (p *records) active(a *segment.Active) {
	p.value.B = p.value.B[:0]
	a.AppendTo(&p.value)
	segment.AppendKeyed(&p.batch, segment.ActiveKey, p.value.B)
}

// emit lets the batch go, if there is one and somewhere to go.
func (p *records) emit(out func([]byte)) {
	if len(p.batch.B) > 0 && out != nil {
		out(append([]byte(nil), p.batch.B...)) // the stage reuses its buffer
	}
	p.batch.B = p.batch.B[:0]
}
