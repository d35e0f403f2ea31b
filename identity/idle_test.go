package identity

import (
	"testing"

	"github.com/microseg/microseg/event"
)

// TestGarbageHoldsNoTime: a partition in which there were only records that nobody can
// read held the shard's time at 1970 while more came every few seconds, so that no cart of
// any visitor of the shard was abandoned: it was not idle and had no time. It counts as
// idle where the log has no more of it, the more so behind a snapshot. While there may be
// more, its first event may be an old one, and time waits.
func TestGarbageHoldsNoTime(t *testing.T) {
	t.Parallel()
	for _, tick := range []int64{0, 60_000} {
		b := newBench(0)
		b.p.Tick = tick
		apply := func(at, offset, idle int64) {
			t.Helper()
			r := []Range{{Partition: 0, Prev: offset - 1, First: offset, Last: offset}, {Partition: 1, Prev: offset - 1, First: offset, Last: offset, Idle: idle}}
			err := b.Apply(&Batch{Ranges: r, Events: []event.Event{{Device: "d", Kind: event.KindPage, Time: at, Offset: offset, ID: uint64(offset + 1)}},
				Dead: []DeadLetter{{Partition: 1, Offset: offset, Reason: event.Malformed}}}, &b.out)
			if err != nil {
				t.Fatal(err)
			}
		}
		for i, idle := range []int64{0, ReadToEnd, ReadToEnd} {
			at := noon + int64(i)*300_000
			apply(at, int64(i), idle)
			if w, ok := b.Watermark(); ok != (idle == ReadToEnd) || ok && w != at {
				t.Fatalf("batch %d: the watermark is %d (%v), want %d", i, w, ok, at)
			}
			b.reload(t)
		}
		// Once it has had an event it is busy until it is idle, as any other one.
		e := event.Event{Device: "e", Kind: event.KindPage, Time: noon + 300_000, Partition: 1, Offset: 3, ID: 99}
		if err := b.Apply(&Batch{Ranges: []Range{{Partition: 1, Prev: 2, First: 3, Last: 3, Idle: ReadToEnd}}, Events: []event.Event{e}}, &b.out); err != nil {
			t.Fatal(err)
		}
		if b.Idle() || b.Partition(1).idle || b.Partition(1).Clock != noon+300_000 {
			t.Errorf("a partition with an event is %+v", b.Partition(1))
		}
	}
}
