package attack

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	canaryCount    = 6
	canaryRest     = 150 * time.Millisecond // between two events of one canary
	canaryPatience = 20 * time.Second       // an event that is not visible by then is lost
	settleFor      = 60 * time.Second
)

// Quantiles are times from sending an event until a reader sees its effect, ms.
type Quantiles struct {
	N    int     `json:"n"`
	Lost int     `json:"lost,omitempty"`
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
}

// canaries are visitors who do nothing wrong, and look what becomes of what they do.
type canaries struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
	mu     sync.Mutex
	paused bool
	flown  []*flight
}

// flight is one event: when it was sent, and how long it took until it was seen.
type flight struct {
	at   time.Time
	took time.Duration // 0: it is under way
	seen bool
}

// fly lets the canaries go until stop.
func (s *suite) fly(ctx context.Context) *canaries {
	ctx, cancel := context.WithCancel(ctx)
	c := &canaries{cancel: cancel}
	for i := range canaryCount {
		c.all.Go(func() {
			x := s.sender(canaryHost(i))
			defer x.close()
			for n := 1; ctx.Err() == nil; n++ {
				// As somebody new for every two events: one who does much has a high intent,
				// of which a cart changes nothing, and such rows are published a little later.
				c.one(ctx, x, s.id("canary%d.%d", i, (n-1)/2), n%2)
				if rest(ctx, canaryRest) != nil {
					return
				}
			}
		})
	}
	return c
}

// one fills or empties a canary's cart, which decides a segment, and waits until that
// can be read.
func (c *canaries) one(ctx context.Context, x *sender, device string, items int) {
	e := track(device, "Cart Cleared")
	if items > 0 {
		e = added(device, items)
	}
	f := &flight{at: time.Now()}
	c.mu.Lock()
	if !c.paused {
		c.flown = append(c.flown, f)
	}
	c.mu.Unlock()
	status := x.batch(ctx, e)
	seen := status == 200 && until(ctx, canaryPatience, func() bool { s := x.device(ctx, device); return s.cart() == float64(items) })
	c.mu.Lock()
	defer c.mu.Unlock()
	f.took, f.seen = time.Since(f.at), seen
}

// pause stops counting, also what is under way, while the node is stopped on purpose.
func (c *canaries) pause(p bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused = p; p {
		c.flown = slices.DeleteFunc(c.flown, func(f *flight) bool { return f.took == 0 })
	}
}

// between are the quantiles of what was under way in a span of time.
func (c *canaries) between(from, to time.Time) (q Quantiles) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ms []float64
	for _, f := range c.flown {
		took := f.took
		if took == 0 {
			took = time.Since(f.at)
		}
		if f.at.After(to) || f.at.Add(took).Before(from) {
			continue
		}
		if f.took > 0 && !f.seen {
			q.Lost++
		}
		ms = append(ms, float64(took)/float64(time.Millisecond))
	}
	if q.N = len(ms); q.N == 0 {
		return q
	}
	slices.Sort(ms)
	at := func(p float64) float64 { return round(ms[int(p*float64(len(ms)-1)+0.5)]) }
	q.P50, q.P99 = at(0.5), at(0.99)
	return q
}

// settle waits until an event takes no longer than it did when all was calm, so that
// one attack is not judged by what the one before it has left.
func (c *canaries) settle(ctx context.Context, calm Quantiles) (ok bool) {
	return until(ctx, settleFor, func() bool {
		q := c.between(time.Now().Add(-time.Second), time.Now())
		return q.N >= canaryCount && q.P99 <= 3*calm.P99
	})
}

func (c *canaries) stop() {
	c.cancel()
	c.all.Wait()
}

func round(x float64) float64 { return math.Round(x*100) / 100 }
