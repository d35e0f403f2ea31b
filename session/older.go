package session

import "github.com/microseg/microseg/event"

// What a process of semantics 1 decided is decided again as it was (event.Semantics),
// also where a late event or a restart folds it once more: the events that it had
// taken are marked.
const flagOlder event.Flags = 1 << 7

func (f *Fold) olderPage(e *item) {
	defer func() { f.Paged = e.Time }() // the page of the newest event counted
	switch e.Kind {
	case event.KindPage:
		f.olderView(e)
	case event.KindProductView, event.KindListView, event.KindCartView, event.KindCheckout, event.KindOrder:
		if f.cur < 0 || e.Page != 0 && f.pages[f.cur].key != e.Page {
			f.olderView(e)
		} else {
			f.improve(e)
		}
		f.pages[f.cur].highTicket = f.pages[f.cur].highTicket || e.Flags&event.FlagHighTicket != 0
	}
}

func (f *Fold) olderView(e *item) {
	f.view(e)
	f.called, f.plays = true, nil
}

func (f *Fold) olderVideo(e *item) {
	n := len(f.plays)
	switch {
	case e.Kind == event.KindVideoComplete:
		f.VideoDone++
		f.plays = nil
	case e.Kind != event.KindVideoStart:
	case n > 0 && e.Item != 0 && f.plays[n-1].id == e.Item:
	default:
		f.plays = nil
		if f.VideoStarts++; n > 0 {
			f.VideoDrops++
		}
		f.plays = []play{{e.Item, playWhole}}
	}
}

// older is the cart after an event: of complete statements only those of some
// value counted, and when something was put in last.
func (c *Carts) older(e *item) *Carts {
	was := c.Cart()
	now, q := was, max(e.Y, 1)
	switch e.Kind {
	case event.KindCartAdd:
		now = Cart{was.Items + q, was.Value + e.X*q, e.Time}
	case event.KindCartRemove:
		q = min(q, was.Items)
		price := e.X
		if price == 0 && was.Items > 0 {
			price = was.Value / was.Items
		}
		now.Items, now.Value = was.Items-q, max(0, was.Value-price*q)
		if now.Items <= 0 {
			now = Cart{}
		}
	case event.KindCartView, event.KindCheckout:
		if e.X > 0 && e.Y > 0 {
			now.Value, now.Items = e.X, e.Y
			if now.Changed == 0 {
				now.Changed = e.Time
			}
		}
	case event.KindOrder:
		now = Cart{}
	default:
		return c
	}
	return (&Carts{said: statement{place{e.Time, e.Offset}, true, now}}).fold()
}
