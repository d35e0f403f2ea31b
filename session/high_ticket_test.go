package session

import (
	"testing"

	"github.com/microseg/microseg/event"
)

// TestTimeOnExpensiveLists: eight minutes over category pages, lists and products
// of expensive electronics are eight minutes; of these, 52 s on the product
// counted. What is between them, a page about shoes, does not count.
func TestTimeOnExpensiveLists(t *testing.T) {
	p := params()
	q := &Profile{}
	at, offset := int64(1_000_000), int64(0)
	send := func(kind event.Kind, page uint64, typ event.PageType, flags event.Flags) {
		offset++
		q.Add(&event.Event{Time: at, Offset: offset, ID: uint64(offset), Kind: kind, Page: page, PageType: typ, Flags: flags}, p)
	}
	stay := func(seconds int64) { // with heartbeats
		for range seconds / 4 {
			at += 4000
			send(event.KindPing, 0, event.PageUnknown, event.FlagVisible)
		}
	}
	send(event.KindPage, 1, event.PageList, event.FlagHighTicket) // a category page by its path
	stay(200)
	send(event.KindPage, 2, event.PageList, 0) // by the list that it shows
	send(event.KindListView, 2, event.PageList, event.FlagHighTicket)
	stay(228)
	send(event.KindPage, 3, event.PageList, 0)
	stay(100)
	send(event.KindPage, 4, event.PageProduct, 0)
	send(event.KindProductView, 4, event.PageProduct, event.FlagHighTicket)
	stay(52)
	values := make([]float64, len(Catalogue(make([]string, p.Elements))))
	q.State().Fold.fill(values, p.Elements)
	if got := values[SlotDwellHighTicket]; got != 480 {
		t.Errorf("%v s with expensive products, want 480", got)
	}
}
