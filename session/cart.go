package session

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/microseg/microseg/event"
)

// Cart is what is in a cart; the zero Cart is empty.
type Cart struct {
	Items   float64
	Value   float64
	Changed int64 // ms of the last change
}

// crumb is what floating sums leave of a cart from which everything was taken.
const crumb = 1e-9

// same reports whether two carts hold as much.
func (c Cart) same(o Cart) bool {
	return math.Abs(c.Items-o.Items) <= crumb*max(1, c.Items) && math.Abs(c.Value-o.Value) <= crumb*max(1, c.Value)
}

// place orders what was said of a cart; offsets order what one device says.
type place struct{ time, offset int64 }

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.time, o.time), cmp.Compare(p.offset, o.offset))
}

// statement says what is in the cart, whatever was there before.
type statement struct {
	place
	stated bool // there is one
	cart   Cart
}

// step is one change of the cart.
type step struct {
	place
	how   how
	items float64 // how many were put in or taken out; of a sum, what they add up to
	price float64 // of one; of stepValue and of a sum, of all
	least float64 // of a sum: items that there are after it, at the least
}

// how says what a step does.
type how byte

const (
	stepPut how = iota
	stepTake
	stepTakePriced
	stepValue // says what all of it is worth, and nothing of the items
	stepSum   // several that are kept as one
)

// after is the cart after the step. Nobody takes out more than there is.
func (c Cart) after(s *step) Cart {
	was := c
	switch s.how {
	case stepValue:
		if c.Items > 0 {
			c.Value = s.price // which is no change of what is in it
		}
		return c
	case stepPut:
		c.Items, c.Value = c.Items+s.items, c.Value+s.price*s.items
	case stepSum:
		c.Items, c.Value = max(c.Items+s.items, s.least), max(0, c.Value+s.price)
	default:
		n, price := min(s.items, c.Items), s.price
		if s.how == stepTake && c.Items > 0 {
			price = c.Value / c.Items
		}
		c.Items, c.Value = c.Items-n, max(0, c.Value-price*n)
	}
	if c.Items <= crumb {
		return Cart{}
	}
	if !c.same(was) {
		c.Changed = s.time
	}
	return c
}

// Carts is what one device says of its person's cart: its newest complete
// statement, and what it put in and took out after that. Whatever order events
// come in, they give the same Carts, and those of several devices together are
// the person's cart (Together); so a late order empties the cart as of its own
// time, and what was put in later stays.
//
// A Carts is never changed: states share it. Nil says nothing.
type Carts struct {
	said  statement
	steps []step // in order, all after the statement
	now   Cart   // by this device alone
}

// maxSteps bounds the steps; the oldest of more are kept as their sum, as of the
// newest of them: another device's statement that falls between those counts as
// older than all of them, and a late step that does is left out.
const maxSteps = 32

// Cart is the cart by this device alone.
func (c *Carts) Cart() Cart {
	if c == nil {
		return Cart{}
	}
	return c.now
}

// after is the carts after an event, by the rules of its time.
func (c *Carts) after(e *item) *Carts {
	if e.Flags&flagOlder != 0 {
		return c.older(e)
	}
	return c.with(e)
}

// with takes in what the event says of the cart.
func (c *Carts) with(e *item) *Carts {
	if said, ok := c.stating(e); ok {
		return c.stated(said)
	}
	if s, ok := stepOf(e); ok {
		return c.stepped(&s)
	}
	return c
}

// stating is the complete statement that an event makes. What it does not say,
// the value, and since when, is taken from the cart before it.
func (c *Carts) stating(e *item) (statement, bool) {
	s := statement{place: place{e.Time, e.Offset}, stated: true}
	switch e.Kind {
	case event.KindOrder, event.KindCartClear:
		return s, true
	case event.KindCartView, event.KindCheckout:
	default:
		return s, false
	}
	if !stated(e) {
		return s, false
	}
	if e.Y <= crumb {
		return s, true
	}
	was := c.Cart()
	s.cart = Cart{Items: e.Y, Value: e.X, Changed: e.Time}
	if e.X == 0 && e.Flags&event.FlagPriced == 0 && was.Items > 0 {
		s.cart.Value = was.Value / was.Items * e.Y
	}
	if s.cart.same(was) {
		s.cart.Changed = was.Changed
	}
	return s, true
}

// stated reports whether the event lists the whole cart. Events of snapshots of
// an older format have no such flag.
func stated(e *item) bool { return e.Flags&event.FlagCart != 0 || e.Y > 0 && e.X > 0 }

func stepOf(e *item) (step, bool) {
	s := step{place: place{e.Time, e.Offset}, items: e.Y, price: e.X}
	take := stepTake
	if e.X > 0 || e.Flags&event.FlagPriced != 0 {
		take = stepTakePriced
	}
	switch e.Kind {
	case event.KindCartAdd:
		if s.items < 0 {
			s.how, s.items = take, -s.items
		}
	case event.KindCartRemove:
		s.how, s.items = take, math.Abs(s.items)
	case event.KindCartView, event.KindCheckout:
		s.how, s.items = stepValue, 0
		return s, e.X > 0
	default:
		return s, false
	}
	return s, s.items != 0
}

// stated replaces an older statement, and all steps before the new one.
func (c *Carts) stated(s statement) *Carts {
	out := &Carts{said: s}
	if c != nil {
		if c.said.stated && c.said.compare(s.place) >= 0 {
			return c
		}
		i, same := slices.BinarySearchFunc(c.steps, s.place, func(a step, p place) int { return a.compare(p) })
		if same {
			i++
		}
		out.steps = slices.Clone(c.steps[i:])
	}
	return out.fold()
}

// stepped takes a step in, once.
func (c *Carts) stepped(s *step) *Carts {
	if c == nil {
		return (&Carts{steps: []step{*s}}).fold()
	}
	if c.said.stated && c.said.compare(s.place) >= 0 {
		return c
	}
	i, same := slices.BinarySearchFunc(c.steps, s.place, func(a step, p place) int { return a.compare(p) })
	if same || i == 0 && len(c.steps) > 0 && c.steps[0].how == stepSum {
		return c // what is older than the newest of a sum may be in it
	}
	out := &Carts{said: c.said, steps: make([]step, 0, len(c.steps)+1)}
	out.steps = append(append(append(out.steps, c.steps[:i]...), *s), c.steps[i:]...)
	if len(out.steps) > maxSteps {
		out.steps[1] = sum(&out.steps[0], &out.steps[1])
		out.steps = slices.Delete(out.steps, 0, 1)
	}
	return out.fold()
}

// sum is one step for two that follow each other.
func sum(a, b *step) step {
	x, y := a.asSum(), b.asSum()
	out := step{place: y.place, how: stepSum, items: x.items + y.items, price: x.price + y.price, least: max(0, x.least+y.items, y.least)}
	if x.compare(y.place) > 0 {
		out.place = x.place
	}
	return out
}

// asSum is the step as a sum of one. Of what is taken out without a price the
// value is not known.
func (s *step) asSum() step {
	out := *s
	switch out.how = stepSum; s.how {
	case stepPut:
		out.price, out.least = s.price*s.items, s.items
	case stepTake:
		out.items, out.price = -s.items, 0
	case stepTakePriced:
		out.items, out.price = -s.items, -s.price*s.items
	case stepValue:
		out.items, out.price = 0, 0
	}
	return out
}

// And is what both say, of one device.
func (c *Carts) And(o *Carts) *Carts {
	if c == nil || o == nil {
		return cmp.Or(c, o)
	}
	if o.said.stated {
		c = c.stated(o.said)
	}
	for i := range o.steps {
		c = c.stepped(&o.steps[i])
	}
	return c
}

// fold finds the cart by this device alone.
func (c *Carts) fold() *Carts {
	c.now = c.said.cart
	for i := range c.steps {
		c.now = c.now.after(&c.steps[i])
	}
	return c
}

// equal reports whether two say the same.
func (c *Carts) equal(o *Carts) bool {
	if c == nil || o == nil || c == o {
		return c == o
	}
	return c.said == o.said && slices.Equal(c.steps, o.steps)
}

// Part is what one device says.
type Part struct {
	Device string
	Carts  *Carts
}

// Together is the cart of a person: the newest complete statement of all its
// devices, of equal ones that of the later device by id, and what any of them
// put in or took out after it. parts are sorted by device.
func Together(parts []Part) Cart {
	only, n := -1, 0
	for i := range parts {
		if parts[i].Carts != nil {
			only = i
			n++
		}
	}
	switch n {
	case 0:
		return Cart{}
	case 1:
		return parts[only].Carts.now
	}
	newest := -1
	for i := range parts {
		if c := parts[i].Carts; c != nil && c.said.stated && (newest < 0 || parts[newest].compare(&parts[i], c.said.place) < 0) {
			newest = i
		}
	}
	if newest < 0 {
		return steps(parts, Cart{}, nil, nil)
	}
	said := &parts[newest]
	cart := said.Carts.said.cart
	if cart.Items > 0 {
		// Who looks at the cart from another device has not changed it.
		if was := before(parts, newest); was.same(cart) {
			cart.Changed = min(cart.Changed, was.Changed)
		}
	}
	return steps(parts, cart, said, nil)
}

// compare orders the part's statement and what another device says at p.
func (a *Part) compare(b *Part, p place) int {
	return cmp.Or(cmp.Compare(a.Carts.said.time, p.time), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Carts.said.offset, p.offset))
}

// before is the cart of the devices but one, as it was when that one stated it.
func before(parts []Part, newest int) Cart {
	others, last := make([]Part, 0, len(parts)-1), -1
	for i := range parts {
		if i == newest || parts[i].Carts == nil {
			continue
		}
		others = append(others, parts[i])
		if k, c := len(others)-1, parts[i].Carts; c.said.stated && (last < 0 || others[last].compare(&others[k], c.said.place) < 0) {
			last = k
		}
	}
	if last < 0 {
		return steps(others, Cart{}, nil, &parts[newest])
	}
	return steps(others, others[last].Carts.said.cart, &others[last], &parts[newest])
}

// steps folds the steps of all parts after one statement and before another
// into a cart, in order; nil bounds nothing.
func steps(parts []Part, cart Cart, after, until *Part) Cart {
	type taken struct {
		*step
		device string
	}
	var all []taken
	for i := range parts {
		if parts[i].Carts == nil {
			continue
		}
		for k := range parts[i].Carts.steps {
			s := &parts[i].Carts.steps[k]
			if (after == nil || after.compare(&parts[i], s.place) < 0) && (until == nil || until.compare(&parts[i], s.place) > 0) {
				all = append(all, taken{s, parts[i].Device})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b taken) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.device, b.device), cmp.Compare(a.offset, b.offset))
	})
	for _, s := range all {
		cart = cart.after(s.step)
	}
	return cart
}

// String shows it, for people who look at vectors.
func (c *Carts) String() string {
	if c == nil {
		return "nothing"
	}
	return fmt.Sprintf("%+v", *c)
}
