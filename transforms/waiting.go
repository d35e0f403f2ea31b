package transforms

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/transforms/wire"
)

// The vectors of a user's devices come from several partitions and device shards, which
// a replay reads at different speeds: of one an hour may be here before the first minute
// of another. So what is not of now waits until all device shards have passed its time,
// and is applied in the order of times. What is of now is applied as it comes: the
// decision of an event waits for nobody. What time changes of a user does always
// (segment.Shard.Sure).

const (
	// liveWithin (ms): whose time is so near to the wall clock of its batch, and to the
	// time of all device shards, is of now.
	liveWithin = 60_000
	// settleAfter (µs of the batches' clock) is how long a time that is not of now was
	// heard of before it has passed. A partition counts as idle while the log holds
	// nothing of it, and a replay writes to one before the other.
	settleAfter = 2_000_000
	// maxWaiting is how many vectors wait in a shard; beyond it the oldest half goes.
	maxWaiting = 100_000
)

// sure is the event time up to which the vectors of all device shards are here.
type sure struct {
	time    int64 // ms, 0 while it is unknown; it never goes back
	moved   int64 // as of clocks.seen: when it rose last
	next    int64 // what it will be once that has settled, 0: nothing
	heard   int64 // as of clocks.seen: when next was heard of
	emitted int64 // wall clock of the newest batch, ms
	still   bool  // it does not move, so nobody waits for it
	end     bool  // all device shards are read to their end, so there is nothing to wait for; of the batch
}

// pass takes what was heard.
func (s *sure) pass(c *clocks, emitted int64) {
	s.emitted = max(s.emitted, emitted/1000)
	was := s.time
	if t, ok := c.least(); ok {
		switch {
		case c.idle() || near(t, s.emitted):
			s.time, s.next = max(s.time, t), 0
		case s.next == 0:
			s.next, s.heard = t, c.seen
		case c.seen-s.heard >= settleAfter:
			s.time, s.next, s.heard = max(s.time, s.next), t, c.seen
		}
	}
	if s.time > was || s.moved == 0 {
		s.moved = c.seen
	}
	s.still = c.seen-s.moved >= stillAfter
}

// upTo is the time before which those that wait have their turn. When there is nothing
// to wait for, or what is waited for does not come, all have: the newest events of a log
// without receipts are ahead of the time of their partition, and if it is not idle for
// an hour they would wait for as long.
func (s *sure) upTo(by event.Semantics) int64 {
	if by.Has(7) && (s.end || s.still) {
		return math.MaxInt64
	}
	return s.time
}

func near(a, b int64) bool { return a-b < liveWithin && b-a < liveWithin }

// waits reports whether a vector as of t waits. What is deleted goes at once.
func (s *sure) waits(v *session.Vector) bool {
	return !s.still && !s.end && !v.Erased && !(near(v.At, s.emitted) && v.At < s.time+liveWithin)
}

func (s *sure) appendTo(w *codec.Writer) {
	for _, x := range []int64{s.time, s.moved, s.next, s.heard, s.emitted} {
		w.Int(x)
	}
}

func (s *sure) read(r *codec.Reader) {
	for _, x := range []*int64{&s.time, &s.moved, &s.next, &s.heard, &s.emitted} {
		*x = r.Int()
	}
}

// waiter is a vector that waits, or waits no longer.
type waiter struct {
	wire.Vector
	due    int64 // its time, or that of one before it in its partition, whose order stays
	behind int64 // offset of its partition up to which all is applied before its batch
	fresh  bool  // it is of the batch that is being applied
}

// waiting are the vectors that wait, by partition, in its order.
type waiting struct {
	parts map[int32][]waiter
	users map[string]int // how many of each
	n     int
	// turned is, by partition, the time of the last whose turn it is in the batch that is
	// being applied; nil for one of semantics before 7, whose data clocks no event is ahead of.
	turned map[int32]int64
}

func newWaiting() waiting { return waiting{parts: map[int32][]waiter{}, users: map[string]int{}} }

// passed takes those out that are before t, or all.
func (q *waiting) passed(t int64, ordered bool) (turn []waiter) {
	if !ordered {
		return nil // an older program's batch, in which nothing waits
	}
	for p, list := range q.parts {
		n := 0
		for n < len(list) && list[n].due < t {
			n++
		}
		q.turns(list[:n]...)
		turn = append(turn, list[:n]...)
		q.keep(p, list[n:])
	}
	q.left(turn)
	return turn
}

// add takes a vector in, which waits or is added to those whose turn it is. One that
// does not wait takes the others of its user with it.
func (q *waiting) add(v *wire.Vector, behind int64, s *sure, turn []waiter) []waiter {
	w := waiter{Vector: *v, due: v.At, behind: behind, fresh: true}
	if list := q.parts[v.Partition]; len(list) > 0 {
		w.due = max(w.due, list[len(list)-1].due)
	}
	w.due = max(w.due, q.turned[v.Partition])
	w.Values = slices.Clone(v.Values)
	if w.due < s.time {
		q.turns(w)
		return append(turn, w)
	}
	if !s.waits(&v.Vector) {
		if q.users[v.User] > 0 {
			turn = q.take(v.User, turn)
		}
		q.turns(w)
		return append(turn, w)
	}
	w.Device, w.User = strings.Clone(v.Device), strings.Clone(v.User) // they alias the batch
	q.put(w)
	return turn
}

// turns notes whose turn it is: what follows in its partition stays behind it.
func (q *waiting) turns(list ...waiter) {
	for i := range list {
		if w := &list[i]; q.turned != nil {
			q.turned[w.Partition] = max(q.turned[w.Partition], w.due)
		}
	}
}

// put lets a vector wait.
func (q *waiting) put(w waiter) {
	q.parts[w.Partition] = append(q.parts[w.Partition], w)
	q.users[w.User]++
	q.n++
}

// all are those that wait, a partition's in its order.
func (q *waiting) all() (list []waiter) {
	for _, p := range slices.Sorted(maps.Keys(q.parts)) {
		list = append(list, q.parts[p]...)
	}
	return list
}

// take takes all out that are of a user.
func (q *waiting) take(user string, turn []waiter) []waiter {
	var gone []waiter
	for p, list := range q.parts {
		var rest []waiter
		for _, w := range list {
			if w.User == user {
				gone = append(gone, w)
			} else {
				rest = append(rest, w)
			}
		}
		q.keep(p, rest)
	}
	q.left(gone)
	q.turns(gone...)
	return append(turn, gone...)
}

// bound lets the oldest go where too many wait.
func (q *waiting) bound(turn []waiter) []waiter {
	if q.n <= maxWaiting {
		return turn
	}
	var due []int64
	for _, list := range q.parts {
		for i := range list {
			due = append(due, list[i].due)
		}
	}
	slices.Sort(due)
	return append(turn, q.passed(due[len(due)/2]+1, true)...)
}

func (q *waiting) keep(partition int32, list []waiter) {
	if q.parts[partition] = list; len(list) == 0 {
		delete(q.parts, partition) // and lets go of a replay's memory
	}
}

func (q *waiting) left(gone []waiter) {
	q.n -= len(gone)
	for i := range gone {
		gone[i].fresh = false
		if u := gone[i].User; q.users[u] == 1 {
			delete(q.users, u)
		} else {
			q.users[u]--
		}
	}
}

// reached is the offset up to which a partition's vectors are applied, of which the
// shard has taken those up to offset.
func (q *waiting) reached(partition int32, offset int64) int64 {
	if list := q.parts[partition]; len(list) > 0 {
		return min(offset, list[0].behind)
	}
	return offset
}

// inOrder sorts by time, and keeps the order of a partition.
func inOrder(turn []waiter) []waiter {
	slices.SortStableFunc(turn, func(a, b waiter) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.Partition, b.Partition))
	})
	return turn
}

// appendTo writes those that wait as batches of vectors are written.
func (q *waiting) appendTo(w *codec.Writer) {
	parts := slices.Sorted(maps.Keys(q.parts))
	vw := wire.NewVectorWriter()
	w.Uint(uint64(q.n))
	for _, p := range parts {
		for i := range q.parts[p] {
			x := &q.parts[p][i]
			vw.Add(&x.Vector.Vector, p, x.Append, x.Ingest)
			w.Int(x.due)
			w.Int(x.behind)
		}
	}
	if q.n == 0 {
		return
	}
	b, err := vw.Finish(&wire.Header{})
	if err != nil {
		panic(err) // Arrow's writer fails where its output does, and memory does not
	}
	w.Bytes(b)
}

func (q *waiting) read(r *codec.Reader) error {
	list := make([]waiter, r.Len())
	for i := range list {
		list[i].due, list[i].behind = r.Int(), r.Int()
	}
	if len(list) == 0 || r.Err() != nil {
		return r.Err()
	}
	i := 0
	_, err := wire.ReadVectors(slices.Clone(r.Bytes()), func(v *wire.Vector) {
		if i < len(list) {
			x := &list[i]
			x.Vector = *v
			x.Values = slices.Clone(v.Values)
			q.put(*x)
		}
		i++
	})
	return err
}
