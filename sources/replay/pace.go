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
	taken       int   // events whose time counted
	limited     bool
	say         func(format string, args ...any) // what is not waited for, and what takes long
}

func newPacer(rate, speed float64, say func(string, ...any)) *pacer {
	return &pacer{rate: rate, speed: speed, limited: rate > 0 || speed > 0, say: say}
}

// timed reports whether recorded times count.
func (p *pacer) timed() bool { return p.rate <= 0 && p.speed > 0 }

// maxGap is how far apart in recorded time two events that follow each other may
// be for the pace to count. What is further apart has a wrong stamp (one of 1970
// made the rest wait for 56 years), or is a pause that nobody wants to sit out.
const maxGap = 24 * time.Hour

// maxAhead is how far an event's time may be ahead of that of both its
// neighbours. Events are out of order by less; more is a wrong stamp, too, and at
// the recorded pace one that is an hour ahead made the rest wait for an hour.
const maxAhead = int64(time.Minute / time.Millisecond)

// longWait is a wait that is announced.
const longWait = 30 * time.Second

// slack is how far ahead of its time an event may be: timers are no finer.
const slack = time.Millisecond

// wait returns when an event, recorded at the time at (ms; 0: not known), is
// due; next is the time of the one behind it. It fails when ctx is done.
func (p *pacer) wait(ctx context.Context, at, next int64) error {
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
	ahead := time.Until(p.start.Add(p.due(n, at, next)))
	if ahead <= slack {
		return context.Cause(ctx)
	}
	if ahead > longWait {
		p.say("the next event, of %s, is due in %v", stamp(at), ahead.Round(time.Second))
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
func (p *pacer) due(n, at, next int64) time.Duration {
	if p.rate > 0 {
		return time.Duration(float64(n) / p.rate * float64(time.Second))
	}
	if at == 0 {
		return 0
	}
	if p.last > 0 && at-p.last > maxAhead && next > 0 && at-next > maxAhead {
		p.say("an event of %s stands between those of %s and %s: it is not waited for",
			stamp(at), stamp(p.last), stamp(next))
		return 0
	}
	if p.taken++; p.taken == 2 && p.last-at > maxAhead && next > 0 && next-at < maxAhead {
		// It was the first event that stood out; the rest begins here.
		p.say("an event of %s stands before one of %s: the pace begins with the second", stamp(p.last), stamp(at))
		p.last = 0
	}
	switch gap := time.Duration(at-p.last) * time.Millisecond; {
	case p.last == 0:
		p.base = p.nowBase(at)
	case gap.Abs() > maxGap:
		// This event is due at once, and those after it as far behind it as they
		// were recorded.
		p.base = p.nowBase(at)
		p.say("an event of %s follows one of %s: the pace goes on without the gap", stamp(at), stamp(p.last))
	}
	p.last = at
	return time.Duration(float64(at-p.base) / p.speed * float64(time.Millisecond))
}

// nowBase is the base by which an event of the time at is due now.
func (p *pacer) nowBase(at int64) int64 {
	return at - int64(float64(time.Since(p.start).Milliseconds())*p.speed)
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
