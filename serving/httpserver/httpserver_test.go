package httpserver_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/serving/httpserver"
)

// serve runs the handler until stop, which returns what Run did.
func serve(t *testing.T, h http.Handler, l httpserver.Limits, grace time.Duration) (addr string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- httpserver.Run(ctx, httpserver.New(h, l), ln, grace) }()
	return ln.Addr().String(), func() error { cancel(); return <-ended }
}

func dial(t *testing.T, addr, send string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, send)
	return conn
}

// TestTimeouts: a client that stalls at any point is let go.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	short := 150 * time.Millisecond
	body := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			http.Error(w, "slow", http.StatusRequestTimeout)
		}
	})
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	for name, c := range map[string]struct {
		h      http.Handler
		l      httpserver.Limits
		send   string
		answer string
	}{
		"header": {body, httpserver.Limits{ReadHeader: short}, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", ""},
		"body":   {body, httpserver.Limits{Read: short}, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1", "HTTP/1.1 408"},
		"idle":   {body, httpserver.Limits{Idle: short}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"},
		"large":  {body, httpserver.Limits{Header: 1000}, "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 9000) + "\r\n\r\n", "HTTP/1.1 431"},
		"write":  {endless, httpserver.Limits{Write: short}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"},
	} {
		addr, stop := serve(t, c.h, c.l, time.Second)
		conn := dial(t, addr, c.send)
		if name == "write" {
			time.Sleep(2 * short) // does not read
		}
		got, _ := io.ReadAll(conn) // a reset is an end, too
		if !strings.HasPrefix(string(got), c.answer) {
			t.Errorf("%s: %.80q", name, got)
		}
		if err := stop(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExtend: a stream outlives the write timeout as long as it says so.
func TestExtend(t *testing.T) {
	t.Parallel()
	addr, stop := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 6 {
			if err := httpserver.Extend(w, time.Minute); err != nil {
				t.Error(err)
			}
			fmt.Fprintln(w, i)
			http.NewResponseController(w).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	}), httpserver.Limits{Write: 100 * time.Millisecond, Read: 100 * time.Millisecond}, time.Second)
	resp, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "0\n1\n2\n3\n4\n5\n" {
		t.Errorf("%q, %v", b, err)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestShutdown: requests under way are answered; those that do not end in
// time are cut off, and Run says so.
func TestShutdown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		takes, grace time.Duration
		answered     bool
	}{{200 * time.Millisecond, 10 * time.Second, true}, {10 * time.Second, 100 * time.Millisecond, false}} {
		begun := make(chan bool)
		addr, stop := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun <- true
			select {
			case <-time.After(c.takes):
				fmt.Fprint(w, "done")
			case <-r.Context().Done():
			}
		}), httpserver.Limits{}, c.grace)
		conn := dial(t, addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		<-begun
		err := stop()
		got, _ := io.ReadAll(conn)
		if strings.HasSuffix(string(got), "done") != c.answered || (err == nil) != c.answered {
			t.Errorf("%v: %q, %v", c.takes, got, err)
		}
	}
}

// TestPortTaken: an address that cannot be served on is an error, not silence.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := httpserver.Run(context.Background(), httpserver.New(nil, httpserver.Limits{}), ln, time.Second); err == nil {
		t.Error("a closed listener is served on")
	}
}
