package httpserver

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/microseg/microseg/serving/throttle"
	"github.com/prometheus/client_golang/prometheus"
)

// conns are the connections of a server: fewer than the process may have files, and of one
// address no more than a share. When all are taken, connections that nothing is asked on
// make room for the newcomer, first of all those of whoever has most, the oldest
// first; then requests under way of whoever has more of them than the newcomer.
type conns struct {
	max, each int
	unread    time.Duration // what is sent and not taken for so long ends the connection
	clients   *throttle.Clients
	refused   *prometheus.CounterVec

	known sync.Map // *conn by its net.Conn

	mu   sync.Mutex
	by   map[netip.Addr]*client
	n    int
	rest throttle.Rest
}

// client is an address.
type client struct {
	conns   map[*conn]bool
	trusted bool // a proxy
	rest    throttle.Rest
}

// conn is a connection with what it is doing.
type conn struct {
	net.Conn
	addr    netip.Addr
	from    *client
	since   atomic.Int64
	state   atomic.Int32 // an http.ConnState
	answers atomic.Int32 // requests whose head is there
}

func newConns(l *Limits, unread time.Duration) *conns {
	t := &conns{max: l.Connections, clients: l.Clients, refused: l.Refused, by: map[netip.Addr]*client{}, unread: unread}
	if t.max == 0 {
		t.max = DefaultConnections()
	}
	if l.Share == 0 {
		l.Share = 0.25
	}
	t.each = max(1, int(float64(t.max)*l.Share))
	if t.refused == nil {
		t.refused, _ = throttle.NewRefusals(nil)
	}
	return t
}

// DefaultConnections leaves a quarter of the files that the process may have to all else.
func DefaultConnections() int { return max(16, min(fileLimit()/4*3, 50_000)) }

// enter gives a connection its place, if there is one.
func (t *conns) enter(c net.Conn) bool {
	addr, trusted := t.clients.Peer(c.RemoteAddr())
	in := &conn{Conn: c, addr: addr}
	in.note(http.StateNew)
	t.mu.Lock()
	defer t.mu.Unlock()
	from := t.by[in.addr]
	if from == nil {
		from = &client{conns: map[*conn]bool{}, trusted: trusted}
	}
	if !from.trusted && len(from.conns) >= t.each && !t.makeRoomOfItsOwn(from) {
		t.refused.WithLabelValues("address_connections").Inc()
		return false
	}
	if t.n >= t.max && !t.makeRoom(len(from.conns)) {
		t.refused.WithLabelValues("connections").Inc()
		return false
	}
	in.from, t.by[in.addr], from.conns[in] = from, from, true
	t.n++
	t.known.Store(c, in)
	return true
}

// makeRoomOfItsOwn closes one of the client's own connections.
func (t *conns) makeRoomOfItsOwn(c *client) bool {
	now := time.Now()
	if c.rest.Holds(t.each, now) {
		return false
	}
	if t.shed(c.quiet(nil), 1) == 0 {
		c.rest.Begin(t.each, now)
		return false
	}
	return true
}

// makeRoom closes connections that nothing is asked on, some at once, since to look for
// them takes time; else some of an address that has more than the newcomer.
func (t *conns) makeRoom(newcomers int) bool {
	now := time.Now()
	if t.rest.Holds(newcomers, now) {
		return false
	}
	var quiet []*conn
	var most *client
	for _, c := range t.by {
		quiet = c.quiet(quiet)
		if !c.trusted && (most == nil || len(c.conns) > len(most.conns)) {
			most = c
		}
	}
	if t.shed(quiet, t.max/32) > 0 {
		return true
	}
	if most == nil || len(most.conns) <= newcomers+1 {
		t.rest.Begin(newcomers, now)
		return false
	}
	return t.shed(slices.Collect(maps.Keys(most.conns)), min(t.max/256, len(most.conns)-newcomers-1)) > 0
}

// quiet adds the client's connections on which no request has arrived.
func (c *client) quiet(to []*conn) []*conn {
	for in := range c.conns {
		if in.answers.Load() == 0 {
			to = append(to, in)
		}
	}
	return to
}

// shed closes up to n of these connections, at least one if there is one.
func (t *conns) shed(of []*conn, n int) int {
	size := func(c *conn) int {
		if c.from.trusted {
			return 0
		}
		return len(c.from.conns)
	}
	rank := func(c *conn) int { // idle ones, those that have not begun, those in the midst of a head
		switch http.ConnState(c.state.Load()) {
		case http.StateIdle:
			return 0
		case http.StateNew:
			return 1
		}
		return 2
	}
	type key struct{ size, rank int }
	keys := make(map[*conn]key, len(of)) // they change meanwhile
	for _, c := range of {
		keys[c] = key{size(c), rank(c)}
	}
	slices.SortFunc(of, func(a, b *conn) int {
		x, y := keys[a], keys[b]
		return cmp.Or(cmp.Compare(y.size, x.size), cmp.Compare(x.rank, y.rank), cmp.Compare(a.since.Load(), b.since.Load()))
	})
	of = of[:min(len(of), max(n, 1))]
	for _, c := range of {
		t.drop(c)
		_ = socket(c.Conn).Close() // what TLS would say first might have to wait
		t.refused.WithLabelValues("closed_connections").Inc()
	}
	return len(of)
}

// socket is a connection without its TLS.
func socket(c net.Conn) net.Conn {
	if tls, ok := c.(interface{ NetConn() net.Conn }); ok {
		return tls.NetConn()
	}
	return c
}

// leave takes a connection out that is closed.
func (t *conns) leave(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(c)
}

func (t *conns) drop(c *conn) {
	if !c.from.conns[c] {
		return
	}
	delete(c.from.conns, c)
	t.known.Delete(c.Conn)
	t.n--
	if len(c.from.conns) == 0 {
		delete(t.by, c.addr)
	}
}

// changed is what the http.Server says of a connection.
func (t *conns) changed(nc net.Conn, s http.ConnState) {
	c := t.conn(nc)
	if c == nil {
		return
	}
	c.note(s)
	if s == http.StateClosed || s == http.StateHijacked {
		t.leave(c)
	}
}

func (c *conn) note(s http.ConnState) {
	c.state.Store(int32(s))
	c.since.Store(time.Now().UnixNano())
}

func (t *conns) conn(nc net.Conn) *conn {
	c, _ := t.known.Load(nc)
	in, _ := c.(*conn)
	return in
}

type connKey struct{}

func (t *conns) with(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, t.conn(nc))
}

// answering notes on the connection that a request has arrived.
func (t *conns) answering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, _ := r.Context().Value(connKey{}).(*conn); c != nil {
			c.answers.Add(1)
			defer c.answers.Add(-1)
		}
		h.ServeHTTP(w, r)
	})
}

// listener gives out connections that have a place.
type listener struct {
	net.Listener
	conns *conns
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			if l.conns.shedAny() { // something else has taken the files
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		if !l.conns.enter(nc) {
			_ = nc.Close()
			continue
		}
		limitUnread(nc, l.conns.unread)
		return nc, nil
	}
}

// shedAny closes connections that nothing is asked on.
func (t *conns) shedAny() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	var quiet []*conn
	for _, c := range t.by {
		quiet = c.quiet(quiet)
	}
	return t.shed(quiet, t.n/8) > 0
}
