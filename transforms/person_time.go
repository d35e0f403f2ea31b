package transforms

import "github.com/microseg/microseg/transforms/wire"

// take applies the vectors of a batch in their order, or in that of the times of all
// device shards with those that have waited.
func (g *PersonStage) take(s *PersonState, h *wire.Header, batch []byte) error {
	ordered := h.Semantics.Has(4)
	if ordered {
		s.sure.pass(&s.clocks, h.Emitted)
		s.sure.end = h.Semantics.Has(7) && s.clocks.idle()
		s.persons.Sure = s.sure.time
	}
	if s.waiting.turned = nil; h.Semantics.Has(7) {
		s.waiting.turned = map[int32]int64{}
	}
	turn := s.waiting.passed(s.sure.upTo(h.Semantics), ordered)
	_, err := wire.ReadVectors(batch, func(v *wire.Vector) {
		// What comes again would bring back what was deleted since: nothing is left
		// that could tell that it is old.
		last, seen := g.before[v.Partition]
		if seen && v.Version.Offset <= last {
			return
		}
		if !ordered {
			g.vector(s, h, v, v.At, true)
			return
		}
		turn = s.waiting.add(v, last, &s.sure, turn)
	})
	if err != nil {
		return err
	}
	turn = s.waiting.bound(turn)
	for _, v := range inOrder(turn) {
		g.vector(s, h, &v.Vector, v.due, v.fresh)
	}
	return nil
}

// vector applies a vector, as of whose time ticks have passed; fresh says that it did not wait.
func (g *PersonStage) vector(s *PersonState, h *wire.Header, v *wire.Vector, due int64, fresh bool) {
	if g.leaveOut(v) {
		return
	}
	g.compact = g.compact || v.Erased
	g.pass(s, h, due)
	at := placeOfVector(v)
	g.at = &at
	if fresh {
		s.persons.Sent = g.built.Spec.sent(h.Again, v.Append, v.Ingest)
	}
	s.persons.Apply(&v.Vector, v.Partition, &g.effects.Effects)
	s.persons.Sent = 0
	if g.built.testPanic != nil {
		g.built.testPanic("person", at)
	}
	if g.at = nil; !v.Retract && fresh {
		g.stamps = append(g.stamps, stamp{v.Append, v.Ingest})
	}
}

// timeOf is what a batch says of the shard's time, which is that of all device shards;
// of semantics before 4 that of its own one or, where that has none, of the others. ok
// is false where it says nothing.
func (s *PersonState) timeOf(h *wire.Header) (now clockOf, ok bool) {
	if h.Semantics.Has(4) {
		return clockOf{s.sure.time, s.clocks.idle()}, s.sure.time > 0
	}
	if h.Semantics.Has(2) {
		if now, ok = s.clocks.borrowed(); ok {
			return now, true
		}
	}
	return clockOf{h.Watermark, h.Idle}, h.Own
}

// pass lets the refresh ticks pass that the shard's time had passed before a vector
// as of t.
func (g *PersonStage) pass(s *PersonState, h *wire.Header, t int64) {
	if now, ok := s.timeOf(h); ok && h.Semantics.Has(2) && s.persons.Now > 0 {
		s.persons.Advance(g.built.Segment.RefreshTick(min(t-1, now.time)), &g.effects.Effects)
	}
}
