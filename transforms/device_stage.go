package transforms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/transforms/wire"
)

// passEvery is how much event time (ms) passes before a person shard without
// vectors is told of it.
const passEvery = 500

// DeviceStage applies batches to device states; one goroutine at a time.
type DeviceStage struct {
	built   *Built
	log     LogReader
	decoder *BatchDecoder
	batch   identity.Batch

	state   *DeviceState // the one that a batch is being applied to
	out     identity.Output
	effects *effects
	stamps  []stamp // of the events whose persons are decided here
	needed  *segment.Projection
	values  []float64
	writers []*wire.VectorWriter // by person shard
	ledger  *ledger
	board   *board
	records records
	version uint64              // of the batch's records
	poison  []identity.Place    // records that are left out, besides those that headers name
	again   bool                // the batch was applied before
	compact bool                // a tombstone was applied: what the log of the state holds must go
	untold  func(person string) // is called where it is owed that a person has left; nil: nobody wants to know

	sessions *rows.Builder[rows.Session]
	dead     *rows.Builder[rows.DeadLetter]
	warnings *rows.Builder[rows.EventWarning]
	replayed *rows.Builder[rows.Replayed]
	progress *rows.Builder[rows.Progress]
	latency  *rows.Builder[rows.Latency]
}

// NewDeviceStage returns a stage; without a log nothing can be read again.
func NewDeviceStage(b *Built, log LogReader) (*DeviceStage, error) {
	d, err := NewBatchDecoder(&b.Spec)
	if err != nil {
		return nil, err
	}
	g := &DeviceStage{built: b, log: log, decoder: d, effects: newEffects(b), ledger: b.ledger, board: b.board,
		needed:   segment.NewProjection(&b.Segment, len(b.Spec.Event.Elements)),
		sessions: rows.NewSessionBuilder(), dead: rows.NewDeadLetterBuilder(), warnings: rows.NewEventWarningBuilder(), replayed: rows.NewReplayedBuilder(), progress: rows.NewProgressBuilder(), latency: rows.NewLatencyBuilder()}
	for range b.Spec.Shards {
		g.writers = append(g.writers, wire.NewVectorWriter())
	}
	g.bind()
	return g, nil
}

// bind makes the shard tell the stage.
func (g *DeviceStage) bind() {
	g.out.Before = func(p *session.Profile, t int64) { g.state.persons.Before(p, t, &g.effects.Effects) }
	g.out.Gone = g.gone
	g.out.Erased = g.erased
	g.out.Evicted = g.evicted
	g.out.Owed = g.owed
	g.out.Opened = g.forget
	g.out.Passed = func(w int64) { g.state.persons.Advance(w, &g.effects.Effects) }
	g.out.Vector = g.vector
}

// eventsFor is a batch of events on its way to a device shard, from its source.
func eventsFor(shard int, batch []byte) (*Element, error) {
	h, err := wire.ReadHeader(batch)
	if err != nil {
		return nil, err
	}
	return &Element{Shard: shard, From: shard, Number: h.ID, Bytes: batch}, nil
}

func (g *DeviceStage) name() string { return "device" }

// process implements stage.
func (g *DeviceStage) process(ctx context.Context, s *DeviceState, e *Element, without []identity.Place, out Outputs) ([]applied, error) {
	g.poison, g.untold = without, out.Untold
	done, _, err := g.Apply(ctx, s, e.Bytes, out)
	return done, err
}

// entry implements journalled: the batch's header.
func (g *DeviceStage) entry(e *Element, without []identity.Place) ([]byte, error) {
	h, err := wire.ReadHeader(e.Bytes)
	if err != nil {
		return nil, err
	}
	h.Poison = appendPlaces(h.Poison, without)
	return deltaOf(&h), nil
}

func (g *DeviceStage) last(s *DeviceState, _ int) int64 { return s.last }

func (g *DeviceStage) forgets() bool { return g.compact }

// Apply applies an encoded batch. Where offsets are missing before it, they are
// read from the log again and applied first.
func (g *DeviceStage) Apply(ctx context.Context, s *DeviceState, batch []byte, out Outputs) ([]applied, *wire.Header, error) {
	h, err := wire.ReadEvents(batch, &g.batch)
	if err != nil {
		return nil, nil, err
	}
	g.compact = false
	done, err := g.Fold(ctx, s, &h, &g.batch, out)
	if n := len(done); n > 0 {
		done[n-1].weight = len(batch)
		if g.compact {
			done[n-1].weight = compactNow
		}
	}
	return done, &h, err
}

// compactNow is a weight that outgrows any snapshot: the last one and the deltas
// since hold what was deleted.
const compactNow = 1 << 50

// Fold is Apply for a batch that is not encoded.
func (g *DeviceStage) Fold(ctx context.Context, s *DeviceState, h *wire.Header, b *identity.Batch, out Outputs) (done []applied, err error) {
	for {
		err := g.apply(ctx, s, h, b, out)
		var gap *identity.GapError
		if !errors.As(err, &gap) {
			return append(done, applied{delta: deltaOf(h)}), err
		}
		slog.Warn("re-reading a gap in the log", "shard", h.Shard, "partition", gap.Partition, "first", gap.First, "last", gap.Last)
		missing := s.missing(h, gap)
		events, err := g.events(ctx, map[int32]*identity.Range{gap.Partition: {First: gap.First, Last: gap.Last}}, func(identity.Place) event.Semantics { return h.Semantics })
		if err != nil {
			return nil, fmt.Errorf("healing a gap in the log: %w", err)
		}
		if err := g.apply(ctx, s, &missing, events.cut(&missing), out); err != nil {
			return nil, fmt.Errorf("applying offsets %d to %d again: %w", gap.First, gap.Last, err)
		}
		g.board.device(h.Shard, s.healed())
		done = append(done, applied{delta: deltaOf(&missing), weight: int(gap.Last-gap.First+1) * healedWeight})
	}
}

// missing is the header of the batch that a gap before h stands for. Like h it
// names all partitions of the shard.
func (s *DeviceState) missing(h *wire.Header, gap *identity.GapError) wire.Header {
	m := wire.Header{Shard: h.Shard, ID: h.ID, Emitted: h.Emitted, Again: h.Again, Semantics: h.Semantics, LegacyUntil: h.LegacyUntil, Limits: h.Limits, Poison: h.Poison}
	for _, r := range h.Ranges {
		at := s.shard.Offset(r.Partition)
		r = identity.Range{Partition: r.Partition, Prev: at, First: at + 1, Last: at}
		if r.Partition == gap.Partition {
			r.Last = gap.Last
		}
		m.Ranges = append(m.Ranges, r)
	}
	return m
}

// healedWeight stands for the encoded bytes of an event that was read again.
const healedWeight = 100

func deltaOf(h *wire.Header) []byte {
	var w codec.Writer
	h.AppendTo(&w)
	return w.B
}

func (g *DeviceStage) apply(ctx context.Context, s *DeviceState, h *wire.Header, b *identity.Batch, out Outputs) error {
	g.state = s
	s.persons.Emitted, s.persons.Sent, s.persons.Semantics = h.Emitted, 0, h.Semantics
	g.again = h.Again
	g.out.Reset()
	g.effects.Reset()
	g.stamps = g.stamps[:0]
	g.version = g.built.Spec.version(h.ID + 1)
	g.records.reset()
	for _, p := range g.poison {
		if h.Covers(p) {
			h.Poison = appendPlaces(h.Poison, []identity.Place{p})
		}
	}
	leaveOut(h, b)
	if err := g.rebuilds(ctx, s, b); err != nil {
		return err
	}
	lowered := h.ID <= s.owes
	if s.shard.Owe(lowered); s.lowered && !lowered {
		s.persons.Recount(&g.effects.Effects) // of what was told with numbers that it has had nothing is heard
	}
	s.lowered = lowered
	if err := s.shard.Apply(b, &g.out); err != nil {
		return err
	}
	s.limit = h.Limits.Devices
	g.tell(s, h, b)
	g.compact = g.compact || g.out.Compact
	if h.Due > 0 {
		s.persons.Flush(h.Due, &g.effects.Effects)
	}
	s.last = max(s.last, h.ID)
	decided := time.Now().UnixMicro()
	if err := out.sure(ctx); err != nil {
		return err
	}
	g.records.take(s.persons, g.version, decided)
	g.records.emit(out.Records)
	if err := g.send(s, h, out.Vectors); err != nil {
		return err
	}
	if err := g.effects.report(&s.told, h.Shard, s.persons.Now, s.shard.Idle(), h.ID <= s.owes, out.Counts); err != nil {
		return err
	}
	if out.Rows == nil {
		return nil
	}
	if err := g.payloads(ctx); err != nil {
		return err
	}
	if !h.Again {
		g.ledger.add(h.Shard, h.Emitted, decided, g.stamps)
	}
	now := s.stats(uint64(len(g.effects.Moves)))
	now.Excess, now.Warnings = uint64(len(g.out.Excess)), uint64(len(b.Warnings))
	now.Claims, now.Proven = uint64(g.out.Claims), uint64(g.out.Proven)
	g.board.device(h.Shard, now)
	g.warn(b.Warnings)
	return g.rows(s, h, decided/1000, out.Rows)
}

// vector takes a device's vector to its person: one that is this device lives
// here, a user may live elsewhere.
func (g *DeviceStage) vector(v *session.Vector, e *event.Event) {
	if g.built.testPanic != nil {
		g.built.testPanic("device", placeOf(e))
	}
	if v.User == "" {
		g.state.persons.Sent = g.built.Spec.sent(g.again, e.Append, e.Ingest)
		g.state.persons.Apply(v, e.Partition, &g.effects.Effects)
		g.state.persons.Sent = 0
		if !v.Retract {
			g.stamps = append(g.stamps, stamp{e.Append, e.Ingest})
		}
		return
	}
	if v.Retract {
		g.writers[g.built.Spec.PersonShard(v.User)].Add(v, e.Partition, e.Append, e.Ingest)
		return
	}
	if !v.Former {
		g.point(v, e.Partition)
	}
	g.values = g.needed.Of(v.Profile, g.values[:0])
	v.Values = g.values
	g.writers[g.built.Spec.PersonShard(v.User)].Add(v, e.Partition, e.Append, e.Ingest)
}

// pointed is the state of a device that is linked and whose pointer was published.
type pointed struct{}

// point publishes that a device is linked to a user, once: serving then finds
// the user by the device. Another worker may do it again, which does no harm.
// The event that links may be a late one; the pointer has the time up to which
// the device was a person, or readers would keep the newer record.
func (g *DeviceStage) point(v *session.Vector, partition int32) {
	if _, done := v.Profile.PersonState.(pointed); !done && g.built.Segment.Publish {
		v.Profile.PersonState = pointed{}
		t := max(v.At, g.state.shard.Now(partition, v.Device), g.state.persons.Now)
		g.records.pointer(v, g.version, t, time.Now().UnixMicro())
	}
}

// gone is told of a device that the retention has forgotten.
func (g *DeviceStage) gone(device string, p *session.Profile, t int64) {
	g.state.persons.Gone(p, t, segment.CauseRetention, &g.effects.Effects)
	g.forget(device)
}

// erased is told of a tombstone. It is published also where nothing is known: a
// job that starts after the deletion has not seen what was published before.
func (g *DeviceStage) erased(device string, p *session.Profile, t int64) {
	if p != nil {
		g.state.persons.Gone(p, t, segment.CauseErased, &g.effects.Effects)
	}
	g.state.persons.Forget(device, t, &g.effects.Effects)
	g.forget(device)
	g.compact = true
}

// evicted is told of a device that was let go.
func (g *DeviceStage) evicted(device string, p *session.Profile, c identity.Class, t int64, at identity.Place) {
	cause := segment.CauseEvicted
	if c == identity.ClassExpired {
		cause = segment.CauseRetention
	}
	g.state.persons.Evicted(p, t, cause, at.Offset, at.Partition, &g.effects.Effects)
	g.forget(device)
}

// forget publishes that nothing is known of a device, neither as a person nor as
// a user's: also where it has logged out. It is said here and not with the batch's other records, because the
// device may come back, linked, in the same batch.
func (g *DeviceStage) forget(device string) {
	if g.built.Segment.Publish {
		g.records.add(session.PersonID(device, ""), nil)
	}
}

// send lets the vectors go to their person shards.
func (g *DeviceStage) send(s *DeviceState, h *wire.Header, out func(int, []byte)) error {
	w, ok := s.shard.Watermark()
	if !ok {
		w = 0
	}
	idle := s.shard.Idle()
	// Under a lower limit other batches have something to tell than when they were applied
	// first: all have then, so that none has a lower number than it had.
	all := s.tellAll(clockOf{w, idle}, h) || h.ID <= s.owes
	for to, vw := range g.writers {
		own := to == h.Shard
		if tell := own && s.tell(w, idle, h) || all; vw.Len() == 0 && !tell {
			continue
		}
		if own {
			s.passed, s.unsent = w, 0
		}
		s.seqs[to]++
		o := wire.Header{Shard: h.Shard, ID: h.ID, Watermark: w, Due: h.Due, Idle: idle, Own: own, Emitted: h.Emitted, Seq: s.seqs[to], Again: h.Again, Semantics: h.Semantics, Ranges: s.cover(to)}
		if h.ID <= s.owes {
			o.Limits = h.Limits
		}
		b, err := vw.Finish(&o)
		if err != nil {
			return err
		}
		if out != nil {
			out(to, b)
		}
	}
	return nil
}

// tellAfter is how many batches pass before a person shard without vectors is
// told of them.
const tellAfter = 100

// tell reports whether the own person shard must hear of a batch that has no
// vectors for it: of time that has passed, and at last of the offsets.
func (s *DeviceState) tell(w int64, idle bool, h *wire.Header) bool {
	s.unsent++
	return everythingDue(h) || idle != s.told.idle || w-s.passed >= passEvery || s.unsent >= tellAfter
}

// tellAll reports whether all person shards must hear of a batch, for the time that
// it lets pass. Batches that an older program cut are numbered as it did.
func (s *DeviceState) tellAll(now clockOf, h *wire.Header) bool {
	every := int64(spreadEvery)
	if !h.Semantics.Has(4) {
		every = spreadSlowly
	}
	if !h.Semantics.Has(2) || !s.spread.due(now, h.Emitted, everythingDue(h), every) {
		return false
	}
	s.spread = spread{now, h.Emitted}
	return true
}

// everythingDue reports whether nothing may wait any more: nothing else comes.
func everythingDue(h *wire.Header) bool { return h.Due >= h.Emitted }

// cover are the ranges that a batch to a person shard brings it: whatever has
// been applied since the last one.
func (s *DeviceState) cover(to int) (ranges []identity.Range) {
	s.shard.Partitions(func(id int32, p *identity.Partition) {
		last, seen := s.sent[to][id]
		if !seen {
			last = -1
		}
		ranges = append(ranges, identity.Range{Partition: id, Prev: last, First: last + 1, Last: max(last, p.Offset)})
		s.sent[to][id] = max(last, p.Offset)
	})
	slices.SortFunc(ranges, func(a, b identity.Range) int { return cmp.Compare(a.Partition, b.Partition) })
	return ranges
}
