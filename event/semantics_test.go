package event_test

import (
	"testing"

	"github.com/microseg/microseg/event"
)

// TestSemanticsOfOldBytes: before there was a number, batches and entries of the
// journal had a flag alone where both are now. What such bytes say must not
// become the newest semantics: it was decided otherwise.
func TestSemanticsOfOldBytes(t *testing.T) {
	t.Parallel()
	for _, flag := range []bool{false, true} {
		old := byte(0)
		if flag {
			old = 1
		}
		if n, f := event.ReadSemantics(old); n != event.FirstSemantics || f != flag {
			t.Errorf("byte %d is read as %d, %v", old, n, f)
		}
		for _, n := range []event.Semantics{event.FirstSemantics, event.NewestSemantics} {
			if got, f := event.ReadSemantics(n.WithFlag(flag)); got != n || f != flag {
				t.Errorf("%d, %v comes back as %d, %v", n, flag, got, f)
			}
		}
		if n, _ := event.ReadSemantics(event.Semantics(0).WithFlag(flag)); n != event.NewestSemantics {
			t.Errorf("a batch without a number is written as of %d", n)
		}
	}
	if event.FirstSemantics.Has(event.NewestSemantics) || !event.Semantics(0).Has(event.NewestSemantics) {
		t.Error("who has what is mixed up")
	}
}
