package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/microseg/microseg/testing/harness/kafkalog"
	"github.com/twmb/franz-go/pkg/kgo"
)

const lines5 = `{"anonymousId":"a","userId":"u","timestamp":"2026-01-01T00:00:03Z","n":1}

{"userId":"u","timestamp":"2026-01-01T00:00:01.500Z"}
no json
  {"timestamp":"2026-01-01T00:00:01.500+00:00","properties":{"anonymousId":"not this one"}}` + "\r\n" + `{"anonymousId":"\u00e4","timestamp":"2026-01-01T00:00:00Z"}`

var (
	keys    = []string{"a", "u", "", "", "ä"}
	inOrder = []int{4, 1, 2, 3, 0} // "no json" stays behind the line before it
)

func values() (out []string) {
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
	cases := map[string]Options{
		"plain":  {Path: plain},
		"gzip":   {Path: write(t, dir, "e.jsonl.gz", gz.Bytes())},
		"zstd":   {Path: write(t, dir, "e.jsonl.zst", zst.Bytes())},
		"reader": {Reader: strings.NewReader(lines5)},
		"sorted": {Path: plain, Sort: true},
		"rate":   {Path: plain, Rate: 1000},
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
			if got.Records != 5 || got.Ends[0] != 5 || got.Bytes != int64(len(strings.Join(values(), ""))) {
				t.Errorf("result %+v", got)
			}
			for i, r := range consume(t, o.Brokers, 5) {
				want := i
				if o.Sort {
					want = inOrder[i]
				}
				if string(r.Value) != values()[want] || string(r.Key) != keys[want] {
					t.Errorf("record %d: key %q value %q, want %q %q", i, r.Key, r.Value, keys[want], values()[want])
				}
				if r.Timestamp.Before(before.Add(-time.Second)) {
					t.Errorf("record %d: timestamp %v is not now", i, r.Timestamp)
				}
			}
		})
	}
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
			fmt.Fprintf(&in, `{"anonymousId":"d%d","n":%d}`+"\n", d, n)
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
		if want := fmt.Sprintf(`{"anonymousId":"%s","n":%d}`, key, next[key]); string(r.Value) != want {
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
	long := "{}\n" + strings.Repeat("x", maxLine+1) + "\n"
	_, err := Run(t.Context(), Options{Brokers: brokers, Topic: "events", Reader: strings.NewReader(long)})
	var tooLong *LineTooLongError
	if !errors.As(err, &tooLong) || tooLong.Line != 2 {
		t.Errorf("a line too long: %v", err)
	}
	if _, err := Run(t.Context(), Options{Brokers: brokers, Topic: "events", Path: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Run(ctx, Options{Brokers: brokers, Topic: "events", Reader: strings.NewReader(lines5), Rate: 0.1})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
}

// FuzzIdentify: no line may break the replay, and a key is never longer than
// its line.
func FuzzIdentify(f *testing.F) {
	for _, l := range values() {
		f.Add([]byte(l))
	}
	f.Add([]byte(`{"anonymousId":{"x":1},"userId":null,"timestamp":3}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if id := identify(line, true); len(id.key) > 3*len(line) {
			t.Errorf("key of %d bytes from a line of %d", len(id.key), len(line))
		}
	})
}

func BenchmarkIdentify(b *testing.B) {
	line := []byte(`{"type":"page","properties":{"path":"/a","x":[1,2,3]},"anonymousId":"dev-1","timestamp":"2026-01-01T00:00:00Z"}`)
	b.ReportAllocs()
	for b.Loop() {
		identify(line, false)
	}
}
