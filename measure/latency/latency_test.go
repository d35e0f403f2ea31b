package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestEveryValueLiesInItsBucketWithinOneSixteenth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		ms := math.Exp2(r.Float64()*41-10) * r.Float64() // 0 .. about 25 days
		b := Bucket(ms)
		// Whole microseconds are what is bucketed.
		if us := math.Floor(ms*1000) / 1000; us < Lower(b)-1e-12 || us >= Upper(b) {
			t.Fatalf("%v ms in bucket %d [%v, %v)", ms, b, Lower(b), Upper(b))
		}
		if err := math.Abs(Mid(b) - ms); err > ms/32+0.0005 {
			t.Fatalf("%v ms is reported as %v", ms, Mid(b))
		}
	}
}

func TestBucketsAreContiguousAndRising(t *testing.T) {
	for b := uint16(0); b < Buckets; b++ {
		if Upper(b) <= Lower(b) {
			t.Fatalf("bucket %d is empty", b)
		}
		if got := Bucket(Lower(b) + 1e-9); got != b {
			t.Fatalf("Bucket(Lower(%d)) = %d", b, got)
		}
	}
}

func TestOddValues(t *testing.T) {
	for ms, want := range map[float64]uint16{0: 0, -5: 0, math.Inf(-1): 0, math.Inf(1): Buckets - 1, 1e30: Buckets - 1} {
		if got := Bucket(ms); got != want {
			t.Errorf("Bucket(%v) = %d, want %d", ms, got, want)
		}
	}
	if got := Bucket(math.NaN()); got != 0 {
		t.Errorf("Bucket(NaN) = %d", got)
	}
	var h Histogram
	if !math.IsNaN(h.Quantile(0.5)) || !math.IsNaN(h.Mean()) {
		t.Error("an empty histogram has a quantile or mean")
	}
}

func TestQuantilesAgreeWithSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		var h Histogram
		vs := make([]float64, 1+r.IntN(2000))
		var sum float64
		for i := range vs {
			vs[i] = math.Exp(r.NormFloat64()*2 + 3)
			h.Add(vs[i], 1)
			sum += vs[i]
		}
		slices.Sort(vs)
		for _, q := range []float64{0, 0.5, 0.95, 0.99, 1} {
			want := vs[max(1, int(math.Ceil(q*float64(len(vs)))))-1]
			if got := h.Quantile(q); math.Abs(got-want) > want/32+0.001 {
				t.Fatalf("q%v of %d = %v, sorted %v", q, len(vs), got, want)
			}
		}
		if want := sum / float64(len(vs)); math.Abs(h.Mean()-want) > 1e-9*want {
			t.Fatalf("mean %v, want %v", h.Mean(), want)
		}
	}
}

func TestMergeIsACommutativeMonoid(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		var all Histogram
		parts := make([]Histogram, 3)
		for i := range parts {
			for range r.IntN(50) {
				ms, n := math.Exp(r.NormFloat64()*3), uint64(r.IntN(5))
				parts[i].Add(ms, n)
				all.Add(ms, n)
			}
		}
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
			var h Histogram
			for _, i := range order {
				h.Merge(&parts[i])
			}
			if !same(&h, &all) {
				t.Fatalf("merged in order %v: %+v, want %+v", order, h, all)
			}
		}
	}
}

func same(a, b *Histogram) bool {
	ok := a.Count() == b.Count()
	for i := range uint16(Buckets) {
		var an, bn uint64
		if int(i) < len(a.counts) {
			an = a.counts[i]
		}
		if int(i) < len(b.counts) {
			bn = b.counts[i]
		}
		ok = ok && an == bn
	}
	return ok
}

func BenchmarkAdd(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Add(float64(i%1000), 1)
	}
}
