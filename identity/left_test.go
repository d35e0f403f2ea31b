package identity

import (
	"testing"

	"github.com/microseg/microseg/event"
)

// TestLeftOut: a partition remembers which records were left out, also behind a
// snapshot, the newest ones if they are too many, and none that it has skipped.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	b := newBench(0)
	take := func(offset int64, reason event.Reason) {
		b.out.Reset()
		dead := []DeadLetter{{Offset: offset, Device: "d", Reason: reason}}
		if err := b.Apply(&Batch{Ranges: []Range{{Prev: offset - 1, First: offset, Last: offset}}, Dead: dead}, &b.out); err != nil {
			t.Fatal(err)
		}
	}
	for o := range int64(maxLeft + 10) {
		take(o, event.Poison)
	}
	take(maxLeft+10, event.Malformed)
	take(maxLeft+5, event.Poison) // comes again
	b.reload(t)
	left := b.LeftOut(0)
	if len(left) != maxLeft || left[0] != 10 || left[maxLeft-1] != maxLeft+9 || b.LeftOut(7) != nil {
		t.Errorf("%d are remembered, from %d to %d", len(left), left[0], left[len(left)-1])
	}
}
