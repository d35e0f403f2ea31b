package session

import (
	"math"
	"slices"

	"github.com/microseg/microseg/event"
)

// stretch is what consecutive events of a session add to it, whatever was before: of two
// that follow each other it is again one (add). The fold of a session is one, too: that
// of all its events behind an empty session or the base.
//
// Sums, maxima, first and newest values need nothing of what was before. What is told of
// the current page goes to whichever that is, if the events turn no page; a page view ends
// whichever videos run. What turns pages or tells of videos reads them, and so is folded
// from what they were (control).
type stretch struct {
	Fold           // pages, cur, viewed, called: as they are behind it, with what it added; plays as well
	said     bool  // it says whether the device is a crawler
	reads          // what its events read
	leaves   bool  // a view ends the plays before any event reads them
	cursor   page  // what goes to the page that is current before it: dwell is in dwelt
	dwelt    int64 // ms
	paged    int64 // what Paged is if any page is current
	whole    bool  // there is nothing before it
	in       []uint64
	to       [maxPages]int8 // for each page of in where it is among pages, -1: it was evicted
	inCur    int            // the page of in that is current, -1: none
	inKind   event.PageType
	inTicket bool
	torn     bool // it does not fit to what was before, which cannot be: all is folded anew
}

// reads is what the fold of an event depends on, of what was before it.
type reads uint8

const (
	readsPages reads = 1 << iota
	readsPlays
)

// reads is what the fold of this event depends on.
func (e *item) reads() (r reads) {
	switch e.Kind {
	case event.KindPage:
		r = readsPages
	case event.KindProductView, event.KindListView, event.KindCartView, event.KindCheckout, event.KindOrder:
		// A server's says nothing of a page, and changes none.
		if e.Page != 0 || e.PageType != event.PageUnknown || e.Flags&event.FlagHighTicket != 0 {
			r = readsPages
		}
	case event.KindScroll:
		if e.Page != 0 {
			r = readsPages
		}
	case event.KindVideoStart, event.KindVideoComplete:
		r = readsPlays
	}
	if e.Flags&flagOlder != 0 {
		r |= readsPages | readsPlays
	}
	return r
}

// control is what events read.
type control struct {
	pages  []page
	plays  []play
	cur    int
	viewed int64
	called bool
}

// wholeOf is a session as a stretch that begins it.
func wholeOf(f *Fold, c Context) *stretch {
	s := &stretch{whole: true, reads: readsPages | readsPlays}
	if f != nil {
		s.Fold = *f.clone()
	}
	s.Context = c
	return s
}

// folded is the stretch of a leaf, behind what is before it.
func (x *piece) folded(s *stretch, r reads, before *stretch, p *Params) {
	n := p.Elements + 1
	both := make([]int64, 2*n)
	*s = stretch{reads: r, inCur: -1, Fold: Fold{Start: before.Start, End: before.End, cur: -1, Hover: both[:n:n], Focus: both[n:]}}
	x.in = control{}
	if r&readsPages != 0 {
		s.inherit(&before.Fold)
		x.in.pages, x.in.cur, x.in.viewed, x.in.called = slices.Clone(s.pages), s.cur, s.viewed, s.called
	} else {
		s.pages, s.cur = []page{{}}, 0
	}
	if r&readsPlays != 0 {
		s.plays, x.in.plays = slices.Clone(before.plays), slices.Clone(before.plays)
	}
	if x.resell {
		x.sales = x.sales[:0]
	}
	for it := range x.list.all() {
		if s.Context.take(it, p) {
			s.said = true
		}
		s.Fold.take(it, p)
		if x.resell && it.isSale() {
			x.sales = append(x.sales, *it)
		}
	}
	s.settle()
	p.refolded(x.list.len())
}

// inherit takes the pages over, with nothing seen of them.
func (s *stretch) inherit(f *Fold) {
	s.pages, s.cur, s.viewed, s.called, s.inCur = slices.Clone(f.pages), f.cur, f.viewed, f.called, f.cur
	if f.cur >= 0 {
		s.inKind, s.inTicket = f.pages[f.cur].kind, f.pages[f.cur].highTicket
	}
	s.in = make([]uint64, len(s.pages))
	for i := range s.pages {
		g := &s.pages[i]
		g.dwell, g.depth, g.half = 0, 0, 0
		s.in[i] = g.key
	}
}

// settle ends the making of a leaf's stretch.
func (s *stretch) settle() {
	s.Revenue = 0
	if s.reads&readsPages == 0 {
		s.cursor, s.dwelt, s.paged = s.pages[0], s.Dwell[0], s.Paged
		s.Dwell[0], s.Paged, s.pages, s.cur = 0, 0, nil, -1
	}
	for i := range s.in {
		s.to[i] = int8(max(-1, i-int(s.evicted)))
	}
	s.leaves = s.reads&readsPlays == 0 && s.PageViews > 0
}

// set makes s what o is.
func (s *stretch) set(o *stretch) {
	was := *s
	*s = *o
	s.Hover, s.Focus = append(was.Hover[:0], o.Hover...), append(was.Focus[:0], o.Focus...)
	s.Path, s.pages = append(was.Path[:0], o.Path...), append(was.pages[:0], o.pages...)
	s.plays, s.in = append(was.plays[:0], o.plays...), append(was.in[:0], o.in...)
}

// add makes s what it is together with b, which follows.
func (s *stretch) add(b *stretch) {
	s.End = b.End
	s.addPages(b)
	s.addPlays(b)
	s.count(b)
	s.HighTicket += b.HighTicket
	for i := range s.Dwell {
		s.Dwell[i] += b.Dwell[i]
	}
	for i := range s.Hover {
		s.Hover[i] += b.Hover[i]
		s.Focus[i] += b.Focus[i]
	}
	if s.MaxDepth = max(s.MaxDepth, b.MaxDepth); s.Half == 0 {
		s.Half = b.Half
	}
	if b.Velocity != 0 {
		s.Velocity = b.Velocity
	}
	s.Path = append(s.Path, b.Path[:min(len(b.Path), maxPath-len(s.Path))]...)
	s.evicted += b.evicted
	s.twins += b.twins
	s.Context.follow(&b.Context, b.said)
	s.said, s.torn = s.said || b.said, s.torn || b.torn
}

// follow takes in what was said of the device later; bot: also whether it is a crawler.
func (c *Context) follow(b *Context, bot bool) {
	if b.Device != event.DeviceUnknown {
		c.Device = b.Device
	}
	if b.OS != event.OSUnknown {
		c.OS = b.OS
	}
	if b.Network != event.NetworkUnknown {
		c.Network = b.Network
	}
	if b.Width != 0 {
		c.Width, c.Height = b.Width, b.Height
	}
	if bot {
		c.Bot = b.Bot
	}
	if b.At != 0 {
		c.At = b.At
	}
}

// count adds what is counted.
func (s *stretch) count(b *stretch) {
	s.Events += b.Events
	s.PageViews += b.PageViews
	s.Clicks += b.Clicks
	s.VideoStarts += b.VideoStarts
	s.VideoDone += b.VideoDone
	s.VideoDrops += b.VideoDrops // below zero where a play goes on that had been left before
	s.FormStarts += b.FormStarts
	s.FormSubmits += b.FormSubmits
	s.Orders += b.Orders
}

func (s *stretch) addPlays(b *stretch) {
	if b.leaves {
		s.leave() // none where it is not known which ones run
		s.leaves = s.leaves || s.reads&readsPlays == 0
	}
	if b.reads&readsPlays != 0 {
		s.plays = append(s.plays[:0], b.plays...)
		s.reads |= readsPlays
	}
}

func (s *stretch) addPages(b *stretch) {
	switch {
	case b.reads&readsPages == 0 && s.reads&readsPages == 0:
		s.cursor.follow(&b.cursor)
		s.dwelt += b.dwelt
		s.paged = max(s.paged, b.paged)
	case b.reads&readsPages == 0:
		if s.cur >= 0 {
			g := &s.pages[s.cur]
			g.follow(&b.cursor)
			s.credit(g.kind, g.highTicket, b.dwelt)
			s.Paged = max(s.Paged, b.paged)
		}
	case s.reads&readsPages == 0:
		s.precede(b)
	default:
		s.turn(b)
		if b.Paged != 0 {
			s.Paged = b.Paged
		}
	}
}

func (f *Fold) credit(kind event.PageType, highTicket bool, ms int64) {
	f.Dwell[kind] += ms
	if highTicket {
		f.HighTicket += ms
	}
}

// follow takes in what was seen of the page later.
func (g *page) follow(b *page) {
	g.dwell += min(b.dwell, math.MaxInt32-g.dwell)
	if g.depth = max(g.depth, b.depth); g.half == 0 {
		g.half = b.half
	}
}

// precede gives what s says of the page that was current to the one that b knows.
func (s *stretch) precede(b *stretch) {
	s.reads |= readsPages
	s.pages, s.in, s.to = append(s.pages[:0], b.pages...), append(s.in[:0], b.in...), b.to
	s.cur, s.viewed, s.called, s.Paged = b.cur, b.viewed, b.called, b.Paged
	s.inCur, s.inKind, s.inTicket = b.inCur, b.inKind, b.inTicket
	if b.inCur < 0 {
		return
	}
	s.credit(b.inKind, b.inTicket, s.dwelt)
	if i := b.to[b.inCur]; i >= 0 {
		g := s.cursor
		g.follow(&s.pages[i])
		h := &s.pages[i]
		h.dwell, h.depth, h.half = g.dwell, g.depth, g.half
	}
	if s.Paged == 0 {
		s.Paged = s.paged
	}
}

// turn adds what b turned.
func (s *stretch) turn(b *stretch) {
	s.viewed, s.called = b.viewed, b.called
	at, ok := places(s.pages, b.in)
	if !ok {
		s.torn = true
		return
	}
	if b.evicted == 0 { // the order is that of s, and then of what b opened
		for i := range b.in {
			g := &s.pages[at[i]]
			g.follow(&b.pages[i])
			n := &b.pages[i]
			g.key, g.other, g.kind, g.highTicket = n.key, n.other, n.kind, n.highTicket
		}
		if known := len(b.in); b.cur >= known {
			s.cur = b.cur - known + len(s.pages)
		} else if b.cur >= 0 {
			s.cur = int(at[b.cur])
		}
		s.pages = append(s.pages, b.pages[len(b.in):]...)
		return
	}
	was := [maxPages]page{}
	copy(was[:], s.pages)
	s.pages, s.cur = append(s.pages[:0], b.pages...), b.cur
	var to [maxPages]int8
	for i := range to {
		to[i] = -1
	}
	for i := range b.in {
		k := b.to[i]
		if to[at[i]] = k; k >= 0 {
			g, h := &was[at[i]], &s.pages[k]
			g.follow(h)
			h.dwell, h.depth, h.half = g.dwell, g.depth, g.half
		}
	}
	for i := range s.in {
		if k := s.to[i]; k >= 0 {
			s.to[i] = to[k]
		}
	}
}

// places finds the pages of these keys, those of one key in their order; ok is false
// where one is missing.
func places(pages []page, keys []uint64) (at [maxPages]int8, ok bool) {
	var found [maxPages]bool
	same := true // so far
	for i, key := range keys {
		k := i
		if same = same && k < len(pages) && pages[k].key == key; !same {
			for k = 0; k < len(pages) && (found[k] || pages[k].key != key); k++ {
			}
		}
		if k == len(pages) {
			return at, false
		}
		at[i], found[k] = int8(k), true
	}
	return at, true
}
