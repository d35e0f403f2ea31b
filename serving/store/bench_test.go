package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/segment"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkTake is one record of the topic into a node's memory, from the decision
// of a moment ago, among 10,000 persons.
func BenchmarkTake(b *testing.B) {
	s := newTopic(b).open(0)
	var keys [10_000][]byte
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "d:%d", i)
	}
	rec := segment.Record{Path: "everyone/a", Values: make([]float64, 40)}
	for i := range rec.Values {
		rec.Values[i] = float64(i % 3)
	}
	var w codec.Writer
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now := time.Now()
		rec.Version, rec.Evaluated, rec.Decided, rec.Sent = uint64(i), now.UnixMilli(), now.UnixMicro()-100, now.UnixMilli()-50
		w.B = w.B[:0]
		rec.AppendTo(&w)
		s.take(&kgo.Record{Key: keys[i%len(keys)], Value: w.B}, now)
	}
}
