package segment_test

import (
	"testing"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

func BenchmarkDecide(b *testing.B) {
	cfg := config.Default()
	s := segment.NewSchema(cfg.Elements)
	tree, err := segment.NewTree(segment.NewCompiler(s, cfg.SegmentParams()), cfg.SegmentSpecs())
	if err != nil {
		b.Fatal(err)
	}
	const now = int64(1_700_000_000_000)
	for _, c := range []struct {
		name string
		live float64
	}{{"high", 25}, {"medium", 8}, {"low", 2}} {
		v := segment.View{Live: signal.Decayed{Sum: c.live, Ref: now - 500}, Long: signal.Decayed{Sum: c.live * 3, Ref: now - 500},
			Last: now - 500, SessionEnd: now + 1_799_500, Devices: 1, Values: make([]float64, len(s.Stored()))}
		v.Values[session.SlotStart] = float64(now - 60_000)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				tree.Decide(&v, now+int64(i&1023))
			}
		})
	}
}
