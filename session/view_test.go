package session

import (
	"strings"
	"testing"

	"github.com/microseg/microseg/event"
)

// script folds events that are written as words, a second apart unless a number
// of seconds stands between.
func script(t *testing.T, words string) *Fold {
	t.Helper()
	p, q, at := params(), &Profile{}, int64(1_000_000)
	pages := map[string]event.Event{
		"call":   {Kind: event.KindPage, Page: 1, PageType: event.PageProduct},         // /product/1
		"call2":  {Kind: event.KindPage, Page: 2, PageType: event.PageProduct},         // /product/2
		"screen": {Kind: event.KindPage, Page: 3, PageType: event.PageOther},           // screen "Product"
		"bare":   {Kind: event.KindPage, PageType: event.PageOther},                    // a page call without a path
		"cart":   {Kind: event.KindPage, Page: 4, PageType: event.PageCart},            // /cart
		"p":      {Kind: event.KindProductView, Page: 10, PageType: event.PageProduct}, // by product id
		"q":      {Kind: event.KindProductView, Page: 11, PageType: event.PageProduct},
		"at1":    {Kind: event.KindProductView, Page: 1, PageType: event.PageProduct}, // by path
		"server": {Kind: event.KindOrder},                                             // by a server: no page
		"PS":     {Kind: event.KindVideoStart},
		"PC":     {Kind: event.KindVideoComplete},
		"CS":     {Kind: event.KindVideoStart, Flags: event.FlagContent},
		"CC":     {Kind: event.KindVideoComplete, Flags: event.FlagContent},
	}
	for i, w := range strings.Fields(words) {
		if n := strings.TrimSuffix(w, "s"); n != w && strings.Trim(n, "0123456789") == "" {
			for s := int64(0); len(n) > 0; n = n[1:] {
				s = s*10 + int64(n[0]-'0')
				if len(n) == 1 {
					at += 1000 * s
				}
			}
			continue
		}
		name, id, _ := strings.Cut(w, ":")
		e, known := pages[name]
		if !known {
			t.Fatalf("no word %q", w)
		}
		if id != "" {
			e.Item = uint64(id[0])
		}
		e.Time, e.Offset, e.ID = at, int64(i), uint64(i+1)
		at += 1000
		q.Add(&e, p)
	}
	return q.State().Fold
}

// TestOneView: a screen call and "Product Viewed" were two views, since they name
// what is shown by different keys.
func TestOneView(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]uint32{
		"screen p":               1,
		"p screen":               1, // in either order
		"call p":                 1,
		"p call":                 1,
		"call at1":               1,
		"at1 call":               1,
		"bare p":                 1, // the call has no key
		"p bare":                 1,
		"call p p":               1,
		"call p 60s p":           1,
		"call p call2 q":         2,
		"p call q call2":         2,
		"call call2":             2,
		"call call":              2, // loaded again
		"call p call p":          2, // one path for all products
		"call p call q":          2,
		"call p q":               2, // another product without a call
		"p q":                    2,
		"p cart":                 2, // something else is shown
		"cart p":                 2,
		"screen 60s p":           2, // much later
		"p 60s screen":           2,
		"call server":            1,
		"server":                 0, // a server sees no page
		"p call p call2":         2,
		"screen p screen q cart": 3,
	} {
		if f := script(t, words); f.PageViews != want {
			t.Errorf("%s: %d views, not %d", words, f.PageViews, want)
		}
	}
}

// TestOnePlay: by Segment's video spec a play has events of its own and of its
// parts, and counted twice. :a is a session_id.
func TestOnePlay(t *testing.T) {
	t.Parallel()
	for words, want := range map[string][3]uint32{ // starts, completed, dropped
		"PS:a CS:a CC:a PC:a":                     {1, 1, 0},
		"PS CS CC PC":                             {1, 1, 0}, // without ids
		"CS:a CC:a":                               {1, 1, 0}, // a player that tells of content alone
		"CS CC":                                   {1, 1, 0},
		"PS:a PC:a":                               {1, 1, 0},
		"CS:a PS:a CC:a PC:a":                     {1, 1, 0}, // in another order
		"PS:a CS:a PC:a CC:a":                     {1, 1, 0},
		"PS:a CS:a CC:a CS:a CC:a PC:a":           {1, 1, 0}, // an ad between two parts
		"PS CS CC CS CC PC":                       {1, 1, 0},
		"CS:a CC:a CS:a CC:a":                     {1, 1, 0},
		"PS:a CS:a CC:a CS:a call":                {1, 0, 1}, // left within the second part
		"PS:a CS:a call":                          {1, 0, 1},
		"PS CS call":                              {1, 0, 1},
		"PS:a CS:a PS:b CS:b CC:a PC:a CC:b PC:b": {2, 2, 0}, // two players at once
		"PS:a PS:b PC:b PC:a":                     {2, 2, 0},
		"PS PS PC PC":                             {2, 2, 0},
		"PS PC PS PC":                             {2, 2, 0},
		"CS CC CS CC":                             {2, 2, 0}, // one after the other
		"PS:a PC:a PS:a PC:a":                     {2, 2, 0}, // watched again
		"PS:a PS:a PC:a":                          {1, 1, 0},
		"PS:a call PS:b PC:b":                     {2, 1, 1},
		"PC:a PC:a":                               {0, 1, 0}, // began in another session
		"CC:a PC:a":                               {0, 1, 0},
		"PC PC":                                   {0, 2, 0},
		"PS:a CS CC PC:a":                         {1, 1, 0}, // the id is on some
		"PS CS:a CC:a PC":                         {1, 1, 0},
		"PS:a call PC:a":                          {1, 1, 0}, // goes on in a small player
		"PS:a PS:b PS:c PS:d PS:e PS:f PS:g PS:h PS:i": {9, 0, 8},
	} {
		if f := script(t, words); [3]uint32{f.VideoStarts, f.VideoDone, f.VideoDrops} != want {
			t.Errorf("%s: %d starts, %d completed, %d dropped; not %v", words, f.VideoStarts, f.VideoDone, f.VideoDrops, want)
		}
	}
}
