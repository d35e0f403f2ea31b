package clickhouseio

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/rows"
)

// TestBackPressureAndRetryWhileTheServerIsAway: with the server away, Add blocks at the limit, and goes on
// when the server is back; nothing is lost and nothing is there twice.
func TestBackPressureAndRetryWhileTheServerIsAway(t *testing.T) {
	dir := t.TempDir()
	s, err := clickhouse.Start(t.Context(), clickhouse.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Embedded() {
		t.Fatalf("this test kills its server: unset %s", clickhouse.DSNEnv)
	}
	port := 0
	fmt.Sscanf(s.Addr(), "127.0.0.1:%d", &port)
	dsn, _ := database(t, s)
	w := open(t, Config{DSN: dsn, Linger: 20 * time.Millisecond, MaxPendingBytes: 60_000})
	add(t, w, events(t, rows.SegmentEvent{Site: "s", Person: "before"}))
	flush(t, w)
	s.Kill()

	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	added := 0
	for ; added < 10_000; added++ {
		if err = w.Add(ctx, events(t, rows.SegmentEvent{Site: "s", Person: fmt.Sprint(added)})); err != nil {
			break
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) || w.Stats().PendingBytes < 60_000 {
		t.Fatalf("after %d: %v, %+v", added, err, w.Stats())
	}
	if s, err = clickhouse.Start(t.Context(), clickhouse.Options{Dir: dir, TCPPort: port}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	add(t, w, events(t, rows.SegmentEvent{Site: "s", Person: "after"}))
	flush(t, w)
	conn, err := Dial(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n := scan[uint64](t, conn, "SELECT count() FROM segment_events"); n != uint64(added+2) {
		t.Fatalf("%d rows, want %d", n, added+2)
	}
	if w.Stats().Retries == 0 {
		t.Error("no retry was counted")
	}
}

func TestRetryEndsAfterItsTime(t *testing.T) {
	w := open(t, Config{DSN: "clickhouse://127.0.0.1:1/x", RetryFor: 300 * time.Millisecond})
	add(t, w, events(t, rows.SegmentEvent{Site: "s"}))
	start := time.Now()
	err := w.Flush(t.Context())
	var insert *InsertError
	if !errors.As(err, &insert) || insert.Attempts < 2 || time.Since(start) > 3*time.Second {
		t.Fatalf("after %v: %v", time.Since(start), err)
	}
}
