package session

import (
	"bytes"
	"math"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/signal"
)

// sameSum is how far apart, relatively, sums of the same terms may be.
const sameSum = 1e-9

// Same reports whether two profiles say the same of a device at t (ms), however
// far each has folded its events away: context, cart, open session and sums.
func (q *Profile) Same(o *Profile, t int64, p *Params) bool {
	a, b := q.State(), o.State()
	return q.Last == o.Last && a.Context == b.Context && q.Carts().equal(o.Carts()) && q.sameOrders(o) &&
		sameAt(q.Live, o.Live, t, p.HalfLives.Live) && sameAt(q.Long, o.Long, t, p.HalfLives.Long) && sameOpen(a.Fold, b.Fold, t, p.Gap)
}

func (q *Profile) sameOrders(o *Profile) bool {
	n, revenue, refunded := q.Orders()
	m, other, back := o.Orders()
	return n == m && near(revenue, other) && near(refunded, back)
}

func near(x, y float64) bool { return math.Abs(x-y) <= sameSum*max(1, x, y) }

func sameAt(a, b signal.Decayed, t int64, halfLife float64) bool {
	t = max(t, a.Ref, b.Ref)
	x, y := a.At(t, halfLife), b.At(t, halfLife)
	return near(x, y)
}

// sameOpen compares two newest sessions; of one that is over a profile may have
// let go.
func sameOpen(a, b *Fold, t, gap int64) bool {
	switch {
	case a == nil && b == nil:
		return true
	case a == nil:
		return b.End+gap <= t
	case b == nil:
		return a.End+gap <= t
	}
	return a.Same(b)
}

// Same reports whether two folds say the same. A slice that is empty and one that
// is missing do: one may have been in a snapshot.
func (f *Fold) Same(o *Fold) bool {
	var a, b codec.Writer
	f.appendTo(&a)
	o.appendTo(&b)
	return bytes.Equal(a.B, b.B)
}
