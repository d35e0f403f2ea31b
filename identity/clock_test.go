package identity

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
)

// TestClockAhead: 64 events of devices whose clocks were 298 s ahead made all events of
// others late that were seven minutes old, and let 258 s of their time pass: what a
// collector received moves the data clock to its receipt at most.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	b := newBench(0)
	page := func(device string, at, receipt int64) event.Event {
		return event.Event{Device: device, Kind: event.KindPage, Time: at, Receipt: receipt}
	}
	apply := func(e event.Event) {
		t.Helper()
		e.Offset, e.ID = b.offset, uint64(b.offset+1)
		b.offset++
		if err := b.Apply(&Batch{Ranges: []Range{{Prev: e.Offset - 1, First: e.Offset, Last: e.Offset}}, Events: []event.Event{e}}, &b.out); err != nil {
			t.Fatal(err)
		}
		b.reload(t)
	}
	apply(page("shopper", noon, noon+40))
	for i := range int64(64) {
		apply(page(fmt.Sprint("ahead", i), noon+298_000, noon+100+i))
	}
	for i := range int64(24) {
		apply(page(fmt.Sprint("late", i), noon-7*60_000, noon+200+i))
	}
	q := b.Partition(0)
	if w, _ := b.Watermark(); q.Counts.Dead > 0 || q.Clock != noon+163 || w != q.Clock {
		t.Errorf("%+v, and the time is %d ms after noon", q.Counts, w-noon)
	}
	if d := b.devices["ahead0"]; d.Last != noon+298_000 {
		t.Errorf("its own event is of %d ms after noon", d.Last-noon)
	}
}

// TestStampFiveDaysAhead: one stamp of a file that was five days ahead made 90 events of
// others late, and all that came for five days. It takes two devices.
func TestStampFiveDaysAhead(t *testing.T) {
	t.Parallel()
	for _, at := range []int64{0, 1, 50, 98} {
		b := newBench(0)
		for i := range int64(100) {
			e := event.Event{Device: fmt.Sprint("d", i%9), ID: uint64(i + 1), Kind: event.KindPage, Time: noon + 1000*i, Offset: i}
			if i == at {
				e.Time += 5 * 86_400_000
			}
			if err := b.Apply(&Batch{Ranges: []Range{{Prev: i - 1, First: i, Last: i, Idle: 5000}}, Events: []event.Event{e}}, &b.out); err != nil {
				t.Fatal(err)
			}
			b.reload(t)
		}
		q := b.Partition(0)
		if w, _ := b.Watermark(); q.Counts.Good != 100 || q.Clock < noon+97_000 || q.Clock > noon+99_000 || at > 0 && w > noon+110_000 {
			t.Errorf("the stamp at %d: %+v, the clock is %d ms after noon, the time %d", at, q.Counts, q.Clock-noon, w-noon)
		}
	}
}

// naiveClock remembers the newest event of each device.
type naiveClock struct {
	older, received int64
	devices         map[string]int64
}

func (c *naiveClock) now() int64 {
	var times []int64
	for _, t := range c.devices {
		times = append(times, t)
	}
	slices.Sort(times)
	t := max(c.older, c.received)
	if n := len(times); n > 1 {
		t = max(t, times[n-2])
	}
	return t
}

// TestDataClock: after each event of any sequence of a few devices, with receipts and
// without, of older programs and deleted persons, with times that are equal, old and far
// ahead, read from its snapshot each time, the data clock is the naive one, and never
// goes back.
func TestDataClock(t *testing.T) {
	t.Parallel()
	ahead := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 16))
		c, naive, older := DataClock{}, naiveClock{devices: map[string]int64{}}, r.IntN(4)
		for i := range 30 {
			e := event.Event{Device: fmt.Sprint("d", r.IntN(4)), Kind: event.KindPage, Time: noon + int64(i)*10 + r.Int64N(40)}
			if r.IntN(9) == 0 {
				e.Time += 1000
			}
			if r.IntN(3) == 0 {
				e.Receipt = noon + int64(i)*10 + 20
			}
			by, was := event.Semantics(7), c.Time
			switch {
			case i < older:
				by = 6
				naive.older = max(naive.older, e.Time)
			case e.Receipt > 0:
				naive.received = max(naive.received, min(e.Time, e.Receipt))
			default:
				naive.devices[e.Device] = max(naive.devices[e.Device], e.Time)
			}
			if r.IntN(5) == 0 {
				e = event.Event{Kind: event.KindErased, Time: e.Time, Receipt: e.Receipt, ID: e.DeviceHash()}
			}
			c.Take(&e, by)
			var w codec.Writer
			c.appendTo(&w)
			c = readDataClock(&codec.Reader{B: w.B}, true)
			if want := naive.now(); c.Time != want || c.Time < was {
				t.Fatalf("seed %d, event %d: %d ms after noon, the naive clock says %d", seed, i, c.Time-noon, want-noon)
			}
			if c.lead.time > c.Time {
				ahead++
			}
		}
	}
	if ahead < 1000 {
		t.Errorf("%d times a device was ahead: the sequences prove little", ahead)
	}
}

// TestOneDeviceAlone: in a file of one visitor no second device says what time it is.
// Nothing is late, and idle time moves on from its newest event, so that its session ends.
func TestOneDeviceAlone(t *testing.T) {
	t.Parallel()
	b := newBench(0)
	apply := func(r Range, events ...event.Event) {
		t.Helper()
		if err := b.Apply(&Batch{Ranges: []Range{r}, Events: events}, &b.out); err != nil {
			t.Fatal(err)
		}
		b.reload(t)
	}
	for i := range int64(3) {
		at := noon + []int64{0, 7_200_000, 60_000}[i] // the last one is two hours old
		apply(Range{Prev: i - 1, First: i, Last: i}, event.Event{Device: "d", Kind: event.KindPage, Time: at, Offset: i, ID: uint64(i + 1)})
	}
	if q := b.Partition(0); q.Counts.Good != 3 || q.Clock != 0 {
		t.Errorf("%+v", q)
	}
	b.out.Reset()
	apply(Range{Prev: 2, First: 3, Last: 2, Idle: b.p.Session.Gap + 1})
	if w, ok := b.Watermark(); !ok || w != noon+7_200_000+b.p.Session.Gap+1 || len(b.out.Sessions) != 1 || b.out.Sessions[0].Open {
		t.Errorf("the time is %d ms after noon (%v), of %d sessions", w-noon, ok, len(b.out.Sessions))
	}
}
