// Package httpserver runs HTTP servers that slow or hostile clients cannot
// hold: all timeouts set, headers bounded, an orderly end.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/microseg/microseg/serving/throttle"
	"github.com/prometheus/client_golang/prometheus"
)

// Limits bound one connection, and how many there are. Zero means the default.
type Limits struct {
	ReadHeader time.Duration // until the header is there; default 5 s
	Read       time.Duration // until the body is there; default 15 s
	Write      time.Duration // from the header to the end of the answer; default 30 s
	Idle       time.Duration // between requests; default 60 s
	Header     int           // bytes of a header; default 64 KiB (Mixpanel sends events in the URL)

	Connections int                    // together; default DefaultConnections
	Share       float64                // of them, that one address may have; default 0.25
	Clients     *throttle.Clients      // whose proxies may have all of them; nil: nobody's
	Refused     *prometheus.CounterVec // throttle.NewRefusals; nil: not counted
}

// Server is an http.Server that knows its connections.
type Server struct {
	*http.Server
	conns *conns
}

// usualFiles is a file limit where the system names none.
const usualFiles = 1024

// streams is how many requests one connection of HTTP/2 may have at once.
const streams = 100

// New returns a server of the handler, behind OneSlash. An answer that goes on for longer than
// Limits.Write, such as server-sent events, moves its own deadline with Extend.
func New(handler http.Handler, l Limits) *Server {
	or := func(d, otherwise time.Duration) time.Duration {
		if d == 0 {
			return otherwise
		}
		return d
	}
	if l.Header == 0 {
		l.Header = 64 << 10
	}
	t := newConns(&l, or(l.Write, 30*time.Second))
	return &Server{conns: t, Server: &http.Server{
		Handler:           t.answering(OneSlash(handler)),
		ReadHeaderTimeout: or(l.ReadHeader, 5*time.Second),
		ReadTimeout:       or(l.Read, 15*time.Second),
		WriteTimeout:      or(l.Write, 30*time.Second),
		IdleTimeout:       or(l.Idle, time.Minute),
		MaxHeaderBytes:    l.Header,
		ConnState:         t.changed,
		ConnContext:       t.with,
		// With TLS, if the listener offers it.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streams, MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 64 << 10,
			SendPingTimeout: or(l.Read, 15*time.Second), PingTimeout: or(l.Read, 15*time.Second), WriteByteTimeout: or(l.Write, 30*time.Second)},
	}}
}

// Extend gives an answer another d from now, reading and writing. Call it
// before each write of a stream; a client that does not read then ends it.
func Extend(w http.ResponseWriter, d time.Duration) error {
	c, until := http.NewResponseController(w), time.Now().Add(d)
	if err := errors.Join(c.SetWriteDeadline(until), c.SetReadDeadline(until)); err != nil {
		return fmt.Errorf("extending a request's deadlines: %w", err)
	}
	return nil
}

// Run serves on the listener until ctx ends, then lets requests finish for up
// to grace before it cuts them off. Streams should end when ctx does. The
// error is nil when all had finished.
func Run(ctx context.Context, srv *Server, ln net.Listener, grace time.Duration) error {
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(&listener{ln, srv.conns}) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		return errors.Join(fmt.Errorf("letting requests finish: %w", err), srv.Close())
	}
	return nil
}
