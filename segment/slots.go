package segment

import (
	"slices"

	"github.com/microseg/microseg/session"
)

// Slots are the stored features that a person's decision needs: those that the
// tree's conditions name, what the derived ones among them are made of, the
// cart, and more. Only they travel to and are kept for persons of several devices.
func (t *Tree) Slots(more []session.Slot) []session.Slot {
	out := []session.Slot{session.SlotCartItems, session.SlotCartValue, session.SlotCartChanged}
	out = append(out, more...)
	for i := range t.nodes {
		if t.nodes[i].When == nil {
			continue
		}
		out = append(out, t.nodes[i].When.Slots()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (p *ShardParams) slots() []session.Slot {
	if p.Slots != nil {
		return p.Slots
	}
	return p.Tree.Slots(Orders(p.Schema))
}

// Orders are the slots of what is known of a person's orders: rows have them.
func Orders(s *Schema) []session.Slot {
	first := session.SlotCustomer(session.Elements(len(s.stored)))
	return []session.Slot{first, first + 1, first + 2}
}

// Projection picks the slots that conditions need from a vector.
type Projection struct {
	slots    []session.Slot
	elements int
	all      []float64
}

// NewProjection returns the projection to a shard's slots, for so many
// configured elements. One goroutine at a time may use it.
func NewProjection(p *ShardParams, elements int) *Projection {
	return &Projection{slots: p.slots(), elements: elements, all: make([]float64, len(p.Schema.Stored()))}
}

// Len is the number of values that Of returns.
func (p *Projection) Len() int { return len(p.slots) }

// Of appends the needed features of a profile to dst.
func (p *Projection) Of(q *session.Profile, dst []float64) []float64 {
	q.Fill(p.all, p.elements)
	for _, s := range p.slots {
		dst = append(dst, p.all[s])
	}
	return dst
}
