package session

import (
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/signal"
)

func putDecayed(w *codec.Writer, d signal.Decayed) {
	w.Float(d.Sum)
	w.Int(d.Ref)
}

func getDecayed(r *codec.Reader) signal.Decayed {
	return signal.Decayed{Sum: r.Float(), Ref: r.Int()}
}

// Format is how profiles were written.
type Format byte

const (
	FirstFormat  Format = 1 // carts as they were last, one open play, nothing beyond sessions
	SecondFormat Format = 2 // nothing of when events were received; earlier epochs have their events
	NewestFormat Format = 3
)

// AppendTo writes the profile: the head, or the base and the list that it is
// the fold of.
func (q *Profile) AppendTo(w *codec.Writer) {
	putDecayed(w, q.Live)
	putDecayed(w, q.Long)
	w.Int(q.Last)
	q.Presence().AppendTo(w, q.Last)
	q.facts.appendTo(w)
	w.Uint(uint64(q.Pending()))
	if q.tail == nil {
		q.head.appendTo(w)
		return
	}
	q.tail.base.appendTo(w)
	q.tail.whole().appendTo(w)
	// The sessions between base and head are re-made by the fold, but one that
	// was dropped because it is behind the horizon must not come back.
	w.Uint(uint64(len(q.tail.closed)))
}

// Read reads what AppendTo wrote, or wrote in an older format, into an empty
// profile.
func (q *Profile) Read(r *codec.Reader, format Format, p *Params) {
	q.Live, q.Long, q.Last = getDecayed(r), getDecayed(r), r.Int()
	seen := Whole(q.Last) // who was counted is counted on
	if format > SecondFormat {
		seen = ReadPresence(r, q.Last)
	}
	q.setPresence(seen)
	if format > FirstFormat {
		q.facts = readFacts(r, format)
	}
	n := r.Len()
	q.head = readState(r, format, p)
	if format == FirstFormat && q.head.Context != (Context{}) {
		q.head.Context.At = q.Last
	}
	if n == 0 || r.Err() != nil {
		return
	}
	q.tail = &tail{base: q.head}
	q.tail.list.read(r, n)
	if format == FirstFormat {
		items := q.tail.list.items()
		for i := range items {
			items[i].Flags |= flagOlder
		}
		q.tail.list.replace(items)
	}
	keep := int(r.Uint())
	if r.Err() != nil {
		return
	}
	if q.tail.n = n; n >= 2*pieceLen {
		q.tail.plant(p)
	}
	q.refold(p)
	if d := len(q.tail.closed) - keep; d > 0 {
		q.tail.closed = q.tail.closed[d:]
	}
}

func (e *item) appendTo(w *codec.Writer) {
	w.Int(e.Time)
	w.Int(e.Offset)
	w.Fixed(e.ID)
	w.Fixed(e.Page)
	w.Uint(e.Item)
	w.Float(e.X)
	w.Float(e.Y)
	w.Float(e.Z)
	w.Uint(uint64(e.Width))
	w.Uint(uint64(e.Height))
	w.B = append(w.B, byte(e.Kind), byte(e.PageType), e.Element, byte(e.Device), byte(e.OS), byte(e.Network), byte(e.Flags))
}

func readItem(r *codec.Reader) item {
	it := item{Time: r.Int(), Offset: r.Int(), ID: r.Fixed(), Page: r.Fixed(), Item: r.Uint(), X: r.Float(), Y: r.Float(), Z: r.Float()}
	it.Width, it.Height = uint16(r.Uint()), uint16(r.Uint())
	it.Kind, it.PageType, it.Element = event.Kind(r.Byte()), pageType(r), r.Byte()
	it.Device, it.OS, it.Network, it.Flags = event.DeviceType(r.Byte()), event.OS(r.Byte()), event.Network(r.Byte()), event.Flags(r.Byte())
	return it
}

// pageType reads a page type that is safe as an index.
func pageType(r *codec.Reader) event.PageType {
	if t := event.PageType(r.Byte()); t < event.NumPageTypes {
		return t
	}
	return event.PageUnknown
}

func (s *State) appendTo(w *codec.Writer) {
	s.carts.appendTo(w)
	s.Context.appendTo(w)
	w.Bool(s.Fold != nil)
	if s.Fold != nil {
		s.Fold.appendTo(w)
	}
}

func readState(r *codec.Reader, format Format, p *Params) State {
	s := State{carts: readCarts(r, format), Context: readContext(r, format)}
	if r.Bool() {
		s.Fold = readFold(r, format, p)
	}
	return s
}

func (c *Context) appendTo(w *codec.Writer) {
	w.Uint(uint64(c.Width))
	w.Uint(uint64(c.Height))
	w.B = append(w.B, byte(c.Device), byte(c.OS), byte(c.Network))
	w.Bool(c.Bot)
	w.Int(c.At)
}

func readContext(r *codec.Reader, format Format) Context {
	c := Context{Width: uint16(r.Uint()), Height: uint16(r.Uint()), Device: event.DeviceType(r.Byte()),
		OS: event.OS(r.Byte()), Network: event.Network(r.Byte()), Bot: r.Bool()}
	if format > FirstFormat {
		c.At = r.Int()
	}
	return c
}

func (f *Fold) counters() []*uint32 {
	return []*uint32{&f.Events, &f.PageViews, &f.Clicks, &f.VideoStarts, &f.VideoDone, &f.VideoDrops, &f.FormStarts, &f.FormSubmits, &f.Orders}
}

func (f *Fold) floats() []*float64 {
	return []*float64{&f.Revenue, &f.MaxDepth, &f.Velocity, &f.Half}
}

func (f *Fold) appendTo(w *codec.Writer) {
	w.Int(f.Start)
	w.Int(f.End)
	for _, c := range f.counters() {
		w.Uint(uint64(*c))
	}
	for _, v := range f.floats() {
		w.Float(*v)
	}
	w.Uint(uint64(len(f.plays)))
	for _, y := range f.plays {
		w.Uint(y.id)
		w.Byte(byte(y.fact))
	}
	w.Int(f.HighTicket)
	for _, d := range f.Dwell {
		w.Int(d)
	}
	for i := range f.Hover {
		w.Int(f.Hover[i])
		w.Int(f.Focus[i])
	}
	w.Bytes(f.Path)
	w.Uint(uint64(len(f.pages)))
	for i := range f.pages {
		g := &f.pages[i]
		w.Fixed(g.key)
		w.Uint(g.other)
		w.Int(int64(g.dwell))
		w.Float(g.depth)
		w.Float(g.half)
		w.Byte(byte(g.kind))
		w.Bool(g.highTicket)
	}
	w.Int(int64(f.cur))
	w.Int(f.viewed)
	w.Bool(f.called)
	w.Int(f.Paged)
	f.carts.appendTo(w)
	f.Context.appendTo(w)
}

func readFold(r *codec.Reader, format Format, p *Params) *Fold {
	f := newFold(p, r.Int())
	f.End = r.Int()
	for _, c := range f.counters() {
		*c = uint32(r.Uint())
	}
	for _, v := range f.floats() {
		*v = r.Float()
	}
	f.readPlays(r, format)
	f.HighTicket = r.Int()
	for i := range f.Dwell {
		f.Dwell[i] = r.Int()
	}
	for i := range f.Hover {
		f.Hover[i], f.Focus[i] = r.Int(), r.Int()
	}
	f.Path = append([]byte(nil), r.Bytes()...)
	f.pages = make([]page, r.Len())
	for i := range f.pages {
		f.pages[i].key = r.Fixed()
		if format > FirstFormat {
			f.pages[i].other = r.Uint()
		}
		f.pages[i] = page{key: f.pages[i].key, other: f.pages[i].other, dwell: int32(r.Int()), depth: r.Float(), half: r.Float(), kind: pageType(r), highTicket: r.Bool()}
	}
	f.cur = int(r.Int())
	if f.cur >= len(f.pages) || f.cur < -1 {
		f.cur = -1
	}
	if f.called = true; format > FirstFormat {
		f.viewed, f.called, f.Paged = r.Int(), r.Bool(), r.Int()
	} else if f.cur >= 0 {
		f.Paged = f.End
	}
	f.carts, f.Context = readCarts(r, format), readContext(r, format)
	return f
}

func (f *Fold) readPlays(r *codec.Reader, format Format) {
	if format == FirstFormat {
		if open, id := r.Bool(), r.Uint(); open {
			f.plays = []play{{id, playWhole}}
		}
		return
	}
	for range r.Len() {
		f.plays = append(f.plays, play{r.Uint(), playFact(r.Byte())})
	}
}
