package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/sinks/redisio"
	"github.com/microseg/microseg/testing/harness/redis"
	client "github.com/redis/go-redis/v9"
)

// TestRedisSaysWhatItLacks: `microseg redis` with a wrong password, or without a right, went on
// and told "WRONGPASS" once a minute; a node told nothing until the first deletion. One ends with
// words that say what to do, the other has them in /readyz until it is right.
func TestRedisSaysWhatItLacks(t *testing.T) {
	log, err := kafkalog.Start(kafkalog.Options{Topics: []string{"events"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	s, err := redis.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	admin := client.NewClient(&client.Options{Addr: s.Addr()})
	t.Cleanup(func() { admin.Close() })
	acl := func(rules ...any) {
		t.Helper()
		if err := admin.Do(t.Context(), append([]any{"ACL", "SETUSER", "ann"}, rules...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	acl("on", ">sesame", "~microseg:*", "+evalsha", "+script|load", "+get", "+set")
	t.Setenv(clients.Redis.Variable("USER"), "ann")
	for password, want := range map[string]string{canary: `lets the user "ann" not in`, "sesame": "it needs these rights: ACL SETUSER"} {
		t.Setenv(clients.Redis.Variable("PASSWORD"), password)
		if out, code := says(t, "redis", "--brokers", log.Brokers()[0], "--redis", s.Addr()); code != 1 || !strings.Contains(out, want) || strings.Contains(out, canary) {
			t.Errorf("code %d, want %q:\n%s", code, want, out)
		}
	}
	t.Setenv(clients.Redis.Variable("PASSWORD"), "sesame")
	w, err := redisio.Open(redisio.Config{Addr: s.Addr(), Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(context.Background()) })
	l := &locked{}
	look := func() string {
		l.tell(t.Context(), "Redis", w.Try(t.Context()))
		return l.note()
	}
	if note := look(); !strings.HasPrefix(note, "degraded: ") || !strings.Contains(note, "+del") {
		t.Errorf("without a right: %q", note)
	}
	acl("+del")
	if note := look(); note != "" {
		t.Errorf("with all rights: %q", note)
	}
	if keys, err := admin.Keys(t.Context(), "*").Result(); err != nil || len(keys) > 1 || len(keys) == 1 && !strings.HasPrefix(keys[0], "microseg:deleted:") {
		t.Errorf("trying left %v, %v", keys, err)
	}
}

// TestRedisThatIsAway: each attempt to connect was a line of the library's, and none said what
// becomes of the records.
func TestRedisThatIsAway(t *testing.T) {
	log, err := kafkalog.Start(kafkalog.Options{Topics: []string{"events", "segments"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out output
	c := program(t, "redis", "--brokers", log.Brokers()[0], "--redis", "127.0.0.1:1")
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	const want = "Redis does not take records; they wait"
	for !strings.Contains(out.String(), want) && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
	}
	c.Process.Kill()
	c.Wait()
	if said := out.String(); strings.Count(said, want) != 1 || strings.Contains(said, "pool.go") {
		t.Error(said)
	}
}
