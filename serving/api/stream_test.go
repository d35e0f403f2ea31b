package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/httpserver"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// serve runs the site's server on a port, or on the listener.
func (s *site) serve(t *testing.T, ln net.Listener) (addr string) {
	t.Helper()
	if ln == nil {
		var err error
		ln, err = net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- httpserver.Run(ctx, httpserver.New(s.mux, httpserver.Limits{Write: 100 * time.Millisecond, Read: 100 * time.Millisecond}), ln, time.Second)
	}()
	t.Cleanup(func() { s.Close(); cancel(); <-ended })
	return ln.Addr().String()
}

// listener is a page that listens.
type listener struct {
	t      *testing.T
	resp   *http.Response
	lines  chan string
	cancel context.CancelFunc
}

func (s *site) listen(t *testing.T, addr, query string, header ...string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/api/stream?"+query, nil)
	check(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	check(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	l := &listener{t, resp, make(chan string, 1000), cancel}
	go func() {
		defer close(l.lines)
		for in := bufio.NewScanner(resp.Body); in.Scan(); {
			l.lines <- in.Text()
		}
	}()
	return l
}

// until reads segments until one is as wanted.
func (l *listener) until(what string, want func(*segmentAnswer) bool) (a segmentAnswer) {
	l.t.Helper()
	end := time.After(patience)
	for {
		select {
		case line, ok := <-l.lines:
			if !ok {
				l.t.Fatalf("the stream ended before %s", what)
			}
			data, found := strings.CutPrefix(line, "data: ")
			if !found {
				continue
			}
			a = segmentAnswer{}
			check(l.t, json.Unmarshal([]byte(data), &a))
			if want(&a) {
				return a
			}
		case <-end:
			l.t.Fatalf("not told of %s; last was %+v", what, a)
		}
	}
}

func (l *listener) ended() bool {
	end := time.After(patience)
	for {
		select {
		case _, ok := <-l.lines:
			if !ok {
				return true
			}
		case <-end:
			return false
		}
	}
}

func served(path string) func(*segmentAnswer) bool {
	return func(a *segmentAnswer) bool { return a.Known && a.Served == path }
}

// TestStream: what is served is pushed at once, and at each change, whoever
// makes it: the job, a link to a user, the audience, the end of what is known.
func TestStream(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.times.look = time.Hour // only what is told counts
	l := s.listen(t, s.serve(t, nil), "anonymousId=a")
	if h := l.resp.Header; h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "private, no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", h)
	}
	l.until("a visitor of whom nothing is known", func(a *segmentAnswer) bool { return !a.Known && a.Served == "everyone" && a.Token == "" })
	s.put("d:a", s.record(abandoner))
	if a := l.until("a record", served(abandoner)); a.Token == "" || a.Person != "" {
		t.Errorf("%+v", a)
	}
	s.put("u:ann", s.record("everyone/low_intent"))
	s.put("d:a", segment.Record{User: "ann", Evaluated: s.clock.Load()})
	l.until("a link", served("everyone/low_intent"))
	s.put("u:ann", s.record("everyone/medium_intent"))
	l.until("the user's record", served("everyone/medium_intent"))
	s.activate("everyone")
	l.until("an activation", served("everyone"))
	s.activate("everyone", "everyone/medium_intent")
	l.until("another activation", served("everyone/medium_intent"))
	s.publish("u:ann", nil)
	s.sync()
	l.until("a deletion", func(a *segmentAnswer) bool { return !a.Known && a.Served == "everyone" && a.Token == "" })
	s.Close()
	if !l.ended() {
		t.Error("the stream outlives the server")
	}
}

// TestStreamUnlinked: a device that leaves its user is told of the segment that is
// its own again, one that logs out that nothing is known; the user's other devices
// go on hearing of the user, and the device no longer does.
func TestStreamUnlinked(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.times.look = time.Hour // only what is told counts
	addr := s.serve(t, nil)
	user := func(path string) segment.Record {
		r := s.record(path)
		r.Linked = true
		return r
	}
	pointer := func(user string) segment.Record { return segment.Record{User: user, Evaluated: s.clock.Load()} }
	s.put("u:ann", user("everyone/low_intent"))
	s.put("d:a", pointer("ann"))
	s.put("d:b", pointer("ann"))
	a, b := s.listen(t, addr, "anonymousId=a"), s.listen(t, addr, "anonymousId=b")
	for _, l := range []*listener{a, b} {
		l.until("the user's record", func(got *segmentAnswer) bool { return got.Served == "everyone/low_intent" && got.Linked })
	}
	s.put("u:ann", user("everyone/medium_intent"))
	s.put("d:a", s.record(abandoner))
	a.until("the unlink", func(got *segmentAnswer) bool { return got.Served == abandoner && !got.Linked && got.Token != "" })
	b.until("what is left of the user", served("everyone/medium_intent"))
	s.put("u:ann", user("everyone/low_intent"))
	b.until("the user's next record", served("everyone/low_intent"))
	s.put("d:a", s.record("everyone/high_intent"))
	if got := a.until("its own next record", func(*segmentAnswer) bool { return true }); got.Served != "everyone/high_intent" {
		t.Errorf("after the unlink the device is told of %+v", got)
	}
	s.publish("d:b", nil) // a log-out
	s.sync()
	b.until("the log-out", func(got *segmentAnswer) bool { return !got.Known && got.Served == "everyone" && got.Token == "" })
	for device, want := range map[string]string{"a": "everyone/high_intent", "b": "everyone"} {
		if got := s.lookUp(device); got.Served != want || got.Linked {
			t.Errorf("%s is served %+v", device, got)
		}
	}
	s.Close()
	if !a.ended() || !b.ended() {
		t.Error("a stream outlives the server")
	}
}

// lateWriter is a client's end; while the first push of a segment is on its way
// to it, something happens.
type lateWriter struct {
	*httptest.ResponseRecorder
	text   string
	happen func()
	end    string // the text that ends the request
	cancel context.CancelFunc
}

func (w *lateWriter) SetWriteDeadline(time.Time) error { return nil }
func (w *lateWriter) SetReadDeadline(time.Time) error  { return nil }
func (w *lateWriter) WriteString(b string) (int, error) {
	if w.happen != nil && strings.Contains(b, w.text) {
		w.happen()
		w.happen = nil
	}
	if strings.Contains(b, w.end) {
		w.cancel()
	}
	return w.ResponseRecorder.WriteString(b)
}

// TestStreamMissesNothing: a change of a record after a look at it, and before
// the stream had said that it watches it, was seen ten seconds later.
func TestStreamMissesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.times.look, s.times.alive = time.Hour, time.Hour
	s.put("u:ann", s.record("everyone/low_intent"))
	s.put("d:a", segment.Record{User: "ann", Evaluated: s.clock.Load()})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w := &lateWriter{ResponseRecorder: httptest.NewRecorder(), text: `"served":"everyone/low_intent"`, end: `"served":"` + abandoner + `"`, cancel: cancel,
		happen: func() { s.put("u:ann", s.record(abandoner)) }}
	s.mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/api/stream?anonymousId=a", nil))
	if !strings.Contains(w.Body.String(), w.end) {
		t.Errorf("the change was missed: %s", w.Body)
	}
}

// TestStreamTime: the end of an offer is pushed, though nothing was published;
// and so is a token before the last one expires.
func TestStreamTime(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.times.look, s.times.alive = 10*time.Millisecond, 20*time.Millisecond
	rec := s.record(abandoner)
	rec.Since -= (15 * time.Minute).Milliseconds() - 1000
	s.put("d:a", rec)
	l := s.listen(t, s.serve(t, nil), "anonymousId=a")
	first := l.until("the segment", served(abandoner))
	s.clock.Add(999)
	quiet := time.After(200 * time.Millisecond)
	alive := 0
	for waiting := true; waiting; {
		select {
		case line := <-l.lines:
			if strings.HasPrefix(line, "data:") {
				t.Errorf("pushed though nothing has changed: %s", line)
			}
			if line == ": alive" {
				alive++
			}
		case <-quiet:
			waiting = false
		}
	}
	if alive == 0 {
		t.Error("nothing says that the stream is alive")
	}
	s.clock.Add(1)
	l.until("the end of the offer", served(abandoner))
	s.clock.Add(defaultTokenTTL.Milliseconds() / 2)
	if a := l.until("a new token", served(abandoner)); a.Token == first.Token || a.Expires <= first.Expires {
		t.Errorf("%d after %d", a.Expires, first.Expires)
	}
}

// TestStreamLimit: beyond the bound streams are refused, until others end.
func TestStreamLimit(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(_ *config.Config, c *Config) { c.MaxStreams, c.Share = 4, 1 }) // half of them for visitors who are known
	addr := s.serve(t, nil)
	one := s.listen(t, addr, "anonymousId=a")
	s.listen(t, addr, "userId=b", "Authorization", admin)
	three := s.listen(t, addr, "anonymousId=c")
	if h := three.resp.Header; three.resp.StatusCode != http.StatusServiceUnavailable || h.Get("Retry-After") == "" || h.Get("Cache-Control") != "private, no-store" {
		t.Errorf("%d %v", three.resp.StatusCode, h)
	}
	one.cancel() // the client goes
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if four := s.listen(t, addr, "anonymousId=d"); four.resp.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a stream whose client has gone is still counted")
		}
	}
	if n := s.streams.open(); n != 2 {
		t.Errorf("%d streams are counted", n)
	}
}

// pipes is a listener of connections without any buffer between the ends.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// TestStreamSlow: a client that does not read is cut off, and leaves nothing.
func TestStreamSlow(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.times.alive, s.times.grace = 10*time.Millisecond, 50*time.Millisecond
	p := &pipes{make(chan net.Conn), make(chan struct{})}
	s.serve(t, p)
	client, server := net.Pipe()
	p.conns <- server
	_, err := io.WriteString(client, "GET /api/stream?anonymousId=a HTTP/1.1\r\nHost: x\r\n\r\n")
	check(t, err)
	_, err = client.Read(make([]byte, 16)) // the stream has begun
	check(t, err)
	for end := time.Now().Add(patience); s.streams.open() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a client that does not read holds its stream")
		}
	}
	client.Close()
}
