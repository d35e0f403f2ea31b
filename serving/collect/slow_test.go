package collect_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/httpserver"
)

// shipped serves the collector with the server that we ship, and sends there.
func (s *site) shipped() *site {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- httpserver.Run(ctx, httpserver.New(s.c.Handler(), httpserver.Limits{}), ln, time.Second)
	}()
	s.t.Cleanup(func() { stop(); <-ended })
	at := *s
	at.url = "http://" + ln.Addr().String()
	return &at
}

// begin sends the beginning of a request, and holds the rest.
func (s *site) begin(from, text string) net.Conn {
	s.t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// TestBodiesThatDoNotCome: 131 chunked requests without bodies took all the memory for
// bodies, since each might have become as long as any, and everybody was told that
// the collector is busy. What has not arrived takes none.
func TestBodiesThatDoNotCome(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *collect.Config) { c.MaxInFlight = 4 << 20 }).shipped()
	for i := range 150 {
		length := "Transfer-Encoding: chunked"
		if i%3 == 0 {
			length = "Content-Length: 500000"
		}
		s.begin("127.0.0.2", "POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"+length+"\r\n\r\n")
	}
	for range 20 {
		s.ok(s.post("/v1/batch", track(100, 50, "a"), auth))
	}
	if n := s.metric("microseg_collector_in_flight_bytes"); n > 150*1024 {
		t.Errorf("%v bytes are taken for bodies of which none has come", n)
	}
}

// TestBodiesThatDoNotEnd: whoever really sends nearly all of a body, from one address or
// from many, holds the memory until somebody needs it.
func TestBodiesThatDoNotEnd(t *testing.T) {
	t.Parallel()
	for name, addresses := range map[string]int{"one address": 1, "many": 10} {
		s := start(t, func(c *collect.Config) { c.MaxBatchBytes, c.MaxInFlight = 200<<10, 2<<20 }).shipped()
		head := "POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat(" ", 190_000)
		for i := range 40 {
			s.begin(fmt.Sprintf("127.0.2.%d", 1+i%addresses), head)
		}
		least := 390_000.0 // an address has room for two
		if addresses > 1 {
			least = 1.6 * (1 << 20)
		}
		s.inFlight(least)
		canary := s.from("127.0.0.7")
		for range 20 {
			canary.ok(canary.post("/v1/batch", track(1000, 50, "a"), auth))
			if n := s.metric("microseg_collector_in_flight_bytes"); n > 2<<20 {
				t.Errorf("%s: %v bytes", name, n)
			}
		}
		if throttled(t, s, "bodies") == 0 {
			t.Errorf("%s: nobody was cut off", name)
		}
	}
}
