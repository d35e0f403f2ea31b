package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/samples/simulate"
	"github.com/microseg/microseg/segment"
)

// TestStamp: an event that is sent at a pace is as simulated but for its time. The
// library's AppendFormat wrote over what followed, no job read the events, and the
// benchmark waited for ever.
func TestStamp(t *testing.T) {
	now := time.UnixMilli(1_795_866_390_038)
	err := simulate.Load(simulate.LoadOptions{Visitors: 10, Events: 200, Start: now, RatePerSecond: 1e9, Zipf: 1.1, Head: 1}, func(key, value []byte) error {
		want := string(value)
		got := stamp(append([]byte(nil), value...), now)
		if string(got) != want || !json.Valid(got) {
			t.Fatalf("got %s\nwant %s", got, want)
		}
		_, err := number(key)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReaders: what both topics say of the newest event is read.
func TestReaders(t *testing.T) {
	if v, newest := readUpdate([]byte("sim-load-7"), []byte(`{"path":"everyone","at":9,"newest":8,"session":1}`)); v != "sim-load-7" || newest != 8 {
		t.Errorf("an update: %q, %d", v, newest)
	}
	var w codec.Writer
	(&segment.Record{Path: "everyone", Since: 8, Last: 8, Evaluated: 9}).AppendTo(&w)
	if v, newest := readRecord([]byte("d:sim-load-7"), w.B); v != "sim-load-7" || newest != 8 {
		t.Errorf("a record: %q, %d", v, newest)
	}
	later := codec.Writer{}
	(&segment.Record{Path: "everyone", Since: 7, Last: 8, Evaluated: 9}).AppendTo(&later)
	for _, value := range []string{"", "{}", "\x7f", string(later.B)} {
		if v, newest := readRecord([]byte("d:x"), []byte(value)); newest != 0 || v != "" {
			t.Errorf("record %q: %q, %d", value, v, newest)
		}
	}
}

// TestRatios: each ratio is the median of the rounds' own.
func TestRatios(t *testing.T) {
	tp := throughput{}
	for _, speed := range []float64{1, 10, 2} { // of the machine, by round
		tp.Loop.Runs = append(tp.Loop.Runs, run{EventsPerS: 400 * speed})
		tp.Flink.Runs = append(tp.Flink.Runs, run{EventsPerS: 80 * speed, WarmHalf: 100 * speed, CPUPerMillion: 10})
		tp.Ours.Runs = append(tp.Ours.Runs, run{EventsPerS: 150 * speed, CPUPerMillion: 5})
	}
	tp.finish()
	if tp.Ours.EventsPerS != 300 || tp.Ratios["microseg_to_flink_warm_half"] != 1.5 || tp.Ratios["microseg_to_plain_loop"] != 0.375 || tp.Ratios["cpu_microseg_to_flink"] != 0.5 {
		t.Errorf("medians %+v", tp)
	}
}
