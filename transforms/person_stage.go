package transforms

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/transforms/logstate"
	"github.com/microseg/microseg/transforms/wire"
)

var _ logstate.State = (*PersonState)(nil)

// PersonState is the person stage's state of one shard: users, and for each
// device shard's partitions the offsets whose vectors are applied.
type PersonState struct {
	persons *segment.Shard
	applied map[[2]int32]int64 // (device shard, partition) → offset
	seqs    []int64            // number of the last batch from each device shard
	batches int64              // applied: versions rise with it, whichever device shard a batch is from
	told    told
	clocks  clocks
	sure    sure
	waiting waiting
	marks   marks // not in the snapshot: the next ones say more
	lowered bool  // the last batch was made again under a lower limit
	built   *Built
}

// NewPersonState returns an empty state.
func NewPersonState(b *Built) *PersonState {
	return &PersonState{persons: segment.NewShard(&b.Segment), applied: map[[2]int32]int64{}, seqs: make([]int64, b.Spec.Shards),
		clocks: newClocks(b.Spec.Shards), waiting: newWaiting(), built: b}
}

// personVersion is the first byte of a person shard's snapshot; a newer one is
// refused. Since version 2 it has what was heard of the time of all device shards,
// since version 3 the vectors that wait for it, since version 4 whether all is to be counted anew.
const (
	personVersion       = 4
	countPersonVersion  = 4
	waitPersonVersion   = 3
	oldestPersonVersion = 1
)

// AppendTo implements logstate.State.
func (s *PersonState) AppendTo(w *codec.Writer) {
	s.Save(w)
	for s.SaveSome(w, math.MaxInt) {
	}
}

// Save begins a snapshot of the state as it is now; SaveSome goes on with it,
// whatever is applied meanwhile.
func (s *PersonState) Save(w *codec.Writer) {
	w.Byte(personVersion)
	w.Int(s.batches)
	for _, seq := range s.seqs {
		w.Int(seq)
	}
	w.Uint(uint64(len(s.applied)))
	for k, v := range s.applied {
		w.Int(int64(k[0]))
		w.Int(int64(k[1]))
		w.Int(v)
	}
	s.told.appendTo(w)
	s.clocks.appendTo(w)
	s.sure.appendTo(w)
	s.waiting.appendTo(w)
	w.Bool(s.lowered)
	s.persons.Save(w)
}

// SaveSome writes up to n persons of the snapshot that Save began, and reports
// whether there is more.
func (s *PersonState) SaveSome(w *codec.Writer, n int) bool { return s.persons.SaveSome(w, n) }

// ReadPersonState reads what AppendTo wrote.
func ReadPersonState(b []byte, built *Built) (*PersonState, error) {
	r := codec.Reader{B: b}
	s := NewPersonState(built)
	v := r.Byte()
	if v < oldestPersonVersion || v > personVersion {
		return nil, &codec.VersionError{What: "person shard", Got: int(v), Want: personVersion}
	}
	s.batches = r.Int()
	for i := range s.seqs {
		s.seqs[i] = r.Int()
	}
	for range r.Len() {
		k := [2]int32{int32(r.Int()), int32(r.Int())}
		s.applied[k] = r.Int()
	}
	if s.told = readTold(&r); v > oldestPersonVersion {
		s.clocks.read(&r, v)
	}
	if v >= waitPersonVersion {
		s.sure.read(&r)
		if err := s.waiting.read(&r); err != nil {
			return nil, err
		}
	}
	if v >= countPersonVersion {
		s.lowered = r.Bool()
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	var err error
	if s.persons, err = segment.ReadShard(&r, &built.Segment, nil); err != nil {
		return nil, err
	}
	s.sure.time = max(s.sure.time, s.persons.Now) // of an older program
	return s, nil
}

// Replay implements logstate.State; the deltas are the batches themselves.
func (s *PersonState) Replay(ctx context.Context, batches [][]byte) error {
	g := NewPersonStage(s.built)
	for i, b := range batches {
		if _, err := g.Apply(ctx, s, 0, b, Outputs{}); err != nil {
			return fmt.Errorf("replaying batch %d of %d: %w", i+1, len(batches), err)
		}
	}
	return nil
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
	built   *Built
	effects *effects
	stamps  []stamp
	prog    *rows.Builder[rows.Progress]
	lat     *rows.Builder[rows.Latency]
	ledger  *ledger
	records records
	compact bool            // a deleted device has left: what the log of the state holds must go
	before  map[int32]int64 // offsets that were applied before the batch
	dead    *rows.Builder[rows.DeadLetter]
	batch   []byte           // that is being applied
	poison  []identity.Place // of the batch: records whose vectors are left out
	at      *identity.Place  // of the vector that is being applied, nil between vectors
}

// NewPersonStage returns a stage.
func NewPersonStage(b *Built) *PersonStage {
	return &PersonStage{built: b, effects: newEffects(b), prog: rows.NewProgressBuilder(), lat: rows.NewLatencyBuilder(), ledger: b.ledger, before: map[int32]int64{}, dead: rows.NewDeadLetterBuilder()}
}

// vectorsFor is a batch of vectors on its way to a person shard; id is that of the batch of
// events which they are of.
func vectorsFor(shard int, batch []byte) (e *Element, id int64, err error) {
	h, err := wire.ReadHeader(batch)
	if err != nil {
		return nil, 0, err
	}
	return &Element{Shard: shard, From: h.Shard, Number: h.Seq, Bytes: batch}, h.ID, nil
}

func (g *PersonStage) name() string { return "person" }

// process implements stage; the delta is the batch itself, which names what is left out.
func (g *PersonStage) process(ctx context.Context, s *PersonState, e *Element, without []identity.Place, out Outputs) ([]applied, error) {
	batch := e.Bytes
	if len(without) > 0 {
		batch = wire.WithPoison(batch, without)
	}
	_, err := g.Apply(ctx, s, e.Shard, batch, out)
	weight := len(batch)
	if g.compact {
		weight = compactNow
	}
	return []applied{{batch, weight}}, err
}

// entry implements journalled: whose turn it was.
func (g *PersonStage) entry(e *Element, without []identity.Place) ([]byte, error) {
	return e.order().entry(without), nil
}

func (g *PersonStage) last(s *PersonState, from int) int64 { return s.seqs[from] }

// forgets is the device stage's to say, which the deletion has met before.
func (g *PersonStage) forgets() bool { return false }

// renew implements stage.
func (g *PersonStage) renew() error {
	*g = *NewPersonStage(g.built)
	return nil
}

// Apply applies a batch: the vectors that have their turn, then the passing of time.
func (g *PersonStage) Apply(ctx context.Context, s *PersonState, shard int, batch []byte, out Outputs) (*wire.Header, error) {
	h, err := wire.ReadHeader(batch)
	if err != nil {
		return nil, err
	}
	g.batch, g.poison, g.at = batch, h.Poison, nil
	if err := s.admit(&h, g.before); err != nil {
		return nil, err
	}
	s.batches++
	if h.Semantics.Has(2) && h.Seq > s.seqs[h.Shard] {
		s.clocks.hear(h.Shard, h.Own, h.Watermark, h.Idle, h.Emitted)
	}
	s.seqs[h.Shard] = max(s.seqs[h.Shard], h.Seq)
	g.compact = false
	g.effects.Reset()
	g.stamps = g.stamps[:0]
	s.persons.Sent, s.persons.Semantics = 0, h.Semantics
	if h.Own {
		s.persons.Emitted = h.Emitted
	}
	if err := g.take(s, &h, batch); err != nil {
		return nil, err
	}
	decided := time.Now().UnixMicro()
	if err := out.sure(ctx); err != nil {
		return nil, err
	}
	if err := g.advance(s, shard, &h, out); err != nil {
		return nil, err
	}
	g.records.reset()
	g.records.take(s.persons, g.built.Spec.version(s.batches), decided)
	g.records.emit(out.Records)
	if out.Rows == nil {
		return &h, nil
	}
	g.built.board.user(shard, Stats{Persons: s.persons.Persons(), Moves: uint64(len(g.effects.Moves)), Excess: uint64(len(g.effects.Excess))})
	if !h.Again {
		g.ledger.add(g.built.Spec.userReporter(shard), h.Emitted, decided, g.stamps)
	}
	return &h, g.rows(s, shard, &h, decided/1000, out.Rows)
}

// advance lets time pass after the vectors of a batch.
func (g *PersonStage) advance(s *PersonState, shard int, h *wire.Header, out Outputs) error {
	now, ok := s.timeOf(h)
	if ok && now.time > 0 {
		s.persons.Advance(now.time, &g.effects.Effects)
	}
	if h.Own && h.Due > 0 {
		s.persons.Flush(h.Due, &g.effects.Effects)
	}
	if !ok {
		return nil
	}
	lowered := h.Limits != identity.Limits{}
	if s.lowered && !lowered {
		s.persons.Recount(&g.effects.Effects)
	}
	s.lowered = lowered
	return g.effects.report(&s.told, g.built.Spec.userReporter(shard), s.persons.Now, now.idle, lowered, out.Counts)
}

// admit checks that the batch follows those before it, and notes up to where
// they were applied.
func (s *PersonState) admit(h *wire.Header, before map[int32]int64) error {
	clear(before)
	for _, r := range h.Ranges {
		k := [2]int32{int32(h.Shard), r.Partition}
		last, seen := s.applied[k]
		if !seen {
			last = -1
		}
		before[r.Partition] = last
		if r.Prev > last {
			return &GapError{From: int32(h.Shard), Partition: r.Partition, Applied: last, Prev: r.Prev}
		}
		s.applied[k] = max(last, r.Last)
	}
	return nil
}

func (g *PersonStage) rows(s *PersonState, shard int, h *wire.Header, decided int64, out func(rows.Batch)) error {
	version := g.built.Spec.version(s.batches)
	if h.Due > 0 && h.Own {
		s.marks.add(h.Emitted, s.progress(g.built.Spec.Site, h.Shard, shard, version))
		for _, p := range s.marks.reached(h.Due) {
			g.prog.Append(&p)
		}
		g.ledger.rows(&g.built.Spec, g.built.Spec.userReporter(shard), version, h.Due >= h.Emitted, g.lat)
	}
	g.effects.poisonAlerts(h, "person")
	if err := emitRows(g.dead, decided, out); err != nil {
		return err
	}
	if err := g.effects.rows(decided, version, out); err != nil {
		return err
	}
	if err := emitRows(g.lat, 0, out); err != nil {
		return err
	}
	return emitRows(g.prog, 0, out)
}

// progress is how far the vectors of the own device shard are applied, which those
// that wait are not.
func (s *PersonState) progress(site string, from, shard int, version uint64) (out []rows.Progress) {
	for k, offset := range s.applied {
		if int(k[0]) == from {
			offset = s.waiting.reached(k[1], offset)
			out = append(out, rows.Progress{Site: site, Stage: rows.StagePerson, Partition: k[1], Shard: uint16(shard), Offset: offset,
				Clock: s.persons.Now, Watermark: s.persons.Now, Version: version})
		}
	}
	return out
}
