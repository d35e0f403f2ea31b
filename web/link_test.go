package web_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/microseg/microseg/testing/harness/chromium"
)

// linkOf is a link's token by its form alone: who verifies it is the backend.
func linkOf(user string) string {
	return "v1." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"k":"k1","a":"link","s":"demo","d":%q}`, user)) + ".mac"
}

// toldOfLink notes what the page hears of a link.
const toldOfLink = `window.__links = []; document.addEventListener("microseg:link", (e) => __links.push(e.detail));`

// places is where everything of the page is.
const places = `[...document.body.querySelectorAll("*")].map((e) => e.getBoundingClientRect()).map((r) => [r.x, r.y, r.width, r.height].join()).join(";") +
	[document.documentElement.scrollWidth, document.documentElement.scrollHeight]`

const linkHost = "ms-link"

// inLink is an expression about the dialog, d, in its shadow root.
func inLink(js string) string {
	return `((host) => { const d = host && host.shadowRoot.querySelector("[role=dialog]"); return d && (` + js + `); })(document.querySelector("ms-link"))`
}

// asked waits for the question.
func asked(p *chromium.Page) { p.Wait(inLink("true")) }

// TestLinkAsks: whoever opened a link that somebody had sent was linked at once, and the
// sender saw her cart. Now she is asked, by a dialog that can be read, heard, reached by
// keys and fingers, and moves nothing, under the strictest policy of contents; nothing goes
// out before a yes, a no is remembered for the links of the same user, and only those.
// LINK_SCREENSHOTS names a folder for pictures.
func TestLinkAsks(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	for _, size := range []string{"desktop", "phone", "small"} {
		for _, scheme := range []string{"light", "dark"} {
			p := visit(t)
			switch size {
			case "phone":
				p.Phone()
			case "small":
				p.Size(320, 480)
			}
			p.Media("prefers-color-scheme", scheme)
			p.Before(toldOfLink)
			p.Goto(b.url + "/product/aero-14?a=1&ms_link=" + linkOf("mallory") + "#top")
			asked(p)
			if got := p.Text(`location.search + location.hash`); got != "?a=1#top" {
				t.Errorf("the address is %s", got)
			}
			checkDialog(t, p)
			if dir := os.Getenv("LINK_SCREENSHOTS"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, size+"-"+scheme+".png"), p.Screenshot(), 0o600); err != nil {
					t.Error(err)
				}
			}
			with := p.Text(places)
			if got := p.Text(`__links.length`); got != "0" {
				t.Errorf("%s: told of %s links without an answer", size, got)
			}
			p.Press("\x1b")
			p.Wait(`__links.length === 1 && !document.querySelector("ms-link")`)
			if without := p.Text(places); with != without {
				t.Errorf("%s: the dialog moves the page", size)
			}
			if got := p.Problems(); len(got) > 0 {
				t.Errorf("the browser complains: %q", got)
			}
			p.Close()
		}
	}
	b.do(func() {
		if len(b.links) > 0 {
			t.Errorf("without an answer these went out: %v", b.links)
		}
	})
}

// checkDialog: what WAI-ARIA and the size of fingers ask of the dialog.
func checkDialog(t *testing.T, p *chromium.Page) {
	t.Helper()
	for what, js := range map[string]string{
		"the focus":             `host.shadowRoot.activeElement === d`,
		"a name":                `host.shadowRoot.getElementById(d.getAttribute("aria-labelledby")).textContent.length > 5`,
		"a description":         `host.shadowRoot.getElementById(d.getAttribute("aria-describedby")).textContent.length > 20`,
		"two buttons, no first": `[...d.querySelectorAll("button")].map((b) => b.getAttribute("part")).join() === "no,yes"`,
		"room for fingers":      `[...d.querySelectorAll("button")].every((b) => { const r = b.getBoundingClientRect(); return r.height >= 44 && r.width >= 44; })`,
		"all of it in view":     `(({left, top, right, bottom}) => left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight)(d.getBoundingClientRect())`,
		"on top":                `host.matches(":popover-open") && document.elementFromPoint(...(({x, y, width, height}) => [x + width / 2, y + height / 2])(d.getBoundingClientRect())) === host`,
		"its own style":         `getComputedStyle(d).borderRadius !== "0px" && getComputedStyle(d).backgroundColor !== "rgba(0, 0, 0, 0)"`,
		"contrast":              `getComputedStyle(d).color !== getComputedStyle(d).backgroundColor`,
	} {
		if p.Text(inLink(js)) != "true" {
			t.Errorf("the dialog lacks %s: %s", what, p.Text(inLink("d.outerHTML")))
		}
	}
}

// TestLinkNo: Escape, the button and walking away are no yes. A no is remembered for the
// links of the same user until the visitor logs out, and nothing is told to anybody.
func TestLinkNo(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Before(toldOfLink)
	open := func(user string) { p.Goto(b.url + "/cart?ms_link=" + linkOf(user)) }
	declined := func(user string) {
		t.Helper()
		p.Wait(`__links.length === 1`)
		if got := p.Text(`__links[0].ok + " " + __links[0].code + " " + document.querySelector("ms-link")`); got != "false declined null" {
			t.Errorf("%s: %s", user, got)
		}
	}
	open("mallory")
	asked(p)
	p.Goto(b.url + "/") // she walks away
	p.Wait(`window.microseg`)
	open("mallory")
	asked(p)
	p.Press("\x1b")
	declined("mallory, Escape")
	open("mallory")
	declined("mallory, asked before")
	open("trudy")
	p.ClickIn(linkHost, "[part=no]")
	declined("trudy, the button")
	p.Eval(`microseg.reset()`, nil)
	open("trudy")
	asked(p)
	p.Eval(`microseg.consent({analytics: false})`, nil)
	if got := p.Text(`localStorage.ms_declined`); got != "undefined" {
		t.Errorf("without consent there is still %s", got)
	}
	b.do(func() {
		if len(b.links) > 0 {
			t.Errorf("these went out: %v", b.links)
		}
	})
}

// TestLinkYes: a yes links, behind what was done before, with the focus back where it was;
// a click that was meant for what was there before the dialog is none. The page hears of
// success and of the refusal.
func TestLinkYes(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Before(toldOfLink)
	p.Before(`const hasty = setInterval(() => { const host = document.querySelector("ms-link");
		if (host && host.shadowRoot.querySelector("[part=yes]")) { clearInterval(hasty); host.shadowRoot.querySelector("[part=yes]").click(); window.__hasty = true; } });`)
	token := linkOf("änn")
	p.Goto(b.url + "/cart?ms_link=" + token)
	p.Wait(`window.__hasty`)
	asked(p)
	p.Eval(`microseg.track("Before")`, nil)
	p.ClickIn(linkHost, "[part=yes]")
	p.Wait(`__links.length === 1 && __links[0].ok`)
	id := p.Text(`microseg.anonymousId()`)
	b.do(func() {
		if len(b.links) != 1 || b.links[0]["token"] != token || b.links[0]["anonymousId"] != id || b.links[0]["writeKey"] != "demo" {
			t.Errorf("linked %v", b.links)
		}
		if len(b.named("Before")) != 1 {
			t.Error("what was done before the yes came behind it")
		}
		b.noLink = http.StatusGone
	})
	p.Goto(b.url + "/cart?ms_link=" + token)
	p.ClickIn(linkHost, "[part=yes]")
	p.Wait(`__links.length === 1`)
	if got := p.Text(`__links[0].ok + " " + __links[0].code`); got != "false token_expired" {
		t.Errorf("a token that has expired: %s", got)
	}
}

// TestLinkOfOwnSites: between sites that are one shop's a link needs no question, if the
// page lists the site that the visitor comes from; of any other site, and in a frame whose
// page could hide the question, it does not link.
func TestLinkOfOwnSites(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	var target, sister string
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		to := target + "/target?ms_link=" + linkOf("ann")
		switch r.URL.Path {
		case "/target":
			fmt.Fprintf(w, `<!doctype html><html lang="de"><link rel="icon" href="data:,"><title>x</title>
				<script>document.addEventListener("microseg:link", (e) => parent.postMessage(e.detail.code, "*"))</script>
				<script src="%[1]s/link.js" data-write-key="demo" data-link-from="https://other.example %[2]s"
				data-title="Ist das Ihr Konto?" data-text="Nur dann ja." data-yes="Ja" data-no="Nein"></script><script src="%[1]s/microseg.js" data-write-key="demo"></script><body>x`, b.url, sister)
		case "/frame":
			fmt.Fprintf(w, `<!doctype html><title>x</title><script>addEventListener("message", (e) => { window.__framed = e.data; })</script><iframe src="%s"></iframe>`, to)
		default:
			fmt.Fprintf(w, `<!doctype html><title>x</title><a id="go" href="%s">to the other shop</a>`, to)
		}
	})
	for _, url := range []*string{&target, &sister} {
		srv := httptest.NewServer(pages)
		defer srv.Close()
		*url = srv.URL
	}
	stranger := httptest.NewServer(pages)
	defer stranger.Close()

	p := visit(t)
	p.Before(toldOfLink)
	p.Goto(stranger.URL + "/")
	p.Click("#go")
	asked(p)
	if got := p.Text(inLink(`d.innerText`)); !strings.HasPrefix(got, "Ist das Ihr Konto?") || !strings.Contains(got, "Nur dann ja.") || !strings.Contains(got, "Nein") {
		t.Errorf("asked in German: %q", got)
	}
	p.Goto(stranger.URL + "/frame")
	p.Wait(`window.__framed === "framed"`)
	b.do(func() {
		if len(b.links) > 0 {
			t.Errorf("a stranger's page linked: %v", b.links)
		}
	})
	p.Goto(sister + "/")
	p.Click("#go")
	p.Wait(`window.__links && __links.length === 1 && __links[0].ok`)
	b.do(func() {
		if len(b.links) != 1 {
			t.Errorf("linked %v", b.links)
		}
	})
}
