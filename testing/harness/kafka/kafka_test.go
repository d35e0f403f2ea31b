package kafka

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/downloads"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRestart: a topic, 1,000 records in it, and the address survive a crash.
func TestRestart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	first := begin(ctx, t, dir)
	c := client(t, first, kgo.DefaultProduceTopic("events"))
	if _, err := kadm.NewClient(c).CreateTopic(ctx, 2, 1, nil, "events"); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		c.Produce(ctx, &kgo.Record{Key: fmt.Append(nil, i), Value: fmt.Append(nil, "v", i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if n := consume(ctx, t, first, 1000); n != 1000 {
		t.Errorf("%d records, want 1000", n)
	}
	first.Kill()
	second := begin(ctx, t, dir)
	if !slices.Equal(first.Brokers(), second.Brokers()) {
		t.Errorf("restarted at %v, want %v", second.Brokers(), first.Brokers())
	}
	if n := consume(ctx, t, second, 1000); n != 1000 {
		t.Errorf("%d records after the crash, want 1000", n)
	}
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
}

func begin(ctx context.Context, t *testing.T, dir string) *Broker {
	t.Helper()
	b, err := Start(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	return b
}

func client(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Brokers()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// consume reads the topic from its start until it has seen n different values.
func consume(ctx context.Context, t *testing.T, b *Broker, n int) int {
	t.Helper()
	c := client(t, b, kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen := map[string]bool{}
	for len(seen) < n {
		fs := c.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
	}
	return len(seen)
}

// TestJars: the jars on disk are those that are pinned, and a changed one is
// noticed. With MICROSEG_KAFKA_UPDATE it pins what pom.xml now gives.
func TestJars(t *testing.T) {
	t.Parallel()
	cache, err := downloads.Dir()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("MICROSEG_KAFKA_UPDATE") != "" {
		if err := jars.Pin(t.Context(), filepath.Join(cache, "kafka"), "jars.sha256"); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := Fetch(t.Context(), cache, os.Stderr); err != nil {
		t.Fatal(err)
	}
	libs := t.TempDir()
	for _, name := range jars.Names() {
		if err := os.Symlink(filepath.Join(cache, "kafka", "libs", name), filepath.Join(libs, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := jars.Verify(libs); err != nil {
		t.Error(err)
	}
	bad := filepath.Join(libs, jars.Names()[0])
	if err := os.Remove(bad); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte("not a jar"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := jars.Verify(libs); err == nil || !strings.Contains(err.Error(), filepath.Base(bad)) {
		t.Errorf("error %v, want one that names %s", err, bad)
	}
}
