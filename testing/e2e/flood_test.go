package e2e

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
)

// TestFlood: a shop of 30 visitors, twelve of them with a cart, for 60 minutes, on the real
// graph. 250 visitors of one event each change nothing, where they made every segment
// inactive; 250 who come back after eleven seconds hold all changes for ten minutes, with an
// alert, and do not touch what is exempt. TestFloods of transforms
// tries more.
func TestFlood(t *testing.T) {
	const site = "flood"
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(log.Close)
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	j, conn := replaying(t, log.Brokers(), site, io.NopCloser(bytes.NewReader(flooded(start))), false, func(cfg *config.Config) {
		cfg.Audience.MinSample = 20
	})
	minute := func(m int) int64 { return start.Add(time.Duration(m) * time.Minute).Unix() }
	waitFor(t, "the last minute to be decided", func() bool {
		return count(t, conn, fmt.Sprintf("SELECT count() FROM audience_dedup WHERE site = ? AND toUnixTimestamp(minute) >= %d", minute(59)), site) > 0
	})
	check(t, j.Stop())
	is := func(path string, from, to int, what string) {
		t.Helper()
		of := fmt.Sprintf("FROM audience_dedup WHERE site = ? AND path = '%s' AND toUnixTimestamp(minute) BETWEEN %d AND %d", path, minute(from), minute(to))
		if n, all := count(t, conn, "SELECT countIf("+what+") "+of, site), count(t, conn, "SELECT count() "+of, site); n != all || all == 0 {
			t.Errorf("%s from minute %d to %d: %s in %d of %d", path, from, to, what, n, all)
		}
	}
	const layer, trigger = "everyone/high_intent", "everyone/high_intent/cart_abandoner"
	is(layer, 10, 30, "total = 30 AND active = 1 AND NOT startsWith(why, 'held')")
	is(layer, 31, 40, "total = 280 AND active = 1 AND startsWith(why, 'held until 10:41 UTC')")
	is(layer, 41, 59, "total = 280 AND active = 0")
	is(trigger, 10, 59, "active = 1")
	for state, m := range map[string]int{"raised": 31, "cleared": 41} {
		if n := count(t, conn, fmt.Sprintf("SELECT count() FROM (SELECT DISTINCT at, state FROM alerts WHERE site = ? AND kind = 'audience_jump') WHERE state = '%s' AND toUnixTimestamp(at) = %d", state, minute(m)), site); n != 1 {
			t.Errorf("%d alerts of the jump are %s at minute %d", n, state, m)
		}
	}
}

// flooded are the events of the shop and of both floods.
func flooded(start time.Time) []byte {
	var b bytes.Buffer
	n := 0
	send := func(device string, at time.Time, what string) {
		stamp := at.Format("2006-01-02T15:04:05.000Z")
		n++
		fmt.Fprintf(&b, `{"anonymousId":%q,"messageId":"%d","timestamp":%q,"receivedAt":%q,%s}`+"\n", device, n, stamp, stamp, what)
	}
	flood := func(name string, at time.Time) {
		for i := range 250 {
			send(fmt.Sprint(name, i), at, `"type":"page"`)
		}
	}
	for s := range 360 {
		at, what := start.Add(time.Duration(s)*10*time.Second), `"type":"page"`
		if s%5 < 2 && s < 60 {
			what = `"type":"track","event":"Product Added","properties":{"price":20,"product_id":"p"}`
		}
		send(fmt.Sprint("v", s%30), at, what)
		switch s {
		case 90:
			flood("once", at)
		case 180:
			flood("twice", at)
		case 181:
			flood("twice", at.Add(time.Second))
		}
	}
	return b.Bytes()
}
