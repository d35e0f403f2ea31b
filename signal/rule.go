package signal

import "github.com/microseg/microseg/event"

// Bound limits one measurement of an event; nil ends are open.
type Bound struct {
	Above *float64 `setting:"above"` // strictly above
	Below *float64 `setting:"below"` // strictly below
}

// Rule gives an event of a kind its weight.
type Rule struct {
	Name   string           `setting:"name,key"`
	Kind   event.Kind       `setting:"event"`
	Pages  []event.PageType `setting:"page_type"` // empty: any page
	X      *Bound           `setting:"x"`
	Y      *Bound           `setting:"y"`
	Weight float64          `setting:"weight"`
}

func (b *Bound) holds(v float64) bool {
	return b == nil || (b.Above == nil || v > *b.Above) && (b.Below == nil || v < *b.Below)
}

// Match reports whether the rule applies to the event.
func (r *Rule) Match(e *event.Event) bool {
	if r.Kind != e.Kind || !r.X.holds(e.X) || !r.Y.holds(e.Y) {
		return false
	}
	if len(r.Pages) == 0 {
		return true
	}
	for _, p := range r.Pages {
		if p == e.PageType {
			return true
		}
	}
	return false
}

// Weigher sums the weights of the rules that match, by kind.
type Weigher struct{ byKind [256][]Rule }

// NewWeigher indexes the rules.
func NewWeigher(rules []Rule) *Weigher {
	w := &Weigher{}
	for _, r := range rules {
		w.byKind[r.Kind] = append(w.byKind[r.Kind], r)
	}
	return w
}

// Weight is the sum of the weights of all rules that match e; 0 without one.
func (w *Weigher) Weight(e *event.Event) float64 {
	var sum float64
	rules := w.byKind[e.Kind]
	for i := range rules {
		if rules[i].Match(e) {
			sum += rules[i].Weight
		}
	}
	return sum
}
