// Package chromium drives a real, headless Chromium in tests: the one of
// $CHROMIUM or the PATH, or Debian's, fetched once into the clone's ignored
// .cache folder without root. It speaks through chromedp, over a pipe.
package chromium

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/microseg/microseg/embedded/downloads"
)

const (
	fetchTimeout = 10 * time.Minute
	stopTimeout  = 15 * time.Second
)

// Browser is a running Chromium. It may be shared by tests in parallel: each
// Page has its own storage.
type Browser struct {
	ctx    context.Context // of the browser's own first tab
	cancel context.CancelFunc
	cmd    *exec.Cmd
	agent  string // the user agent, without the word that calls it headless
}

// Launch starts a Chromium with an empty profile, which it fetches first where
// there is none (its words go to standard error). flags are further switches,
// as "name" or "name=value". It ends with Close or with this process. The
// error is a *MissingError when no Chromium can be had.
func Launch(ctx context.Context, flags ...string) (*Browser, error) {
	dir, err := downloads.Dir()
	if err != nil {
		return nil, err
	}
	fetch, done := context.WithTimeout(ctx, fetchTimeout)
	defer done()
	p, err := find(fetch, dir, os.Stderr)
	if err != nil {
		return nil, err
	}
	b := &Browser{}
	alloc, cancel := chromedp.NewExecAllocator(ctx, b.options(p, flags)...)
	b.ctx, _ = chromedp.NewContext(alloc)
	b.cancel = cancel
	if err := chromedp.Do(b.ctx); err != nil {
		cancel()
		return nil, fmt.Errorf("starting %s: %w", p.path, err)
	}
	version, err := chromedp.CallBrowser(b.ctx, browser.GetVersion, cdp.Empty{})
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("asking %s for its version: %w", p.path, err)
	}
	b.agent = strings.Replace(version.UserAgent, "HeadlessChrome", "Chrome", 1)
	return b, nil
}

// switches make a browser that talks to nobody but the test's own servers, and
// whose pages run at full speed whether they are in front or not.
var switches = []string{
	"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "no-default-browser-check",
	"disable-background-networking", "disable-component-update", "disable-sync", "disable-default-apps",
	"disable-breakpad", "disable-crash-reporter", "disable-dev-shm-usage", "disable-extensions", "disable-client-side-phishing-detection",
	"disable-features=Translate,OptimizationHints,MediaRouter", "metrics-recording-only", "no-pings",
	"disable-background-timer-throttling", "disable-renderer-backgrounding", "disable-backgrounding-occluded-windows",
	"disable-ipc-flooding-protection", "force-color-profile=srgb", "password-store=basic",
	"autoplay-policy=no-user-gesture-required", "mute-audio", "window-size=1280,800", "screen-info={1280x800}",
}

func (b *Browser) options(p program, flags []string) []chromedp.ExecAllocatorOption {
	out := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(p.path),
		chromedp.Env(p.env...),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.SysProcAttr = dieWithParent()
			b.cmd = cmd
		}),
	}
	for _, s := range append(switches[:len(switches):len(switches)], flags...) {
		out = append(out, flag(s))
	}
	return out
}

// Close ends the browser and all its processes, and removes its profile.
func (b *Browser) Close() {
	ctx, done := context.WithTimeout(b.ctx, stopTimeout)
	defer done()
	_ = chromedp.Cancel(ctx) // one that has died is closed, too
	b.cancel()
	if b.cmd != nil && b.cmd.Process != nil {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) // fails when the group is empty, as it should be
	}
}

// Start is Launch for one test: it fails the test when there is no browser,
// and closes the browser at the test's end.
func Start(t testing.TB, flags ...string) *Browser {
	t.Helper()
	b, err := Launch(context.Background(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}
