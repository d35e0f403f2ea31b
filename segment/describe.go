package segment

import (
	"math"
	"slices"

	"github.com/microseg/microseg/session"
)

// Describe is the values of features at now (ms), for people and programs that
// do not know codes: numbers, booleans, names of enumerations. What has no
// value is left out.
func Describe(features []*Feature, v *View, now int64, p *Params) map[string]any {
	out := make(map[string]any, len(features))
	for _, f := range features {
		x, ok := f.Value(v, now, p)
		switch {
		case !ok || math.IsNaN(x) || math.IsInf(x, 0):
		case f.Bool:
			out[f.Name] = x != 0
		case f.Enum != nil && x >= 0 && int(x) < len(f.Enum):
			out[f.Name] = f.Enum[int(x)]
		default:
			out[f.Name] = x
		}
	}
	return out
}

// Published are the features that a record tells of: the derived ones, and of
// the stored ones those that hold the given slots.
func (s *Schema) Published(slots []session.Slot) (out []*Feature) {
	for _, f := range s.Features() {
		if slot, ok := f.Slot(); !ok || slices.Contains(slots, slot) {
			out = append(out, f)
		}
	}
	return out
}
