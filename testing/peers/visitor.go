// Package peers has two jobs of the same kind as microseg's, written by hand for its
// benchmark: a plain Go loop on franz-go (this package), and a Flink DataStream job in
// Java (folder flink). Both read the same events and write the same updates, byte for
// byte. README.md says what the kernel that they share does, and what microseg does
// beyond it.
package peers

import "strconv"

// Of sessions and of time, in ms.
const (
	gap       = 30 * 60_000
	dwellCap  = 30_000
	idleAfter = 60_000
	lateness  = 10 * 60_000
	forget    = 24 * 60 * 60_000 // also the time in which a cart cools
	disorder  = 5_000            // how far the watermark stays behind the newest event of a partition
)

// visitor is all that the kernel keeps of a visitor.
type visitor struct {
	name       []byte
	live, long float64 // decayed sums at newest
	newest     int64   // event time; 0: none yet
	start      int64   // of the open session; 0: none is open
	events     int64   // of it, and so on
	pages      int64
	comparison int64 // ms on comparison pages
	costly     int64 // ms with expensive products
	price      int64 // ms with the pointer there
	features   int64
	items      int64 // in the cart, which outlives its session
	value      float64
	changed    int64 // when the cart last did
	armed      int64 // the earliest timer that is set; 0: none
	page       uint8
	device     uint8
	network    uint8
	path       uint8
	onCostly   bool // the page shows an expensive product
	idle       bool // evaluated since it fell silent
}

// apply folds one event. What time alone would have changed before it changes first.
func (v *visitor) apply(e *event, out func(*visitor, int64)) {
	v.advance(e.at, out)
	if v.newest > 0 && e.at < v.newest-lateness {
		return
	}
	v.weigh(e)
	began := false
	if v.start == 0 {
		if e.at < v.newest {
			return // of a session that is over
		}
		v.start, began = e.at, true
	}
	v.start = min(v.start, e.at)
	v.events++
	v.act(e, e.at >= v.newest)
	v.newest = max(v.newest, e.at)
	if path := v.evaluate(v.newest); began || path != v.path {
		v.path = path
		out(v, v.newest)
	}
}

// weigh adds the weight to both sums, whose time is that of the newest event.
func (v *visitor) weigh(e *event) {
	if d := float64(e.at - v.newest); d >= 0 {
		if v.newest > 0 {
			v.live = float64(v.live * half(d/liveHalfLife))
			v.long = float64(v.long * half(d/longHalfLife))
		}
		v.live, v.long = v.live+e.weight, v.long+e.weight
	} else {
		v.live += float64(e.weight * half(-d/liveHalfLife))
		v.long += float64(e.weight * half(-d/longHalfLife))
	}
}

// act does what the event is about; what depends on the order counts in order only.
func (v *visitor) act(e *event, inOrder bool) {
	if inOrder {
		v.dwell(e.at)
		v.idle = false
		if e.device > 0 {
			v.device = e.device
		}
		if e.network > 0 {
			v.network = e.network
		}
	}
	switch e.kind {
	case page:
		if v.pages++; inOrder {
			v.page, v.onCostly = e.page, false
		}
	case hover:
		switch e.element {
		case elementPrice:
			v.price += e.duration
		case elementFeatures:
			v.features += e.duration
		}
	case productViewed:
		if inOrder && e.costly {
			v.onCostly = true
		}
	case productAdded:
		v.put(e, e.quantity)
	case productRemoved:
		v.put(e, -e.quantity)
	case order:
		v.items, v.value, v.changed = 0, 0, max(v.changed, e.at)
	}
}

// dwell counts the time since the event before for the page that it was spent on.
func (v *visitor) dwell(at int64) {
	d := min(at-v.newest, dwellCap)
	if v.events == 1 {
		return // nothing of this session was before
	}
	if v.page == pageComparison {
		v.comparison += d
	}
	if v.onCostly {
		v.costly += d
	}
}

func (v *visitor) put(e *event, n int64) {
	v.items = max(0, v.items+n)
	v.value = max(0, v.value+float64(e.price*float64(n)))
	v.changed = max(v.changed, e.at)
}

// wake is when time alone changes something next; 0: never.
func (v *visitor) wake() int64 {
	switch {
	case v.newest == 0:
		return 0
	case v.start == 0:
		return v.newest + forget
	case v.items > 0 && !v.idle:
		return v.newest + idleAfter
	}
	return v.newest + gap
}

// advance does what time alone changes up to t. A visitor who is forgotten is as new.
func (v *visitor) advance(t int64, out func(*visitor, int64)) {
	for {
		w := v.wake()
		if w == 0 || w > t {
			return
		}
		switch {
		case v.start == 0:
			*v = visitor{name: v.name, armed: v.armed}
			out(v, 0)
		case w == v.newest+idleAfter:
			v.idle = true
			if path := v.evaluate(w); path != v.path {
				v.path = path
				out(v, w)
			}
		default:
			v.start, v.events, v.pages, v.comparison, v.costly, v.price, v.features = 0, 0, 0, 0, 0, 0, 0
			v.page, v.onCostly = pageUnknown, false
			v.path = v.evaluate(w)
			out(v, w)
		}
	}
}

// appendUpdate writes what the topic of updates says of a visitor as of t; nothing of
// one who is forgotten.
func (v *visitor) appendUpdate(b []byte, t int64) []byte {
	if v.newest == 0 {
		return b
	}
	field := func(name string, n int64) { b = strconv.AppendInt(append(b, name...), n, 10) }
	b = append(append(b, `{"path":"`...), paths[v.path]...)
	field(`","at":`, t)
	field(`,"newest":`, v.newest)
	field(`,"session":`, v.start)
	field(`,"events":`, v.events)
	field(`,"pages":`, v.pages)
	field(`,"comparison_ms":`, v.comparison)
	field(`,"costly_ms":`, v.costly)
	field(`,"price_ms":`, v.price)
	field(`,"features_ms":`, v.features)
	field(`,"intent":`, int64(v.intent(t)*1e6))
	field(`,"long":`, int64(v.long*half(float64(t-v.newest)/longHalfLife)*1e6))
	field(`,"cart":`, v.items)
	field(`,"value":`, int64(v.value*100))
	return append(b, '}')
}
