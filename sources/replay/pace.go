package replay

import (
	"context"
	"time"
)

// pacer holds events back until their time. Its clock starts at the first one.
type pacer struct {
	rate, speed float64
	start       time.Time
	n           int64 // events so far
	first       int64 // recorded time of the first one, ms
	limited     bool
}

func newPacer(rate, speed float64) *pacer {
	return &pacer{rate: rate, speed: speed, limited: rate > 0 || speed > 0}
}

// slack is how far ahead of its time an event may be: timers are no finer.
const slack = time.Millisecond

// wait returns when the next event, recorded at the time at (ms; 0: not
// known), is due. It fails when ctx is done.
func (p *pacer) wait(ctx context.Context, at int64) error {
	n := p.n
	p.n++
	if !p.limited {
		if n%1024 == 0 {
			return context.Cause(ctx)
		}
		return nil
	}
	if n == 0 {
		p.start = time.Now()
	}
	ahead := time.Until(p.start.Add(p.due(n, at)))
	if ahead <= slack {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// due is when event n is to be sent, after the first.
func (p *pacer) due(n, at int64) time.Duration {
	if p.rate > 0 {
		return time.Duration(float64(n) / p.rate * float64(time.Second))
	}
	if at == 0 {
		return 0
	}
	if p.first == 0 {
		p.first = at
	}
	return time.Duration(float64(at-p.first) / p.speed * float64(time.Millisecond))
}
