package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/samples/spec"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func run(t *testing.T, o Options) (lines [][]byte) {
	t.Helper()
	if err := Run(o, func(l []byte) error { lines = append(lines, l); return nil }); err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestRun: the events are in order, in time, named and labelled, and the same
// for the same seed only.
func TestRun(t *testing.T) {
	t.Parallel()
	o := Options{Seed: 7, Start: start, Duration: time.Hour, Visitors: 300}
	lines := run(t, o)
	ids, last := map[string]bool{}, ""
	for _, l := range lines {
		var e spec.Event
		if err := json.Unmarshal(l, &e); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(e.AnonymousID, "sim-") || e.Context["simulated"] != true {
			t.Fatalf("not labelled: %s", l)
		}
		if ids[e.MessageID] || e.Timestamp < last || e.Timestamp >= spec.Time(start.Add(time.Hour)) {
			t.Fatalf("twice, out of order or too late (after %s): %s", last, l)
		}
		ids[e.MessageID], last = true, e.Timestamp
	}
	if !bytes.Equal(bytes.Join(lines, nil), bytes.Join(run(t, o), nil)) {
		t.Error("the same seed gives other events")
	}
	o.Seed = 8
	if bytes.Equal(bytes.Join(lines, nil), bytes.Join(run(t, o), nil)) {
		t.Error("another seed gives the same events")
	}
}

// TestShares: what the demo needs is common enough to become active (12 %),
// and every kind of event occurs.
func TestShares(t *testing.T) {
	t.Parallel()
	const visitors = 800
	v := map[string]*seen{}
	names := map[string]int{}
	for _, l := range run(t, Options{Seed: 1, Start: start, Duration: time.Hour, Visitors: visitors}) {
		var e spec.Event
		if err := json.Unmarshal(l, &e); err != nil {
			t.Fatal(err)
		}
		names[e.Type+" "+e.Event]++
		if v[e.AnonymousID] == nil {
			v[e.AnonymousID] = &seen{hovers: map[any]bool{}}
		}
		v[e.AnonymousID].add(t, e)
	}
	var compared, abandoned, slow int
	for _, s := range v {
		if s.comparing >= 90*time.Second && s.hovers["price"] && s.hovers["features"] {
			compared++
			if s.added && !s.ordered {
				abandoned++
			}
		}
		if s.mobile3G {
			slow++
		}
	}
	for what, n := range map[string]int{"compared with hovering": compared, "abandoned the cart": abandoned, "on a phone with 3G": slow} {
		t.Logf("%s: %d of %d", what, n, visitors)
		if n*100 <= 15*visitors {
			t.Errorf("%s: %d of %d, want more than 15 %%", what, n, visitors)
		}
	}
	if len(v) != visitors {
		t.Errorf("%d visitors, want %d", len(v), visitors)
	}
	for _, n := range []string{"page ", "track Page Scrolled", "track Page Pinged", "track Video Completed", "track Video Paused",
		"track Form Started", "track Form Submitted", "track Cart Viewed", "track Checkout Started", "track Order Completed"} {
		if names[n] == 0 {
			t.Errorf("no %q among %v", n, names)
		}
	}
}

// seen is what a visitor has done, as the shipped segments look at it.
type seen struct {
	comparing                time.Duration // on comparison pages, at most 30 s between two events
	last                     time.Time
	pageType                 any
	hovers                   map[any]bool
	added, ordered, mobile3G bool
}

func (s *seen) add(t *testing.T, e spec.Event) {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, e.Timestamp)
	if err != nil {
		t.Fatal(err)
	}
	if s.pageType == "comparison" {
		s.comparing += min(at.Sub(s.last), 30*time.Second)
	}
	s.last, s.pageType = at, e.Properties["page_type"]
	switch e.Event {
	case "Element Hovered":
		s.hovers[e.Properties["element"]] = true
	case "Product Added":
		s.added = true
	case "Order Completed":
		s.ordered = true
	}
	device, _ := e.Context["device"].(map[string]any)
	network, _ := e.Context["network"].(map[string]any)
	s.mobile3G = s.mobile3G || device["type"] == "mobile" && network["effectiveType"] == "3g"
}

func TestLoad(t *testing.T) {
	t.Parallel()
	const events = 20_000
	var size int
	last, keys, ids := "", map[string]bool{}, map[string]bool{}
	o := LoadOptions{Seed: 3, Visitors: 100, Events: events, Start: start, RatePerSecond: 1000}
	err := Load(o, func(key, value []byte) error {
		var e spec.Event
		if err := json.Unmarshal(value, &e); err != nil {
			t.Fatalf("%v: %s", err, value)
		}
		if string(key) != e.AnonymousID || e.Timestamp < last || ids[e.MessageID] || e.Context["simulated"] != true {
			t.Fatalf("key %s, after %s: %s", key, last, value)
		}
		last, ids[e.MessageID], keys[string(key)] = e.Timestamp, true, true
		size += len(value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if mean := size / events; mean < 520 || mean > 560 {
		t.Errorf("%d bytes an event, want about 540", mean)
	}
	if want := spec.Time(start.Add((events - 1) * time.Millisecond)); last != want || len(keys) != 100 {
		t.Errorf("last event at %s of %d visitors, want %s of 100", last, len(keys), want)
	}
}

func TestStops(t *testing.T) {
	t.Parallel()
	stop := errors.New("enough")
	if err := Run(Options{Start: start, Duration: time.Hour, Visitors: 5}, func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Run: %v", err)
	}
	o := LoadOptions{Visitors: 1, Events: 5, Start: start, RatePerSecond: 1}
	if err := Load(o, func(_, _ []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Load: %v", err)
	}
	if err := Load(LoadOptions{Events: 1}, nil); err == nil {
		t.Error("Load without visitors: no error")
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	o := LoadOptions{Visitors: 1000, Events: b.N, Start: start, RatePerSecond: 1e5}
	if err := Load(o, func(_, v []byte) error { b.SetBytes(int64(len(v))); return nil }); err != nil {
		b.Fatal(err)
	}
}
