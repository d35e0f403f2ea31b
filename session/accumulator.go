package session

import (
	"cmp"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
)

// An accumulator is the encoded, unordered list of one session's events. Its
// merge is concatenation, which makes it a commutative monoid once folded; the
// empty slice is the zero.

// Accumulate adds an event to an accumulator.
func Accumulate(acc []byte, e *event.Event) []byte {
	w := codec.Writer{B: acc}
	it := newItem(e)
	it.appendTo(&w)
	return w.B
}

// FoldAccumulator folds the events in (time, offset) order, each id once, the
// first in the log's order. All must belong to one session.
func FoldAccumulator(acc []byte, p *Params) (State, error) {
	r := codec.Reader{B: acc}
	var items []item
	for len(r.B) > 0 {
		items = append(items, readItem(&r))
	}
	if err := r.Err(); err != nil {
		return State{}, err
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset)) })
	seen := make(map[uint64]bool, len(items))
	var s State
	for i := range items {
		if !seen[items[i].ID] {
			seen[items[i].ID] = true
			s.step(&items[i], nil, p)
		}
	}
	return s, nil
}
