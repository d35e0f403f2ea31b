package attack

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// holdFor is for how long connections are held open.
const holdFor = 10 * time.Second

// connections try to leave none for others.
func connections() []attack {
	return []attack{
		{"bodies", "131 requests that announce a body and never send it", false, false, bodies},
		{"headers", "300 connections that never end their headers", false, false, headers},
		{"streams", "300 streams that nobody reads, from one address", false, false, streams},
		{"idle", "2,000 connections that do nothing", false, false, idle},
	}
}

// hold opens n connections from few addresses, says a word on each, and holds them
// while somebody else must be served.
func (s *suite) hold(ctx context.Context, r *Result, n int, say string, check func(context.Context) error) error {
	b := s.bots(2)
	defer b.close()
	var mu sync.Mutex
	var held []net.Conn
	b.each(ctx, r, n, func(_ int, x *sender) int {
		c, err := x.dial(ctx)
		if err != nil {
			return 0
		}
		_, err = io.WriteString(c, say)
		mu.Lock()
		defer mu.Unlock()
		if held = append(held, c); err != nil {
			return 0
		}
		return http.StatusProcessing // it is held
	})
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	begun := time.Now()
	if err := check(ctx); err != nil {
		return err
	}
	return rest(ctx, holdFor-time.Since(begun))
}

func (s *suite) request(more string) string {
	return fmt.Sprintf("POST /v1/batch HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\n%s", more)
}

func bodies(ctx context.Context, s *suite, r *Result) error {
	return s.hold(ctx, r, s.scaled(131), s.request("Transfer-Encoding: chunked\r\n\r\n5\r\n{\"bat\r\n"), func(ctx context.Context) error { return s.own(ctx, r, "while-bodies") })
}

func headers(ctx context.Context, s *suite, r *Result) error {
	return s.hold(ctx, r, s.scaled(300), s.request("X-Slow: "), func(ctx context.Context) error { return s.own(ctx, r, "while-headers") })
}

func idle(ctx context.Context, s *suite, r *Result) error {
	return s.hold(ctx, r, s.scaled(2000), "GET /readyz HTTP/1.1\r\nHost: node\r\n\r\n", func(ctx context.Context) error { return s.own(ctx, r, "while-idle") })
}

func streams(ctx context.Context, s *suite, r *Result) error {
	device := s.id("streams")
	if err := s.shop.must(ctx, added(device, 1)); err != nil {
		return err
	}
	say := "GET /api/stream?anonymousId=" + device + " HTTP/1.1\r\nHost: node\r\n\r\n"
	return s.hold(ctx, r, s.scaled(300), say, func(ctx context.Context) error {
		x := s.sender(canaryHost(51))
		defer x.close()
		if !until(ctx, patience, func() bool { return len(x.firstOfStream(ctx, "/api/stream?anonymousId="+device)) > 0 }) {
			r.breach("another visitor gets no stream")
		}
		return s.own(ctx, r, "while-streams")
	})
}
