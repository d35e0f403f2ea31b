package httpserver_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/serving/throttle"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// What attackers say on a connection that they hold.
const (
	nothing = ""
	head    = "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "
	whole   = "GET / HTTP/1.1\r\nHost: x\r\n\r\n" // and then idle
	body    = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"
	stream  = "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"
)

// canary answers at once, reads bodies, and has a stream that goes on for as long as the
// client is there.
func canary(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/stream" {
		for {
			if httpserver.Extend(w, time.Minute) != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	io.Copy(io.Discard, r.Body)
	fmt.Fprint(w, "ok")
}

// crowd is a server that has been told of how many connections it may have.
type crowd struct {
	*testing.T
	addr    string
	refused *prometheus.CounterVec
}

func newCrowd(t *testing.T, l httpserver.Limits) *crowd {
	t.Helper()
	c := &crowd{T: t}
	c.refused, _ = throttle.NewRefusals(nil)
	l.Refused, l.ReadHeader, l.Read, l.Idle = c.refused, time.Minute, time.Minute, time.Minute // nobody is let go by time alone
	addr, stop := serve(t, http.HandlerFunc(canary), l, 10*time.Millisecond)
	t.Cleanup(func() { stop() })
	c.addr = addr
	return c
}

// hold opens n connections from an address, and says the same on each.
func (c *crowd) hold(n int, from, say string) (out []net.Conn) {
	c.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
	for range n {
		conn, err := d.Dial("tcp", c.addr)
		if err != nil {
			c.Fatal(err)
		}
		c.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(conn, say) // it may be refused
		if say == whole || say == stream {
			conn.Read(make([]byte, 1)) // its answer has begun
		}
		out = append(out, conn)
	}
	return out
}

// served fails unless a client from there is answered, again and again, each time on a
// connection of its own. One that is refused may try again, as browsers and libraries do.
func (c *crowd) served(from, what string) {
	c.Helper()
	for i := range 10 {
		if !c.answered(from, 20) {
			c.Fatalf("%s: request %d is not answered", what, i)
		}
	}
}

func (c *crowd) answered(from string, tries int) bool {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
	for range tries {
		conn, err := d.Dial("tcp", c.addr)
		if err != nil {
			continue
		}
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		got, _ := io.ReadAll(conn)
		conn.Close()
		if strings.HasPrefix(string(got), "HTTP/1.1 200") {
			return true
		}
		time.Sleep(30 * time.Millisecond)
	}
	return false
}

func (c *crowd) count(limit string) float64 {
	var out dto.Metric
	if err := c.refused.WithLabelValues(limit).Write(&out); err != nil {
		c.Fatal(err)
	}
	return out.Counter.GetValue()
}

// TestHeldConnections: idle connections, and such that said half a request, kept out
// everybody until their time was over, a minute, as soon as there were as many as the
// process may have files. Whatever they say, from one address or from many, others are
// answered while they hold on.
func TestHeldConnections(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]string{"nothing": nothing, "half a head": head, "idle": whole, "no body": body, "streams": stream} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one := newCrowd(t, httpserver.Limits{Connections: 40})
			one.hold(60, "127.0.0.2", say)
			one.served("127.0.0.3", "beside one address")

			many := newCrowd(t, httpserver.Limits{Connections: 40})
			for i := range 8 {
				many.hold(8, fmt.Sprintf("127.0.0.%d", 10+i), say)
			}
			many.served("127.0.0.3", "beside many addresses")
		})
	}
}

// TestShareOfAnAddress: one address cannot have more than its share; its own idle
// connections make room for its new ones, and nobody else's do.
func TestShareOfAnAddress(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, httpserver.Limits{Connections: 100, Share: 0.1})
	c.hold(20, "127.0.0.2", whole) // its own first ten made room
	kept := c.hold(5, "127.0.0.3", whole)
	c.hold(30, "127.0.0.4", stream)
	if n := c.count("address_connections"); n != 20 {
		t.Errorf("%v connections are refused, not 20", n)
	}
	if n := c.count("closed_connections"); n != 10 {
		t.Errorf("%v connections are closed, not 10", n)
	}
	c.served("127.0.0.2", "who has idle ones")
	for _, conn := range kept {
		io.WriteString(conn, whole)
		if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil && got == "" {
			t.Errorf("a connection of somebody else was closed: %v", err)
		}
	}
}

// TestOldestIdleFirst: of idle connections one that has been idle for long makes room, and
// none that was in use just now.
func TestOldestIdleFirst(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, httpserver.Limits{Connections: 4, Share: 1})
	old := c.hold(4, "127.0.0.2", whole)
	used := bufio.NewReader(old[0])
	again := func() {
		io.WriteString(old[0], whole)
		if line, err := used.ReadString('k'); err != nil {
			t.Fatalf("one that was in use is closed: %q, %v", line, err)
		}
	}
	for range 10 {
		again()
	}
	closed := make(chan bool, 3)
	for _, conn := range old[1:] {
		go func() { _, err := io.ReadAll(conn); closed <- err == nil }()
	}
	c.hold(1, "127.0.0.2", whole)
	if !<-closed {
		t.Error("no idle one is closed")
	}
	again()
}

// TestTrustedProxies: a proxy in front has all connections, and loses none that it uses.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	clients, err := throttle.NewClients([]string{"127.0.0.9"}, "")
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(t, httpserver.Limits{Connections: 40, Clients: clients})
	c.hold(35, "127.0.0.9", stream)
	c.hold(40, "127.0.0.2", whole)
	c.served("127.0.0.9", "the proxy")
	if n := c.count("address_connections"); n != 0 {
		t.Errorf("%v refused", n)
	}
}

// TestUnderTheFileLimit: 400 idle connections at a node that may have 200 files blocked it
// for 63 s: it accepted until there were none left, and then nobody, the log and ClickHouse
// included.
func TestUnderTheFileLimit(t *testing.T) {
	t.Parallel()
	const env = "MICROSEG_TEST_LISTENS"
	if os.Getenv(env) != "" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("at", ln.Addr())
		ctx, cancel := context.WithCancel(context.Background())
		go func() { io.Copy(io.Discard, os.Stdin); cancel() }()
		if err := httpserver.Run(ctx, httpserver.New(http.HandlerFunc(canary), httpserver.Limits{}), ln, time.Second); err != nil {
			t.Log(err)
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -n 200 && exec "$0" -test.run '^TestUnderTheFileLimit$'`, os.Args[0])
	cmd.Env = append(os.Environ(), env+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	line, _ := bufio.NewReader(out).ReadString('\n')
	c := &crowd{T: t, addr: strings.TrimSpace(strings.TrimPrefix(line, "at "))}
	for i := range 8 {
		c.hold(50, fmt.Sprintf("127.0.1.%d", 1+i), whole)
	}
	c.served("127.0.0.3", "beyond the file limit")
}

// TestNobodyReads: what a client does not take ends the connection, also where so little is
// said that our buffers never fill.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	var open atomic.Int32
	chatty := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open.Add(1)
		defer open.Add(-1)
		for r.Context().Err() == nil {
			if httpserver.Extend(w, time.Minute) != nil {
				return
			}
			if _, err := w.Write(make([]byte, 1000)); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	addr, stop := serve(t, chatty, httpserver.Limits{Write: time.Second}, time.Second)
	defer stop()
	conn := dial(t, addr, whole)
	conn.(*net.TCPConn).SetReadBuffer(2000)
	eventually(t, func() bool { return open.Load() == 1 })
	eventually(t, func() bool { return open.Load() == 0 })
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come to that")
		}
	}
}
