package identity

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// A few kilobytes of one device once stopped all other visitors for half a minute:
// whether an event had come before was looked for in every earlier epoch, one by one.
// The benchmarks are of what one device can do, against as many events of a thousand.

// perBatch is how many events a batch of the benchmarks has.
const perBatch = 1000

// perEvent applies the events in batches, reports the time of one, and what else there is.
func perEvent(b *testing.B, events []event.Event, maxPending int) {
	for range b.N {
		s := newBench(0)
		s.p.Session.Long, s.p.Session.Waited, s.p.MaxPending = session.DayMS, session.Patient(), maxPending
		s.out.Vector = func(*session.Vector, *event.Event) {}
		for from := 0; from < len(events); from += perBatch {
			part := events[from:min(from+perBatch, len(events))]
			for i := range part {
				part[i].Offset, part[i].ID = int64(from+i), uint64(from+i+1)
			}
			s.out.Reset()
			r := Range{Prev: int64(from) - 1, First: int64(from), Last: part[len(part)-1].Offset}
			if err := s.Apply(&Batch{Ranges: []Range{r}, Events: part, Emitted: int64(from), Due: int64(from)}, &s.out); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}

// stream is n events, as make makes the i-th.
func stream(n int, make func(i int) event.Event) []event.Event {
	events := []event.Event{}
	for i := range n {
		events = append(events, make(i))
	}
	return events
}

func pageView(device string, i int, at int64) event.Event {
	return event.Event{Device: device, Time: at, Kind: event.KindPage, Page: uint64(i%40 + 1), PageType: event.PageType(1 + i%5)}
}

// BenchmarkOneDevice: in order, in reverse order within the lateness, and logging in
// and out in turn, known and claimed.
func BenchmarkOneDevice(b *testing.B) {
	const five, most = 5 * 60_000, 10_000
	for _, n := range []int{4000, 40_000} {
		at := func(i int) int64 { return noon + int64(i)*five/int64(n) }
		name := func(what string) string { return fmt.Sprintf("%s/%d", what, n) }
		b.Run(name("thousand"), func(b *testing.B) {
			perEvent(b, stream(n, func(i int) event.Event { return pageView(fmt.Sprintf("d%d", i%1000), i, at(i)) }), most)
		})
		b.Run(name("busy"), func(b *testing.B) {
			perEvent(b, stream(n, func(i int) event.Event { return pageView("d", i, at(i)) }), most)
		})
		b.Run(name("reverse"), func(b *testing.B) {
			perEvent(b, stream(n, func(i int) event.Event { return pageView("d", i, at(n-i)) }), most)
		})
		b.Run(name("adds"), func(b *testing.B) { // what no later event makes the same again
			perEvent(b, stream(n, func(i int) event.Event {
				return event.Event{Device: "d", Time: at(n - i), Kind: event.KindCartAdd, X: 0.1 * float64(i%9+1), Y: 1, Flags: event.FlagPriced}
			}), most)
		})
		b.Run(name("pings"), func(b *testing.B) { // the page of all that follows changes with each
			perEvent(b, stream(n, func(i int) event.Event {
				if i < n/2 {
					return event.Event{Device: "d", Time: at(n/2 + i), Kind: event.KindPing, X: 5}
				}
				return pageView("d", i, at(i-n/2))
			}), most)
		})
		for what, trust := range map[string]event.Trust{"claims": event.Public, "links": event.Server} {
			b.Run(name(what), func(b *testing.B) {
				perEvent(b, stream(n, func(i int) event.Event {
					if i%2 == 1 {
						return event.Event{Device: "d", Time: at(i), Kind: event.KindReset, Trust: trust}
					}
					return event.Event{Device: "d", User: fmt.Sprintf("u%d", i%4), Time: at(i), Kind: event.KindIdentify, Trust: trust}
				}), most)
			})
		}
	}
}

// BenchmarkMillion: a million events of visits, of one device and of a thousand, without a
// bound on what a device keeps.
func BenchmarkMillion(b *testing.B) {
	const n, five = 1_000_000, 5 * 60_000
	orders := map[string]func(i int) int{"in order": func(i int) int { return i }, "reversed": func(i int) int { return n - 1 - i }}
	shuffled := rand.New(rand.NewPCG(1, 2)).Perm(n)
	orders["shuffled"] = func(i int) int { return shuffled[i] }
	for order, place := range orders {
		for _, devices := range []int{1000, 1} {
			b.Run(fmt.Sprintf("%s/%d", order, devices), func(b *testing.B) {
				perEvent(b, stream(n, func(i int) event.Event {
					k := place(i)
					e := visit(k / devices)
					e.Device, e.Time = fmt.Sprint("d", k%devices), noon+int64(k)*five/n
					return e
				}), 0)
			})
		}
	}
}

// visit is the i-th event of somebody who looks at pages, and buys now and then.
func visit(i int) event.Event {
	r := rand.New(rand.NewPCG(uint64(i/5), 5))
	page := r.IntN(40)
	e := event.Event{Page: uint64(page + 1), PageType: event.PageType(1 + page%5)}
	switch i % 5 {
	case 0:
		e.Kind = event.KindPage
	case 1:
		e.Kind, e.X, e.Y, e.Z = event.KindScroll, r.Float64(), 100*r.Float64(), 3
	case 2:
		e.Kind, e.X = event.KindPing, 5
	case 3:
		if e.Kind = event.KindClick; r.IntN(10) == 0 {
			e = event.Event{Kind: event.KindCartAdd, X: 0.1 * float64(i%9+1), Y: 1, Flags: event.FlagPriced}
		}
	default:
		if e = (event.Event{Kind: event.KindHover, Element: uint8(i % 3), X: 100}); r.IntN(100) == 0 {
			e = event.Event{Kind: event.KindOrder, X: 50}
		}
	}
	return e
}

// TestDuplicatesOfAllEpochs: whatever a device does, an event that comes again within
// the lateness of its kind is a duplicate, in whichever epoch it was, also after a
// restart; and nothing else is.
func TestDuplicatesOfAllEpochs(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := lateBench()
		accepted := map[uint64]event.Event{}
		var sent []event.Event
		clock, id := int64(noon), uint64(0)
		for range 600 {
			clock += r.Int64N(20_000)
			e := event.Event{Device: "d", Time: clock - r.Int64N(5*60_000), Kind: event.KindClick, Trust: event.Server}
			switch x := r.IntN(12); {
			case x < 5 && len(sent) > 0: // it comes again
				e = sent[len(sent)-1-r.IntN(min(len(sent), 300))]
			case x == 6:
				e.Kind, e.User = event.KindIdentify, fmt.Sprintf("u%d", r.IntN(3))
				if r.IntN(2) == 0 {
					e.Trust = event.Public
				}
			case x == 7:
				e.Kind = event.KindReset
			}
			if e.ID == 0 {
				id++
				e.ID = id
				sent = append(sent, e)
			}
			if e.Kind == event.KindReset {
				b.take(t, e) // told apart by the last few of them
				continue
			}
			q := b.Partition(0)
			was := q.Counts
			allowed := int64(600_000)
			if b.p.Session.Patient(e.Kind) {
				allowed = session.DayMS
			}
			_, again := accepted[e.ID]
			late := q.Clock-e.Time > allowed
			b.take(t, e)
			if got := q.Counts.Duplicate > was.Duplicate; got != (again && !late) {
				t.Fatalf("seed %d: event %d, which came before: %v, late: %v, is a duplicate: %v", seed, e.ID, again, late, got)
			}
			if !late {
				accepted[e.ID] = e
			}
			if r.IntN(50) == 0 {
				b.reload(t)
			}
		}
	}
}
