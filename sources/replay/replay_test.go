package replay

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/twmb/franz-go/pkg/kgo"
)

const lines5 = `{"type":"page","anonymousId":"a","userId":"u","timestamp":"2026-01-01T00:00:03Z","n":1}

{"type":"page","userId":"u","timestamp":"2026-01-01T00:00:01.500Z"}
no json
  {"type":"page","timestamp":"2026-01-01T00:00:01.500+00:00","properties":{"anonymousId":"not this one"}}` + "\r\n" +
	`{"type":"page","anonymousId":"\u00e4","timestamp":"2026-01-01T00:00:00Z"}`

// bz2 is lines5, packed by bzip2.
var bz2 = unbase64("QlpoOTFBWSZTWeLthZkAAKjfgAASUA9/EAAgBBQm894qMACsglBTRMnojTQeowjDUMYTE0GCMQyMJgVSI1NBoADT1NACeau7Lprt" +
	"ViS6YPuLjINgzSgFOsYGBNWQVBhNNeuv3oVOiLF1eeJYWS24E0ipO5EJZycNFVC2EWwSbI+tJjRRxMCcd4eS0PVNg+3AYhYJvpAJ" +
	"pAP1y6ujulseTJ2WKJSFYVN4LliskJsFMQjGsQnBGLUvD3fxW0qqFP4u5IpwoSHF2wsy")

var (
	keys    = []string{"a", "u", "", "", "ä"}
	inOrder = []int{4, 1, 2, 3, 0} // "no json" stays behind the line before it
)

func records5() (out []string) {
	for _, l := range strings.Split(lines5, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// topic starts a log with one topic and returns its brokers.
func topic(t *testing.T, partitions int32) []string {
	t.Helper()
	l, err := kafkalog.Start(kafkalog.Options{Partitions: partitions, Topics: []string{"events"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l.Brokers()
}

func consume(t *testing.T, brokers []string, n int) (out []*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("events"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for len(out) < n {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		out = append(out, f.Records()...)
	}
	return out
}

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := write(t, dir, "e.jsonl", []byte(lines5))
	var gz, zst bytes.Buffer
	g := gzip.NewWriter(&gz)
	fmt.Fprint(g, lines5)
	g.Close()
	z, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(z, lines5)
	z.Close()
	var twice bytes.Buffer
	g = gzip.NewWriter(&twice)
	g.Write(gz.Bytes())
	g.Close()
	cases := map[string]Options{
		"plain":   {Path: plain},
		"gzip":    {Path: write(t, dir, "e.jsonl.gz", gz.Bytes())},
		"zstd":    {Path: write(t, dir, "e.jsonl.zst", zst.Bytes())},
		"renamed": {Path: write(t, dir, "renamed.jsonl", gz.Bytes())},
		"twice":   {Path: write(t, dir, "twice.gz", twice.Bytes())},
		"bzip2":   {Path: write(t, dir, "e.bz2", bz2)},
		"reader":  {Reader: strings.NewReader(lines5)},
		"sorted":  {Path: plain, Sort: true},
		"rate":    {Path: plain, Rate: 1000},
	}
	for name, o := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Brokers, o.Topic = topic(t, 1), "events"
			before := time.Now()
			got, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if got.Records != 5 || got.Ends[0] != 5 || got.Bytes != int64(len(strings.Join(records5(), ""))) {
				t.Errorf("result %+v", got)
			}
			for i, r := range consume(t, o.Brokers, 5) {
				want := i
				if o.Sort {
					want = inOrder[i]
				}
				if string(r.Value) != records5()[want] || string(r.Key) != keys[want] {
					t.Errorf("record %d: key %q value %q, want %q %q", i, r.Key, r.Value, keys[want], records5()[want])
				}
				if r.Timestamp.Before(before.Add(-time.Second)) {
					t.Errorf("record %d: timestamp %v is not now", i, r.Timestamp)
				}
			}
		})
	}
}

func unbase64(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func write(t *testing.T, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPartitions: one device's events share a partition and keep their order,
// and the ends are those of the partitions.
func TestPartitions(t *testing.T) {
	t.Parallel()
	var in strings.Builder
	const devices, each = 50, 100
	for n := range each {
		for d := range devices {
			fmt.Fprintf(&in, `{"type":"page","timestamp":"2026-01-01T00:00:00Z","anonymousId":"d%d","n":%d}`+"\n", d, n)
		}
	}
	brokers := topic(t, 4)
	got, err := Run(t.Context(), Options{Brokers: brokers, Topic: "events", Reader: strings.NewReader(in.String())})
	if err != nil {
		t.Fatal(err)
	}
	next, ends, home := map[string]int{}, map[int32]int64{}, map[string]int32{}
	for _, r := range consume(t, brokers, devices*each) {
		key := string(r.Key)
		if want := fmt.Sprintf(`{"type":"page","timestamp":"2026-01-01T00:00:00Z","anonymousId":"%s","n":%d}`, key, next[key]); string(r.Value) != want {
			t.Fatalf("got %s, want %s", r.Value, want)
		}
		if p, ok := home[key]; ok && p != r.Partition {
			t.Fatalf("%s is in partitions %d and %d", key, p, r.Partition)
		}
		home[key], ends[r.Partition] = r.Partition, r.Offset+1
		next[key]++
	}
	if fmt.Sprint(ends) != fmt.Sprint(got.Ends) || len(ends) != 4 {
		t.Errorf("ends %v, want %v in 4 partitions", got.Ends, ends)
	}
}

// TestSpeed: 3 s of recorded time at 10 times the pace take 0.3 s.
func TestSpeed(t *testing.T) {
	t.Parallel()
	start := time.Now()
	var log bytes.Buffer
	o := Options{Brokers: topic(t, 1), Topic: "events", Reader: strings.NewReader(lines5), Speed: 10, Sort: true, Progress: &log}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 295*time.Millisecond {
		t.Errorf("took %v, want at least 0.3 s", took)
	}
	if !strings.Contains(log.String(), "replayed: 5 events") {
		t.Errorf("progress %q", log.String())
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	brokers := topic(t, 1)
	if _, err := Run(t.Context(), Options{Brokers: brokers, Topic: "events", Path: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Run(ctx, Options{Brokers: brokers, Topic: "events", Reader: strings.NewReader(lines5), Rate: 0.1})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
}

func BenchmarkLook(b *testing.B) {
	j, err := newJudge(event.Config{})
	if err != nil {
		b.Fatal(err)
	}
	line := []byte(`{"type":"page","properties":{"path":"/a","x":[1,2,3]},"anonymousId":"dev-1","timestamp":"2026-01-01T00:00:00Z"}`)
	b.ReportAllocs()
	for b.Loop() {
		j.look(item{1, line, ""})
	}
}
