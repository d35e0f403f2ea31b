package attack

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// botCount is how many addresses an attacker has who is more than one machine.
const botCount = 64

// loads try to make all others wait, or to use up the memory.
func loads() []attack {
	return []attack{
		{"epochs", "one device logs in and out in turn, 60 requests of 46 kB", false, false, epochs},
		{"reverse", "one device sends its events in reverse order of time, 20 requests", false, false, reverse},
		{"busy", "one device sends as much as 1,000 do", false, false, busy},
		{"devices", "500,000 devices with one event each, 200 requests from many addresses", false, false, devices},
		{"one address", "the same from one address, which is told to come back later", false, false, oneAddress},
		{"garbage", "what is no event, and what the decoder must refuse", false, false, garbage},
		{"bombs", "bodies that unpack to a thousand times their size, and that nest without end", false, false, bombs},
	}
}

// small is an event in few bytes.
func small(kind, device string, more ...object) object {
	e := object{"type": kind, "anonymousId": device, "event": "e"}
	for _, m := range more {
		for k, v := range m {
			e[k] = v
		}
	}
	return e
}

// own checks that somebody is still told of what it does.
func (s *suite) own(ctx context.Context, r *Result, name string) error {
	x := s.sender(canaryHost(50))
	defer x.close()
	device := s.id("%s", name)
	if err := x.must(ctx, added(device, 3)); err != nil {
		return err
	}
	if !until(ctx, patience, func() bool { return x.device(ctx, device).cart() == 3 }) {
		r.breach("a new visitor is not known within %v", patience)
	}
	return nil
}

func epochs(ctx context.Context, s *suite, r *Result) error {
	b := s.bots(botCount)
	defer b.close()
	device := s.id("epochs")
	b.each(ctx, r, s.scaled(60), func(i int, x *sender) int {
		var events []object
		for j := range 260 {
			events = append(events, small("identify", device, object{"userId": fmt.Sprint("u", i, ".", j)}), small("reset", device))
		}
		return x.batch(ctx, events...)
	})
	return s.own(ctx, r, "after-epochs")
}

func reverse(ctx context.Context, s *suite, r *Result) error {
	b := s.bots(botCount)
	defer b.close()
	device, now := s.id("reverse"), time.Now()
	b.each(ctx, r, s.scaled(20), func(i int, x *sender) int {
		var events []object
		for j := range 500 {
			events = append(events, small("track", device, at(now.Add(-time.Duration(i*500+j)*50*time.Millisecond))))
		}
		return x.batch(ctx, events...)
	})
	return s.own(ctx, r, "after-reverse")
}

func busy(ctx context.Context, s *suite, r *Result) error {
	b := s.bots(botCount)
	defer b.close()
	device := s.id("busy")
	b.each(ctx, r, s.scaled(100), func(_ int, x *sender) int {
		var events []object
		for range 2000 {
			events = append(events, small("track", device))
		}
		return x.batch(ctx, events...)
	})
	return s.own(ctx, r, "after-busy")
}

// herd sends devices with one event each.
func (s *suite) herd(ctx context.Context, r *Result, b bots, requests, each int, name string) {
	b.each(ctx, r, requests, func(i int, x *sender) int {
		var events []object
		for j := range each {
			events = append(events, small("track", s.id("%s%d.%d", name, i, j)))
		}
		return x.batch(ctx, events...)
	})
}

func devices(ctx context.Context, s *suite, r *Result) error {
	b := s.bots(botCount)
	defer b.close()
	s.herd(ctx, r, b, s.scaled(200), 2500, "herd")
	return s.own(ctx, r, "after-devices")
}

func oneAddress(ctx context.Context, s *suite, r *Result) error {
	b := s.bots(1)
	defer b.close()
	s.herd(ctx, r, b, s.scaled(200), 500, "lone")
	if total := s.scaled(200); total >= 100 && r.Answers["429"] == 0 {
		r.breach("an address that sends %d events in %d requests, as fast as it can, is not told to come back later", total*500, total)
	}
	return s.own(ctx, r, "after-one-address")
}

func garbage(ctx context.Context, s *suite, r *Result) error {
	b := s.bots(botCount)
	defer b.close()
	b.each(ctx, r, s.scaled(100), func(i int, x *sender) int {
		var events []object
		for j := range 100 {
			events = append(events, []object{
				{"type": "track"}, {"type": "nothing", "anonymousId": "x"}, {"type": "track", "anonymousId": strings.Repeat("x", 5000), "event": "e"},
				small("track", s.id("late%d", j), at(time.Now().Add(-100*time.Hour))), small("track", s.id("ahead%d", j), at(time.Now().Add(100*time.Hour))),
				{"type": "track", "anonymousId": s.id("g%d", i), "event": 7, "properties": []any{1}},
			}[j%6])
		}
		return x.batch(ctx, events...)
	})
	return s.own(ctx, r, "after-garbage")
}

func bombs(ctx context.Context, s *suite, r *Result) error {
	b := s.bots(8)
	defer b.close()
	bomb := zipped(append([]byte(`{"batch":[`), make([]byte, 64<<20)...))
	deep := []byte(`{"batch":[` + strings.Repeat(`{"properties":`, 40_000))
	wide := []byte(`{"batch":[{"type":"track","anonymousId":"w","event":"e","properties":{` + strings.Repeat(`"a":[[[[]]]],`, 30_000) + `"b":1}}]}`)
	b.each(ctx, r, s.scaled(60), func(i int, x *sender) int {
		body, packed := [][]byte{bomb, deep, wide}[i%3], i%3 == 0
		return x.raw(ctx, body, packed)
	})
	return s.own(ctx, r, "after-bombs")
}
