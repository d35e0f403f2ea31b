package session

import (
	"slices"
	"sort"
)

// forest is many events: a tree for each session. What the events of a part of a tree
// add to a session is kept with it (see stretch.go), so that a late event folds again
// the few that are about it and adds up the rest.
type forest struct {
	trees []*tree // in order, none empty; a gap ends each
}

// tree is the events of a session.
type tree struct {
	*node
	before, behind *Carts // carts before its events, and behind them
	known          bool   // they were found
}

func (f *forest) oldest() int64 { return f.trees[0].first().oldest }

// last is the list with the newest event.
func (f *forest) last() *list { return f.trees[len(f.trees)-1].lastLeaf() }

func (f *forest) lists(yield func(*list) bool) {
	for _, t := range f.trees {
		for n := range t.leaves() {
			if !yield(&n.leaf.list) {
				return
			}
		}
	}
}

// add adds an event that follows all others.
func (f *forest) add(it *item, p *Params) {
	i := len(f.trees) - 1
	if i < 0 || it.Time >= f.trees[i].last.time+p.Gap {
		f.trees = append(f.trees, &tree{node: leafOf(it)})
		return
	}
	f.trees[i].node = f.trees[i].insert(it)
}

// insert adds any event and says in which tree it is. It may be what two sessions
// lacked to be one.
func (f *forest) insert(it *item, p *Params) int {
	at := place{it.Time, it.Offset}
	i := sort.Search(len(f.trees), func(i int) bool { return at.compare(f.trees[i].last) < 0 }) // the first that is not over before it
	before := i > 0 && it.Time < f.trees[i-1].last.time+p.Gap
	within := i < len(f.trees) && f.trees[i].first().oldest < it.Time+p.Gap
	switch {
	case before && within:
		l, r := f.trees[i-1].insert(it), f.trees[i]
		r.touchFirst()
		f.trees[i-1] = &tree{node: join(l, r.node)}
		f.trees = slices.Delete(f.trees, i, i+1)
		return i - 1
	case before:
		f.trees[i-1].node = f.trees[i-1].insert(it)
		return i - 1
	case within:
		f.trees[i].node = f.trees[i].insert(it)
	default:
		f.trees = slices.Insert(f.trees, i, &tree{node: leafOf(it)})
	}
	return i
}

// dropFirst takes the first piece out.
func (f *forest) dropFirst() {
	if f.trees[0].node = f.trees[0].dropFirst(); f.trees[0].node == nil {
		f.trees = f.trees[1:]
	}
}
