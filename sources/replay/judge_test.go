package replay

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/samples/simulate"
)

var eventConfig = event.Config{}

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	z.Close()
	return out.Bytes()
}

// TestKeys: the replay keys records by the job's device. It had a reader of its
// own, to which a number was no id and an alias was its userId's: an exported
// alias went to another partition than the device that it links.
func TestKeys(t *testing.T) {
	t.Parallel()
	const at = `"timestamp":"2026-11-20T10:00:00Z"`
	for line, key := range map[string]string{
		`{"type":"page","anonymousId":17,` + at + `}`:                                        "17",
		`{"type":"page","userId":17,` + at + `}`:                                             "17",
		`{"type":"alias","previousId":"anon00","userId":"ann",` + at + `}`:                   "anon00",
		`{"type":"alias","previousId":"anon00","userId":"ann","anonymousId":"x",` + at + `}`: "anon00",
		`{"type":"page","anonymousId":"null","userId":"u0",` + at + `}`:                      "u0",
		`{"type":"page","userId":"u0",` + at + `}`:                                           "u0",
		`{"type":"page","anonymousId":"user:u0",` + at + `}`:                                 "u0",
		`{"type":"page","anonymousId":"a","anonymousId":"b",` + at + `}`:                     "b",
		`{"type":"page","anonymousId":"a"}`:                                                  "a", // no event, and still somebody's
		`{"type":"page",` + at + `}`:                                                         "",
	} {
		j, err := newJudge(eventConfig)
		if err != nil {
			t.Fatal(err)
		}
		if id := j.look(item{1, []byte(line), ""}); id.key != key {
			t.Errorf("%s: key %q, want %q", line, id.key, key)
		}
	}
	// The simulator's own keys are the decoder's.
	j, err := newJudge(eventConfig)
	if err != nil {
		t.Fatal(err)
	}
	err = simulate.Load(simulate.LoadOptions{Seed: 1, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Events: 200, Visitors: 20, RatePerSecond: 100, Identified: 0.5}, func(key, value []byte) error {
		if id := j.look(item{1, value, ""}); id.key != string(key) {
			return fmt.Errorf("key %q, the decoder's is %q", key, id.key)
		}
		return nil
	})
	if err != nil || j.good != 200 {
		t.Error(err, j.bad)
	}
}

// TestSortsByEventTime: --sort knew RFC 3339 in the member timestamp alone, so
// that a file with milliseconds stayed as it was, and most of it was late.
func TestSortsByEventTime(t *testing.T) {
	t.Parallel()
	stamps := []string{ // in the right order
		`"timestamp":1795165200000`,
		`"timestamp":"2026-11-20T10:06:00+01:00"`,    // 09:06 UTC
		`"originalTimestamp":"2026-11-20T10:00:00Z"`, // no timestamp
		`"timestamp":"2026-11-20T12:00:00Z","sentAt":"2026-11-20T12:00:10Z","receivedAt":"2026-11-20T10:30:10Z"`, // a clock that is fast
		`"timestamp":"2026-11-20T06:00:00-05:00"`, // 11:00 UTC
		`"timestamp":"2026-11-20T11:00:00.001Z"`,
	}
	var in strings.Builder
	for i := len(stamps) - 1; i >= 0; i-- {
		fmt.Fprintf(&in, `{"type":"page","anonymousId":"a%d",%s}`+"\n", i, stamps[i])
	}
	brokers := topic(t, 1)
	if _, err := Run(t.Context(), Options{Brokers: brokers, Topic: "events", Reader: strings.NewReader(in.String()), Sort: true}); err != nil {
		t.Fatal(err)
	}
	for i, r := range consume(t, brokers, len(stamps)) {
		if want := fmt.Sprintf("a%d", i); string(r.Key) != want {
			t.Errorf("record %d is of %s, want %s: %s", i, r.Key, want, r.Value)
		}
	}
}

// TestStrayStampsDoNotStall: a stamp of 1970 (by now no event's time), of a clock that
// stands at 2000, or one far ahead made the rest of a paced replay wait for decades.
// The pace goes on behind it, and it is said.
func TestStrayStampsDoNotStall(t *testing.T) {
	t.Parallel()
	line := func(n int, at string) string {
		return fmt.Sprintf(`{"type":"page","anonymousId":"v%d","timestamp":%s}`+"\n", n, at)
	}
	for name, in := range map[string]string{
		"first": line(0, `"2000-01-01T00:00:12Z"`) + line(1, `"2026-11-20T10:00:00Z"`) + line(2, `"2026-11-20T10:00:03Z"`),
		"between": line(0, `"2026-11-20T10:00:00Z"`) + line(1, `"2000-01-01T00:00:12Z"`) + line(2, `"2026-11-20T10:00:00Z"`) +
			line(3, `"2026-11-20T10:00:03Z"`),
		"far ahead": line(0, `"2026-11-20T10:00:00Z"`) + line(1, `"2099-01-01T00:00:12Z"`) + line(2, `"2026-11-20T10:00:00Z"`) +
			line(3, `"2026-11-20T10:00:03Z"`),
		"an hour ahead": line(0, `"2026-11-20T10:00:00Z"`) + line(1, `"2026-11-20T11:00:00Z"`) + "{}\n" +
			line(2, `"2026-11-20T10:00:00Z"`) + line(3, `"2026-11-20T10:00:03Z"`),
		"an hour ahead, first": line(1, `"2026-11-20T11:00:00Z"`) + line(2, `"2026-11-20T10:00:00Z"`) +
			line(3, `"2026-11-20T10:00:03Z"`),
		"an hour behind": line(0, `"2026-11-20T10:00:00Z"`) + line(1, `"2026-11-20T09:00:00Z"`) +
			line(2, `"2026-11-20T10:00:03Z"`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said bytes.Buffer
			start := time.Now()
			got, err := Run(t.Context(), Options{Brokers: topic(t, 1), Topic: "events", Reader: strings.NewReader(in), Speed: 10, Progress: &said})
			if err != nil || got.Records != int64(strings.Count(in, "\n")) {
				t.Fatalf("%+v, %v", got, err)
			}
			if took := time.Since(start); took < 290*time.Millisecond || took > time.Minute {
				t.Errorf("took %v, want 0.3 s: the pace goes on", took)
			}
			if name != "an hour behind" && !strings.Contains(said.String(), "the pace ") &&
				!strings.Contains(said.String(), "not waited for") {
				t.Errorf("said %q", said.String())
			}
		})
	}
}

// TestSaysWhatIsBad: file, line and reason of the first bad ones, and how many
// there are of each reason; an error when nothing was good. A file of anything
// was "replayed", with exit code 0.
func TestSaysWhatIsBad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	brokers := topic(t, 1)
	run := func(text string) (Result, string, error) {
		var said bytes.Buffer
		r, err := Run(t.Context(), Options{Brokers: brokers, Topic: "events", Path: write(t, dir, "e.jsonl", []byte(text)), Progress: &said})
		return r, said.String(), err
	}
	stale := `{"type":"page","anonymousId":"a","timestamp":"2026-11-20T10:00:00Z","receivedAt":"2026-11-20T09:00:00Z"}`
	r, said, err := run(page(1) + "\n{\"type\":\n" + page(2) + "\n" + strings.Repeat(stale+"\n", 9) + strings.Repeat("x", maxLine+1) + "\n")
	if err != nil || r.Good != 2 || r.Records != 12 || r.Bad[event.Malformed] != 2 || r.Bad[event.Future] != 9 || len(r.First) != listed {
		t.Errorf("%+v, %v", r, err)
	}
	for _, want := range []string{"e.jsonl:2: malformed: ", "e.jsonl:4: future: ", "and 6 more", "11 of 13 records are no events (9 future, 2 malformed)"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in what is said:\n%s", want, said)
		}
	}
	var nothing *NothingReadError
	if _, _, err = run("{\n}\n{\"type\":\n"); !errors.As(err, &nothing) || nothing.Records != 2 || !strings.Contains(err.Error(), "e.jsonl") || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("nothing good: %v", err)
	}
	for says, line := range map[string]string{"Mixpanel": `{"event":"A","properties":{"time":1,"distinct_id":"a"}}`, "Amplitude": `{"event_type":"A","device_id":"a"}`,
		"Google": `{"event_name":"A","user_pseudo_id":"a"}`} {
		if _, _, err := run(line + "\n"); !errors.As(err, &nothing) || !strings.Contains(err.Error(), "it looks like "+says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	if _, _, err = run("[]"); !errors.As(err, &nothing) {
		t.Errorf("an empty array: %v", err)
	}
	// What a visitor has not consented to is read, and is nobody's.
	required := event.Config{Consent: event.Consent{Required: true, Categories: []string{"ads"}}}
	if _, err := Run(t.Context(), Options{Brokers: brokers, Topic: "events", Reader: strings.NewReader(page(1)), Event: required}); err != nil {
		t.Errorf("without consent: %v", err)
	}
}
