// Package throttle bounds what one client may do: token buckets in a table that
// never grows, and who the client of a request is. Why the table is as it is:
// docs/adr/0025-throttling.md.
//
// Who guesses keys is bounded like this:
//
//	guesses := throttle.New(throttle.Rate{PerSecond: 1, Burst: 10}, 4096)
//	key := throttle.KeyOf(clients.Of(r), "")
//	if wait := guesses.Wait(key, 1, time.Now()); wait > 0 { … 429 with throttle.RetryAfter(wait) }
//	if !right { guesses.Spend(key, 1, time.Now()) }
package throttle

import (
	"hash/maphash"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// Rate is that of a bucket, which is full at first: Burst tokens at once, and
// PerSecond of them come back. A rate of 0 is no limit.
type Rate struct {
	PerSecond float64
	Burst     float64
}

// Key names a bucket.
type Key uint64

var seed = maphash.MakeSeed()

// KeyOf is the key of a client's address, and of what it says it is, if that has
// a bucket of its own. It differs from process to process, so that nobody can look
// for two with the same key.
func KeyOf(addr netip.Addr, text string) Key {
	return Key(maphash.Comparable(seed, struct {
		addr netip.Addr
		text string
	}{addr, text}))
}

// Buckets are the token buckets of one rate. Their number is fixed, 16 bytes each.
// A bucket that is full again needs no place. Where all places are taken by buckets
// that are not, the newcomer takes that of the one which lacks least: so nobody gets
// rid of what he has spent without spending more from as many other addresses as
// there are places, and who loses its place has a full bucket again, never an
// emptier one. A nil *Buckets limits nothing. Safe for concurrent use.
type Buckets struct {
	rate  Rate
	token float64 // ns until one comes back
	begun time.Time
	sets  []set
}

// ways is how many places a key may have.
const ways = 16

type set struct {
	mu     sync.Mutex
	places [ways]place
}

// place is a bucket: the key, and when it is full again, in ns since the table was made.
type place struct {
	key  Key
	full int64
}

// New returns the buckets of a rate, at least so many of them; nil for no limit.
func New(rate Rate, places int) *Buckets {
	if rate.PerSecond <= 0 {
		return nil
	}
	rate.Burst = max(rate.Burst, 1)
	return &Buckets{rate: rate, token: float64(time.Second) / rate.PerSecond, begun: time.Now(), sets: make([]set, (max(places, 1)+ways-1)/ways)}
}

// Wait is how long it takes until the bucket has n tokens, 0 if it has them. More
// than a whole burst is asked for as a burst: it could never be there.
func (b *Buckets) Wait(k Key, n int, now time.Time) time.Duration {
	if b == nil {
		return 0
	}
	s, at := b.set(k), b.at(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	return b.wait(s.fullAt(k, at), n, at)
}

// Charge takes n tokens if there is at least one, and what is not there yet is owed: so
// who sends much at a time gets his turn beside those who send little, and the wait is
// the same for all. Else it takes none, and returns when there will be one.
func (b *Buckets) Charge(k Key, n int, now time.Time) time.Duration {
	if b == nil {
		return 0
	}
	s, at := b.set(k), b.at(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	full := s.fullAt(k, at)
	wait := b.wait(full, 1, at)
	if wait == 0 {
		s.keep(k, full+b.cost(n), at)
	}
	return wait
}

// Spend takes the tokens whether they are there or not, for what has been done already.
// No bucket ever lacks more than two bursts.
func (b *Buckets) Spend(k Key, n int, now time.Time) {
	if b == nil {
		return
	}
	s, at := b.set(k), b.at(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(k, min(s.fullAt(k, at)+b.cost(n), at+2*int64(b.rate.Burst*b.token)), at)
}

func (b *Buckets) set(k Key) *set { return &b.sets[uint64(k>>32)*uint64(len(b.sets))>>32] }

func (b *Buckets) at(now time.Time) int64 { return now.Sub(b.begun).Nanoseconds() }

func (b *Buckets) cost(n int) int64 { return int64(min(float64(n), b.rate.Burst) * b.token) }

// wait is until a bucket that is full again at a time has n tokens.
func (b *Buckets) wait(full int64, n int, at int64) time.Duration {
	return time.Duration(max(0, full+b.cost(n)-at-int64(b.rate.Burst*b.token)))
}

// fullAt is when the bucket is full again, now at the earliest.
func (s *set) fullAt(k Key, at int64) int64 {
	for i := range s.places {
		if p := &s.places[i]; p.key == k && p.full > at {
			return p.full
		}
	}
	return at
}

// keep gives the bucket a place: its own, else that of the one that lacks least.
func (s *set) keep(k Key, full, at int64) {
	least := &s.places[0]
	for i := range s.places {
		p := &s.places[i]
		if p.key == k && p.full > at {
			p.full = full
			return
		}
		if p.full < least.full {
			least = p
		}
	}
	*least = place{k, full}
}

// Rest remembers for a moment that nobody makes room for a newcomer who has so many places
// already, since to look for one takes time: it would do so for nobody who has as many,
// but it may for one who has fewer. The zero value remembers nothing. Not safe for
// concurrent use.
type Rest struct {
	until time.Time
	least int
}

// Begin notes that there is none.
func (r *Rest) Begin(has int, now time.Time) {
	*r = Rest{now.Add(20 * time.Millisecond), has}
}

// Holds reports whether there is none for one who has so many.
func (r *Rest) Holds(has int, now time.Time) bool { return has >= r.least && now.Before(r.until) }

// RetryAfter is a wait as the header of that name: whole seconds, at least one.
func RetryAfter(wait time.Duration) string {
	return strconv.FormatInt(int64(max(wait, 1)+time.Second-1)/int64(time.Second), 10)
}
