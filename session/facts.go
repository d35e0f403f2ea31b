package session

import (
	"math"
	"slices"

	"github.com/microseg/microseg/event"
)

// facts are what is known of the person beyond its sessions, by one device.
type facts struct {
	orders            uint32 // with those that came late
	revenue, refunded float64
	// late are what came behind the short lateness and says something of the cart,
	// until a session has begun after it came.
	late []item
	// ids are those of the events that may come late, while they may come again.
	ids    []seen
	oldest int64  // the least time among ids
	recent []seen // ids of the events of earlier epochs that are within the short lateness, or were a while ago
	index  *ids   // of all ids that the device remembers, nil while they are few
}

// seen is an event that was accepted.
type seen struct {
	time int64
	id   uint64
}

func (q *Profile) made() *facts {
	if q.facts == nil {
		q.facts = &facts{}
	}
	return q.facts
}

// note takes what the event says of the person beyond its session.
func (q *Profile) note(it *item, p *Params) {
	if p.Patient(it.Kind) {
		q.made().keep(seen{it.Time, it.ID})
	}
	switch it.Kind {
	case event.KindOrder:
		f := q.made()
		f.orders++
		f.revenue += it.X
	case event.KindRefund:
		q.made().refunded += it.X
	}
}

// AddLate takes in an event that came behind the short lateness and within the
// long one. It changes what is known of the person, as of the event's own time:
// the sums, the cart, the orders. It opens, extends and bridges no session.
func (q *Profile) AddLate(e *event.Event, p *Params) {
	it := newItem(e)
	q.weigh(e, p)
	q.note(&it, p)
	switch it.Kind {
	case event.KindOrder, event.KindCartAdd, event.KindCartRemove, event.KindCartView, event.KindCheckout, event.KindCartClear:
		f := q.made()
		f.late = append(f.late, it)
		f.limitLate(p)
	}
	q.absorb()
}

// absorb takes the late changes of the cart into the fold, where the next event
// opens a session: a session's row shows what was known when it began.
func (q *Profile) absorb() {
	if q.tail == nil && q.head.Fold == nil && q.facts != nil {
		q.head.carts = q.head.carts.late(q.facts, math.MaxInt64)
		q.facts.late = nil
	}
}

// late takes the late changes in that came before an offset.
func (c *Carts) late(f *facts, offset int64) *Carts {
	if f == nil {
		return c
	}
	for i := range f.late {
		if f.late[i].Offset < offset {
			c = c.with(&f.late[i])
		}
	}
	return c
}

// Carts is what the device says of its person's cart, with what came late.
func (q *Profile) Carts() *Carts { return q.head.carts.late(q.facts, math.MaxInt64) }

// Cart is the cart by this device alone.
func (q *Profile) Cart() Cart { return q.Carts().Cart() }

// Orders are the orders that are known of the device, what they were worth, and
// what was paid back.
func (q *Profile) Orders() (n uint32, revenue, refunded float64) {
	if q.facts == nil {
		return 0, 0, 0
	}
	return q.facts.orders, q.facts.revenue, q.facts.refunded
}

// keep keeps an id.
func (f *facts) keep(s seen) {
	f.index.add(s.id)
	f.hold(s)
}

// hold keeps an id that the index has.
func (f *facts) hold(s seen) {
	if len(f.ids) == 0 || s.time < f.oldest {
		f.oldest = s.time
	}
	f.ids = append(f.ids, s)
}

// forget lets the ids go that no accepted event can have any more.
func (f *facts) forget(horizon int64) {
	if f == nil || len(f.ids) == 0 || f.oldest >= horizon {
		return
	}
	f.oldest = math.MaxInt64
	f.ids = slices.DeleteFunc(f.ids, func(s seen) bool {
		if s.time < horizon {
			f.index.remove(s.id)
			return true
		}
		f.oldest = min(f.oldest, s.time)
		return false
	})
	if len(f.ids) == 0 {
		f.ids = nil
	}
}

// Remembered is the event time of the oldest event whose id is kept beyond the
// short lateness; ok is false without one.
func (q *Profile) Remembered() (t int64, ok bool) {
	if q.facts == nil || len(q.facts.ids) == 0 {
		return 0, false
	}
	return q.facts.oldest, true
}

// Inherit takes over the ids that the epoch of the device before remembers, and the
// index: a duplicate may be of that one. It gets no events any more.
func (q *Profile) Inherit(o *Profile) {
	if f := o.facts; f != nil {
		if f.index != nil {
			q.made().index = f.index
		}
		if n := q.made(); len(n.ids) == 0 {
			n.ids, n.oldest = f.ids, f.oldest
		} else {
			for _, s := range f.ids {
				n.hold(s)
			}
		}
		if n := q.facts; len(n.recent) == 0 {
			n.recent = f.recent
		} else {
			n.recent = append(n.recent, f.recent...)
		}
		f.ids, f.recent = nil, nil
	}
	o.over(q)
}

// Remember keeps the id of an event that is not told: one that comes again is a duplicate.
func (q *Profile) Remember(id uint64, time int64) { q.made().keep(seen{time, id}) }

// End is when the open session ends unless an event comes; 0 without one.
func (q *Profile) End(gap int64) int64 {
	if q.head.Fold == nil {
		return 0
	}
	return q.head.Fold.End + gap
}

// Paged is the time of the newest event that says something of a page, in the
// open session; 0 without one.
func (q *Profile) Paged() int64 {
	if q.head.Fold == nil {
		return 0
	}
	return q.head.Fold.Paged
}

// Fill writes the stored features into values, one per Slot of the catalogue for
// so many elements.
func (q *Profile) Fill(values []float64, elements int) {
	q.head.fill(values, elements)
	c := q.Cart()
	values[SlotCartItems], values[SlotCartValue], values[SlotCartChanged] = c.Items, c.Value, float64(c.Changed)
	if f := q.facts; f != nil {
		at := SlotCustomer(elements)
		values[at], values[at+1], values[at+2] = float64(f.orders), f.revenue, f.refunded
	}
}
