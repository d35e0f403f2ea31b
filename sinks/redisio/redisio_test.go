package redisio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/testing/harness/redis"
	client "github.com/redis/go-redis/v9"
)

func server(t *testing.T) *redis.Server {
	t.Helper()
	s, err := redis.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func open(t *testing.T, cfg Config) *Writer {
	t.Helper()
	w, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = w.Close(ctx) // tests that want it without an error close it themselves
	})
	return w
}

// put writes the records and waits until Redis has them.
func put(t *testing.T, w *Writer, records ...Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := w.Put(ctx, records); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func reader(t *testing.T, s *redis.Server) *client.Client {
	t.Helper()
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	t.Cleanup(func() { c.Close() })
	return c
}

// get is the value at a key; empty: none.
func get(t *testing.T, c *client.Client, key string) string {
	t.Helper()
	v, err := c.Get(t.Context(), key).Result()
	if err != nil && !errors.Is(err, client.Nil) {
		t.Fatal(err)
	}
	return v
}

func TestPut(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := reader(t, s)
	w := open(t, Config{Addr: s.Addr(), Prefix: "shop", TTL: time.Hour})
	p := Profile{Path: "everyone/high_intent", Since: 5, Evaluated: 7, Features: map[string]any{"cart.value": 12.5}}
	r, err := p.Record("d:1", 1<<60+1)
	if err != nil {
		t.Fatal(err)
	}
	put(t, w, r, Record{ActivationKey, 0, 3, []byte(` {"nodes": ["everyone"]} `)}, Record{"u:x", 0, 9, []byte("{ }")})
	for key, want := range map[string]string{
		"shop:d:1": `{"version":"701152921504606846977","path":"everyone/high_intent","since":5,"evaluated":7,"features":{"cart.value":12.5}}`,
		"shop:a:":  `{"version":"3","nodes": ["everyone"]}`,
		"shop:u:x": `{"version":"9" }`,
	} {
		if got := get(t, c, key); got != want || !json.Valid([]byte(got)) {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	if ttl := c.PTTL(t.Context(), "shop:d:1").Val(); ttl <= 0 || ttl > time.Hour {
		t.Errorf("a person's TTL is %v, want up to an hour", ttl)
	}
	if ttl := c.PTTL(t.Context(), "shop:a:").Val(); ttl >= 0 {
		t.Errorf("the activation record expires in %v", ttl)
	}
	// 1<<60 is the same number to a double: only the digits tell it from the above.
	put(t, w, Record{"d:1", 7, 1 << 60, []byte(`{"path":"lower"}`)}, Record{"d:1", 7, 1<<60 + 2, []byte(`{"path":"higher"}`)})
	if got := get(t, c, "shop:d:1"); !strings.Contains(got, "higher") {
		t.Errorf("a higher version did not win: %s", got)
	}
	// A later run of the job that decides the past again.
	put(t, w, Record{"d:1", 6, 1 << 62, []byte(`{"path":"earlier"}`)})
	if got := get(t, c, "shop:d:1"); !strings.Contains(got, "higher") {
		t.Errorf("an earlier decision won: %s", got)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := reader(t, s)
	w := open(t, Config{Addr: s.Addr()})
	value := []byte(`{"path":"everyone"}`)
	for i, step := range []struct {
		r    Record
		want string
	}{
		{Record{"d:1", 0, 10, value}, `{"version":"10","path":"everyone"}`},
		{Record{"d:1", 0, 9, nil}, `{"version":"10","path":"everyone"}`},
		{Record{"d:1", 0, 11, nil}, ""},
		{Record{"d:1", 0, 11, value}, ""},
		{Record{"d:1", 0, 12, value}, `{"version":"12","path":"everyone"}`},
		{Record{"d:1", 0, 0, nil}, ""},
		{Record{"d:1", 0, 12, value}, ""},
		{Record{"d:1", 0, 13, value}, `{"version":"13","path":"everyone"}`},
	} {
		put(t, w, step.r)
		if got := get(t, c, "microseg:d:1"); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	put(t, w, Record{"d:1", 0, 0, nil})
	if left := c.Keys(t.Context(), "*").Val(); !slices.Equal(left, []string{"microseg:deleted:" + markOf("d:1")}) {
		t.Errorf("%v is left of a person who was forgotten", left)
	}
	if ttl := c.PTTL(t.Context(), "microseg:deleted:"+markOf("d:1")).Val(); ttl <= 0 || ttl > time.Hour {
		t.Errorf("a tombstone stays for %v, want up to an hour", ttl)
	}
}

// TestForget: a person is gone whatever version was there, and what was under
// way does not bring it back.
func TestForget(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := reader(t, s)
	w := open(t, Config{Addr: s.Addr()})
	put(t, w, Record{"d:1", 7, 3, []byte(`{"path":"everyone"}`)}, Record{"u:ann", 7, 3, []byte(`{"path":"everyone"}`)})
	if err := w.Forget(t.Context(), "d:1", "u:ann", "d:unknown"); err != nil {
		t.Fatal(err)
	}
	put(t, w, Record{"d:1", 7, 3, []byte(`{"path":"everyone"}`)})
	if a, b := get(t, c, "microseg:d:1"), get(t, c, "microseg:u:ann"); a != "" || b != "" {
		t.Errorf("still there: %s %s", a, b)
	}
}

// TestOutOfOrder: whatever order several writers write in, what is left is what
// the obvious model, a map with the highest version, says.
func TestOutOfOrder(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := reader(t, s)
	rnd := rand.New(rand.NewPCG(1, 2))
	highest := map[string]Record{}
	var all []Record
	for range 3000 {
		key := fmt.Sprint("d:", rnd.IntN(40))
		r := Record{key, 0, 1 + rnd.Uint64N(1<<62), fmt.Appendf(nil, `{"n":%d}`, len(all))}
		if rnd.IntN(5) == 0 {
			r.Value = nil
		}
		if all = append(all, r); r.Version > highest[key].Version {
			highest[key] = r
		}
	}
	var writers sync.WaitGroup
	for range 4 {
		mine := slices.Clone(all)
		rnd.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		w := open(t, Config{Addr: s.Addr(), Buffer: 100})
		writers.Go(func() {
			if err := w.Put(t.Context(), mine); err != nil {
				t.Error(err)
			}
			if err := w.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	for _, key := range slices.Sorted(maps.Keys(highest)) {
		want, err := highest[key].stored()
		if err != nil {
			t.Fatal(err)
		}
		if got := get(t, c, "microseg:"+key); got != string(want) {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

// TestOutage: a server that is away is an error that shows, the buffer is
// bounded, and everything arrives once the server is back, which has forgotten
// the script.
func TestOutage(t *testing.T) {
	t.Parallel()
	s := server(t)
	w := open(t, Config{Addr: s.Addr(), Buffer: 3})
	put(t, w, Record{"d:0", 0, 1, []byte(`{}`)})
	s.Kill()
	var records []Record
	for i := range 10 {
		records = append(records, Record{fmt.Sprint("d:", i), 0, 2, []byte(`{}`)})
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := w.Put(short, records); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want one that tells that there was no room", err)
	}
	if err := w.Err(); err == nil || !strings.Contains(err.Error(), s.Addr()) {
		t.Errorf("the error state is %v, want one with the address", err)
	}
	if n := w.Waiting(); n != 3 {
		t.Errorf("%d records wait, want 3", n)
	}
	back, err := redis.StartAt(t.Context(), t.TempDir(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(back.Kill)
	put(t, w, records...)
	if err := w.Err(); err != nil {
		t.Errorf("the error state stays: %v", err)
	}
	if n := len(reader(t, back).Keys(t.Context(), "microseg:d:*").Val()); n != 10 {
		t.Errorf("%d records in Redis, want 10", n)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	s := server(t)
	w := open(t, Config{Addr: s.Addr()})
	if err := w.Put(t.Context(), []Record{{"d:1", 0, 1, []byte(`{}`)}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if get(t, reader(t, s), "microseg:d:1") == "" {
		t.Error("Close left a record behind")
	}
	if err := w.Put(t.Context(), []Record{{"d:1", 0, 2, nil}}); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v after Close, want %v", err, ErrClosed)
	}
	s.Kill()
	gone, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	w = open(t, Config{Addr: s.Addr()})
	if err := w.Put(t.Context(), []Record{{"d:1", 0, 2, nil}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(gone); err == nil {
		t.Error("Close gave up a record without an error")
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{}, {Addr: "x:1", TTL: -1}, {Addr: "x:1", Buffer: -1}} {
		if _, err := Open(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
	for _, r := range []Record{{"", 0, 1, []byte(`{}`)}, {"d:1", 0, 0, []byte(`{}`)}, {"d:1", 0, 1, []byte{}}, {"d:1", 0, 1, []byte(`{`)}, {"d:1", 0, 1, []byte(`[]`)}} {
		if _, err := r.stored(); !errors.Is(err, ErrRecord) {
			t.Errorf("%+v: error %v, want %v", r, err, ErrRecord)
		}
	}
	if _, err := (Profile{Features: map[string]any{"f": func() {}}}).Record("d:1", 1); err == nil {
		t.Error("a function was taken as a feature")
	}
}
