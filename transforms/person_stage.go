package transforms

import (
	"fmt"
	"math"
	"time"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/transforms/latency"
	"github.com/microseg/microseg/transforms/logstate"
	"github.com/microseg/microseg/transforms/rows"
	"github.com/microseg/microseg/transforms/wire"
)

var personCaches caches[*PersonState]

var _ logstate.State = (*PersonState)(nil)

// PersonState is the person stage's state of one shard: the domain's shard and,
// for each device shard's partitions, the offsets whose vectors are applied.
type PersonState struct {
	shard   *segment.Shard
	applied map[[2]int32]int64 // (device shard, partition) → offset
	built   *Built
	minute  int64 // last event-time minute reported to the audience
	idle    bool
}

// NewPersonState returns an empty state.
func NewPersonState(b *Built) *PersonState {
	return &PersonState{shard: segment.NewShard(&b.Segment), applied: map[[2]int32]int64{}, built: b}
}

// Persons is the number of persons in state.
func (s *PersonState) Persons() int { return s.shard.Persons() }

// AppendTo implements logstate.State.
func (s *PersonState) AppendTo(w *codec.Writer) {
	w.Uint(uint64(len(s.applied)))
	for k, v := range s.applied {
		w.Int(int64(k[0]))
		w.Int(int64(k[1]))
		w.Int(v)
	}
	w.Int(s.minute)
	w.Bool(s.idle)
	s.shard.AppendTo(w)
}

// ReadPersonState reads what AppendTo wrote.
func ReadPersonState(b []byte, built *Built) (*PersonState, error) {
	r := codec.Reader{B: b}
	s := NewPersonState(built)
	for range r.Len() {
		k := [2]int32{int32(r.Int()), int32(r.Int())}
		s.applied[k] = r.Int()
	}
	s.minute, s.idle = r.Int(), r.Bool()
	if err := r.Err(); err != nil {
		return nil, err
	}
	var err error
	s.shard, err = segment.ReadShard(r.B, &built.Segment)
	return s, err
}

// Replay implements logstate.State.
func (s *PersonState) Replay(batch []byte) error {
	_, err := NewPersonStage(s.built).Apply(s, 0, batch, func(int, []byte) {}, func(rows.Batch) {})
	return err
}

// GapError says that a batch from a device shard did not arrive. It cannot be
// healed here: the job fails and starts again from the log.
type GapError struct {
	From, Partition int32
	Applied, Prev   int64
}

func (e *GapError) Error() string {
	return fmt.Sprintf("a batch of vectors from device shard %d is missing: partition %d is applied up to offset %d and the next batch begins after %d; restart the job, it rebuilds from the log", e.From, e.Partition, e.Applied, e.Prev)
}

// PersonStage applies vector batches to person states; one goroutine at a time.
type PersonStage struct {
	built  *Built
	out    segment.Effects
	moves  *rows.Builder[rows.SegmentEvent]
	states *rows.Builder[rows.SegmentState]
	prog   *rows.Builder[rows.Progress]
	lat    *rows.Builder[rows.Latency]
	ledger *ledger
}

// NewPersonStage returns a stage.
func NewPersonStage(b *Built) *PersonStage {
	return &PersonStage{built: b, moves: rows.NewSegmentEventBuilder(), states: rows.NewSegmentStateBuilder(), prog: rows.NewProgressBuilder(),
		lat: rows.NewLatencyBuilder(), ledger: ledgers.of(b.Spec.Job)}
}

// Apply applies a batch: its vectors in order, then the passing of time.
func (g *PersonStage) Apply(s *PersonState, shard int, batch []byte, counts func(int, []byte), out func(rows.Batch)) (*wire.Header, error) {
	h, err := wire.ReadHeader(batch)
	if err != nil {
		return nil, err
	}
	for _, r := range h.Ranges {
		k := [2]int32{int32(h.Shard), r.Partition}
		last, seen := s.applied[k]
		if !seen {
			last = -1
		}
		if r.Prev > last {
			return nil, &GapError{From: int32(h.Shard), Partition: r.Partition, Applied: last, Prev: r.Prev}
		}
		s.applied[k] = max(last, r.Last)
	}
	g.out.Reset()
	var stamps []stamp
	if _, err := wire.ReadVectors(batch, func(v *wire.Vector) {
		s.shard.Apply(&v.Vector, v.Partition, &g.out)
		if !v.Retract {
			stamps = append(stamps, stamp{v.Append, v.Ingest})
		}
	}); err != nil {
		return nil, err
	}
	decided := time.Now().UnixMicro()
	if h.Own && h.Watermark > 0 {
		s.shard.Advance(h.Watermark, &g.out)
	}
	if h.Flush && h.Own {
		s.shard.Flush(&g.out)
	}
	g.ledger.add(shard, h.Emitted, decided, stamps)
	if err := g.count(s, shard, &h, counts); err != nil {
		return nil, err
	}
	return &h, g.rows(s, shard, &h, decided/1000, out)
}

// count reports the audience of the minutes that are over.
func (g *PersonStage) count(s *PersonState, shard int, h *wire.Header, counts func(int, []byte)) error {
	if !h.Own {
		return nil
	}
	minute := s.shard.Now / 60_000
	if minute == s.minute && h.Idle == s.idle && len(g.out.Counts) == 0 {
		return nil
	}
	s.minute, s.idle = minute, h.Idle
	b, err := encodeCounts(&shardCounts{Shard: shard, UpTo: minute, Idle: h.Idle, Minutes: g.out.Counts})
	if err != nil {
		return err
	}
	counts(0, b)
	return nil
}

func (g *PersonStage) rows(s *PersonState, shard int, h *wire.Header, decided int64, out func(rows.Batch)) error {
	version := g.built.Spec.version(h.ID + 1)
	for i := range g.out.Moves {
		g.move(&g.out.Moves[i], decided, version)
	}
	for i := range g.out.States {
		g.state(&g.out.States[i], version)
	}
	if h.Flush && h.Own {
		for k, offset := range s.applied {
			if int(k[0]) == h.Shard {
				g.prog.Append(&rows.Progress{Site: g.built.Spec.Site, Stage: rows.StagePerson, Partition: k[1], Shard: uint16(shard), Offset: offset, Clock: s.shard.Now, Watermark: s.shard.Now, Version: version})
			}
		}
		g.ledger.rows(&g.built.Spec, shard, version, g.lat)
	}
	if err := emitRows(g.moves, decided, out); err != nil {
		return err
	}
	if err := emitRows(g.states, decided, out); err != nil {
		return err
	}
	if err := emitRows(g.lat, 0, out); err != nil {
		return err
	}
	return emitRows(g.prog, 0, out)
}

// move makes a row for each node left and entered.
func (g *PersonStage) move(m *segment.Move, decided int64, version uint64) {
	tree := g.built.Segment.Tree
	row := rows.SegmentEvent{Site: g.built.Spec.Site, Person: m.Person, Transition: m.Transition, Cause: segment.Causes[m.Cause],
		At: m.At, DecidedAt: decided, Partition: m.Partition, Offset: m.Offset, Version: version}
	var from, to []int
	if m.From >= 0 {
		from, row.FromPath = tree.Ancestors(m.From), tree.Path(m.From)
	}
	if m.To >= 0 {
		to, row.ToPath = tree.Ancestors(m.To), tree.Path(m.To)
	}
	row.Action = rows.Left
	for _, n := range from {
		if !contains(to, n) {
			row.Node = tree.Path(n)
			g.moves.Append(&row)
		}
	}
	row.Action = rows.Entered
	for _, n := range to {
		if !contains(from, n) {
			row.Node = tree.Path(n)
			g.moves.Append(&row)
		}
	}
}

func contains(s []int, n int) bool {
	for _, x := range s {
		if x == n {
			return true
		}
	}
	return false
}

func (g *PersonStage) state(r *segment.StateRow, version uint64) {
	next := r.Next
	if next == math.MaxInt64 {
		next = 0
	}
	g.states.Append(&rows.SegmentState{Site: g.built.Spec.Site, Person: r.Person, Path: g.built.Segment.Tree.Path(r.Node), Since: r.Since,
		EvaluatedAt: r.Evaluated, NextEvaluation: next, LastEvent: r.Last, Intent: r.Intent, SignalWeight: r.Weight, Live: r.Live, Long: r.Long,
		CartValue: r.CartValue, Devices: uint16(r.Devices), Transitions: r.Transitions, Deleted: r.Deleted, Version: version})
}

// stamp is what the ledger reads of a vector.
type stamp struct{ appended, ingest int64 } // ms

// stages of the latency ledger, in the words of latency.stage.
const (
	stageIngest = iota
	stageQueue
	stageCompute
	stageRefresh
	numStages
)

var stageNames = [numStages]string{"ingest", "queue", "compute", "refresh"}

type minuteHistograms [numStages]latency.Histogram
