package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
	"github.com/microseg/microseg/sinks/segmentsio"
)

// benchVisitor is the id of the i-th visitor, as Segment's libraries make them.
func benchVisitor(i int) string {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], r.Uint64())
	binary.BigEndian.PutUint64(id[8:], r.Uint64())
	return id.String()
}

// publishProfiles publishes so many devices, spread over the nodes of the tree,
// and an activation of all nodes.
func publishProfiles(ctx context.Context, cfg *config.Config, brokers []string, topic string, n int) error {
	tree, err := cfg.SegmentTree()
	if err != nil {
		return err
	}
	rules, err := cfg.RuleSet(tree)
	if err != nil {
		return err
	}
	w, err := segmentsio.Open(segmentsio.Config{Brokers: brokers, Topic: topic})
	if err != nil {
		return err
	}
	p := profiler{tree: tree, slots: tree.Slots(rules.Stored()), now: time.Now(), rng: rand.New(rand.NewPCG(1, 1)),
		values: make([]float64, int(session.SlotHover0)+2*len(cfg.Elements))}
	batch := p.activation()
	for i := range n {
		batch = p.profile(batch, i)
		if len(batch) > 1<<16 || i == n-1 {
			if err := w.Publish(ctx, batch); err != nil {
				return errors.Join(fmt.Errorf("publishing profiles: %w", err), w.Close(ctx))
			}
			batch = nil // the client still holds it
		}
	}
	return w.Close(ctx)
}

// profiler makes records of visitors.
type profiler struct {
	tree   *segment.Tree
	slots  []session.Slot
	now    time.Time
	rng    *rand.Rand
	values []float64
}

// profile appends the record of a visitor whose session is open.
func (p *profiler) profile(batch []byte, i int) []byte {
	ms := p.now.UnixMilli()
	for _, s := range p.slots {
		p.values[s] = p.value(s)
	}
	since := ms - p.rng.Int64N(600_000)
	r := segment.Record{Version: 1, Decided: p.now.UnixMicro(), Path: p.tree.Path(i % p.tree.Len()), Since: since, Evaluated: ms, Last: ms,
		SessionEnd: ms + 30*60_000, Live: signal.Decayed{Sum: 30 * p.rng.Float64(), Ref: ms}, Long: signal.Decayed{Sum: 60 * p.rng.Float64(), Ref: ms}, Values: p.values}
	var w codec.Writer
	r.AppendTo(&w)
	keyed := codec.Writer{B: batch}
	segment.AppendKeyed(&keyed, session.PersonID(benchVisitor(i), ""), w.B)
	return keyed.B
}

// value is a plausible value of a stored feature.
func (p *profiler) value(s session.Slot) float64 {
	switch s {
	case session.SlotStart, session.SlotCartChanged:
		return float64(p.now.Add(-time.Duration(p.rng.IntN(600)) * time.Second).UnixMilli())
	case session.SlotPageType:
		return float64(p.rng.IntN(int(event.NumPageTypes)))
	case session.SlotDevice:
		return float64(p.rng.IntN(len(event.DeviceTypes)))
	case session.SlotNetwork:
		return float64(p.rng.IntN(len(event.Networks)))
	case session.SlotScrollDepth, session.SlotScrollMax:
		return p.rng.Float64()
	}
	return float64(p.rng.IntN(200))
}

func (p *profiler) activation() []byte {
	a := segment.Active{Version: 1, Minute: p.now.Unix() / 60}
	for i := range p.tree.Len() {
		a.Paths = append(a.Paths, p.tree.Path(i))
	}
	var w, keyed codec.Writer
	a.AppendTo(&w)
	segment.AppendKeyed(&keyed, segment.ActiveKey, w.B)
	return keyed.B
}
