package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
)

// TestVisitorsWanted: simulated visitors come to the demo's site alone. Among a
// shop's own they would be in its figures for ever.
func TestVisitorsWanted(t *testing.T) {
	t.Parallel()
	demo, shop := config.Demo(), config.Demo()
	shop.Site = "shop"
	for _, c := range []struct {
		cfg    *config.Config
		n      int
		stated bool
		want   int
		says   string
	}{
		{demo, defaultVisitors, false, defaultVisitors, ""},
		{demo, 0, true, 0, ""},
		{demo, 7, true, 7, ""},
		{demo, -1, true, 0, "choose from 0 to 10000"},
		{demo, 10_001, true, 0, "choose from 0 to 10000"},
		{shop, defaultVisitors, false, 0, ""},
		{shop, 0, true, 0, ""},
		{shop, 5, true, 0, `to the site "demo" alone`},
	} {
		n, err := wanted(c.cfg, c.n, c.stated)
		if n != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s, %d: %d, %v", c.cfg.Site, c.n, n, err)
		}
	}
}

// TestCrowd: simulated visitors are known by their ids, bring some minutes of
// their past along so that there is an audience, go on at the pace of the clock
// and try again when the collector is busy; nothing comes twice or early.
func TestCrowd(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var times []time.Time
	ids, refused := map[string]bool{}, 0
	events, first, newest := map[string]int{}, map[string]time.Time{}, map[string]time.Time{}
	start := time.Now()
	visits := func() (n int) { // who counts was received twice, some time apart
		for id, of := range events {
			if of > 1 && newest[id].Sub(first[id]) >= time.Second {
				n++
			}
		}
		return n
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			WriteKey string
			Batch    []struct {
				AnonymousID, MessageID string
				Timestamp              time.Time
				Context                struct{ Simulated bool }
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.WriteKey != "demo" || len(body.Batch) == 0 || len(body.Batch) > 500 {
			t.Errorf("a batch of %d: %v", len(body.Batch), err)
		}
		mu.Lock()
		defer mu.Unlock()
		if refused++; refused == 1 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		for _, e := range body.Batch {
			if !strings.HasPrefix(e.AnonymousID, "sim-") || !e.Context.Simulated || ids[e.MessageID] || e.Timestamp.After(time.Now()) {
				t.Errorf("%+v", e)
			}
			ids[e.MessageID] = true
			times = append(times, e.Timestamp)
			if e.Timestamp.Before(start) {
				events[e.AnonymousID]++
			}
			if now := time.Now(); first[e.AnonymousID].IsZero() {
				first[e.AnonymousID] = now
			} else {
				newest[e.AnonymousID] = now
			}
		}
		if past := before(times, start); time.Since(start) > 5*time.Second && past < len(times) && visits() >= 200 {
			stop() // later than that on a machine that is busy
		}
	}))
	defer srv.Close()
	c := newCrowd(config.Demo(), strings.TrimPrefix(srv.URL, "http://"), 300)
	c.back = 2 * time.Second
	c.run(ctx)
	mu.Lock()
	defer mu.Unlock()
	past := before(times, start)
	if past < 1000 || past > 20_000 || len(times) == past || float64(len(times)-past) > 70*time.Since(start).Seconds() {
		t.Errorf("%d events of the past, %d of the present", past, len(times)-past)
	}
	if n := visits(); n < 200 {
		t.Errorf("%d of %d visitors count, and 200 are needed", n, len(events))
	}
}

// before counts the times before another one.
func before(times []time.Time, than time.Time) (n int) {
	for _, at := range times {
		if at.Before(than) {
			n++
		}
	}
	return n
}
