package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/samples/simulate"
)

const (
	// defaultVisitors are enough that 200 of them, the minimum sample, are active.
	defaultVisitors = 300
	maxVisitors     = 10_000 // about 300 events a second
	// visitorsPast is how much of their past simulated visitors bring along, so
	// that there is an audience at once; as far as the allowed lateness goes.
	visitorsPast = 8 * time.Minute
	// visitorsBack is how much later the last event of each one's past comes: who counts
	// was received twice, ten seconds apart.
	visitorsBack = 11 * time.Second
	visitorsPace = time.Second // they send so often
	maxBatch     = 500         // events, with one request
)

// wanted is how many simulated visitors come. They come to the demo's site alone:
// among a shop's own visitors they would count as such.
func wanted(cfg *config.Config, visitors int, stated bool) (int, error) {
	demo := config.Default().Site
	switch {
	case visitors < 0 || visitors > maxVisitors:
		return 0, fmt.Errorf("--visitors is %d; choose from 0 to %d", visitors, maxVisitors)
	case cfg.Site == demo:
		return visitors, nil
	case stated && visitors > 0:
		return 0, fmt.Errorf("--visitors: simulated visitors come to the site %q alone, and this configuration's is %q; they would count among your own", demo, cfg.Site)
	}
	return 0, nil
}

// crowd sends what simulated visitors do, in real time, to the collector, as
// everybody's events come.
type crowd struct {
	url, key string
	visitors int
	past     time.Duration
	begun    time.Time
	back     time.Duration
	last     map[string]lastEvent // of each visitor's past, until it is sent
	batch    []json.RawMessage    // sent together, when their time has come
}

// lastEvent is an event that is held back.
type lastEvent struct {
	at   time.Time
	line json.RawMessage
}

func newCrowd(cfg *config.Config, addr string, visitors int) *crowd {
	return &crowd{url: "http://" + addr + "/v1/batch", key: cfg.Collector.WriteKeys[0], visitors: visitors, past: min(visitorsPast, cfg.Lateness.Short*4/5),
		back: visitorsBack, last: map[string]lastEvent{}}
}

// run sends until the context ends.
func (c *crowd) run(ctx context.Context) {
	c.begun = clock.Now()
	start := c.begun.Add(-c.past)
	// Another seed at each start: the same visitors again would send the same
	// messageIds again, which are duplicates.
	o := simulate.Options{Seed: uint64(start.Unix()), Start: start, Arrive: c.past + 2*time.Minute, Duration: 10 * 365 * 24 * time.Hour, Visitors: c.visitors}
	err := simulate.Run(o, func(line []byte) error { return c.take(ctx, line) })
	if err != nil && ctx.Err() == nil {
		slog.Error("the simulated visitors have ended", "err", err)
	}
}

// take sends an event when its time has come, with those of the same second.
func (c *crowd) take(ctx context.Context, line []byte) error {
	var e struct {
		Timestamp   time.Time
		AnonymousID string
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("reading a simulated event: %w", err)
	}
	if wait := e.Timestamp.Sub(clock.Now()); wait > 0 || len(c.batch) >= maxBatch {
		if err := c.flush(ctx); err != nil {
			return err
		}
		if wait > 0 {
			pause(ctx, max(wait, visitorsPace))
		}
	}
	c.add(e.AnonymousID, e.Timestamp, line)
	return ctx.Err()
}

// add adds an event to what is sent next. The last one of each visitor's past waits, no
// longer than until the next one of the same visitor.
func (c *crowd) add(visitor string, at time.Time, line json.RawMessage) {
	held, holds := c.last[visitor]
	delete(c.last, visitor)
	if holds {
		c.batch = append(c.batch, held.line)
	}
	if at.Before(c.begun) {
		c.last[visitor] = lastEvent{at, line}
		return
	}
	if c.batch = append(c.batch, line); clock.Now().Before(c.begun.Add(c.back)) {
		return
	}
	for _, held := range slices.SortedFunc(maps.Values(c.last), func(a, b lastEvent) int { return a.at.Compare(b.at) }) {
		c.batch = append(c.batch, held.line)
	}
	clear(c.last)
}

// flush sends what has gathered.
func (c *crowd) flush(ctx context.Context) error {
	for part := range slices.Chunk(c.batch, maxBatch) {
		if err := c.send(ctx, part); err != nil {
			return err
		}
	}
	c.batch = c.batch[:0]
	return nil
}

// send sends a batch, again and again until it is taken.
func (c *crowd) send(ctx context.Context, batch []json.RawMessage) error {
	body, err := json.Marshal(map[string]any{"batch": batch, "writeKey": c.key})
	if err != nil {
		return fmt.Errorf("encoding simulated events: %w", err)
	}
	for warned := false; ; {
		err := c.post(ctx, body)
		if err == nil || ctx.Err() != nil {
			break
		}
		if !warned {
			slog.Warn("sending the simulated visitors' events, will try again", "err", err)
			warned = true
		}
		pause(ctx, visitorsPace)
	}
	return ctx.Err()
}

func (c *crowd) post(ctx context.Context, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("the collector answers %d %s", answer.StatusCode, text)
	}
	return err
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
