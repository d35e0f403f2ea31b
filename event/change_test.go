package event

import "testing"

// TestSeveralAtOnce: a shop that put two products into the cart by one "Product Added"
// had one item of no value in it. A product of the event's own counts before a list.
func TestSeveralAtOnce(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	for props, want := range map[string][2]float64{
		`{"products":[{"product_id":"p","price":10,"quantity":2},{"product_id":"q","price":4}]}`: {8, 3},
		`{"products":[{"product_id":"p"},{"product_id":"q"}]}`:                                   {0, 2},
		`{"product_id":"p","price":5,"products":[{"price":10,"quantity":2}]}`:                    {5, 1},
		`{"product_id":"p","products":[{"price":10,"quantity":2}]}`:                              {0, 1},
		`{"products":[]}`: {0, 1},
	} {
		raw := []byte(`{"type":"track","event":"Product Added","anonymousId":"a","timestamp":"2026-03-04T12:34:56Z","properties":` + props + `}`)
		agree(t, d, raw, genNow)
		if e, _ := outcome(t, d, raw, genNow); e.X != want[0] || e.Y != want[1] {
			t.Errorf("%s: %v items of %v, want %v of %v", props, e.Y, e.X, want[1], want[0])
		}
	}
}
