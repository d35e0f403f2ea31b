// Package session turns the events of one device into sessions: a session is a
// maximal run of events with gaps shorter than the session gap.
//
// What depends on order (dwell, drop-offs, the cart) is a fold over the events
// in (event time, offset) order; what does not (decayed sums, counts) merges.
package session

import (
	"math"
	"slices"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/signal"
)

// Params are the constants of the algebra for one site. Durations are in ms.
type Params struct {
	Gap       int64 // a gap of exactly Gap starts a new session (half-open windows, as Beam's)
	DwellCap  int64 // how much of the time between two events counts as dwell
	Lateness  int64 // how long the event list is kept for late events
	Long      int64 // how late the kinds of Waited may be: beyond Lateness they change no session; 0: not later than others
	Waited    []event.Kind
	Elements  int // number of configured elements
	HalfLives signal.HalfLives
	Weigher   *signal.Weigher
	Refolded  *uint64         // counts the items that are folded once more; nil: nobody asks
	Semantics event.Semantics // of the batch that is being folded; identity sets it
}

// Patient are the kinds that may come later than others at any site: what was
// bought or given back, and who somebody is.
func Patient() []event.Kind {
	return []event.Kind{event.KindOrder, event.KindRefund, event.KindIdentify, event.KindAlias}
}

// Patient reports whether events of a kind may come later than the others.
func (p *Params) Patient(k event.Kind) bool {
	return p.Long > p.Lateness && p.Semantics.Has(2) && slices.Contains(p.Waited, k)
}

// refolded counts items that are folded once more.
func (p *Params) refolded(n int) {
	if p.Refolded != nil {
		*p.Refolded += uint64(n)
	}
}

const (
	maxPages = 16 // pages of a session that are remembered one by one
	maxPath  = 64 // page types kept of a session's path
)

// page is what is known of one page of the open session.
type page struct {
	key        uint64
	other      uint64 // by which the second event of the present view names it, 0: there was none
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
	plays       []play
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
	evicted     uint32 // pages that are remembered no longer; this and twins are no state, they only compare folds of one profile
	twins       uint32 // how often a page was given the key of another one
	cur         int    // index of the current page in pages, -1 before the first
	viewed      int64  // when the present view was opened
	called      bool   // a page or screen call is of the present view
	Paged       int64  // time of the newest event that says something of the page
	// Context and cart are those of the session's end: what comes after it must
	// not show in its row.
	Context Context
	carts   *Carts
}

// Cart is what was in the cart at the session's end, by this device alone.
func (f *Fold) Cart() Cart { return f.carts.Cart() }

// Context is what is known of the device; unknown values never overwrite known ones.
type Context struct {
	Width, Height uint16
	Device        event.DeviceType
	OS            event.OS
	Network       event.Network
	Bot           bool
	At            int64 // time of the newest event that says something of it
}

// State is the fold of a device's events so far: the open session, and what outlives sessions.
type State struct {
	Fold    *Fold // nil when there is no session
	carts   *Carts
	Context Context
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
	c.plays = slices.Clone(f.plays)
	return &c
}

func (s State) clone() State {
	s.Fold = s.Fold.clone()
	return s
}

// continues reports whether an event at t belongs to the session.
func (f *Fold) continues(t int64, p *Params) bool { return f != nil && t < f.End+p.Gap }

// step folds e into s. Events must come in (Time, Offset) order. It reports
// whether e opened a new session; the old one is then no longer in s. known has
// what came late, which a session finds when it opens.
func (s *State) step(e *item, known *facts, p *Params) (opened bool) {
	if !s.Fold.continues(e.Time, p) {
		s.Fold, opened = newFold(p, e.Time), true
		s.carts = s.carts.late(known, e.Offset)
	}
	s.Context.take(e, p)
	s.Fold.take(e, p)
	s.carts = s.carts.after(e)
	s.Fold.Context, s.Fold.carts = s.Context, s.carts
	return opened
}

// take folds an event into the session that it is of, but for the cart.
func (f *Fold) take(e *item, p *Params) {
	f.dwell(e, p)
	if f.count(e); e.Flags&flagOlder == 0 {
		f.page(e)
		f.video(e)
	} else {
		f.olderPage(e)
		f.olderVideo(e)
	}
	f.End = e.Time
	f.Events++
}

// dwell credits the time since the last event to the page that was current.
// Without a heartbeat that says the page was visible, at most the cap counts.
func (f *Fold) dwell(e *item, p *Params) {
	if f.cur < 0 {
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

// take takes in what the event says of the device; bot: also whether it is a crawler.
func (c *Context) take(e *item, p *Params) (bot bool) {
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
		c.Bot, bot = true, true
	case e.Device != event.DeviceUnknown && p.Semantics.Has(2):
		c.Bot, bot = false, true // the newest statement holds: a wrong verdict is not for ever
	}
	if e.screen != (screen{}) || e.Flags&event.FlagBot != 0 {
		c.At = e.Time
	}
	return bot
}

// fill writes the stored features but for the facts of the person.
func (s *State) fill(values []float64, elements int) {
	clear(values)
	values[SlotDevice] = float64(s.Context.Device)
	values[SlotOS] = float64(s.Context.OS)
	values[SlotNetwork] = float64(s.Context.Network)
	values[SlotWidth] = float64(s.Context.Width)
	values[SlotHeight] = float64(s.Context.Height)
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
