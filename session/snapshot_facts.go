package session

import "github.com/microseg/microseg/event/codec"

func (p *place) appendTo(w *codec.Writer) {
	w.Int(p.time)
	w.Int(p.offset)
}

func readPlace(r *codec.Reader) place { return place{r.Int(), r.Int()} }

// What follows in the bytes of a Carts.
const (
	cartsSaid = 1 << iota
	cartsSteps
)

// AppendTo writes what a device says of the cart; one byte where it says nothing.
func (c *Carts) AppendTo(w *codec.Writer) { c.appendTo(w) }

func (c *Carts) appendTo(w *codec.Writer) {
	if c == nil {
		w.Byte(0)
		return
	}
	var what byte
	if c.said.stated {
		what |= cartsSaid
	}
	if len(c.steps) > 0 {
		what |= cartsSteps
	}
	w.Byte(what)
	if c.said.stated {
		c.said.appendTo(w)
		w.Float(c.said.cart.Items)
		w.Float(c.said.cart.Value)
		w.Int(c.said.cart.Changed)
	}
	if len(c.steps) == 0 {
		return
	}
	w.Uint(uint64(len(c.steps)))
	for i := range c.steps {
		s := &c.steps[i]
		s.appendTo(w)
		w.Byte(byte(s.how))
		w.Float(s.items)
		w.Float(s.price)
		w.Float(s.least)
	}
}

// ReadCarts reads what AppendTo wrote.
func ReadCarts(r *codec.Reader) *Carts {
	what := r.Byte()
	if what == 0 {
		return nil
	}
	c := &Carts{}
	if what&cartsSaid != 0 {
		c.said = statement{readPlace(r), true, Cart{r.Float(), r.Float(), r.Int()}}
	}
	if what&cartsSteps != 0 {
		for range r.Len() {
			c.steps = append(c.steps, step{readPlace(r), how(r.Byte()), r.Float(), r.Float(), r.Float()})
		}
	}
	return c.fold()
}

// readCarts reads carts, or the one cart that there was.
func readCarts(r *codec.Reader, format Format) *Carts {
	if format > FirstFormat {
		return ReadCarts(r)
	}
	return FirstCarts(r.Float(), r.Float(), r.Int())
}

// FirstCarts is what a device says of which only a cart was kept: by older formats.
func FirstCarts(items, value float64, added int64) *Carts {
	c := Cart{items, value, added}
	if c == (Cart{}) {
		return nil
	}
	return (&Carts{said: statement{place{time: added}, true, c}}).fold()
}

func (f *facts) appendTo(w *codec.Writer) {
	says := f.says()
	if w.Bool(says); !says {
		return
	}
	w.Uint(uint64(f.orders))
	w.Float(f.revenue)
	w.Float(f.refunded)
	w.Uint(uint64(len(f.late)))
	for i := range f.late {
		f.late[i].appendTo(w)
	}
	w.Uint(uint64(len(f.ids)))
	for _, s := range f.ids {
		w.Int(s.time)
		w.Fixed(s.id)
	}
	w.Uint(uint64(len(f.recent)))
	for _, s := range f.recent {
		w.Int(s.time)
		w.Fixed(s.id)
	}
}

// says reports whether there is anything in them but the index, which is no state.
func (f *facts) says() bool {
	return f != nil && (f.orders > 0 || f.revenue != 0 || f.refunded != 0 || len(f.late) > 0 || len(f.ids) > 0 || len(f.recent) > 0)
}

func readFacts(r *codec.Reader, format Format) *facts {
	if !r.Bool() {
		return nil
	}
	f := &facts{orders: uint32(r.Uint()), revenue: r.Float(), refunded: r.Float()}
	for range r.Len() {
		f.late = append(f.late, readItem(r))
	}
	for range r.Len() {
		f.keep(seen{r.Int(), r.Fixed()})
	}
	if format > SecondFormat {
		for range r.Len() {
			f.recent = append(f.recent, seen{r.Int(), r.Fixed()})
		}
	}
	return f
}
