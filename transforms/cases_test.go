package transforms

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
)

// runLines runs both stages over records, each in the partition of its device, by
// the shipped segments or by others.
func runLines(t *testing.T, job string, lines []string, segments []segment.Spec) tables {
	t.Helper()
	spec := testSpec(t, job, 2, 4)
	if segments != nil {
		spec.Segments = segments
	}
	d, err := event.NewDecoder(spec.Event)
	check(t, err)
	l := &testLog{}
	for _, line := range lines {
		var e event.Event
		check(t, d.Decode([]byte(line), event.Unstated, 0, &e))
		l.add(event.Home(e.Device, spec.Partitions), line)
	}
	return runPlain(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(1, 1))))
}

func caseLines(t *testing.T, name string) (lines []string) {
	t.Helper()
	f, err := os.Open("testdata/cases/" + name + ".jsonl")
	check(t, err)
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		lines = append(lines, in.Text())
	}
	return lines
}

// TestBuyersAbandonNothing: the server's order, or one on the other device, left
// the cart of the first device full, so that buyers entered cart_abandoner a minute
// after they had bought.
func TestBuyersAbandonNothing(t *testing.T) {
	t.Parallel()
	got := runLines(t, "case-orders", caseLines(t, "order-elsewhere"), nil)
	for _, user := range []string{"u:ann", "u:bob", "u:dan"} {
		row := got[rows.TableSegmentState]["test|"+user]
		if row == nil || row["cart_value"] != "0" || strings.Contains(row["path"], "cart_abandoner") || row["orders"] != "1" || row["revenue"] != "150" {
			t.Errorf("%s after the order: %v", user, row)
		}
	}
	for _, e := range got[rows.TableSegmentEvents] {
		if strings.Contains(e["node"], "cart_abandoner") {
			t.Errorf("an abandoner: %v", e)
		}
	}
}

// TestServersLeaveTheDevice: points granted by a server, which says nothing of the
// phone, wiped that it is one on 3G.
func TestServersLeaveTheDevice(t *testing.T) {
	t.Parallel()
	lines := caseLines(t, "server-event-without-context")
	lines = lines[:len(lines)-16] // the others let time pass
	on := []segment.Spec{{Name: "phone", When: `device.type == "mobile" && device.network == "3g" && page.type == "product" && cart.items == 0`}}
	got := runLines(t, "case-server", lines, on)
	for _, user := range []string{"u:mo1", "u:mo2"} {
		if row := got[rows.TableSegmentState]["test|"+user]; row == nil || row["path"] != "everyone/phone" {
			t.Errorf("%s: %v", user, row)
		}
	}
	for _, s := range got[rows.TableSessions] {
		if s["device"] == "user:mo1" && s["page_views"] != "0" {
			t.Errorf("a server viewed a page: %v", s)
		}
	}
}

// TestCartsAsStated: "Cart Viewed" with fewer items or none did not count.
func TestCartsAsStated(t *testing.T) {
	t.Parallel()
	lines := caseLines(t, "emptied-cart")
	add := func(device, name, props string) {
		lines = append(lines, fmt.Sprintf(`{"type":"track","messageId":"%d","timestamp":"2026-11-20T10:01:%02dZ","anonymousId":"%s","event":"%s","properties":{%s}}`,
			len(lines), len(lines), device, name, props))
	}
	add("d", "Product Added", `"price":10,"quantity":2`)
	add("d", "Product Removed", `"price":10,"quantity":5`) // beyond what is there
	add("d", "Product Added", `"price":0`)                 // a free sample
	add("e", "Product Added", `"price":10,"quantity":0`)
	add("f", "Product Added", `"price":10,"quantity":"2"`)
	add("f", "Product Added", `"price":10,"quantity":-1`)
	add("g", "Product Added", `"price":10,"quantity":0.5`)
	add("h", "Product Added", `"price":10,"quantity":3`)
	add("h", "Cart Cleared", ``)
	add("i", "Product Added", `"price":0`)
	add("i", "Product Added", `"price":8`)
	add("i", "Product Removed", `"price":0`) // the sample, which is worth nothing
	add("j", "Product Added", `"price":10,"quantity":3`)
	add("j", "Checkout Started", `"products":[{"product_id":"p","price":10,"quantity":1}]`)
	add("k", "Product Added", `"price":10`)
	add("k", "Checkout Step Viewed", `"step":2`) // says nothing of the cart
	got := runLines(t, "case-carts", lines, []segment.Spec{{Name: "none", When: "cart.items == 0"}, {Name: "half", When: "cart.items == 0.5"}, {Name: "one", When: "cart.items == 1"}, {Name: "more", When: "cart.items > 1"}})
	for device, want := range map[string]string{"a": "none 0", "b": "none 0", "c": "one 40", "d": "one 0", "e": "none 0", "f": "one 10", "g": "half 5", "h": "none 0", "i": "one 8", "j": "one 10", "k": "one 10"} {
		row := got[rows.TableSegmentState]["test|d:"+device]
		if have := strings.TrimPrefix(row["path"], "everyone/") + " " + row["cart_value"]; have != want {
			t.Errorf("%s: %s, not %s", device, have, want)
		}
	}
}

// TestOnceEach: one play, one view.
func TestOnceEach(t *testing.T) {
	t.Parallel()
	for _, s := range runLines(t, "case-views", caseLines(t, "viewed-twice"), nil)[rows.TableSessions] {
		if s["page_views"] != "1" {
			t.Errorf("viewed twice: %v", s)
		}
	}
	got := runLines(t, "case-video", caseLines(t, "video"), []segment.Spec{{Name: "drop", When: "video.dropoffs >= 1 || video.starts != 1"}, {Name: "two", When: "video.completes >= 2"}, {Name: "one", When: "video.completes == 1"}})
	for _, row := range got[rows.TableSegmentState] {
		if row["path"] != "everyone/one" {
			t.Errorf("%v", row)
		}
	}
}

// TestFactsOfAPerson: a rule for each kind of feature, over two devices and a
// server that speaks of the user.
func TestFactsOfAPerson(t *testing.T) {
	t.Parallel()
	var lines []string
	say := func(s int, device, kind, props, context string) {
		who := fmt.Sprintf(`"anonymousId":"%s","userId":"u",`, device)
		if device == "" {
			who = `"userId":"u",`
		}
		if kind == "page" {
			kind = `"type":"page"`
		} else {
			kind = fmt.Sprintf(`"type":"track","event":"%s"`, kind)
		}
		lines = append(lines, fmt.Sprintf(`{%s,%s"messageId":"%d","timestamp":"2026-11-20T10:%02d:%02dZ","properties":{%s},"context":{%s}}`, kind, who, len(lines), s/60, s%60, props, context))
	}
	laptop := `"page":{"path":"/product/1"},"device":{"type":"desktop"},"os":{"name":"Windows"},"screen":{"width":1900,"height":1000}`
	phone := `"page":{"path":"/compare/a"},"device":{"type":"mobile"},"os":{"name":"Android"},"screen":{"width":400,"height":800},"network":{"effectiveType":"3g"}`
	say(0, "laptop", "page", ``, laptop)
	say(1, "laptop", "Product Added", `"price":20,"quantity":2`, laptop)
	say(10, "laptop", "Page Scrolled", `"depth":0.9,"velocity":100`, laptop)
	say(20, "phone", "page", ``, phone)
	say(21, "phone", "Page Scrolled", `"depth":0.3`, phone)
	say(22, "phone", "Product Removed", `"price":20`, phone)
	say(30, "phone", "Element Clicked", ``, phone)
	say(31, "laptop", "Coupon Granted", ``, ``) // by a server, about the laptop
	say(32, "", "Loyalty Points Granted", ``, ``)
	say(33, "", "Product Added", `"price":5`, ``)
	for when, want := range map[string]bool{
		"session.events == 10":          true, // sums over the open sessions
		"session.page_views == 2":       true,
		"session.clicks == 1":           true,
		"scroll.max_depth == 0.9":       true, // the largest
		"session.duration_s == 33":      true, // from the first start
		`page.type == "comparison"`:     true, // of the device that is looked at
		"scroll.depth == 0.3":           true,
		"scroll.velocity == 0":          true, // with what it does not have
		`device.type == "mobile"`:       true, // of the last that says it
		`device.os == "android"`:        true,
		`device.network == "3g"`:        true,
		"screen.width == 400":           true,
		"cart.items == 2":               true, // what all say together
		"cart.value == 25":              true,
		"devices == 3":                  true,
		"customer.orders == 0":          true,
		"dwell.product == 31":           true,
		"hover.price > 0 || orders > 0": false,
	} {
		got := runLines(t, "case-facts-"+when, lines, []segment.Spec{{Name: "yes", When: when}})
		if path := got[rows.TableSegmentState]["test|u:u"]["path"]; (path == "everyone/yes") != want {
			t.Errorf("%s: %s", when, path)
		}
	}
}

// TestCartsCool: a cart of yesterday kept a visitor in high_intent for the whole
// retention. The cart stays; the visitor leaves 24 hours after its last change.
func TestCartsCool(t *testing.T) {
	t.Parallel()
	lines := []string{
		`{"type":"track","event":"Product Added","anonymousId":"a","messageId":"1","timestamp":"2026-11-20T10:00:00Z","properties":{"price":20,"quantity":2}}`,
		`{"type":"track","event":"Product Removed","anonymousId":"a","messageId":"2","timestamp":"2026-11-20T11:00:00.123Z","properties":{"price":20}}`,
		`{"type":"track","event":"Cart Viewed","anonymousId":"a","messageId":"3","timestamp":"2026-11-20T12:00:00Z","properties":{"products":[{"price":20,"quantity":1}]}}`,
	}
	for i := range 8 { // time passes in all partitions
		lines = append(lines, fmt.Sprintf(`{"type":"page","anonymousId":"t%d","messageId":"t%d","timestamp":"2026-11-22T12:00:00Z"}`, i, i))
	}
	got := runLines(t, "case-cool", lines, nil)
	left := time.Date(2026, 11, 21, 11, 0, 0, 123_000_000, time.UTC).UnixMilli()
	var moves []string
	for _, e := range got[rows.TableSegmentEvents] {
		if strings.HasSuffix(e["node"], "/high_intent") && e["person"] == "d:a" {
			moves = append(moves, e["action"]+" by "+e["cause"]+" at "+e["at"])
		}
	}
	slices.Sort(moves)
	row := got[rows.TableSegmentState]["test|d:a"]
	if len(moves) != 2 || moves[1] != fmt.Sprintf("left by time at %d", left) || row["cart_value"] != "20" {
		t.Errorf("%v; in the end %v", moves, row)
	}
}
