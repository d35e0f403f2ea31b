package oracle

import (
	"cmp"
	"math"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// Part is what a person did on one device, as far as the device was the person's.
type Part struct {
	Device string
	Events []event.Event // by time and offset
	Late   []event.Event // that came too late for a session
	Fold   *session.Profile
}

// Merge fills the features of a person, by slot, as of t (ms): from the folds of
// its devices what is of one session, from all its events what is the person's.
func Merge(values []float64, parts []*Part, stored []session.Feature, gap, t int64) {
	clear(values)
	said := make([]int64, len(stored))
	one, page := make([]float64, len(stored)), pageOf(parts, gap, t)
	for _, p := range parts {
		p.Fold.Fill(one, session.Elements(len(stored)))
		for slot, x := range one {
			if f := &stored[slot]; x != 0 && !(f.Session && t >= p.last()+gap) {
				p.merge(&values[slot], &said[slot], x, f.Merge, p == page)
			}
		}
	}
	c := CartOf(parts)
	values[session.SlotCartItems], values[session.SlotCartValue], values[session.SlotCartChanged] = c.Items, c.Value, float64(c.Changed)
}

func (p *Part) merge(to *float64, said *int64, x float64, how session.Merge, page bool) {
	switch how {
	case session.MergeSum:
		*to += x
	case session.MergeMax:
		*to = max(*to, x)
	case session.MergeMin:
		if *to == 0 || x < *to {
			*to = x
		}
	case session.MergePage:
		if page {
			*to = x
		}
	case session.MergeDevice:
		for i := range p.Events {
			e := &p.Events[i]
			known := e.DeviceType != 0 || e.OS != 0 || e.Network != 0 || e.Width != 0 || e.Height != 0 || e.Flags&event.FlagBot != 0
			if known && e.Time >= *said {
				*said, *to = e.Time, x
			}
		}
	}
}

// last is the newest event that a session had.
func (p *Part) last() int64 {
	if len(p.Events) == 0 {
		return math.MinInt64 / 2
	}
	return p.Events[len(p.Events)-1].Time
}

// pageOf is the device of an open session whose event says something of a page last.
func pageOf(parts []*Part, gap, t int64) (of *Part) {
	newest := int64(0)
	for _, p := range parts {
		begun, before, at := false, int64(math.MinInt64/2), int64(0)
		for i := range p.Events {
			e := &p.Events[i]
			if e.Time-before >= gap {
				begun, at = false, 0
			}
			before = e.Time
			begun = begun || e.Kind == event.KindPage || commerce(e.Kind) && (e.Page != 0 || e.PageType != 0)
			if begun && (e.Page != 0 || e.PageType != 0) {
				at = e.Time
			}
		}
		if at > 0 && t < p.last()+gap && at >= newest {
			of, newest = p, at
		}
	}
	return of
}

func commerce(k event.Kind) bool {
	return k == event.KindProductView || k == event.KindListView || k == event.KindCartView || k == event.KindCheckout || k == event.KindOrder
}

// word is what an event says of the cart.
type word struct {
	part   int
	device string
	event  *event.Event
	whole  bool // and it is all that is in it
	cart   session.Cart
}

func (w *word) compare(o *word) int {
	return cmp.Or(cmp.Compare(w.event.Time, o.event.Time), cmp.Compare(w.device, o.device), cmp.Compare(w.event.Offset, o.event.Offset))
}

// CartOf is what is in a person's cart after all that was said of it, wherever.
func CartOf(parts []*Part) session.Cart {
	var words []word
	for n, p := range parts {
		own := session.Cart{}
		for i := range p.Events {
			w := word{part: n, device: p.Device, event: &p.Events[i]}
			w.read(own)
			own = w.apply(own)
			words = append(words, w)
		}
		for i := range p.Late {
			w := word{part: n, device: p.Device, event: &p.Late[i]}
			w.read(session.Cart{})
			words = append(words, w)
		}
	}
	slices.SortFunc(words, func(a, b word) int { return a.compare(&b) })
	at := lastWhole(words)
	if at < 0 {
		return fold(session.Cart{}, words)
	}
	c := words[at].cart
	before := slices.DeleteFunc(slices.Clone(words[:at]), func(w word) bool { return w.part == words[at].part })
	was := session.Cart{}
	if i := lastWhole(before); i >= 0 {
		was = fold(before[i].cart, before[i+1:])
	} else {
		was = fold(was, before)
	}
	if c.Items > 0 && alike(c, was) {
		c.Changed = min(c.Changed, was.Changed)
	}
	return fold(c, words[at+1:])
}

func lastWhole(words []word) int {
	for i := len(words) - 1; i >= 0; i-- {
		if words[i].whole {
			return i
		}
	}
	return -1
}

func fold(c session.Cart, words []word) session.Cart {
	for i := range words {
		c = words[i].apply(c)
	}
	return c
}

func alike(a, b session.Cart) bool {
	return math.Abs(a.Items-b.Items) < 1e-9 && math.Abs(a.Value-b.Value) < 1e-9*max(1, a.Value)
}

// read finds what a complete statement states; own is the device's cart before it.
func (w *word) read(own session.Cart) {
	e := w.event
	view := e.Kind == event.KindCartView || e.Kind == event.KindCheckout
	w.whole = e.Kind == event.KindOrder || e.Kind == event.KindCartClear || view && e.Flags&event.FlagCart != 0
	if !w.whole || !view || e.Y == 0 {
		return
	}
	w.cart = session.Cart{Items: e.Y, Value: e.X, Changed: e.Time}
	if e.Flags&event.FlagPriced == 0 && e.X == 0 && own.Items > 0 {
		w.cart.Value = own.Value / own.Items * e.Y
	}
	if alike(w.cart, own) {
		w.cart.Changed = own.Changed
	}
}

func (w *word) apply(c session.Cart) session.Cart {
	e, was := w.event, c
	n := e.Y
	switch {
	case w.whole:
		return w.cart
	case e.Kind == event.KindCartRemove:
		n = -math.Abs(n)
	case e.Kind == event.KindCartAdd:
	case (e.Kind == event.KindCartView || e.Kind == event.KindCheckout) && e.X > 0 && c.Items > 0:
		c.Value = e.X
		return c
	default:
		return c
	}
	if n < 0 {
		n = max(n, -c.Items)
	}
	price := e.X
	if n < 0 && e.X == 0 && e.Flags&event.FlagPriced == 0 {
		price = c.Value / c.Items
	}
	c.Items, c.Value = c.Items+n, max(0, c.Value+n*price)
	if c.Items < 1e-9 {
		return session.Cart{}
	}
	if !alike(c, was) {
		c.Changed = e.Time
	}
	return c
}
