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
		{"epochs", "one device logs in and out in turn, 60 requests of 46 kB", false, false, watched(epochs)},
		{"reverse", "one device sends events of all kinds in reverse order of time, 20 requests", false, false, watched(reverse)},
		{"behind", "one device sends page views, carts and videos that are older than all its heartbeats", false, false, watched(behind)},
		{"busy", "one device sends as much as 1,000 do", false, false, watched(busy)},
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

// shopping is one of the kinds of event that a shop's page sends, of many pages.
func shopping(device string, i int, t time.Time) object {
	page := object{"context": object{"page": object{"path": fmt.Sprintf("/products/%d", i%40)}}}
	product := object{"properties": object{"product_id": fmt.Sprint("p", i%9), "price": 0.1 * float64(i%7+1), "quantity": 1}}
	switch i % 8 {
	case 0:
		return track(device, "Product Added", at(t), product)
	case 1:
		return track(device, "Product Removed", at(t), product)
	case 2:
		return track(device, "Cart Viewed", at(t), object{"properties": object{"products": []object{{"product_id": "p1", "price": 9.99, "quantity": i % 3}}}})
	case 3:
		return track(device, "Order Completed", at(t), object{"properties": object{"order_id": fmt.Sprint("o", i), "total": 19.99}})
	case 4:
		return track(device, "Video Playback Started", at(t), object{"properties": object{"session_id": fmt.Sprint("v", i%11)}})
	case 5:
		return track(device, "Product Viewed", at(t), page, product)
	case 6:
		return track(device, "Page Scrolled", at(t), page, object{"properties": object{"depth": 0.5}})
	}
	return object{"type": "page", "anonymousId": device, "timestamp": at(t)["timestamp"], "context": page["context"]}
}

func reverse(ctx context.Context, s *suite, r *Result) error {
	b := s.bots(botCount)
	defer b.close()
	device, now := s.id("reverse"), time.Now()
	b.each(ctx, r, s.scaled(20), func(i int, x *sender) int {
		var events []object
		for j := range 500 {
			events = append(events, shopping(device, i*500+j, now.Add(-time.Duration(i*500+j)*50*time.Millisecond)))
		}
		return x.batch(ctx, events...)
	})
	return s.own(ctx, r, "after-reverse")
}

func behind(ctx context.Context, s *suite, r *Result) error {
	b := s.bots(botCount)
	defer b.close()
	device, now := s.id("behind"), time.Now()
	n := s.scaled(20)
	for _, late := range []bool{false, true} {
		b.each(ctx, r, max(1, n/2), func(i int, x *sender) int {
			var events []object
			for j := range 500 {
				k := i*500 + j
				if late {
					events = append(events, shopping(device, k, now.Add(-8*time.Minute+time.Duration(k)*20*time.Millisecond)))
				} else {
					events = append(events, track(device, "Page Pinged", at(now.Add(-time.Duration(k)*20*time.Millisecond)), object{"properties": object{"seconds": 5}}))
				}
			}
			return x.batch(ctx, events...)
		})
	}
	return s.own(ctx, r, "after-behind")
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
