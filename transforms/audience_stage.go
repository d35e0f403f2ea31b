package transforms

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/transforms/logstate"
)

var _ logstate.State = (*AudienceState)(nil)

// AudienceStage applies what reporters tell to the state of the audience; one goroutine at
// a time.
type AudienceStage struct {
	built *Built
	at    identity.Place // of the counts that are being applied
}

// NewAudienceStage returns a stage.
func NewAudienceStage(b *Built) *AudienceStage { return &AudienceStage{built: b} }

// countsFor are counts on their way to the audience, which is one shard.
func countsFor(counts []byte) (*Element, error) {
	var c shardCounts
	if err := json.Unmarshal(counts, &c); err != nil {
		return nil, fmt.Errorf("decoding audience counts: %w", err)
	}
	return &Element{From: c.Reporter, Number: c.Seq, Bytes: counts, counts: &c}, nil
}

func (g *AudienceStage) name() string { return "audience" }

// process implements stage. Counts that are left out are named by their place, and in the
// delta.
func (g *AudienceStage) process(_ context.Context, s *AudienceState, e *Element, without []identity.Place, out Outputs) ([]applied, error) {
	c := *e.counts
	g.at = c.place()
	if !slices.Contains(without, c.place()) {
		if g.built.testPanic != nil && len(c.Minutes) > 0 {
			g.built.testPanic(g.name(), c.place())
		}
		return []applied{{e.Bytes, len(e.Bytes)}}, s.Apply(&c, g.built, out.Rows, out.Records)
	}
	c.LeftOut = true
	delta, err := encodeCounts(&c)
	if err != nil {
		return nil, err
	}
	return []applied{{delta, len(delta)}}, s.pass(&c, g.built, out.Rows, out.Records)
}

// suspects implements stage: what the audience is told is of no record alone.
func (g *AudienceStage) suspects() []identity.Place { return []identity.Place{g.at} }

// renew implements stage.
func (g *AudienceStage) renew() error { return nil }

// AppendTo implements logstate.State.
func (a *AudienceState) AppendTo(w *codec.Writer) {
	b, err := json.Marshal(a)
	if err != nil {
		panic(fmt.Errorf("encoding the audience's state: %w", err)) // Beam makes it the bundle's error
	}
	w.B = append(w.B, b...)
}

// ReadAudienceState reads what AppendTo wrote.
func ReadAudienceState(b []byte, built *Built) (*AudienceState, error) {
	a := NewAudienceState(built)
	if err := json.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("decoding the audience's state: %w", err)
	}
	return a, nil
}

// Replay implements logstate.State; the deltas are the counts.
func (a *AudienceState) Replay(_ context.Context, deltas [][]byte) error {
	drop, forget := func(rows.Batch) {}, func([]byte) {}
	for _, d := range deltas {
		var c shardCounts
		if err := json.Unmarshal(d, &c); err != nil {
			return fmt.Errorf("decoding audience counts: %w", err)
		}
		apply := a.Apply
		if c.LeftOut {
			apply = a.pass
		}
		if err := apply(&c, a.built, drop, forget); err != nil {
			return fmt.Errorf("applying the counts of reporter %d again: %w", c.Reporter, err)
		}
	}
	return nil
}
