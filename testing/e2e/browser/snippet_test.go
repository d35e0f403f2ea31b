package browser

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/microseg/microseg/testing/harness/chromium"
)

// snippet is the brief's own page: our script, and what the brief shows. It has
// no more of us than that; where it shows the content is its own affair.
const snippet = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,"><title>Snippet</title>
<script src="%[1]s/microseg.js" data-write-key="demo"></script></head>
<body><div id="place"></div>
<script type="module">
const seg = await getUserSegment();
const r = await fetch('%[2]s/api/personalize', {method: 'POST', body: JSON.stringify({segment: seg, event: {page: location.pathname}})});
const answer = await r.json();
const banner = answer.actions.find((a) => a.slot === "banner");
document.querySelector("#place").innerHTML = banner ? banner.html : "nothing";
window.result = {status: r.status, text: String(seg), proof: answer.proof, rule: banner && banner.rule};
</script></body></html>`

// applied is the same with slots, which applyContent fills.
const applied = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,"><title>Slots</title>
<script src="/microseg.js" data-write-key="demo"></script></head>
<body><div data-ms-slot="banner">ours</div>
<script type="module">
const seg = await getUserSegment();
const r = await fetch('/api/personalize', {method: 'POST', body: JSON.stringify({segment: seg, event: {page: location.pathname}})});
window.shown = applyContent(await r.json());
</script></body></html>`

// snippetPages serves both, as a site's own server does.
func snippetPages(mux *http.ServeMux) {
	mux.HandleFunc("GET /test/snippet", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, snippet, "", "") })
	mux.HandleFunc("GET /test/applied", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, applied) })
}

// TestSnippet: a page that loads our script and runs the brief's snippet shows
// the offer of an abandoner. The object that getUserSegment() resolved to was
// refused with 400, and the page in event.page was not read.
func TestSnippet(t *testing.T) {
	site.seed(t, "everyone/high_intent", abandoner)
	p := site.visit(t)
	site.fillCart(p)
	site.stay(95*time.Second, p)
	p.Click("header .brand")
	arrive(p, "/")
	waitServed(t, p, abandoner)
	site.open1(p, "/test/snippet")
	p.Wait(`window.result`)
	want := `200 ` + abandoner + ` known cart_banner`
	if got := p.Text(`[result.status, result.text, result.proof, result.rule].join(" ")`); got != want {
		t.Errorf("the snippet got %q, want %q", got, want)
	}
	if got := p.Text(`document.querySelector("#place .ms-banner-headline").textContent.trim()`); got != "Your cart is waiting" {
		t.Errorf("the page shows %q", got)
	}
	site.open1(p, "/test/applied")
	p.Wait(`window.shown && document.querySelector("[data-ms-slot=banner]").dataset.msRule === "cart_banner"`)
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("the browser complains: %q", got)
	}
}

// TestSnippetProven: the README's and the brief's lines, as they stand there, where proofs
// are asked for. A visitor who is nobody is shown what her own device did; one with a proof
// what she did on any device, also behind a restart of the page; one who only says who she is
// is shown her own device and nothing of the user's; and after the log-out nothing of either.
func TestSnippetProven(t *testing.T) {
	url := site.signed(t)
	site.seed(t, "everyone/high_intent", abandoner)
	ann := fmt.Sprintf("ann-%d", nowMS())
	snippet := func(p *chromium.Page, want string) {
		t.Helper()
		eventually(t, "the snippet shows "+want, func() bool {
			p.Goto(url + "/test/snippet")
			p.Wait(`window.result`)
			return p.Text(`result.status + " " + result.text`) == "200 "+want
		})
	}
	laptop := site.visit(t)
	site.fillCartAt(laptop, url)
	site.stay(95*time.Second, laptop)
	laptop.Click("header .brand")
	arrive(laptop, "/")
	waitServed(t, laptop, abandoner)
	snippet(laptop, abandoner)
	laptop.Eval(fmt.Sprintf(`microseg.identify(%q, {}, {proof: %q})`, ann, hashOf(ann)), nil)
	eventually(t, "the laptop is hers", func() bool {
		return ofDevice(t, url, map[string]any{"anonymousId": laptop.Text(`microseg.anonymousId()`)}).ProofNeeded
	})
	snippet(laptop, abandoner)

	phone := site.visit(t)
	phone.Goto(url + "/test/snippet")
	phone.Eval(fmt.Sprintf(`microseg.identify(%q)`, ann), nil) // somebody says so
	snippet(phone, "everyone")
	phone.Eval(fmt.Sprintf(`microseg.identify(%q, {}, {proof: %q})`, ann, hashOf(ann)), nil)
	snippet(phone, abandoner)
	phone.Eval(`microseg.reset()`, nil)
	snippet(phone, "everyone")
	if got := append(phone.Problems(), laptop.Problems()...); len(got) > 0 {
		t.Errorf("the browser complains: %q", got)
	}
}

// TestSnippetElsewhere: the script comes from a node on another origin, and so
// do the answers; no cookie goes there, the token in the segment is the proof.
func TestSnippetElsewhere(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, snippet, site.url, site.url)
	}))
	defer elsewhere.Close()
	p := site.browser.Page(t)
	p.Goto(elsewhere.URL + "/")
	p.Wait(`window.result`)
	for known := false; !known; { // a first page is not decided at once
		p.Eval(`getUserSegment().then((s) => s.known)`, &known)
	}
	p.Goto(elsewhere.URL + "/cart")
	p.Wait(`window.result && result.status === 200`)
	if got := p.Text(`result.proof`); got != "known" {
		t.Errorf("proof %s", got)
	}
	if got := p.Text(`microseg.endpoint`); got != site.url {
		t.Errorf("the endpoint is %s, want %s", got, site.url)
	}
}
