package chromium

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page's methods wait for what they are asked to do,
// on a machine that is busy with other tests.
const patience = 60 * time.Second

// Page is one tab. Its methods fail the test when the browser cannot do what
// they ask; they are for one goroutine at a time.
type Page struct {
	t       testing.TB
	browser *Browser
	ctx     context.Context

	mu       sync.Mutex
	problems []string
}

// Page opens a tab with storage of its own (as a private window has), closed
// at the test's end.
func (b *Browser) Page(t testing.TB) *Page {
	t.Helper()
	return b.open(t, b.ctx, chromedp.WithNewBrowserContext())
}

// Tab opens another tab beside p, with the same storage.
func (p *Page) Tab() *Page {
	p.t.Helper()
	return p.browser.open(p.t, p.ctx)
}

func (b *Browser) open(t testing.TB, parent context.Context, options ...chromedp.ContextOption) *Page {
	t.Helper()
	p := &Page{t: t, browser: b}
	ctx, cancel := chromedp.NewContext(parent, append(options, chromedp.WithListener(p.listen))...)
	p.ctx = ctx
	t.Cleanup(cancel)
	p.do("opening a tab")
	// Headless browsers are taken for crawlers, and kept out of audiences.
	command(p, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: b.agent})
	return p
}

// listen notes what a page complains of.
func (p *Page) listen(ev any) {
	var text string
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text = "exception: " + ev.ExceptionDetails.Text
		if x := ev.ExceptionDetails.Exception; x != nil && x.Description != "" {
			text += " " + x.Description
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level != "error" {
			return
		}
		text = fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, text)
}

// Problems lists the uncaught exceptions, failed loads and violations of the
// content security policy since the tab was opened.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

// Context is chromedp's context of the tab, for what this package lacks.
func (p *Page) Context() context.Context { return p.ctx }

func (p *Page) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	// The first use of a tab's context is what the tab lives as long as, so the
	// timeout is only put around steps.
	ctx := p.ctx
	if len(steps) > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, patience)
		defer done()
	}
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v\n%s", what, err, strings.Join(p.Problems(), "\n"))
	}
}

func command[P, R any](p *Page, cmd cdp.Command[P, R], params P) {
	p.t.Helper()
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	if _, err := chromedp.Call(ctx, cmd, params); err != nil {
		p.t.Fatalf("%s: %v", cmd.Method, err)
	}
}

// Goto loads a URL and waits for its load event.
func (p *Page) Goto(url string) {
	p.t.Helper()
	p.do("loading "+url, chromedp.Navigate(url))
}

// Eval evaluates JavaScript (an expression), waits where it is a promise, and
// decodes its value as JSON into out (nil: not wanted).
func (p *Page) Eval(js string, out any) {
	p.t.Helper()
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	b, err := chromedp.Run(ctx, chromedp.Evaluate[[]byte](js, chromedp.EvalAwaitPromise))
	if err == nil && out != nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		p.t.Fatalf("evaluating %s: %v", js, err)
	}
}

// Text is the value of an expression as a string.
func (p *Page) Text(js string) (s string) {
	p.t.Helper()
	p.Eval("String("+js+")", &s)
	return s
}

// Wait returns when the expression is true.
func (p *Page) Wait(js string) {
	p.t.Helper()
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+js+")"))
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("waiting for %s: not within %v (%v)\n%s", js, patience, err, strings.Join(p.Problems(), "\n"))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// target is where an element can be clicked: in the view, where it was a moment
// before, with nothing of others over it; else null. What moves between looking and
// clicking would get the click that was meant for another place.
const target = `((selector) => {
	const e = document.querySelector(selector);
	if (!e) return null;
	e.scrollIntoView({block: "nearest", inline: "nearest", behavior: "instant"});
	const r = e.getClientRects()[0], at = r && [r.x + r.width / 2, r.y + r.height / 2];
	const was = window.harnessAt;
	window.harnessAt = at && {e, at: String(at)};
	return at && was && was.e === e && was.at === String(at) && e.contains(document.elementFromPoint(...at)) ? at : null;
})(%s)`

// Click clicks the middle of the first element that the CSS selector finds,
// as a mouse does, once it stands still and nothing lies over it.
func (p *Page) Click(selector string) {
	p.t.Helper()
	quoted, err := json.Marshal(selector)
	if err != nil {
		p.t.Fatal(err)
	}
	var at []float64
	for end := time.Now().Add(patience); at == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("clicking %s: for %v it was not there, moved, or lay under something\n%s", selector, patience, strings.Join(p.Problems(), "\n"))
		}
		p.try(fmt.Sprintf(target, quoted), &at)
	}
	p.do("clicking "+selector, chromedp.MouseClickXY(at[0], at[1]))
}

// ClickIn clicks the middle of an element of a shadow root, which the selector of its
// host and one within the root find, until it has gone.
func (p *Page) ClickIn(host, selector string) {
	p.t.Helper()
	where := fmt.Sprintf(`((host) => { const e = host && host.shadowRoot.querySelector(%q), r = e && e.getBoundingClientRect();
		return r && [r.x + r.width / 2, r.y + r.height / 2]; })(document.querySelector(%q))`, selector, host)
	p.Wait(where)
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		var at []float64
		if p.try(where, &at); at == nil {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("clicking %s in %s: it stays", selector, host)
		}
		p.do("clicking "+selector, chromedp.MouseClickXY(at[0], at[1]))
	}
}

// try evaluates JavaScript in a page that may be replaced by another meanwhile.
func (p *Page) try(js string, out any) {
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	if b, err := chromedp.Run(ctx, chromedp.Evaluate[[]byte](js)); err == nil {
		_ = json.Unmarshal(b, out) // nothing: asked again
	}
}

// Type focuses the element and types text into it.
func (p *Page) Type(selector, text string) {
	p.t.Helper()
	p.do("typing into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text, chromedp.NodeVisible))
}

// Press sends keys to whatever has the focus (kb.Tab, "x" …), in a tab that is in
// front and has it: what is sent to another gets lost.
func (p *Page) Press(keys string) {
	p.t.Helper()
	p.Front()
	p.do("pressing keys", chromedp.KeyEvent(keys))
}

// Hover moves the pointer over the middle of the element.
func (p *Page) Hover(selector string) {
	p.t.Helper()
	quoted, err := json.Marshal(selector)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Wait(fmt.Sprintf("document.querySelector(%s)", quoted))
	var at [2]float64
	p.Eval(fmt.Sprintf(`(() => { const e = document.querySelector(%s); e.scrollIntoView({block: "center", behavior: "instant"});
		const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()`, quoted), &at)
	p.MoveTo(at[0], at[1])
}

// MoveTo moves the pointer to a point of the viewport, in CSS pixels.
func (p *Page) MoveTo(x, y float64) {
	p.t.Helper()
	p.do("moving the pointer", chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y))
}

// Front brings the tab to the front of its window, and waits until it is there and
// has the focus: a page learns of it after the command has been answered.
func (p *Page) Front() {
	p.t.Helper()
	command(p, page.BringToFront, cdp.Empty{})
	p.Wait(`document.hasFocus() && document.visibilityState === "visible"`)
}

// Before runs a script in every document that the tab loads from now on,
// before any script of the document.
func (p *Page) Before(js string) {
	p.t.Helper()
	command(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: js})
}

// Phone makes the tab a phone's: 390 by 844 pixels with touch, and its user agent.
func (p *Page) Phone() {
	p.t.Helper()
	command(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 390, Height: 844, DeviceScaleFactor: 2, Mobile: true})
	command(p, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{
		UserAgent: "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile Safari/537.36", Platform: "Linux armv8l"})
}

// Size makes the tab that of another phone, in CSS pixels.
func (p *Page) Size(width, height int64) {
	p.t.Helper()
	command(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 2, Mobile: true})
}

// Network makes the page believe that it is on a slow cellular network, by
// round-trip time in ms and bytes a second; requests are as fast as before.
func (p *Page) Network(rttMS, bytesPerSecond float64) {
	p.t.Helper()
	command(p, network.OverrideNetworkState, network.OverrideNetworkStateParams{Latency: rttMS, DownloadThroughput: bytesPerSecond,
		UploadThroughput: bytesPerSecond, ConnectionType: network.ConnectionTypeCellular3g})
}

// Media sets a CSS media feature, such as prefers-reduced-motion to reduce.
func (p *Page) Media(feature, value string) {
	p.t.Helper()
	command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
}

// Screenshot is the viewport as a PNG.
func (p *Page) Screenshot() []byte {
	p.t.Helper()
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	b, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatalf("taking a screenshot: %v", err)
	}
	return b
}

// Close closes the tab, as its user would: pagehide fires.
func (p *Page) Close() {
	p.t.Helper()
	command(p, page.Close, cdp.Empty{})
}

// flag makes an option of "name" or "name=value".
func flag(s string) chromedp.ExecAllocatorOption {
	if name, value, ok := strings.Cut(s, "="); ok {
		return chromedp.Flag(name, value)
	}
	return chromedp.Flag(s, true)
}
