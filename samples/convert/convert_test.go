package convert

import (
	"bufio"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/samples/data"
)

// collect reads all events and drops those whose messageId came before.
func collect(t *testing.T, in io.ReadCloser, err error) (events []Event, duplicates int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	seen := map[string]bool{}
	s := bufio.NewScanner(in)
	for s.Scan() {
		var e Event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.AnonymousID == "" || e.MessageID == "" {
			t.Fatalf("an event without a device or id: %s", s.Bytes())
		}
		if seen[e.MessageID] {
			duplicates++
			continue
		}
		seen[e.MessageID] = true
		events = append(events, e)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return events, duplicates
}

// sessions counts inactivity sessions; a gap of exactly gap starts a new one.
func sessions(t *testing.T, events []Event, gap time.Duration) (n int) {
	t.Helper()
	times := map[string][]time.Time{}
	for _, e := range events {
		at, err := time.Parse(time.RFC3339Nano, e.Timestamp)
		if err != nil {
			t.Fatal(err)
		}
		times[e.AnonymousID] = append(times[e.AnonymousID], at)
	}
	for _, ts := range times {
		slices.SortFunc(ts, time.Time.Compare)
		for i, at := range ts {
			if i == 0 || at.Sub(ts[i-1]) >= gap {
				n++
			}
		}
	}
	return n
}

func names(events []Event) map[string]int {
	out := map[string]int{}
	for _, e := range events {
		if e.Type != "track" {
			out[e.Type]++
			continue
		}
		out[e.Event]++
	}
	return out
}

func devices(events []Event, f func(string) bool) int {
	out := map[string]bool{}
	for _, e := range events {
		if f(e.AnonymousID) {
			out[e.AnonymousID] = true
		}
	}
	return len(out)
}

func TestWikipedia(t *testing.T) {
	t.Parallel()
	in, err := Open("wikipedia")
	events, duplicates := collect(t, in, err)
	if len(events)+duplicates != 63_524 || duplicates != 7 {
		t.Errorf("%d events and %d duplicates, want 63,517 and 7", len(events), duplicates)
	}
	for gap, want := range map[time.Duration]int{1800: 22_226, 600: 25_143, 3600: 20_820} {
		if got := sessions(t, events, gap*time.Second); got != want {
			t.Errorf("%d sessions at %d s, want %d", got, gap, want)
		}
	}
}

func TestRees46(t *testing.T) {
	t.Parallel()
	in, err := Open("rees46")
	events, duplicates := collect(t, in, err)
	if len(events)+duplicates != 17_434 || duplicates != 5 {
		t.Errorf("%d events and %d duplicates, want 17,429 and 5", len(events), duplicates)
	}
	if got := sessions(t, events, 30*time.Minute); got != 4518 {
		t.Errorf("%d sessions, want 4,518", got)
	}
	if n := names(events); n["Product Viewed"]+n["Product Added"]+n["Order Completed"] != len(events) || n["Order Completed"] < 200 {
		t.Errorf("events %v", n)
	}
}

// TestSnowplow: what dbt-snowplow-web's own tests expect of the same rows.
func TestSnowplow(t *testing.T) {
	t.Parallel()
	in, err := Open("snowplow-sessions")
	events, _ := collect(t, in, err)
	n := names(events)
	if n["page"] != 43 || n["Page Pinged"] != 8 || n["Page Scrolled"] != 8 {
		t.Errorf("events %v, want 43 pages and 8 pings", n)
	}
	if got := devices(events, func(string) bool { return true }); got != 18 {
		t.Errorf("%d sessions, want 18", got)
	}
	in, err = Open("snowplow")
	events, _ = collect(t, in, err)
	users := map[string]bool{}
	tableRows(t, "snowplow_web/users_expected.csv", "domain_userid", users)
	if got := devices(events, func(d string) bool { return users[d] }); got != 11 || len(users) != 11 {
		t.Errorf("%d of %d users, want 11 of 11", got, len(users))
	}
	// One session has no user: it is a device of its own.
	if got := devices(events, func(d string) bool { return !users[d] }); got != 1 {
		t.Errorf("%d devices without a user, want 1", got)
	}
	expect(t, events)
}

// expect compares the page views with the expected file, one by one.
func expect(t *testing.T, events []Event) {
	t.Helper()
	want := map[string]bool{}
	tableRows(t, "snowplow_web/page_views_expected.csv", "page_view_id", want)
	for _, e := range events {
		if e.Type == "page" && !want[e.MessageID] {
			t.Errorf("page view %s is not expected", e.MessageID)
		}
		delete(want, e.MessageID)
	}
	for id := range want {
		t.Errorf("page view %s is missing", id)
	}
}

// tableRows puts the column of an expected file into set.
func tableRows(t *testing.T, path, column string, set map[string]bool) {
	t.Helper()
	f, err := data.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tab, err := newTable(f, column)
	for err == nil {
		var ok bool
		if ok, err = tab.next(); !ok {
			break
		}
		set[tab.get(column)] = true
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestOtto(t *testing.T) {
	t.Parallel()
	in, err := Open("otto")
	events, duplicates := collect(t, in, err)
	if len(events) != 862 || duplicates != 0 || devices(events, func(string) bool { return true }) != 20 {
		t.Errorf("%d events, %d duplicates", len(events), duplicates)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	if _, err := Open("none"); err == nil || !strings.Contains(err.Error(), "rees46") {
		t.Errorf("error %v, want one that names the sources", err)
	}
	in, err := Open("rees46")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil { // with most of it unread
		t.Fatal(err)
	}
}
