package event

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func at(text string) int64 {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UnixMilli()
}

// TestStamps: seconds were milliseconds of 1970 and made sessions there, a zero in
// sentAt or originalTimestamp cost the event, and so did a t or z in lower case.
func TestStamps(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	const good = `"timestamp":"2026-11-20T10:00:00Z"`
	want := at("2026-11-20T10:00:00Z")
	for stamps, warned := range map[string]string{
		`"timestamp":1795168800`: "", `"timestamp":1795168800.0`: "", `"timestamp":"1795168800"`: "", `"timestamp":1795168800000`: "", `"timestamp":"1795168800000"`: "",
		`"timestamp":1795168800000000`: "", `"timestamp":1795168800000000000`: "", `"timestamp":"1795168800000000000"`: "", `"timestamp":1.7951688e9`: "",
		`"timestamp":"2026-11-20t10:00:00z"`: "", `"timestamp":"2026-11-20 10:00:00+00:00"`: "", `"timestamp":"2026-11-20T11:00:00+01"`: "", `"timestamp":"2026-11-20T10:00:00,000Z"`: "",
		`"timestamp":"2026-11-20T10:00:00.000000000Z"`: "", `"timestamp":"2026-11-20T06:30:00-0330"`: "", `"timestamp":"2026-11-20 10:00:00 UTC"`: "",
		`"originalTimestamp":1795168800`:                                                                         "",
		good + `,"sentAt":"0001-01-01T00:00:00Z","receivedAt":"2026-11-20T10:00:02Z"`:                            "sentAt",
		good + `,"sentAt":"1970-01-01T00:00:00Z","receivedAt":"2026-11-20T10:00:02Z"`:                            "sentAt",
		good + `,"sentAt":0,"receivedAt":"2026-11-20T10:00:02Z"`:                                                 "sentAt",
		good + `,"sentAt":"soon"`:                                                                                "sentAt",
		good + `,"sentAt":{"$date":1}`:                                                                           "sentAt",
		good + `,"originalTimestamp":"0001-01-01T00:00:00Z"`:                                                     "originalTimestamp",
		good + `,"originalTimestamp":0,"sentAt":"2026-11-20T10:00:01Z","receivedAt":"2026-11-20T10:00:02Z"`:      "originalTimestamp",
		good + `,"receivedAt":"yesterday","sentAt":"2026-11-20T10:00:01Z"`:                                       "receivedAt",
		good + `,"receivedAt":[]`:                                                                                "receivedAt",
		`"timestamp":"0001-01-01T00:00:00Z","originalTimestamp":"2026-11-20T10:00:00Z"`:                          "timestamp",
		`"timestamp":true,"originalTimestamp":"2026-11-20T10:00:00Z"`:                                            "timestamp",
		`"timestamp":"","originalTimestamp":"2026-11-20T10:00:00Z"`:                                              "",
		good + `,"sentAt":"2026-11-20T10:00:01Z","receivedAt":"2026-11-20T10:00:41Z"`:                            "",                 // a slow request
		good + `,"sentAt":"2026-11-20T10:00:01Z","receivedAt":"2026-11-20T10:09:41Z"`:                            "",                 // a retry with the first attempt's sentAt
		good + `,"sentAt":"2026-11-20T10:00:01Z","receivedAt":"2026-11-22T10:00:01Z"`:                            "",                 // an import of an event two days old
		`"timestamp":"2026-11-20T11:00:00Z","sentAt":"2026-11-20T11:00:01Z","receivedAt":"2026-11-20T10:00:01Z"`: "",                 // a clock an hour ahead
		`"timestamp":"2026-11-20T09:00:00Z","sentAt":"2026-11-20T09:00:01Z","receivedAt":"2026-11-20T10:00:01Z"`: "",                 // and one an hour behind
		`"timestamp":"1970-01-01T00:05:00Z","sentAt":"1970-01-01T00:05:01Z","receivedAt":"2026-11-20T10:00:01Z"`: "timestamp sentAt", // never set
	} {
		raw := []byte(`{"type":"page","anonymousId":"a",` + stamps + `}`)
		agree(t, d, raw, 0)
		e, reason := outcome(t, d, raw, 0)
		var names []string
		for _, w := range d.Warnings() {
			names = append(names, w.Property)
		}
		if reason != "" || e.Time != want || strings.Join(names, " ") != warned {
			t.Errorf("%s: %q, %s, warnings about %q, want %q", stamps, reason, time.UnixMilli(e.Time).UTC(), names, warned)
		}
	}
}

// TestNoTime: what is no time is refused, by name, and never a session in 1970.
func TestNoTime(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	for _, stamp := range []string{`0`, `1`, `17951688`, `-1795168800`, `1e30`, `"0"`, `"1970-01-01T00:00:00Z"`, `"1972-06-30T23:59:59Z"`, `"0001-01-01T00:00:00Z"`,
		`"2026-11-20T10:00:00"`, `"2026-11-20"`, `"20.11.2026"`, `"now"`, `true`, `{}`, `[1795168800]`, `"9999-12-31T23:59:59Z"`, `50000000000`} {
		raw := []byte(`{"type":"page","anonymousId":"a","timestamp":` + stamp + `}`)
		if reason := agree(t, d, raw, genNow); reason != Malformed {
			t.Errorf("%s: %q", stamp, reason)
		}
		var e Event
		if err := d.Decode(raw, Unstated, genNow, &e); err == nil || !strings.Contains(err.Error(), "timestamp: ") {
			t.Errorf("%s: %v does not name the property", stamp, err)
		}
	}
}

// TestVisitorsKeepTheirOrder: one visitor's events, most requests fast, some slow, some
// tried again with the sentAt of the first attempt, keep the order of the visitor's
// clock, whether it is right or a little behind. With Segment's correction each delay
// moved its event behind later ones.
func TestVisitorsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	form := func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
	base := at("2026-11-20T10:00:00Z")
	for _, behind := range []int64{0, 30_000, 90_000} { // of the visitor's clock, ms
		var got []int64
		for i, delay := range []int64{40, 25_000, 80, 300_000, 60, 500_000, 45, 0} {
			made := base + int64(i)*5000 - behind
			raw := fmt.Sprintf(`{"type":"page","anonymousId":"a","timestamp":"%s","sentAt":"%s","receivedAt":"%s"}`, form(made), form(made+200), form(made+behind+200+delay))
			e, reason := outcome(t, d, []byte(raw), 0)
			if reason != "" {
				t.Fatal(reason)
			}
			got = append(got, e.Time)
		}
		if !slices.IsSorted(got) {
			t.Errorf("a clock %d ms behind: the times %v are out of order", behind, got)
		}
	}
}

// TestExamplesAreHarmless: an example shows amounts and dates, and of anything else
// its shape only.
func TestExamplesAreHarmless(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	for stamp, want := range map[string]string{`"soon"`: "aaaa", `"0001-01-01T00:00:00Z"`: "0001-01-01T00:00:00Z", `"jane.doe@example.com"`: "aaaa.aaa@aaaaaaa.aaa",
		`"+49 170 1234567"`: "+99 999 9999999", `"Jane Doe"`: "aaaa aaa", `true`: "true", `"Ünal é 日本"`: "aaaa a aa", `{"a":"Jane"}`: `{"a":"aaaa"}`} {
		raw := []byte(`{"type":"page","anonymousId":"a","timestamp":"2026-11-20T10:00:00Z","sentAt":` + stamp + `}`)
		outcome(t, d, raw, 0)
		if w := d.Warnings(); len(w) != 1 || w[0].Example != want {
			t.Errorf("%s: %+v", stamp, w)
		}
	}
}
