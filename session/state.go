// Package session turns the events of one device into sessions: a session is a
// maximal run of events with gaps shorter than the session gap.
//
// What depends on order (dwell, drop-offs, the cart) is a fold over the events
// in (event time, offset) order; what does not (decayed sums, counts) merges.
package session

import (
	"math"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/signal"
)

// Params are the constants of the algebra for one site. Durations are in ms.
type Params struct {
	Gap       int64 // a gap of exactly Gap starts a new session (half-open windows, as Beam's)
	DwellCap  int64 // how much of the time between two events counts as dwell
	Lateness  int64 // how long the event list is kept for late events
	Elements  int   // number of configured elements
	HalfLives signal.HalfLives
	Weigher   *signal.Weigher
	Semantics event.Semantics // of the batch that is being folded; identity sets it
}

const (
	maxPages = 16 // pages of a session that are remembered one by one
	maxPath  = 64 // page types kept of a session's path
)

// page is what is known of one page of the open session.
type page struct {
	key        uint64
	depth      float64
	half       float64 // s, 0: not reached
	dwell      int32   // ms
	kind       event.PageType
	highTicket bool
}

// Fold is the fold of one session's events. Times are ms, dwell is ms.
type Fold struct {
	Start, End  int64
	Events      uint32
	PageViews   uint32
	Clicks      uint32
	VideoStarts uint32
	VideoDone   uint32
	VideoDrops  uint32
	FormStarts  uint32
	FormSubmits uint32
	Orders      uint32
	videoOpen   bool
	video       uint64 // the open play's session, 0 when not stated
	HighTicket  int64
	Revenue     float64
	MaxDepth    float64
	Velocity    float64
	Half        float64
	Dwell       [event.NumPageTypes]int64
	Hover       []int64 // by element, index 0 for unlisted ones
	Focus       []int64
	Path        []byte // page types, in order of the page views
	pages       []page
	cur         int // index of the current page in pages, -1 before the first
	// Context and cart are those of the session's end: what comes after it must
	// not show in its row.
	Context Context
	cart    *Cart
}

// Cart is what was in the cart at the session's end.
func (f *Fold) Cart() Cart {
	if f.cart == nil {
		return Cart{}
	}
	return *f.cart
}

// Cart is what is in the cart. It outlives its session until an order.
type Cart struct {
	Items float64
	Value float64
	Added int64 // ms of the last add
}

// Context is what is known of the device; unknown values never overwrite known ones.
type Context struct {
	Width, Height uint16
	Device        event.DeviceType
	OS            event.OS
	Network       event.Network
	Bot           bool
}

// State is the fold of a device's events so far: the open session, and what outlives sessions.
type State struct {
	Fold    *Fold // nil when there is no session
	cart    *Cart // nil when it is empty; never changed in place, states share it
	Context Context
}

// Cart is what is in the cart.
func (s *State) Cart() Cart {
	if s.cart == nil {
		return Cart{}
	}
	return *s.cart
}

func (s *State) setCart(c Cart) {
	if s.cart = nil; c != (Cart{}) {
		s.cart = &c
	}
}

func newFold(p *Params, t int64) *Fold {
	n := p.Elements + 1
	both := make([]int64, 2*n)
	return &Fold{Start: t, End: t, cur: -1, Hover: both[:n:n], Focus: both[n:]}
}

func (f *Fold) clone() *Fold {
	if f == nil {
		return nil
	}
	c := *f
	n := len(f.Hover)
	both := append(append(make([]int64, 0, 2*n), f.Hover...), f.Focus...)
	c.Hover, c.Focus = both[:n:n], both[n:]
	c.Path = append([]byte(nil), f.Path...)
	c.pages = append([]page(nil), f.pages...)
	return &c
}

func (s State) clone() State {
	s.Fold = s.Fold.clone()
	return s
}

// continues reports whether an event at t belongs to the session.
func (f *Fold) continues(t int64, p *Params) bool { return f != nil && t < f.End+p.Gap }

// step folds e into s. Events must come in (Time, Offset) order. It reports
// whether e opened a new session; the old one is then no longer in s.
func (s *State) step(e *item, p *Params) (opened bool) {
	if !s.Fold.continues(e.Time, p) {
		s.Fold, opened = newFold(p, e.Time), true
	}
	s.context(e, p)
	f := s.Fold
	f.dwell(e, p)
	f.page(e)
	f.count(e)
	s.shop(e)
	f.End = e.Time
	f.Events++
	f.Context, f.cart = s.Context, s.cart
	return opened
}

// dwell credits the time since the last event to the page that was current.
// Without a heartbeat that says the page was visible, at most the cap counts.
func (f *Fold) dwell(e *item, p *Params) {
	if f.cur < 0 || f.Events == 0 {
		return
	}
	dt := e.Time - f.End
	limit := p.DwellCap
	if e.Kind == event.KindPing {
		if e.X > 0 {
			limit = max(limit, int64(e.X*float64(time.Second/time.Millisecond)))
		} else if e.Flags&event.FlagVisible != 0 {
			limit = dt
		}
	}
	dt = min(dt, limit)
	pg := &f.pages[f.cur]
	pg.dwell += int32(min(dt, math.MaxInt32-int64(pg.dwell)))
	f.Dwell[pg.kind] += dt
	if pg.highTicket {
		f.HighTicket += dt
	}
}

// page opens a page view when the event is one, and takes what the event says of its page.
func (f *Fold) page(e *item) {
	switch e.Kind {
	case event.KindPage:
		f.view(e)
	case event.KindProductView, event.KindListView, event.KindCartView, event.KindCheckout, event.KindOrder:
		// A shop that sends both a page call and "Product Viewed" views one page.
		if f.cur < 0 || e.Page != 0 && f.pages[f.cur].key != e.Page {
			f.view(e)
		} else if pg := &f.pages[f.cur]; e.PageType != event.PageUnknown && (pg.kind == event.PageUnknown || pg.kind == event.PageOther) {
			pg.kind = e.PageType
		}
		f.pages[f.cur].highTicket = f.pages[f.cur].highTicket || e.Flags&event.FlagHighTicket != 0
	}
}

func (f *Fold) view(e *item) {
	f.PageViews++
	if f.videoOpen {
		f.VideoDrops++
		f.videoOpen = false
	}
	if len(f.Path) < maxPath {
		f.Path = append(f.Path, byte(e.PageType))
	}
	f.cur = f.find(e.Page)
	if f.cur < 0 || e.Page == 0 {
		if len(f.pages) == maxPages { // before it grows beyond
			f.pages = append(f.pages[:0], f.pages[1:]...)
		}
		f.pages = append(f.pages, page{key: e.Page, kind: e.PageType})
		f.cur = len(f.pages) - 1
	}
}

func (f *Fold) find(key uint64) int {
	for i := len(f.pages) - 1; i >= 0; i-- {
		if f.pages[i].key == key {
			return i
		}
	}
	return -1
}

// at is the page that e measures: its own if it names one that is known (another tab), else the current one.
func (f *Fold) at(e *item) *page {
	if e.Page != 0 && f.cur >= 0 && f.pages[f.cur].key != e.Page {
		if i := f.find(e.Page); i >= 0 {
			return &f.pages[i]
		}
	}
	if f.cur < 0 {
		return nil
	}
	return &f.pages[f.cur]
}

func (f *Fold) count(e *item) {
	switch e.Kind {
	case event.KindClick:
		f.Clicks++
	case event.KindScroll:
		f.scroll(e)
	case event.KindHover:
		f.Hover[f.element(e)] += int64(e.X)
	case event.KindFocus:
		f.Focus[f.element(e)] += int64(e.X)
	case event.KindVideoStart:
		// Segment's video spec sends "Video Playback Started" and "Video Content
		// Started" for one play: with one session id they are one start.
		if f.videoOpen && e.Item != 0 && f.video == e.Item {
			return
		}
		if f.videoOpen {
			f.VideoDrops++
		}
		f.VideoStarts++
		f.videoOpen, f.video = true, e.Item
	case event.KindVideoComplete:
		f.VideoDone++
		f.videoOpen = false
	case event.KindFormStart:
		f.FormStarts++
	case event.KindFormSubmit:
		f.FormSubmits++
	case event.KindOrder:
		f.Orders++
		f.Revenue += e.X
	}
}

func (f *Fold) element(e *item) int {
	if int(e.Element) < len(f.Hover) {
		return int(e.Element)
	}
	return 0
}

func (f *Fold) scroll(e *item) {
	f.MaxDepth = max(f.MaxDepth, e.X)
	if e.Y > 0 {
		f.Velocity = e.Y
	}
	if e.Z > 0 && f.Half == 0 {
		f.Half = e.Z
	}
	if pg := f.at(e); pg != nil {
		pg.depth = max(pg.depth, e.X)
		if e.Z > 0 && pg.half == 0 {
			pg.half = e.Z
		}
	}
}

// shop does to the cart what the event says.
func (s *State) shop(e *item) {
	switch e.Kind {
	case event.KindCartAdd, event.KindCartRemove, event.KindCartView, event.KindCheckout:
		s.setCart(s.Cart().after(e))
	case event.KindOrder:
		s.cart = nil
	}
}

func (c Cart) after(e *item) Cart {
	q := max(e.Y, 1)
	switch e.Kind {
	case event.KindCartAdd:
		return Cart{Items: c.Items + q, Value: c.Value + e.X*q, Added: e.Time}
	case event.KindCartRemove:
		q = min(q, c.Items)
		price := e.X
		if price == 0 && c.Items > 0 {
			price = c.Value / c.Items
		}
		c.Items -= q
		c.Value = max(0, c.Value-price*q)
		if c.Items <= 0 {
			return Cart{}
		}
	default: // the event states the whole cart
		if e.X > 0 && e.Y > 0 {
			if c.Added == 0 {
				c.Added = e.Time
			}
			c.Value, c.Items = e.X, e.Y
		}
	}
	return c
}

func (s *State) context(e *item, p *Params) {
	c := &s.Context
	if e.Device != event.DeviceUnknown {
		c.Device = e.Device
	}
	if e.OS != event.OSUnknown {
		c.OS = e.OS
	}
	if e.Network != event.NetworkUnknown {
		c.Network = e.Network
	}
	if e.Width != 0 {
		c.Width, c.Height = e.Width, e.Height
	}
	switch {
	case e.Flags&event.FlagBot != 0:
		c.Bot = true
	case e.Device != event.DeviceUnknown && p.Semantics.Has(2):
		c.Bot = false // the newest statement holds: a wrong verdict is not for ever
	}
}

// Fill writes the stored features into values, one per Slot of the catalogue
// for so many elements.
func (s *State) Fill(values []float64, elements int) {
	clear(values)
	values[SlotDevice] = float64(s.Context.Device)
	values[SlotOS] = float64(s.Context.OS)
	values[SlotNetwork] = float64(s.Context.Network)
	values[SlotWidth] = float64(s.Context.Width)
	values[SlotHeight] = float64(s.Context.Height)
	if c := s.cart; c != nil {
		values[SlotCartItems], values[SlotCartValue], values[SlotCartAdded] = c.Items, c.Value, float64(c.Added)
	}
	if s.Fold != nil {
		s.Fold.fill(values, elements)
	}
}

const msPerS = 1000

func (f *Fold) fill(v []float64, elements int) {
	v[SlotEvents] = float64(f.Events)
	v[SlotPageViews] = float64(f.PageViews)
	v[SlotClicks] = float64(f.Clicks)
	v[SlotStart] = float64(f.Start)
	v[SlotDwellHighTicket] = float64(f.HighTicket) / msPerS
	v[SlotScrollMax] = f.MaxDepth
	v[SlotScrollVelocity] = f.Velocity
	v[SlotVideoStarts] = float64(f.VideoStarts)
	v[SlotVideoCompletes] = float64(f.VideoDone)
	v[SlotVideoDropoffs] = float64(f.VideoDrops)
	v[SlotFormStarts] = float64(f.FormStarts)
	v[SlotFormSubmits] = float64(f.FormSubmits)
	v[SlotOrders] = float64(f.Orders)
	if f.cur >= 0 {
		pg := &f.pages[f.cur]
		v[SlotPageType] = float64(pg.kind)
		v[SlotPageDwell] = float64(pg.dwell) / msPerS
		v[SlotScrollDepth] = pg.depth
		v[SlotScrollHalf] = pg.half
	}
	var total int64
	for t, d := range f.Dwell {
		v[int(SlotDwell0)+t] = float64(d) / msPerS
		total += d
	}
	v[SlotDwellTotal] = float64(total) / msPerS
	for i := range elements {
		v[int(SlotHover0)+i] = float64(f.Hover[i+1]) / msPerS
		v[int(SlotHover0)+elements+i] = float64(f.Focus[i+1]) / msPerS
	}
}
