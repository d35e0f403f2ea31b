package session

import (
	"math"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
)

// Presence is what tells whether somebody counts among the active visitors: a visit is
// events that were received some time apart, and lasts until the newest of them is too
// old. Receipts are the collector's, which no payload sets; of an event without one, as
// in files, its own time stands for it. What is passive (event.FlagPassive) is no visit.
// The zero value is somebody of whom there is no such event.
type Presence struct {
	Seen   int64  // newest receipt, ms; 0: none
	Span   uint32 // ms from the first receipt to the newest; wholeSpan: that, or more
	Active int64  // newest event time, ms
}

// wholeSpan is longer than anything that is asked for. Who counted when it was not asked
// how long a visit lasts has it, too.
const wholeSpan = math.MaxUint32

// Whole is the presence of somebody of whom only the newest event is known.
func Whole(last int64) Presence {
	if last == 0 {
		return Presence{}
	}
	return Presence{last, wholeSpan, last}
}

// Counts reports whether the events were received at least so long (ms) apart.
func (p Presence) Counts(span int64) bool { return p.Seen != 0 && int64(p.Span) >= span }

// With is the presence of both together, in whichever order.
func (p Presence) With(o Presence) Presence {
	switch {
	case o.Seen == 0:
		return p
	case p.Seen == 0:
		return o
	}
	first, span := min(p.first(), o.first()), uint32(wholeSpan)
	newest := max(p.Seen, o.Seen)
	if p.Span != wholeSpan && o.Span != wholeSpan {
		span = uint32(min(newest-first, wholeSpan))
	}
	return Presence{newest, span, max(p.Active, o.Active)}
}

func (p Presence) first() int64 { return p.Seen - int64(p.Span) }

// presence is a Presence in two words: a profile has the newest event of all anyway.
type presence struct {
	seen   int64
	span   uint32
	behind uint32 // Profile.Last − Presence.Active
}

// Presence tells whether the device counts among the active visitors.
func (q *Profile) Presence() Presence {
	if q.presence.seen == 0 {
		return Presence{}
	}
	return Presence{q.presence.seen, q.presence.span, q.Last - int64(q.presence.behind)}
}

// setPresence keeps a presence beside Last, which has its new value.
func (q *Profile) setPresence(p Presence) {
	q.presence = presence{p.Seen, p.Span, uint32(min(q.Last-p.Active, math.MaxUint32))}
}

// meet notes that an event was received; was is the presence before it.
func (q *Profile) meet(e *event.Event, was Presence, p *Params) {
	switch {
	case !p.Semantics.Has(5):
		was = was.With(Whole(e.Time))
	case e.Flags&event.FlagPassive == 0:
		was = was.With(Presence{Seen: receiptOf(e), Active: e.Time})
	}
	if was.Seen != 0 {
		q.setPresence(was)
	}
}

// receiptOf is when the event was received, as far as anybody says.
func receiptOf(e *event.Event) int64 {
	if e.Receipt > 0 {
		return e.Receipt
	}
	return e.Time
}

// AppendTo writes the presence beside the newest event time of all.
func (p Presence) AppendTo(w *codec.Writer, last int64) {
	w.Uint(uint64(p.Span))
	w.Int(p.Seen)
	if p.Seen != 0 {
		w.Int(last - p.Active)
	}
}

// ReadPresence reads what AppendTo wrote.
func ReadPresence(r *codec.Reader, last int64) Presence {
	p := Presence{Span: uint32(min(r.Uint(), wholeSpan)), Seen: r.Int()}
	if p.Seen != 0 {
		p.Active = last - r.Int()
	}
	return p
}

// itemOf is what is kept of an event. Dwell that a heartbeat states is believed up to the
// time since the event that was received before it: else one request would say that
// thousands had read for minutes. What is not stated is capped anyway (Params.DwellCap).
func (q *Profile) itemOf(e *event.Event, p *Params) item {
	it := newItem(e)
	if e.Kind != event.KindPing || e.Receipt == 0 || q.presence.seen == 0 || !p.Semantics.Has(5) {
		return it
	}
	since := float64(max(0, e.Receipt-q.presence.seen)) / msPerS
	if it.X == 0 && it.Flags&event.FlagVisible != 0 || it.X > since {
		it.X = since
	}
	it.Flags &^= event.FlagVisible
	return it
}
