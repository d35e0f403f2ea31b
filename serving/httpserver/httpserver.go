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
)

// Limits bound one connection. Zero means the default.
type Limits struct {
	ReadHeader time.Duration // until the header is there; default 5 s
	Read       time.Duration // until the body is there; default 15 s
	Write      time.Duration // from the header to the end of the answer; default 30 s
	Idle       time.Duration // between requests; default 60 s
	Header     int           // bytes of a header; default 64 KiB (Mixpanel sends events in the URL)
}

// New returns a server of the handler, behind OneSlash. An answer that goes on for longer than
// Limits.Write, such as server-sent events, moves its own deadline with Extend.
func New(handler http.Handler, l Limits) *http.Server {
	or := func(d, otherwise time.Duration) time.Duration {
		if d == 0 {
			return otherwise
		}
		return d
	}
	if l.Header == 0 {
		l.Header = 64 << 10
	}
	return &http.Server{
		Handler:           OneSlash(handler),
		ReadHeaderTimeout: or(l.ReadHeader, 5*time.Second),
		ReadTimeout:       or(l.Read, 15*time.Second),
		WriteTimeout:      or(l.Write, 30*time.Second),
		IdleTimeout:       or(l.Idle, time.Minute),
		MaxHeaderBytes:    l.Header,
	}
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
func Run(ctx context.Context, srv *http.Server, ln net.Listener, grace time.Duration) error {
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
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
