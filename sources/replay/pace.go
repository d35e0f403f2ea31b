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
	base        int64 // recorded time that is due at start, ms
	last        int64 // recorded time of the event before, ms; 0: there was none
	limited     bool
	jumped      func(from, to int64) // is told of gaps that are not waited for
}

func newPacer(rate, speed float64, jumped func(from, to int64)) *pacer {
	return &pacer{rate: rate, speed: speed, limited: rate > 0 || speed > 0, jumped: jumped}
}

// maxGap is how far apart in recorded time two events that follow each other may
// be for the pace to count. What is further apart has a wrong stamp (one of 1970
// made the rest wait for 56 years), or is a pause that nobody wants to sit out.
const maxGap = 24 * time.Hour

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
	switch gap := time.Duration(at-p.last) * time.Millisecond; {
	case p.last == 0:
		p.base = at
	case gap.Abs() > maxGap:
		// This event is due at once, and those after it as far behind it as they
		// were recorded.
		p.base = at - int64(float64(time.Since(p.start).Milliseconds())*p.speed)
		p.jumped(p.last, at)
	}
	p.last = at
	return time.Duration(float64(at-p.base) / p.speed * float64(time.Millisecond))
}
