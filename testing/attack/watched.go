package attack

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	lookEvery = 250 * time.Millisecond
	// silentFor is for how long somebody may wait before the node has to say that it is
	// busy: 10 s, and the second for which an answer of /readyz serves all.
	silentFor = 12 * time.Second
	lagMetric = "microseg_source_lag_records"
)

// look is what the node said of itself.
type look struct {
	at    time.Time
	ready bool
	lag   float64 // records that are not decided yet; 0 where that is not known
}

// watched has an attack watched by whoever operates the node: all was fetched, so the lag was
// 0, and /readyz said ok, while everybody waited for half a minute.
func watched(run func(context.Context, *suite, *Result) error) func(context.Context, *suite, *Result) error {
	return func(ctx context.Context, s *suite, r *Result) error {
		begun := time.Now()
		looks := s.watch(ctx)
		err := run(ctx, s, r)
		all := looks()
		if err != nil {
			return err
		}
		away, most := 0, 0.0
		for i := range all {
			most = max(most, all[i].lag)
			if !all[i].ready {
				away++
			}
		}
		r.Saw["operator"] = object{"looks": len(all), "not_ready": away, "lag": most}
		for _, f := range s.canaries.since(begun) {
			if f.took > silentFor && silent(all, f.at, f.at.Add(f.took)) {
				r.breach("a visitor waited for %.0f s, and all that time /readyz said ok and the lag was 0", f.took.Seconds())
			}
		}
		return nil
	}
}

// silent reports whether nothing was said of being busy in a span of time.
func silent(all []look, from, to time.Time) bool {
	for i := range all {
		if l := &all[i]; l.at.After(from) && l.at.Before(to) && (!l.ready || l.lag > 0) {
			return false
		}
	}
	return true
}

// since are the flights that began after a time.
func (c *canaries) since(t time.Time) (out []flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.flown {
		if f.at.After(t) {
			g := *f
			if g.took == 0 {
				g.took = time.Since(g.at)
			}
			out = append(out, g)
		}
	}
	return out
}

// watch looks at the node until what it returns is called, which says what was seen.
func (s *suite) watch(ctx context.Context) (stop func() []look) {
	ctx, cancel := context.WithCancel(ctx)
	x, admin := s.sender(canaryHost(51)), s.sender(shopHost)
	if s.stack != nil {
		admin.url = "http://" + s.stack.admin
	}
	var all []look
	var looking sync.WaitGroup
	looking.Go(func() {
		for rest(ctx, lookEvery) == nil {
			l := look{at: time.Now()}
			status, _ := x.get(ctx, "/readyz")
			l.ready = status == http.StatusOK
			if s.stack != nil {
				l.lag = lag(ctx, admin)
			}
			if ctx.Err() == nil {
				all = append(all, l)
			}
		}
	})
	return func() []look {
		cancel()
		looking.Wait()
		x.close()
		admin.close()
		return all
	}
}

// lag is how many records of the log are not decided, by the metrics of the stack's admin listener.
func lag(ctx context.Context, admin *sender) (sum float64) {
	_, body := admin.get(ctx, "/metrics")
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(name, lagMetric+"{") || name == lagMetric {
			n, _ := strconv.ParseFloat(value, 64)
			sum += n
		}
	}
	return sum
}
