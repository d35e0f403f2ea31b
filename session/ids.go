package session

import (
	"iter"
	"maps"
	"slices"
)

// ids is the set of the ids that a device remembers, in all of its epochs, which
// share it: whether an event came before is asked once an event, and one device may
// have hundreds of thousands. An id may be in several places at once.
type ids struct {
	places map[uint64]int32
	most   int // since the map was made: one that has been large stays large
}

// indexAbove is how many ids of a device are looked through one by one: most devices
// have fewer, and need no index.
const indexAbove = 32

func (x *ids) has(id uint64) bool { return x.places[id] > 0 }

func (x *ids) add(id uint64) {
	if x != nil {
		x.places[id]++
		x.most = max(x.most, len(x.places))
	}
}

func (x *ids) remove(id uint64) {
	if x == nil {
		return
	}
	if n := x.places[id]; n > 1 {
		x.places[id] = n - 1
	} else {
		delete(x.places, id)
	}
	if n := len(x.places); x.most > 1024 && n < x.most/4 {
		x.places, x.most = maps.Clone(x.places), n
	}
}

// unindex takes ids out that are folded away.
func (q *Profile) unindex(all []uint64) {
	if x := q.index(); x != nil {
		for _, id := range all {
			x.remove(id)
		}
	}
}

// index is the device's, nil while it needs none.
func (q *Profile) index() *ids {
	if q.facts == nil {
		return nil
	}
	return q.facts.index
}

// known is how many ids the profile remembers.
func (q *Profile) known() int {
	n := q.kept()
	if q.facts != nil {
		n += len(q.facts.ids)
	}
	return n
}

// Duplicate reports whether an event with this id is among those kept, by the
// device's present epoch q or one of the earlier ones, past. Those folded away are
// older than the allowed lateness and judged late before.
func (q *Profile) Duplicate(id uint64, past iter.Seq[*Profile]) bool {
	if x := q.index(); x != nil {
		return x.has(id)
	}
	epochs, known := 0, 0
	for o := range and(q, past) {
		epochs++
		if known += o.known(); known > indexAbove || epochs > indexAbove {
			return indexed(and(q, past)).has(id)
		}
	}
	for o := range and(q, past) {
		for i := range o.all() {
			if i == id {
				return true
			}
		}
	}
	return false
}

// and is the present epoch and the earlier ones, which nil has none of.
func and(q *Profile, past iter.Seq[*Profile]) iter.Seq[*Profile] {
	return func(yield func(*Profile) bool) {
		if yield(q) && past != nil {
			past(yield)
		}
	}
}

// all are the ids that the profile remembers, the newest first: most duplicates
// follow at once.
func (q *Profile) all() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		if q.tail != nil {
			for _, l := range slices.Backward(slices.Collect(q.tail.lists())) {
				for _, id := range slices.Backward(l.ids) {
					if !yield(id) {
						return
					}
				}
			}
		}
		if q.facts == nil {
			return
		}
		for _, all := range [][]seen{q.facts.recent, q.facts.ids} {
			for _, s := range slices.Backward(all) {
				if !yield(s.id) {
					return
				}
			}
		}
	}
}

// indexed makes the index that the epochs share.
func indexed(epochs iter.Seq[*Profile]) *ids {
	x := &ids{places: map[uint64]int32{}}
	for q := range epochs {
		q.made().index = x
		for id := range q.all() {
			x.add(id)
		}
	}
	return x
}
