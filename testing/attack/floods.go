package attack

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

const (
	crowdSize  = 60
	crowdPause = 11 * time.Second // between the two events of a visitor
	decideFor  = 4 * time.Minute  // until a segment is decided, by minutes of event time
	floodFor   = 130 * time.Second
)

// crowd are honest visitors whose segment is active because of them.
type crowd struct {
	device string        // of one of them
	done   chan struct{} // closed when all have come
	err    error
}

// gather lets the crowd come, in the background.
func (s *suite) gather(ctx context.Context) *crowd {
	c := &crowd{device: s.id("crowd%d", 0), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for range 2 {
			for i := range crowdSize {
				x := s.sender(crowdHost(i))
				c.err = x.must(ctx, added(s.id("crowd%d", i), 1))
				x.close()
				if c.err != nil {
					return
				}
			}
			if c.err = rest(ctx, crowdPause); c.err != nil {
				return
			}
		}
	}()
	return c
}

// floods try to be so many that no segment has its share any more.
func floods() []attack {
	return []attack{{"audience", "2,500 visitors of one event, of two, of claimed dwell, and known by a server alone", false, true, audience}}
}

func audience(ctx context.Context, s *suite, r *Result) error {
	<-s.crowd.done
	if s.crowd.err != nil {
		return fmt.Errorf("the crowd: %w", s.crowd.err)
	}
	x := s.sender(canaryHost(53))
	defer x.close()
	const active = "everyone/high_intent"
	served := func() bool { return x.device(ctx, s.crowd.device).Served == active }
	if !until(ctx, decideFor, served) {
		r.breach("the segment of %d visitors is not active after %v, with what other attacks have left: served is %q", crowdSize, decideFor, x.device(ctx, s.crowd.device).Served)
		return nil
	}
	b := s.bots(botCount)
	defer b.close()
	n := max(1, s.scaled(2500)/50)
	s.herd(ctx, r, b, n, 50, "once")
	for range 2 {
		s.herd(ctx, r, b, n, 50, "twice")
		if err := rest(ctx, crowdPause); err != nil {
			return err
		}
	}
	b.each(ctx, r, n, func(i int, x *sender) int {
		var events []object
		for j := range 25 {
			device := s.id("dwell%d.%d", i, j)
			events = append(events, small("track", device, at(time.Now().Add(-time.Minute))),
				object{"type": "track", "event": "Page Pinged", "anonymousId": device, "properties": object{"seconds": 1e6, "visible": true}})
		}
		return x.batch(ctx, events...)
	})
	for i := range n {
		var events []object
		for j := range 40 {
			events = append(events, object{"type": "identify", "userId": s.id("traits%d.%d", i, j), "traits": object{"plan": "x"}, "context": object{"active": false}})
		}
		if err := s.shop.server(ctx, s.o.ServerKey, events...); err != nil {
			return err
		}
	}
	if until(ctx, floodFor, func() bool { return !served() }) {
		r.breach("the segment of %d visitors is served no more, %.0f s after the flood began", crowdSize, floodFor.Seconds())
	}
	return nil
}

// restarts try whether the process comes back.
func restarts() []attack {
	return []attack{{"restart", "the process is killed, with all that the attacks have left in its log", false, true, restart}}
}

func restart(ctx context.Context, s *suite, r *Result) error {
	if !s.stack.alive() {
		r.breach("the process has ended by itself: %s", s.stack.process.Log())
	}
	x := s.sender(netip.AddrFrom4([4]byte{127, 1, 0, 99}))
	defer x.close()
	device := s.id("stays")
	if err := x.must(ctx, added(device, 4)); err != nil {
		return err
	}
	if !until(ctx, patience, func() bool { return x.device(ctx, device).cart() == 4 }) {
		r.breach("a new visitor is not known")
	}
	s.canaries.pause(true)
	defer s.canaries.pause(false)
	s.stack.kill()
	begun := time.Now()
	if err := s.stack.start(ctx); err != nil {
		r.breach("the stack does not start again: %v", err)
		return nil
	}
	ready := time.Since(begun)
	if !until(ctx, patience, func() bool { return x.device(ctx, device).cart() == 4 }) {
		r.breach("who was known before is not known any more")
	}
	if err := s.own(ctx, r, "after-restart"); err != nil {
		return err
	}
	r.Saw["restart"] = object{"ready_s": round(ready.Seconds()), "known_s": round(time.Since(begun).Seconds())}

	return nil
}
