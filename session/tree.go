package session

import "iter"

// node is a part of a tree: consecutive events of one session. The tree is balanced as
// AVL trees are, with the events in its leaves.
type node struct {
	left, right *node  // of an inner one
	leaf        *piece // of a leaf
	height      int
	last        place // of the newest event
	dirty       bool  // what is below has changed since sum was made
	reads       reads // what any of the events reads
	shed        uint32
	trade       *trade // nil: nothing is sold
	sum         *stretch
}

// piece is the events of a leaf.
type piece struct {
	list   list
	in     control // what sum was made from
	sales  []item  // what says something of the cart or is an order
	resell bool    // sales are other ones than there are
	before *Carts  // where a sale is no step: what the carts were before it
	behind *Carts  // and are behind it
	known  bool    // that was found
}

func leafOf(it *item) *node {
	n := &node{leaf: &piece{}, height: 1, dirty: true}
	n.put(it)
	return n
}

// put adds an event to a leaf.
func (n *node) put(it *item) {
	n.leaf.list.insert(it)
	n.reads |= it.reads()
	n.leaf.resell = n.leaf.resell || it.isSale()
	n.last = place{n.leaf.list.last.time, n.leaf.list.last.offset}
	n.dirty = true
}

func inner(l, r *node) *node {
	n := &node{left: l, right: r, dirty: true}
	n.fix()
	return n
}

// fix makes right what a node has of those below, but for the sum.
func (n *node) fix() {
	l, r := n.left, n.right
	n.height, n.last, n.reads, n.shed = 1+max(l.height, r.height), r.last, l.reads|r.reads, l.shed+r.shed
	n.trade = n.trade.of(l.trade, r.trade)
}

// balanced is the node, or another one in its place, after one below has changed.
func (n *node) balanced() *node {
	n.dirty, n.trade = true, nil
	switch l, r := n.left, n.right; {
	case l.height > r.height+1:
		if l.left.height < l.right.height {
			n.left = l.rotated(&l.right, &l.right.left)
		}
		return n.rotated(&n.left, &n.left.right)
	case r.height > l.height+1:
		if r.right.height < r.left.height {
			n.right = r.rotated(&r.left, &r.left.right)
		}
		return n.rotated(&n.right, &n.right.left)
	}
	n.fix()
	return n
}

// rotated puts a child above the node, which takes over the child's inner one.
func (n *node) rotated(child, inner **node) *node {
	c := *child
	*child = *inner
	n.dirty, n.trade = true, nil
	n.fix()
	if child == &n.left {
		c.right = n
	} else {
		c.left = n
	}
	c.dirty, c.trade = true, nil
	c.fix()
	return c
}

// insert adds an event.
func (n *node) insert(it *item) *node {
	if n.leaf == nil {
		if (place{it.Time, it.Offset}).compare(n.left.last) < 0 {
			n.left = n.left.insert(it)
		} else {
			n.right = n.right.insert(it)
		}
		return n.balanced()
	}
	if l := &n.leaf.list; l.len() >= pieceLen && l.follows(it) {
		return inner(n, leafOf(it))
	}
	if n.put(it); n.leaf.list.len() < 2*pieceLen {
		return n
	}
	return n.split()
}

// split makes two of a leaf.
func (n *node) split() *node {
	items := n.leaf.list.items()
	first := &node{leaf: &piece{resell: true}, height: 1, reads: n.reads, dirty: true}
	first.leaf.list.replace(items[:pieceLen])
	first.last = place{items[pieceLen-1].Time, items[pieceLen-1].Offset}
	n.leaf.list.replace(items[pieceLen:])
	n.leaf.resell = true
	return inner(first, n)
}

// join is one tree of two, the second behind the first.
func join(l, r *node) *node {
	switch {
	case l.height > r.height+1:
		l.right = join(l.right, r)
		return l.balanced()
	case r.height > l.height+1:
		r.left = join(l, r.left)
		return r.balanced()
	}
	return inner(l, r)
}

// dropFirst takes the first leaf out; nil: there was one only.
func (n *node) dropFirst() *node {
	if n.leaf != nil {
		return nil
	}
	if n.left = n.left.dropFirst(); n.left == nil {
		return n.right
	}
	return n.balanced()
}

// touchFirst has the first leaf folded anew.
func (n *node) touchFirst() {
	for ; n.leaf == nil; n = n.left {
		n.dirty = true
	}
	n.dirty, n.leaf.resell = true, true
}

func (n *node) first() *list {
	for n.leaf == nil {
		n = n.left
	}
	return &n.leaf.list
}

func (n *node) lastLeaf() *list {
	for n.leaf == nil {
		n = n.right
	}
	return &n.leaf.list
}

// leaves are those of the tree, in order.
func (n *node) leaves() iter.Seq[*node] {
	return func(yield func(*node) bool) { n.each(yield) }
}

func (n *node) each(yield func(*node) bool) bool {
	if n.leaf != nil {
		return yield(n)
	}
	return n.left.each(yield) && n.right.each(yield)
}
