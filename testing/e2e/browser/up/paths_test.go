package up

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/testing/harness/chromium"
)

const (
	briefMS = 320 // the brief's figure for the case: the banner in the page within so long
	visits  = 20  // of which the 95th percentile is taken
	compare = 93 * time.Second
)

// TestPaths are the five things that a newcomer tries: the case, the analyzer,
// high ticket, the brief's snippet and an offer that is kept, beside the
// simulated visitors that `up` brings; and the case again by the only visitor of
// a site. None worked at shipped settings: 200 active visitors were needed before
// anything was served, and only tests had them.
func TestPaths(t *testing.T) {
	bin, root := build(t)
	crowded, empty := start(t, bin, root), start(t, bin, root, "--visitors", "0")
	b := chromium.Start(t)
	var took times
	t.Run("paths", func(t *testing.T) {
		for i := range visits {
			t.Run(fmt.Sprint("case/", i), func(t *testing.T) {
				t.Parallel()
				took.leave(t, theCase(t, b, crowded.url))
			})
		}
		for name, path := range map[string]func(*testing.T, *chromium.Browser, *stack){"analyzer": analyzer, "high ticket": highTicket, "snippet": brief, "kept offer": kept} {
			t.Run(name, func(t *testing.T) { t.Parallel(); path(t, b, crowded) })
		}
		t.Run("case, the only visitor", func(t *testing.T) {
			t.Parallel()
			took.leave(t, theCase(t, b, empty.url))
		})
	})
	took.report(t)
}

// times are from the deciding event to the banner, ms.
type times struct {
	mu  sync.Mutex
	all []float64
}

// theCase is a laptop in the cart and 90 seconds of comparing.
func theCase(t *testing.T, b *chromium.Browser, url string) *visitor {
	t.Helper()
	v := visit(t, b, url)
	v.fillCart()
	v.stay(compare)
	if n := v.Text(`document.querySelectorAll("[data-ms-slot=banner] .ms-countdown").length`); n != "0" {
		t.Error("there is a banner before the visitor has left")
	}
	return v
}

// leave goes to the home page, one visitor after the other, as visitors leave, and
// looks for the banner with its running countdown.
func (x *times) leave(t *testing.T, v *visitor) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	v.Front()
	v.Click("header .brand")
	v.arrive("/")
	v.slot("banner", "cart_banner")
	v.Wait(`window.__seen > 0`)
	var ms float64
	v.Eval(`__seen - __told`, &ms)
	x.all = append(x.all, ms)
	clock := func() string {
		return v.Text(`document.querySelector("[data-ms-slot=banner] .ms-countdown").textContent`)
	}
	if before := clock(); !strings.HasPrefix(before, "14:") && before != "15:00" {
		t.Errorf("the countdown begins at %s", before)
	} else {
		v.Wait(fmt.Sprintf(`document.querySelector("[data-ms-slot=banner] .ms-countdown").textContent < %q`, before))
	}
	v.fine()
}

// strict makes the brief's figure a condition. By default it is printed: what a
// machine is slow at, with other tests beside it, is no mistake of the program.
var strict = flag.Bool("strict", false, "fail where the 95th percentile is beyond the brief's figure")

func (x *times) report(t *testing.T) {
	t.Helper()
	if len(x.all) != visits+1 {
		t.Fatalf("%d of %d visits came to their banner", len(x.all), visits+1)
	}
	slices.Sort(x.all)
	q := func(p float64) float64 { return x.all[int(p*float64(len(x.all)-1)+0.5)] }
	out, err := json.Marshal(map[string]any{"visits": len(x.all), "deciding_event_to_banner_ms": map[string]float64{"p50": q(0.5), "p95": q(0.95), "max": q(1)}, "brief_ms": briefMS})
	check(t, err)
	t.Logf("%s", out)
	if q(0.95) > briefMS && *strict {
		t.Errorf("the 95th percentile is %v ms, the brief wants %d", q(0.95), briefMS)
	}
}

// analyzer has looked at two products, which is little intent, and compares for
// 90 s with the pointer on price and features: a discount over the page and
// comparison tips beside it.
func analyzer(t *testing.T, b *chromium.Browser, s *stack) {
	v := visit(t, b, s.url)
	v.open("/product/aero-14")
	v.open("/product/aero-16-pro")
	v.open("/compare?ids=aero-14,aero-16-pro")
	for _, element := range []string{"price", "features"} {
		v.Hover("tr[data-ms-element=" + element + "]")
		time.Sleep(1500 * time.Millisecond)
	}
	v.MoveTo(1, 1)
	v.stay(compare)
	v.slot("overlay", "analyzer_overlay")
	v.slot("sidebar", "comparison_tips")
	if got := v.Text(`document.querySelector("[data-ms-slot=overlay]").textContent`); !strings.Contains(got, "10% off what you compare") {
		t.Errorf("the overlay says %q", got)
	}
	if got := v.why(); !strings.Contains(got, "/price_sensitive_analyzer") || strings.Contains(got, `"served":"everyone/high_intent`) {
		t.Errorf("%s", got)
	}
	v.fine()
}

// highTicket has been eight minutes over lists and category pages of expensive
// electronics, which are told afterwards, as a phone does that had no network;
// then there is one in the cart, and the visitor leaves.
func highTicket(t *testing.T, b *chromium.Browser, s *stack) {
	v := visit(t, b, s.url)
	v.open("/")
	v.arrive("/")
	browse(t, s.url, v.Text(`microseg.anonymousId()`), time.Now().Add(-520*time.Second), 500*time.Second)
	v.open("/product/forge-15")
	v.Click("#buy .primary")
	v.Wait(`document.querySelector("#cart-count").textContent === "1"`)
	v.open("/cart")
	v.arrive("/cart")
	time.Sleep(time.Second)
	v.Click("header .brand")
	v.arrive("/")
	v.slot("banner", "high_ticket_banner")
	if got := v.Text(`document.querySelector("[data-ms-slot=banner]").textContent`); !strings.Contains(got, "Your selection is still here") {
		t.Errorf("the banner says %q", got)
	}
	v.fine()
}

// browse tells the collector of so long on two category pages.
func browse(t *testing.T, url, device string, at time.Time, d time.Duration) {
	t.Helper()
	var batch []map[string]any
	say := func(kind, name, path string, properties map[string]any) {
		batch = append(batch, map[string]any{"type": kind, "event": name, "anonymousId": device, "messageId": fmt.Sprintf("%s-%d", device, len(batch)),
			"timestamp": at.UTC().Format(time.RFC3339Nano), "properties": properties, "context": map[string]any{"page": map[string]any{"path": path}}})
	}
	laptops := []any{map[string]any{"product_id": "a", "price": 899}, map[string]any{"product_id": "b", "price": 1899}}
	for _, path := range []string{"/category/computers", "/category/laptops"} {
		say("page", "", path, nil)
		if path == "/category/laptops" { // its path says nothing of computers, its list does
			say("track", "Product List Viewed", path, map[string]any{"category": "computers/laptops", "products": laptops})
		}
		for end := at.Add(d / 2); at.Before(end); {
			at = at.Add(10 * time.Second)
			say("track", "Page Pinged", path, map[string]any{"seconds": 10, "visible": true})
		}
	}
	body, err := json.Marshal(map[string]any{"batch": batch, "writeKey": "demo"})
	check(t, err)
	answer, err := http.Post(url+"/v1/batch", "application/json", bytes.NewReader(body))
	check(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("the collector answers %d", answer.StatusCode)
	}
}

// brief is the brief's own snippet, in a page of the site's own: an abandoner
// opens it and sees the offer.
func brief(t *testing.T, b *chromium.Browser, s *stack) {
	v := theCase(t, b, s.site.URL)
	v.Click("header .brand")
	v.arrive("/")
	v.slot("banner", "cart_banner")
	v.open("/snippet")
	v.Wait(`window.result`)
	if got := v.Text(`result`); got != "200 everyone/high_intent/cart_abandoner cart_banner" {
		t.Errorf("the snippet got %q", got)
	}
	if got := v.Text(`document.querySelector("#place").textContent`); !strings.Contains(got, "10% off") {
		t.Errorf("the page shows %q", got)
	}
}

// kept is an offer with a deadline that stands on every page until then, whatever
// the visitor does next.
func kept(t *testing.T, b *chromium.Browser, s *stack) {
	v := theCase(t, b, s.url)
	v.Click("header .brand")
	v.arrive("/")
	v.slot("banner", "cart_banner")
	deadline := func() string {
		return v.Text(`document.querySelector("[data-ms-slot=banner] [role=timer]").dataset.msDeadline`)
	}
	first := deadline()
	for _, path := range []string{"/cart", "/product/aero-16-pro", "/checkout/", "/"} {
		v.open(path)
		v.arrive(path)
		time.Sleep(2 * time.Second) // the job has decided, and the page has asked
		v.slot("banner", "cart_banner")
		if got := deadline(); got != first {
			t.Errorf("%s: the deadline is %s, and was %s", path, got, first)
		}
		if n := v.Text(`document.querySelectorAll("[role=timer]").length`); n != "1" {
			t.Errorf("%s: %s countdowns", path, n)
		}
	}
	v.fine()
}
