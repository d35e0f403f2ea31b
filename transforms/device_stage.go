package transforms

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms/logstate"
	"github.com/microseg/microseg/transforms/rows"
	"github.com/microseg/microseg/transforms/wire"
)

// caches are the decoded shards of this process, by job: Beam makes DoFn
// instances as it likes, and a shard may move between them.
type caches[S logstate.State] struct {
	mu sync.Mutex
	m  map[string]*logstate.Cache[S]
}

func (c *caches[S]) of(job string, mk func() *logstate.Cache[S]) *logstate.Cache[S] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[string]*logstate.Cache[S]{}
	}
	if c.m[job] == nil {
		c.m[job] = mk()
	}
	return c.m[job]
}

var deviceCaches caches[*DeviceState]

// DeviceState is the device stage's state of one shard: the domain's shard and,
// for each person shard, up to which offsets vectors have been sent.
type DeviceState struct {
	shard *identity.Shard
	sent  []map[int32]int64
	built *Built
}

// NewDeviceState returns an empty state.
func NewDeviceState(b *Built) *DeviceState {
	s := &DeviceState{shard: identity.NewShard(&b.Identity), built: b, sent: make([]map[int32]int64, b.Spec.Shards)}
	for i := range s.sent {
		s.sent[i] = map[int32]int64{}
	}
	return s
}

// Devices is the number of devices in state.
func (s *DeviceState) Devices() int { return s.shard.Devices() }

// AppendTo implements logstate.State.
func (s *DeviceState) AppendTo(w *codec.Writer) {
	w.Uint(uint64(len(s.sent)))
	for _, m := range s.sent {
		w.Uint(uint64(len(m)))
		for _, p := range slices.Sorted(maps.Keys(m)) {
			w.Int(int64(p))
			w.Int(m[p])
		}
	}
	s.shard.AppendTo(w)
}

// ReadDeviceState reads what AppendTo wrote.
func ReadDeviceState(b []byte, built *Built) (*DeviceState, error) {
	r := codec.Reader{B: b}
	s := NewDeviceState(built)
	if n := r.Len(); n != len(s.sent) {
		return nil, fmt.Errorf("reading a device shard: it was written with %d shards, the job has %d", n, len(s.sent))
	}
	for i := range s.sent {
		for range r.Len() {
			p := int32(r.Int())
			s.sent[i][p] = r.Int()
		}
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	var err error
	s.shard, err = identity.ReadShard(r.B, &built.Identity)
	return s, err
}

// Replay implements logstate.State.
func (s *DeviceState) Replay(batch []byte) error {
	g, err := NewDeviceStage(s.built, nil)
	if err != nil {
		return err
	}
	return g.apply(s, 0, batch, func(int, []byte) {}, func(rows.Batch) {})
}

// DeviceStage applies batches to device states; one goroutine at a time.
type DeviceStage struct {
	built    *Built
	log      LogReader
	decoder  *BatchDecoder
	batch    identity.Batch
	out      identity.Output
	writers  []*wire.VectorWriter
	sessions *rows.Builder[rows.Session]
	dead     *rows.Builder[rows.DeadLetter]
	progress *rows.Builder[rows.Progress]
}

// NewDeviceStage returns a stage; log may be nil where gaps cannot be healed.
func NewDeviceStage(b *Built, log LogReader) (*DeviceStage, error) {
	d, err := NewBatchDecoder(&b.Spec)
	if err != nil {
		return nil, err
	}
	g := &DeviceStage{built: b, log: log, decoder: d, sessions: rows.NewSessionBuilder(), dead: rows.NewDeadLetterBuilder(), progress: rows.NewProgressBuilder()}
	for range b.Spec.Shards {
		g.writers = append(g.writers, wire.NewVectorWriter())
	}
	return g, nil
}

func (g *DeviceStage) apply(s *DeviceState, shard int, batch []byte, vectors func(int, []byte), out func(rows.Batch)) error {
	h, err := wire.ReadEvents(batch, &g.batch)
	if err != nil {
		return err
	}
	g.out.Reset()
	if err := s.shard.Apply(&g.batch, &g.out); err != nil {
		return err
	}
	if err := g.route(s, &h, vectors); err != nil {
		return err
	}
	return g.rows(s, shard, &h, out)
}

// route sends each vector to its person's shard. The shard's own batch always
// goes, it carries the time; others only with vectors in them.
func (g *DeviceStage) route(s *DeviceState, h *wire.Header, vectors func(int, []byte)) error {
	spec := &g.built.Spec
	j := 0
	for i := range g.out.Vectors {
		v := &g.out.Vectors[i]
		for g.batch.Events[j].Offset != v.Version.Offset || g.batch.Events[j].Device != v.Device {
			j++ // a vector belongs to its event: both are in the same order
		}
		e := &g.batch.Events[j]
		g.writers[spec.PersonShard(v.Person)].Add(v, e.Partition, e.Append, e.Ingest)
	}
	w, ok := s.shard.Watermark()
	if !ok {
		w = 0
	}
	for to, vw := range g.writers {
		own := to == h.Shard
		if !own && vw.Len() == 0 {
			continue
		}
		o := wire.Header{Shard: h.Shard, ID: h.ID, Watermark: w, Flush: h.Flush, Idle: s.shard.Idle(), Own: own, Emitted: h.Emitted}
		for _, r := range h.Ranges {
			last, seen := s.sent[to][r.Partition]
			if !seen {
				last = -1
			}
			o.Ranges = append(o.Ranges, identity.Range{Partition: r.Partition, Prev: last, First: last + 1, Last: max(last, r.Last)})
			s.sent[to][r.Partition] = max(last, r.Last)
		}
		b, err := vw.Finish(&o)
		if err != nil {
			return err
		}
		vectors(to, b)
	}
	return nil
}

func (g *DeviceStage) rows(s *DeviceState, shard int, h *wire.Header, out func(rows.Batch)) error {
	for i := range g.out.Sessions {
		row := sessionRow(g.built.Spec.Site, &g.out.Sessions[i])
		g.sessions.Append(&row)
	}
	site := g.built.Spec.Site
	for i := range g.out.Dead {
		d := &g.out.Dead[i]
		g.dead.Append(&rows.DeadLetter{Site: site, Partition: d.Partition, Offset: d.Offset, Reason: string(d.Reason), Detail: d.Detail,
			EventTime: d.Time, Appended: d.Append, Device: d.Device, Payload: strings.ToValidUTF8(string(d.Raw), "\uFFFD"), Version: uint64(d.Offset)})
	}
	if h.Flush {
		w, _ := s.shard.Watermark()
		s.shard.Partitions(func(id int32, p *identity.Partition) {
			c := p.Counts
			g.progress.Append(&rows.Progress{Site: site, Stage: rows.StageDevice, Partition: id, Shard: uint16(h.Shard), Offset: p.Offset, Clock: p.Clock,
				Watermark: w, Read: c.Read, Good: c.Good, Duplicate: c.Duplicate, Dead: c.Dead, Version: g.built.Spec.version(h.ID + 1)})
		})
	}
	decided := h.Emitted / 1000
	if err := emitRows(g.sessions, decided, out); err != nil {
		return err
	}
	if err := emitRows(g.dead, decided, out); err != nil {
		return err
	}
	return emitRows(g.progress, decided, out)
}

// emitRows lets a builder's rows go, if there are any.
func emitRows[R any](b *rows.Builder[R], decided int64, out func(rows.Batch)) error {
	if b.Len() == 0 {
		return nil
	}
	batch, err := b.Batch(decided)
	if err == nil {
		out(batch)
	}
	return err
}

const msPerS = 1000.0

// sessionRow is a session, or its tombstone, as a row of the record.
func sessionRow(site string, r *identity.SessionRow) rows.Session {
	row := rows.Session{Site: site, Device: r.Device, Epoch: r.Epoch, Start: r.Start, End: r.Start, Person: r.Person,
		Open: r.Open, Deleted: r.Fold == nil, Version: r.Version, DeviceType: event.DeviceTypes[r.Context.Device], OS: event.OSes[r.Context.OS],
		Network: event.Networks[r.Context.Network], CartItems: uint32(r.Cart.Items), CartValue: r.Cart.Value}
	if f := r.Fold; f != nil {
		row.End, row.DurationS = f.End, float64(f.End-f.Start)/msPerS
		row.Events, row.PageViews, row.Clicks = f.Events, f.PageViews, f.Clicks
		row.DwellListS, row.DwellProductS = s1(f.Dwell[event.PageList]), s1(f.Dwell[event.PageProduct])
		row.DwellComparisonS, row.DwellCartS = s1(f.Dwell[event.PageComparison]), s1(f.Dwell[event.PageCart])
		row.DwellCheckoutS, row.DwellHighTicketS = s1(f.Dwell[event.PageCheckout]), s1(f.HighTicket)
		row.DwellS, row.HoverS, row.FocusS = s1(f.Dwell[:]...), s1(f.Hover...), s1(f.Focus...)
		row.MaxScroll, row.ScrollVelocity, row.HalfScrollS = f.MaxDepth, f.Velocity, f.Half
		row.VideoStarts, row.VideoDropoffs, row.FormStarts, row.FormSubmits = f.VideoStarts, f.VideoDrops, f.FormStarts, f.FormSubmits
		row.Orders, row.Revenue = f.Orders, f.Revenue
		row.Path = pathOf(f.Path)
	}
	return row
}

// s1 is a sum of milliseconds in seconds.
func s1(ms ...int64) float64 {
	var sum int64
	for _, v := range ms {
		sum += v
	}
	return float64(sum) / msPerS
}

func pathOf(types []byte) string {
	var path strings.Builder
	for i, t := range types {
		if i > 0 {
			path.WriteByte('>')
		}
		path.WriteString(event.PageTypes[t])
	}
	return path.String()
}
