package event

import "testing"

// TestHighTicketLists: a list of expensive electronics is browsed as its
// products are. Eight minutes on lists and category pages counted 52 s: only
// Product Viewed was looked at.
func TestHighTicketLists(t *testing.T) {
	t.Parallel()
	d, err := NewDecoder(Config{HighTicketCategories: []string{"electronics", "computers/laptops"}, HighTicketMinPrice: 500,
		Pages: []PageRule{{Type: PageList, Path: "/category/**"}, {Type: PageProduct, Path: "/product/**"}}})
	if err != nil {
		t.Fatal(err)
	}
	const list, page = `"type":"track","event":"Product List Viewed","properties":`, `"type":"page",`
	for _, c := range []struct {
		event string
		want  bool
	}{
		{list + `{"category":"computers/laptops"}`, true},
		{list + `{"category":"Electronics"}`, true},
		{list + `{"category":"computers"}`, false},
		{list + `{"category":"electronics_old"}`, false},
		{list + `{"category":"electronics","products":[{"product_id":"a"},{"product_id":"b"}]}`, true}, // no prices: the category
		{list + `{"category":"electronics","products":[{"price":499},{"price":"899.00"},{"price":1899}]}`, true},
		{list + `{"category":"electronics","products":[{"price":49},{"price":899},{"price":12}]}`, false}, // cables, and one laptop
		{list + `{"category":"electronics","products":[{"price":49},{"price":899}]}`, true},               // half is enough
		{list + `{"products":[{"price":900,"category":"electronics.tv"},{"price":950,"category":"electronics/tv"}]}`, true},
		{list + `{"category":"electronics","products":[{"price":900,"category":"books"},{"price":950,"category":"books"},{"price":800}]}`, false},
		{list + `{"category":"books","products":[{"price":900}]}`, false},
		{list + `{"category":"books","price":900,"products":[{"price":900}]}`, false},
		{`"type":"track","event":"Product List Filtered","properties":{"category":"electronics","products":[{"price":900}]}`, true},
		{`"type":"track","event":"Products Searched","properties":{"query":"tv"}`, false},
		{page + `"context":{"page":{"path":"/category/electronics"}}`, true},
		{page + `"context":{"page":{"path":"/category/all/computers/laptops"}}`, true},
		{page + `"context":{"page":{"path":"/category/books"}}`, false},
		{page + `"context":{"page":{"path":"/category/7"}},"properties":{"category":"Electronics"}`, true},
		{page + `"context":{"page":{"path":"/category/7"}},"category":"electronics"`, true},
		{page + `"context":{"page":{"path":"/product/electronics"}}`, false}, // a product has a price
		{page + `"context":{"page":{"path":"/product/1"}},"properties":{"category":"electronics","price":900}`, true},
		{`"type":"track","event":"Product Viewed","properties":{"category":"electronics","price":900}`, true},
		{`"type":"track","event":"Product Viewed","properties":{"category":"electronics","price":90}`, false},
		{`"type":"track","event":"Product Viewed","properties":{"category":"electronics"}`, false},
	} {
		var e Event
		if err := d.Decode([]byte(`{"anonymousId":"a","messageId":"m","timestamp":"2026-01-01T00:00:00Z",`+c.event+`}`), Unstated, 0, &e); err != nil {
			t.Errorf("%s: %v", c.event, err)
		} else if got := e.Flags&FlagHighTicket != 0; got != c.want {
			t.Errorf("%s: %v", c.event, got)
		}
	}
}
