package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/testing/harness/chromium"
)

// TestProof: a userId without a proof is a claim, of which nobody sees anything. The proof
// goes with the events that have its userId, and with what is asked of the segment, in no
// address; and it goes when the visitor does.
func TestProof(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/")
	if page := b.wait("page", 1)[0]; page.Context["proof"] != nil {
		t.Errorf("a proof of nobody: %s", page.Raw)
	}
	p.Eval(`microseg.identify("ann", { plan: "x" }, { proof: "hash-of-ann" }); microseg.track("Proven")`, nil)
	for _, name := range []string{"identify", "Proven"} {
		if e := b.wait(name, 1)[0]; e.UserID != "ann" || e.Context["proof"] != "hash-of-ann" {
			t.Errorf("%s without its proof: %s", name, e.Raw)
		}
	}
	b.until("a stream with the token that was given on proof", func() bool { return slices.Contains(b.tokens, "v1.proven.t") })
	b.do(func() {
		if ask := b.proofs[0]; ask["userId"] != "ann" || ask["proof"] != "hash-of-ann" || ask["anonymousId"] == "" {
			t.Errorf("asked %v", ask)
		}
	})
	p.Eval(`personalizeContent("everyone")`, nil)
	b.do(func() {
		if ask := b.asked[len(b.asked)-1]; ask["userId"] != "ann" || ask["proof"] != "hash-of-ann" {
			t.Errorf("personalized %v", ask)
		}
	})
	p.Eval(`microseg.identify("bob"); microseg.track("Claimed")`, nil)
	if e := b.wait("Claimed", 1)[0]; e.UserID != "bob" || e.Context["proof"] != nil {
		t.Errorf("another user has the proof: %s", e.Raw)
	}
	if got := p.Text(`document.cookie`); strings.Contains(got, "v1.proven") {
		t.Errorf("another user has the token of the one before: %s", got)
	}
	p.Eval(`microseg.identify("ann", {}, { context: { proof: "again" } }); microseg.reset(); microseg.track("After")`, nil)
	if e := b.wait("After", 1)[0]; e.UserID != "" || e.Context["proof"] != nil || p.Text(`localStorage.ms_proof`) != "undefined" {
		t.Errorf("after the log-out: %s", e.Raw)
	}
}

// TestAliasWithProof: alias brings a proof as identify does, in any of its forms; it had no
// way to, and so could only claim. Without one it is a claim: the proof of somebody else
// does not go with it.
func TestAliasWithProof(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	p.Goto(b.url + "/")
	id := p.Text(`microseg.anonymousId()`)
	for i, call := range []string{
		`microseg.alias("ann", "old-device", { proof: "hash-of-ann" })`,
		`microseg.reset(); microseg.alias("ann", { proof: "hash-of-ann" })`,
		`microseg.reset(); microseg.alias("ann", undefined, { context: { proof: "hash-of-ann" } })`,
	} {
		p.Eval(call, nil)
		e := b.wait("alias", i+1)[i]
		if e.UserID != "ann" || e.Context["proof"] != "hash-of-ann" || e.PreviousID == "" || (i == 0) != (e.PreviousID == "old-device") || (i > 0) != (e.PreviousID == e.AnonymousID) {
			t.Errorf("%s: %s", call, e.Raw)
		}
		if i == 0 && e.AnonymousID != id {
			t.Errorf("%s: of another device: %s", call, e.Raw)
		}
		b.until("a segment that is asked for with the proof", func() bool { return len(b.proofs) > i && b.proofs[i]["proof"] == "hash-of-ann" })
	}
	p.Eval(`microseg.alias("bob"); microseg.track("Claimed")`, nil)
	for _, name := range []string{"alias", "Claimed"} {
		all := b.wait(name, 1)
		b.until(name+" of bob", func() bool { all = b.named(name); return all[len(all)-1].UserID == "bob" })
		if e := all[len(all)-1]; e.Context["proof"] != nil || p.Text(`localStorage.ms_proof`) != "undefined" {
			t.Errorf("a claim with the proof of another: %s", e.Raw)
		}
	}
}

// TestOlderNode: while pages are newer than nodes, the segment is asked for as those know
// it, by the address, and content without the userId, which they refuse; else no id is in an
// address, but for the stream's, which has no body. What else goes wrong is said as it is,
// and asked for once.
func TestOlderNode(t *testing.T) {
	t.Parallel()
	for _, older := range []int{0, http.StatusMethodNotAllowed, http.StatusNotFound, http.StatusServiceUnavailable} {
		b, p := newBackend(t), visit(t)
		b.older = older
		p.Goto(b.url + "/")
		p.Eval(`microseg.identify("ann", {}, { proof: "hash-of-ann" }); microseg.reset()`, nil)
		got := awaited(p, `(async () => { try { return (await getUserSegment()).served } catch (e) { return e.message } })()`)
		b.do(func() {
			switch {
			case older == http.StatusServiceUnavailable:
				if got != "503" || b.addresses != 0 {
					t.Errorf("a node that is away: %s, %d by the address", got, b.addresses)
				}
			case got != "everyone" || (older != 0) != (b.addresses > 0):
				t.Errorf("a node that answers %d: %s, %d by the address", older, got, b.addresses)
			}
		})
		if older == http.StatusServiceUnavailable {
			continue
		}
		p.Eval(`microseg.identify("ann", {}, { proof: "hash-of-ann" })`, nil)
		b.do(func() {
			b.actions = []map[string]any{{"slot": "banner", "rule": "r", "html": "<p>Hello</p>"}}
			b.older = older
		})
		p.Eval(`getUserSegment().then(personalizeContent)`, nil)
		p.Wait(`document.querySelector("[data-ms-rule=r]")`)
		b.do(func() { b.older = 0 }) // the node is replaced
		p.Eval(`getUserSegment().then(personalizeContent)`, nil)
		b.do(func() {
			if ask := b.asked[len(b.asked)-1]; ask["proof"] != "hash-of-ann" {
				t.Errorf("behind the upgrade the page asks %v", ask)
			}
		})
	}
}

// awaited is the text that a promise resolves to.
func awaited(p *chromium.Page, js string) (s string) {
	p.Eval(js, &s)
	return s
}
