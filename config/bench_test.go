package config

import (
	"testing"

	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// BenchmarkShippedTree decides a path in the shipped tree.
func BenchmarkShippedTree(b *testing.B) {
	c := Default()
	s := segment.NewSchema(c.Elements)
	tree, err := segment.NewTree(segment.NewCompiler(s, c.SegmentParams()), c.SegmentSpecs())
	if err != nil {
		b.Fatal(err)
	}
	const now = int64(1_700_000_000_000)
	for name, live := range map[string]float64{"high": 25, "medium": 8, "low": 2} {
		v := segment.View{Live: signal.Decayed{Sum: live, Ref: now - 500}, Long: signal.Decayed{Sum: live * 3, Ref: now - 500},
			Last: now - 500, SessionEnd: now + 1_799_500, Devices: 1, Values: make([]float64, len(s.Stored()))}
		v.Values[session.SlotStart] = float64(now - 60_000)
		v.Values[session.SlotDevice] = 2
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				tree.Decide(&v, now+int64(i&1023))
			}
		})
	}
}
