package segment

import (
	"slices"
	"strings"

	"github.com/microseg/microseg/session"
)

// NewRuleSchema returns the catalogue for conditions that see what is served:
// that of NewSchema, one more stored feature `segment` behind the catalogue's
// last, and page.type as the request states it, whether a session is open or
// not. The value of `segment` is the ID of the served node. Comparing it with a
// name asks whether the served node is one of that name or below one; names
// are ends of paths, such as "high_intent/cart_abandoner".
func NewRuleSchema(elements []string, t *Tree) *Schema {
	s := NewSchema(elements)
	s.byName["page.type"].Session = false
	paths := make([]string, t.Len())
	for id := range paths {
		paths[id] = t.Path(id)
	}
	s.segment = session.Slot(len(s.stored))
	f := session.Feature{Name: "segment", Doc: "the served segment and those above it", Merge: session.MergePage, Enum: paths}
	s.stored = append(s.stored, f)
	s.add(&Feature{Name: f.Name, Doc: f.Doc, Enum: paths, Max: upper(0), slot: s.segment, kind: -1, tree: t})
	return s
}

// SegmentSlot is the slot of the served segment; -1 in a schema without it.
func (s *Schema) SegmentSlot() session.Slot { return s.segment }

// within are the nodes that a name means, an end of their paths, and those
// below them.
func (t *Tree) within(name string) (out []float64) {
	for id := range t.nodes {
		for _, a := range t.nodes[id].ancestors {
			if strings.HasSuffix("/"+t.nodes[a].Path, "/"+name) {
				out = append(out, float64(id))
				break
			}
		}
	}
	return out
}

// Within are the ids of the nodes that a name or the end of a path names, and of
// those below them.
func (t *Tree) Within(name string) (out []int) {
	for _, id := range t.within(name) {
		out = append(out, int(id))
	}
	return out
}

// names are the names of the nodes, each once.
func (t *Tree) names() (out []string) {
	for i := range t.nodes {
		if !slices.Contains(out, t.nodes[i].Name) {
			out = append(out, t.nodes[i].Name)
		}
	}
	return out
}

// others are the codes of an enumeration that are not in set.
func (f *Feature) others(set []float64) (out []float64) {
	for i := range f.Enum {
		if x := float64(i); !slices.Contains(set, x) {
			out = append(out, x)
		}
	}
	return out
}
