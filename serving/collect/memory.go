package collect

import (
	"container/list"
	"errors"
	"io"
	"net/netip"
	"sync"
)

// memory bounds the bodies that are under way, in bytes, together and of each address.
// It is taken as bytes arrive, never for what is only said to come. When it is used up,
// who has been sending longest is cut off: a client that sends is done soon, while one that
// holds what it has begun would hold it for all. What is whole already, and waits for
// the log, is never cut off. Safe for concurrent use.
type memory struct {
	mu        sync.Mutex
	max, each int64
	used      int64
	coming    *list.List // of *body, the one that began first in front
	shares    map[netip.Addr]*share
}

// share is an address's part of the memory.
type share struct {
	bodies int
	used   int64
	coming *list.List
}

// body is one that is under way.
type body struct {
	of       *memory
	addr     netip.Addr
	share    *share
	free     bool // has no share to keep to
	held     int64
	all, own *list.Element // nil: it is whole
	cut      func()        // ends its reading
	gone     bool          // it was cut off
}

// newMemory has room for a body of so many bytes at least, as it came and unpacked.
func newMemory(most int64, part float64, body int) *memory {
	least := 2 * (int64(body) + 1)
	return &memory{max: max(most, least), each: max(int64(float64(most)*part), least), coming: list.New(), shares: map[netip.Addr]*share{}}
}

// begin is a body that arrives. release it when nothing of it is needed any more. cut is
// called at most once, while it arrives, and must not wait.
func (m *memory) begin(addr netip.Addr, free bool, cut func()) *body {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.shares[addr]
	if s == nil {
		s = &share{coming: list.New()}
		m.shares[addr] = s
	}
	s.bodies++
	b := &body{of: m, addr: addr, share: s, free: free, cut: cut}
	b.all, b.own = m.coming.PushBack(b), s.coming.PushBack(b)
	return b
}

// take is n more bytes for the body; false: there are none.
func (b *body) take(n int64) bool {
	m := b.of
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.gone {
		return false
	}
	for !b.free && b.share.used+n > m.each {
		if !m.cutFirst(b.share.coming, b) {
			return false
		}
	}
	for m.used+n > m.max {
		if !m.cutFirst(m.coming, b) {
			return false
		}
	}
	b.hold(n)
	return true
}

// whole says that the body has arrived.
func (b *body) whole() {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	b.arrived()
}

// keep says how much of the body is needed yet.
func (b *body) keep(n int64) {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	if n < b.held {
		b.hold(n - b.held)
	}
}

func (b *body) release() {
	m := b.of
	m.mu.Lock()
	defer m.mu.Unlock()
	b.arrived()
	b.hold(-b.held)
	if b.share.bodies--; b.share.bodies == 0 {
		delete(m.shares, b.addr)
	}
}

func (b *body) wasCut() bool {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	return b.gone
}

// cutFirst cuts off the first of a list, unless that is the one which asks.
func (m *memory) cutFirst(of *list.List, asks *body) bool {
	front := of.Front()
	if front == nil {
		return false
	}
	b := front.Value.(*body)
	if b == asks {
		return false
	}
	b.gone = true
	b.arrived()
	b.hold(-b.held)
	b.cut() // within the lock: when it is over, the connection may be another request's
	return true
}

func (b *body) arrived() {
	if b.all != nil {
		b.of.coming.Remove(b.all)
		b.share.coming.Remove(b.own)
		b.all, b.own = nil, nil
	}
}

func (b *body) hold(n int64) {
	b.held += n
	b.share.used += n
	b.of.used += n
}

func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// errNoMemory is that of a body which got no more memory.
var errNoMemory = errors.New("there is no memory for the body")

// readAll reads to the end, or until so many bytes are there, and takes memory before it
// is used.
func (b *body) readAll(r io.Reader, most int64) (out []byte, err error) {
	for {
		if len(out) == cap(out) {
			more := min(int64(max(512, cap(out))), most-int64(len(out)))
			if more == 0 {
				return out, nil
			}
			if !b.take(more) {
				return nil, errNoMemory
			}
			out = append(make([]byte, 0, int64(len(out))+more), out...)
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if err == io.EOF {
			return out, nil
		} else if err != nil {
			return nil, err
		}
	}
}
