package signal

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/microseg/microseg/event"
)

type weighted struct {
	w float64
	t int64
}

// naive is Σ wᵢ·2^(−(t−tᵢ)/h), as it stands.
func naive(es []weighted, t int64, h float64) (s float64) {
	for _, e := range es {
		s += e.w * math.Exp2(-float64(t-e.t)/h)
	}
	return s
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b)) }

func TestDecayedIsAMonoid(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		h := float64(1 + r.Int64N(7_200_000))
		var parts [3]Decayed
		var all []weighted
		var last int64
		for range r.IntN(30) {
			e := weighted{r.Float64() * 10, r.Int64N(3_600_000)}
			all = append(all, e)
			last = max(last, e.t)
			i := r.IntN(3)
			parts[i] = parts[i].Add(e.w, e.t, h)
		}
		at := last + r.Int64N(1_000_000)
		left := parts[0].Merge(parts[1], h).Merge(parts[2], h).At(at, h)
		right := parts[0].Merge(parts[2].Merge(parts[1], h), h).At(at, h)
		if want := naive(all, at, h); !near(left, want) || !near(right, want) {
			t.Fatalf("seed %d: %v and %v, the sum is %v", seed, left, right, want)
		}
		if zero := (Decayed{}).Merge(parts[0], h); zero != parts[0] || parts[0].Merge(Decayed{}, h) != parts[0] {
			t.Fatalf("seed %d: merging zero changed the sum", seed)
		}
	}
}

// TestYears: a gap of years gives 0, not NaN.
func TestYears(t *testing.T) {
	d := Decayed{}.Add(1, 0, 600_000).Add(1, 1<<41, 600_000)
	if d.Sum != 1 || d.At(1<<45, 600_000) != 0 {
		t.Fatalf("after years: %v", d)
	}
	if w, ok := Weight(Decayed{1, 0}, Decayed{1, 0}, 1<<45, HalfLives{600_000, 7_200_000}); !ok || w != 0 || math.IsNaN(w) {
		t.Fatalf("weight after years: %v %v", w, ok)
	}
}

// TestBriefOutweighs: the last five minutes outweigh hour-old behaviour 45 to 1.
func TestBriefOutweighs(t *testing.T) {
	const m = 60_000
	live := 10. * m
	ratio := Decayed{1, 0}.At(5*m, live) / Decayed{1, 0}.At(60*m, live)
	if math.Abs(ratio-45.25) > 0.01 {
		t.Fatalf("ratio %v", ratio)
	}
}

// TestWeightOfSilence checks the design's figures: 0.30 is reached 58 min after
// a single event, and about 19 min after steady activity stops.
func TestWeightOfSilence(t *testing.T) {
	const m = 60_000
	h := HalfLives{10 * m, 120 * m}
	d := Decayed{1, 0}
	if w, _ := Weight(d, d, 58*m, h); math.Abs(w-0.30) > 0.01 {
		t.Errorf("58 min after a single event: %v", w)
	}
	var live, long Decayed
	for i := int64(0); i < 48*60; i++ {
		live, long = live.Add(1, i*m, h.Live), long.Add(1, i*m, h.Long)
	}
	end := int64(48*60-1) * m
	if w, _ := Weight(live, long, end, h); math.Abs(w-1) > 0.05 {
		t.Errorf("under steady traffic: %v", w)
	}
	if w, _ := Weight(live, long, end+19*m, h); math.Abs(w-0.30) > 0.02 {
		t.Errorf("19 min after: %v", w)
	}
	if _, ok := Weight(Decayed{}, Decayed{}, 0, h); ok {
		t.Error("the weight is undefined without events")
	}
}

func TestWeigher(t *testing.T) {
	deep := 0.7
	w := NewWeigher([]Rule{
		{Kind: event.KindScroll, Pages: []event.PageType{event.PageProduct}, X: &Bound{Above: &deep}, Weight: 3},
		{Kind: event.KindClick, Weight: 1}})
	scroll := event.Event{Kind: event.KindScroll, PageType: event.PageProduct, X: 0.71}
	if w.Weight(&scroll) <= w.Weight(&event.Event{Kind: event.KindClick}) {
		t.Error("a deep scroll on a product page must outweigh a click")
	}
	scroll.X = 0.7
	if w.Weight(&scroll) != 0 {
		t.Error("70 % is not above 70 %")
	}
}
