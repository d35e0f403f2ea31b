package oracle

import (
	"slices"

	"github.com/microseg/microseg/event"
)

// visit is what an event says of a visit: when it was received, as far as anybody says,
// and when it was.
type visit struct{ receipt, time int64 }

// visited notes the event, which is the newest of the log, and believes the dwell that it
// states up to the time since the one that was received before it.
func (e *epoch) visited(ev *event.Event) {
	at, before := ev.Time, int64(0)
	if ev.Receipt > 0 {
		at = ev.Receipt
	}
	for _, v := range e.visits {
		before = max(before, v.receipt)
	}
	if ev.Kind == event.KindPing && ev.Receipt > 0 && before > 0 {
		possible := max(0, float64(at-before)/1000)
		stated := ev.X
		if stated == 0 && ev.Flags&event.FlagVisible != 0 {
			stated = possible
		}
		ev.X, ev.Flags = min(stated, possible), ev.Flags&^event.FlagVisible
	}
	ev.Receipt = 0 // the fold below is in the order of times
	if ev.Flags&event.FlagPassive == 0 {
		e.visits = append(e.visits, visit{at, ev.Time})
	}
}

// Active are the persons who count in the audience at t (ms), sorted: their visit has the
// length that is asked for, and its newest event is not too old.
func (r *Result) Active(t int64) (out []string, err error) {
	span, window := r.cfg.Audience.MinSpan.Milliseconds(), r.cfg.Audience.Window.Milliseconds()
	for _, id := range r.Persons() {
		p, err := r.Person(id)
		if err != nil {
			return nil, err
		}
		var receipts []int64
		recent := false
		for _, e := range p.epochs {
			for _, v := range e.visits {
				receipts, recent = append(receipts, v.receipt), recent || v.time <= t && t < v.time+window
			}
		}
		if recent && slices.Max(receipts)-slices.Min(receipts) >= span && !p.bot() {
			out = append(out, id)
		}
	}
	return out, nil
}

// bot reports whether what says most recently who browses says that it is a crawler.
func (p *Person) bot() (is bool) {
	said := int64(0)
	for _, part := range p.parts {
		if c := part.Fold.State().Context; c.At >= said {
			said, is = c.At, c.Bot
		}
	}
	return is
}
