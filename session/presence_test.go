package session

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
)

// TestPresence: whoever is there is told from all receipts, in whatever order they come,
// on whichever devices, and through snapshots.
func TestPresence(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := params()
		devices := make([]Profile, 1+r.IntN(3))
		var receipts, active []int64
		for i := range r.IntN(6) {
			e := randomEvent(r, 1_000_000_000_000+r.Int64N(20_000), int64(i))
			e.Flags &^= event.FlagPassive
			receipt := e.Time
			if r.IntN(2) == 0 {
				receipt = 1_000_000_100_000 + r.Int64N(20_000)
				e.Receipt = receipt
			}
			if r.IntN(4) == 0 {
				e.Flags |= event.FlagPassive
			} else {
				receipts, active = append(receipts, receipt), append(active, e.Time)
			}
			q := &devices[r.IntN(len(devices))]
			if r.IntN(4) == 0 {
				q.AddLate(&e, p)
			} else {
				q.Add(&e, p)
			}
			if r.IntN(3) == 0 {
				var w codec.Writer
				q.AppendTo(&w)
				*q = Profile{}
				q.Read(&codec.Reader{B: w.B}, NewestFormat, p)
			}
		}
		var all Presence
		for _, i := range r.Perm(len(devices)) {
			all = all.With(devices[i].Presence())
		}
		if len(receipts) == 0 {
			if all != (Presence{}) {
				t.Fatalf("seed %d: %+v of nothing", seed, all)
			}
			continue
		}
		span := slices.Max(receipts) - slices.Min(receipts)
		want := Presence{slices.Max(receipts), uint32(span), slices.Max(active)}
		if all != want {
			t.Fatalf("seed %d: %+v, want %+v", seed, all, want)
		}
		if !all.Counts(span) || all.Counts(span+1) {
			t.Fatalf("seed %d: %+v counts otherwise than %d ms", seed, all, span)
		}
	}
}

// TestWhoCountedCountsOn: of what older programs folded no receipts are known.
func TestWhoCountedCountsOn(t *testing.T) {
	t.Parallel()
	older := params()
	older.Semantics = 4
	q := &Profile{}
	q.Add(&event.Event{Kind: event.KindPage, Time: 1_000_000_000_000, ID: 1, Flags: event.FlagPassive}, older)
	if p := q.Presence(); !p.Counts(1<<31) || p.Active != 1_000_000_000_000 {
		t.Errorf("%+v", p)
	}
	if p := q.Presence().With(Presence{Seen: 5, Span: 3, Active: 9}); !p.Counts(1 << 31) {
		t.Errorf("together with another device: %+v", p)
	}
}

// TestForgedDwell: one request that stated ten minutes of reading made intent of it. What a
// heartbeat states is believed up to the time since the receipt before it.
func TestForgedDwell(t *testing.T) {
	t.Parallel()
	const at = 1_000_000_000_000
	for _, c := range []struct {
		name    string
		receipt int64 // of the heartbeat; the page's is at
		visible bool
		seconds float64
		older   bool
		want    int64 // ms
	}{
		{"forged", at, false, 600, false, 30_000},
		{"forged, and nothing stated", at, true, 0, false, 30_000},
		{"a clock that goes back", at - 5000, false, 600, false, 30_000},
		{"a heartbeat as it comes", at + 600_000, false, 600, false, 600_000},
		{"visible all the time", at + 600_000, true, 0, false, 600_000},
		{"a little of it", at + 45_000, false, 600, false, 45_000},
		{"files have no receipts", 0, false, 600, false, 600_000},
		{"as it was decided before", at, false, 600, true, 600_000},
	} {
		p := params()
		if c.older {
			p.Semantics = 4
		}
		q := &Profile{}
		q.Add(&event.Event{Kind: event.KindPage, Time: at, Receipt: at, Offset: 1, ID: 1, PageType: event.PageProduct}, p)
		ping := event.Event{Kind: event.KindPing, Time: at + 600_000, Receipt: c.receipt, Offset: 2, ID: 2, X: c.seconds}
		if c.visible {
			ping.Flags = event.FlagVisible
		}
		q.Add(&ping, p)
		if got := q.State().Fold.Dwell[event.PageProduct]; got != c.want {
			t.Errorf("%s: %d ms, want %d", c.name, got, c.want)
		}
	}
}
