package web_test

import (
	"slices"
	"strings"
	"testing"
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
