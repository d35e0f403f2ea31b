package store

import (
	"container/heap"
	"hash/maphash"
	"sync"

	"github.com/microseg/microseg/segment"
)

// held are the newest records of the keys, so many at the most. Which ones go follows
// from the records alone: devices of one event first, then other devices, users and who
// points to them last, and of each kind the longest silent. A cache that keeps what is
// asked for most let new visitors in 21 times of 200 while a flood of devices came that
// nobody ever asked for.
type held struct {
	most   int
	seed   maphash.Seed
	shards [64]heldShard

	mu    sync.Mutex // of those who write
	turns [segment.Keeps]turns
	gone  uint64 // records that were let go for others
}

// heldShard is a part of the keys, so that readers do not wait for each other.
type heldShard struct {
	sync.RWMutex
	records map[string]*record
}

// record is what is held of a key. Its value alone is read without held.mu.
type record struct {
	key, value string
	heard      int64
	place      int32
	keep       segment.Keep
}

// turn is a record that may be let go, by when something was heard of its person; that
// may be too early, never too late, so that a newer record costs nothing here.
type turn struct {
	heard  int64
	record *record
}

type turns []turn

func (t turns) Len() int { return len(t) }
func (t turns) Less(i, j int) bool {
	return t[i].heard < t[j].heard || t[i].heard == t[j].heard && t[i].record.key < t[j].record.key
}
func (t turns) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].record.place, t[j].record.place = int32(i), int32(j)
}

func (t *turns) Push(x any) {
	n := x.(turn)
	n.record.place = int32(len(*t))
	*t = append(*t, n)
}

func (t *turns) Pop() any {
	old := *t
	n := old[len(old)-1]
	old[len(old)-1] = turn{}
	*t = old[:len(old)-1]
	return n
}

// first is who has been silent for longest, nil without one.
func (t *turns) first() *record {
	for len(*t) > 0 {
		f := &(*t)[0]
		if f.heard >= f.record.heard {
			return f.record
		}
		f.heard = f.record.heard
		heap.Fix(t, 0)
	}
	return nil
}

func newHeld(most int) *held {
	h := &held{most: most, seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].records = map[string]*record{}
	}
	return h
}

func (h *held) shard(key string) *heldShard {
	return &h.shards[maphash.String(h.seed, key)%uint64(len(h.shards))]
}

// get is the value of a key.
func (h *held) get(key string) (value string, ok bool) {
	s := h.shard(key)
	s.RLock()
	defer s.RUnlock()
	if r := s.records[key]; r != nil {
		return r.value, true
	}
	return "", false
}

// put takes a record in, and lets another one go where there are too many, maybe this.
func (h *held) put(key, value string, keep segment.Keep, heard int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.shard(key)
	s.Lock()
	r := s.records[key]
	fresh := r == nil
	if fresh {
		r = &record{key: key}
		s.records[key] = r
	}
	r.value = value
	s.Unlock()
	was := r.keep
	switch r.keep, r.heard = keep, heard; {
	case fresh:
		heap.Push(&h.turns[keep], turn{heard, r})
	case was != keep:
		heap.Remove(&h.turns[was], int(r.place))
		heap.Push(&h.turns[keep], turn{heard, r})
	case heard < h.turns[keep][r.place].heard: // a device that was let go and came back
		h.turns[keep][r.place].heard = heard
		heap.Fix(&h.turns[keep], int(r.place))
	}
	if h.len() > h.most {
		h.remove(h.least())
		h.gone++
	}
}

// least is whom to let go.
func (h *held) least() *record {
	for i := range h.turns {
		if r := h.turns[i].first(); r != nil {
			return r
		}
	}
	return nil
}

func (h *held) remove(r *record) {
	heap.Remove(&h.turns[r.keep], int(r.place))
	s := h.shard(r.key)
	s.Lock()
	delete(s.records, r.key)
	s.Unlock()
}

// forget drops a key.
func (h *held) forget(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.shard(key)
	s.RLock()
	r := s.records[key]
	s.RUnlock()
	if r != nil {
		h.remove(r)
	}
}

// len is how many there are; h.mu is held.
func (h *held) len() (n int) {
	for i := range h.turns {
		n += len(h.turns[i])
	}
	return n
}

// counts are how many records there are, and how many were let go for others.
func (h *held) counts() (n int, gone uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.len(), h.gone
}

// each calls f for all records, a part of them at a time.
func (h *held) each(f func(key, value string)) {
	for i := range h.shards {
		s := &h.shards[i]
		s.RLock()
		for key, r := range s.records {
			f(key, r.value)
		}
		s.RUnlock()
	}
}
