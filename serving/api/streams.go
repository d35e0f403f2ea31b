package api

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/microseg/microseg/serving/throttle"
	"github.com/prometheus/client_golang/prometheus"
)

// streams are the places of pages that listen. Half of them are kept for visitors of whom
// something is known or proved, and one address has no more than a share. When all
// are taken, the newcomer gets the oldest place of whoever has most: a known visitor that
// of a stranger's, if there is one; else it must be of an address with more than its own.
type streams struct {
	max, each int
	refused   *prometheus.CounterVec

	mu        sync.Mutex
	by        map[netip.Addr]*listeners
	n         int
	strangers int
	begun     uint64
	rest      map[bool]*throttle.Rest // by whether one is known
}

// listeners are those of an address; the oldest of each kind has the least number.
type listeners struct {
	known, strangers map[*place]bool
}

// place is that of one stream.
type place struct {
	addr  netip.Addr
	known bool
	begun uint64
	end   chan struct{} // closed when another gets it
}

func newStreams(most int, share float64, refused *prometheus.CounterVec) *streams {
	return &streams{max: most, each: max(1, int(float64(most)*share)), refused: refused, by: map[netip.Addr]*listeners{}, rest: map[bool]*throttle.Rest{true: {}, false: {}}}
}

var (
	errStreams = &Error{http.StatusServiceUnavailable, "there are too many streams on this node"}
	errShare   = &Error{http.StatusTooManyRequests, "there are too many streams from this address"}
)

// enter gives a stream its place. leave it.
func (t *streams) enter(addr netip.Addr, known bool) (*place, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.by[addr]
	if own == nil {
		own = &listeners{map[*place]bool{}, map[*place]bool{}}
	}
	if len(own.known)+len(own.strangers) >= t.each && !(known && t.take(own.strangers)) {
		t.refused.WithLabelValues("address_streams").Inc()
		return nil, errShare
	}
	if t.full(known) && !t.makeRoom(own, known) {
		t.refused.WithLabelValues("streams").Inc()
		return nil, errStreams
	}
	t.begun++
	p := &place{addr: addr, known: known, begun: t.begun, end: make(chan struct{})}
	t.by[addr] = own
	t.add(own, p)
	return p, nil
}

func (t *streams) full(known bool) bool {
	return t.n >= t.max || !known && t.strangers >= (t.max+1)/2
}

// makeRoom ends the stream of another address, or of a stranger.
func (t *streams) makeRoom(own *listeners, known bool) bool {
	now, has := time.Now(), len(own.strangers)
	if known {
		has = len(own.known)
	}
	if t.rest[known].Holds(has, now) {
		return false
	}
	var strangers, most *listeners
	for _, l := range t.by {
		if strangers == nil || len(l.strangers) > len(strangers.strangers) {
			strangers = l
		}
		if most == nil || len(l.known) > len(most.known) {
			most = l
		}
	}
	switch {
	case known && t.take(strangers.strangers):
	case !known && len(strangers.strangers) > has+1 && t.take(strangers.strangers):
	case known && len(most.known) > has+1 && t.take(most.known):
	default:
		t.rest[known].Begin(has, now)
		return false
	}
	return true
}

// take ends the oldest of these.
func (t *streams) take(of map[*place]bool) bool {
	var oldest *place
	for p := range of {
		if oldest == nil || p.begun < oldest.begun {
			oldest = p
		}
	}
	if oldest == nil {
		return false
	}
	t.refused.WithLabelValues("closed_streams").Inc()
	t.remove(oldest)
	close(oldest.end)
	return true
}

func (t *streams) add(to *listeners, p *place) {
	t.n++
	if p.known {
		to.known[p] = true
		return
	}
	to.strangers[p] = true
	t.strangers++
}

func (t *streams) remove(p *place) {
	l := t.by[p.addr]
	switch {
	case l == nil || !l.known[p] && !l.strangers[p]:
		return
	case p.known:
		delete(l.known, p)
	default:
		delete(l.strangers, p)
		t.strangers--
	}
	if t.n--; len(l.known)+len(l.strangers) == 0 {
		delete(t.by, p.addr)
	}
}

// leave gives the place back.
func (t *streams) leave(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(p)
}

// learn says that something is known of the visitor by now.
func (t *streams) learn(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.by[p.addr]
	if p.known || l == nil || !l.strangers[p] {
		return
	}
	t.remove(p)
	p.known = true
	t.by[p.addr] = l
	t.add(l, p)
}
