// Package latency holds latencies in log-linear buckets that merge by adding
// counts, so that quantiles come out of ClickHouse over any shards and minutes.
//
// Each power of two of microseconds is cut into 16 equal parts. A value v (µs)
// with e = ⌊log₂ v⌋ >= 4 falls into bucket
//
//	(e − 3)·16 + (⌊v·2^(4−e)⌋ − 16)
//
// and values below 16 µs have one bucket per microsecond. The middle of a
// bucket is within 1/32 of every value in it (within half a microsecond below
// 16 µs). This is the layout of HdrHistogram with 4 bits of precision. The
// view latency_quantiles computes the same in SQL; a test compares both.
package latency

import (
	"math"
	"math/bits"
)

// Sub is the number of buckets per power of two.
const (
	Sub     = 16
	subBits = 4
)

// Buckets is the number of buckets: the last one begins at about 24 days.
const Buckets = 608

// Bucket is the bucket of a latency in ms. Negative values and NaN count as 0,
// values beyond the last bucket belong to it.
func Bucket(ms float64) uint16 {
	if !(ms > 0) {
		return 0
	}
	us := ms * 1000
	if us >= Lower(Buckets-1)*1000 {
		return Buckets - 1
	}
	v := uint64(us)
	if v < Sub {
		return uint16(v)
	}
	e := bits.Len64(v) - 1
	return uint16((e-subBits+1)*Sub) + uint16(v>>(e-subBits)) - Sub
}

// Lower is the smallest latency (ms) of bucket b.
func Lower(b uint16) float64 {
	if b < Sub {
		return float64(b) / 1000
	}
	return math.Ldexp(float64(Sub+b%Sub), int(b/Sub)-1) / 1000
}

// Upper is the end (ms, exclusive) of bucket b.
func Upper(b uint16) float64 { return Lower(b + 1) }

// Mid is the middle (ms) of bucket b: what a quantile in it is reported as.
func Mid(b uint16) float64 { return (Lower(b) + Upper(b)) / 2 }

// Histogram counts latencies. The zero value is empty; it is a commutative
// monoid under Merge (sums of ms equal within rounding).
type Histogram struct {
	counts []uint64 // by bucket, as long as the highest one needs
	sums   []float64
	total  uint64
}

// Add counts n latencies of ms each.
func (h *Histogram) Add(ms float64, n uint64) {
	if n == 0 {
		return
	}
	if !(ms > 0) {
		ms = 0
	}
	h.AddBucket(Bucket(ms), n, ms*float64(n))
}

// AddBucket adds n latencies of bucket b that sum to sum ms.
func (h *Histogram) AddBucket(b uint16, n uint64, sum float64) {
	if need := int(b) + 1; len(h.counts) < need {
		h.counts = append(h.counts, make([]uint64, need-len(h.counts))...)
		h.sums = append(h.sums, make([]float64, need-len(h.sums))...)
	}
	h.counts[b] += n
	h.sums[b] += sum
	h.total += n
}

// Merge adds the counts of o.
func (h *Histogram) Merge(o *Histogram) {
	o.Each(func(b uint16, n uint64, sum float64) { h.AddBucket(b, n, sum) })
}

// Each calls f for every bucket with a count, in ascending order; sum is in ms.
func (h *Histogram) Each(f func(bucket uint16, count uint64, sum float64)) {
	for b, n := range h.counts {
		if n > 0 {
			f(uint16(b), n, h.sums[b])
		}
	}
}

// Count is the number of latencies.
func (h *Histogram) Count() uint64 { return h.total }

// Mean is the average in ms, exact but for rounding; NaN when empty.
func (h *Histogram) Mean() float64 {
	var sum float64
	for _, s := range h.sums {
		sum += s
	}
	return sum / float64(h.total)
}

// Quantile is the middle (ms) of the bucket that holds the ⌈q·n⌉-th smallest
// latency, 0 <= q <= 1; NaN when empty.
func (h *Histogram) Quantile(q float64) float64 {
	rank := max(1, uint64(math.Ceil(q*float64(h.total))))
	var seen uint64
	for b, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return Mid(uint16(b))
		}
	}
	return math.NaN()
}

// Reset empties the histogram and keeps its memory.
func (h *Histogram) Reset() {
	clear(h.counts)
	clear(h.sums)
	h.total = 0
}
