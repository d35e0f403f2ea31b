package segment

import "fmt"

// Spec is a node of the tree as configured.
type Spec struct {
	Name        string   `setting:"name,key"`
	Title       string   `setting:"-"`
	When        string   `setting:"when"`
	MinAudience *float64 `setting:"min_audience"` // share that activates the node; nil: the site's, 0: always active
	Exempt      string   `setting:"-"`            // why a node with a MinAudience of 0 is always active
	Children    []Spec   `setting:"children"`
}

// Node is a compiled node. Node 0 is the root, "everyone", which always holds.
type Node struct {
	ID, Parent  int
	Name, Title string
	Path        string // "everyone/high_intent/cart_abandoner"
	MinAudience *float64
	Exempt      string     // why it needs no audience
	When        *Predicate // nil for the root
	children    []int
	ancestors   []int
}

// Tree is the tree of segments; nodes are numbered in pre-order.
type Tree struct{ nodes []Node }

// NodeError says which node's condition was refused; it wraps a *CompileError.
type NodeError struct {
	Path string
	Err  error
}

func (e *NodeError) Error() string { return fmt.Sprintf("segment %s: %v", e.Path, e.Err) }

// Unwrap returns the compile error.
func (e *NodeError) Unwrap() error { return e.Err }

// NewTree compiles the specs as children of the root.
func NewTree(c *Compiler, specs []Spec) (*Tree, error) {
	t := &Tree{nodes: []Node{{Parent: -1, Name: "everyone", Title: "Everyone", Path: "everyone", ancestors: []int{0}}}}
	return t, t.grow(c, 0, specs)
}

func (t *Tree) grow(c *Compiler, parent int, specs []Spec) error {
	for _, s := range specs {
		n := Node{ID: len(t.nodes), Parent: parent, Name: s.Name, Title: s.Title, Path: t.nodes[parent].Path + "/" + s.Name, MinAudience: s.MinAudience, Exempt: s.Exempt}
		var err error
		if n.When, err = c.Compile(s.When); err != nil {
			return &NodeError{n.Path, err}
		}
		n.ancestors = append(append([]int(nil), t.nodes[parent].ancestors...), n.ID)
		t.nodes = append(t.nodes, n)
		t.nodes[parent].children = append(t.nodes[parent].children, n.ID)
		if err := t.grow(c, n.ID, s.Children); err != nil {
			return err
		}
	}
	return nil
}

// Len is the number of nodes, the root included.
func (t *Tree) Len() int { return len(t.nodes) }

// Node returns a node.
func (t *Tree) Node(id int) *Node { return &t.nodes[id] }

// Path is the node's path from the root.
func (t *Tree) Path(id int) string { return t.nodes[id].Path }

// Ancestors are the nodes from the root down to the node itself; not to be changed.
func (t *Tree) Ancestors(id int) []int { return t.nodes[id].ancestors }

// Children are the node's children in the order in which they are tried; not to be changed.
func (t *Tree) Children(id int) []int { return t.nodes[id].children }

// Find is the node of a path, such as "everyone/high_intent".
func (t *Tree) Find(path string) (id int, ok bool) {
	for i := range t.nodes {
		if t.nodes[i].Path == path {
			return i, true
		}
	}
	return 0, false
}

// Changes are the nodes that a visitor leaves, the deepest first, and those
// that it enters, the deepest last, when its path moves from one node to
// another. -1 is nowhere: before the first decision, or forgotten.
func (t *Tree) Changes(from, to int) (left, entered []int) {
	var a, b []int
	if from >= 0 {
		a = t.nodes[from].ancestors
	}
	if to >= 0 {
		b = t.nodes[to].ancestors
	}
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	for i := len(a) - 1; i >= same; i-- {
		left = append(left, a[i])
	}
	return left, b[same:]
}

// Decide returns the node at the end of the visitor's path at now (ms), and the
// earliest time after now at which it may change without an event. At each
// level the first child that holds wins.
func (t *Tree) Decide(v *View, now int64) (id int, next int64) {
	next = never
	for at := 0; ; {
		won := -1
		for _, c := range t.nodes[at].children {
			ok, n := t.nodes[c].When.root.eval(v, now)
			next = min(next, n)
			if ok {
				won = c
				break
			}
		}
		if won < 0 {
			return at, next
		}
		at = won
	}
}
