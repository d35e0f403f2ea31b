package wire

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows/arrowipc"
)

var eventSchema = arrow.NewSchema([]arrow.Field{
	{Name: "device", Type: arrow.BinaryTypes.String},
	{Name: "user", Type: arrow.BinaryTypes.String},
	{Name: "time", Type: arrow.PrimitiveTypes.Int64},
	{Name: "offset", Type: arrow.PrimitiveTypes.Int64},
	{Name: "partition", Type: arrow.PrimitiveTypes.Int32},
	{Name: "id", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "page", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "x", Type: arrow.PrimitiveTypes.Float64},
	{Name: "append", Type: arrow.PrimitiveTypes.Int64},
	{Name: "ingest", Type: arrow.PrimitiveTypes.Int32},
	{Name: "codes", Type: arrow.PrimitiveTypes.Uint64}, // kind, page type, element, device, os, network, flags, trust: a byte each
	{Name: "screen", Type: arrow.PrimitiveTypes.Uint32},
	{Name: "more", Type: arrow.BinaryTypes.Binary}, // y, z, item and raw of the few events that have them
	{Name: "receipt", Type: arrow.PrimitiveTypes.Int64},
}, nil)

var eventPreamble = arrowipc.Preamble(eventSchema)

// EventWriter encodes batches of events; it is used by one goroutine at a time.
type EventWriter struct {
	device, user, more   text
	time, offset, append []int64
	receipt              []int64
	partition, ingest    []int32
	id, page, codes      []uint64
	x                    []float64
	screen               []uint32
}

// NewEventWriter returns an empty writer.
func NewEventWriter() *EventWriter {
	w := &EventWriter{}
	w.reset()
	return w
}

func (w *EventWriter) reset() {
	w.device.reset()
	w.user.reset()
	w.more.reset()
	w.time, w.offset, w.append = w.time[:0], w.offset[:0], w.append[:0]
	w.receipt = w.receipt[:0]
	w.partition, w.ingest = w.partition[:0], w.ingest[:0]
	w.id, w.page, w.codes = w.id[:0], w.page[:0], w.codes[:0]
	w.x, w.screen = w.x[:0], w.screen[:0]
}

// Encode encodes a batch.
func (w *EventWriter) Encode(h *Header, b *identity.Batch) ([]byte, error) {
	for i := range b.Events {
		w.add(&b.Events[i])
	}
	defer w.reset()
	c := columns{rows: len(b.Events)}
	c.text(arrow.BinaryTypes.String, &w.device)
	c.text(arrow.BinaryTypes.String, &w.user)
	c.add(arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(w.time))
	c.add(arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(w.offset))
	c.add(arrow.PrimitiveTypes.Int32, arrow.Int32Traits.CastToBytes(w.partition))
	c.add(arrow.PrimitiveTypes.Uint64, arrow.Uint64Traits.CastToBytes(w.id))
	c.add(arrow.PrimitiveTypes.Uint64, arrow.Uint64Traits.CastToBytes(w.page))
	c.add(arrow.PrimitiveTypes.Float64, arrow.Float64Traits.CastToBytes(w.x))
	c.add(arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(w.append))
	c.add(arrow.PrimitiveTypes.Int32, arrow.Int32Traits.CastToBytes(w.ingest))
	c.add(arrow.PrimitiveTypes.Uint64, arrow.Uint64Traits.CastToBytes(w.codes))
	c.add(arrow.PrimitiveTypes.Uint32, arrow.Uint32Traits.CastToBytes(w.screen))
	c.text(arrow.BinaryTypes.Binary, &w.more)
	c.add(arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(w.receipt))
	for i := range b.Dead {
		c.bytes += len(b.Dead[i].Raw) + 512
	}
	c.bytes += 128 * len(b.Warnings)
	return c.encode(h, eventSchema, func(out *codec.Writer) {
		appendDead(out, b.Dead)
		appendWarnings(out, b.Warnings)
	})
}

func (w *EventWriter) add(e *event.Event) {
	w.device.add(e.Device)
	w.user.add(e.User)
	w.time = append(w.time, e.Time)
	w.offset = append(w.offset, e.Offset)
	w.partition = append(w.partition, e.Partition)
	w.id = append(w.id, e.ID)
	w.page = append(w.page, e.Page)
	w.x = append(w.x, e.X)
	w.append = append(w.append, e.Append)
	w.receipt = append(w.receipt, e.Receipt)
	w.ingest = append(w.ingest, int32(e.Ingest))
	w.codes = append(w.codes, uint64(e.Kind)|uint64(e.PageType)<<8|uint64(e.Element)<<16|uint64(e.DeviceType)<<24|
		uint64(e.OS)<<32|uint64(e.Network)<<40|uint64(e.Flags)<<48|uint64(e.Trust)<<56)
	w.screen = append(w.screen, uint32(e.Width)<<16|uint32(e.Height))
	if e.Y != 0 || e.Z != 0 || e.Item != 0 || e.Raw != nil || e.HasOrigin {
		m := codec.Writer{B: w.more.data}
		m.Float(e.Y)
		m.Float(e.Z)
		m.Uint(e.Item)
		m.Bool(e.HasOrigin)
		if e.HasOrigin {
			m.Int(int64(e.OriginPartition))
			m.Int(e.OriginOffset)
		}
		m.Bool(e.Raw != nil)
		m.B = append(m.B, e.Raw...)
		w.more.data = m.B
	}
	w.more.end()
}

func appendDead(out *codec.Writer, dead []identity.DeadLetter) {
	out.Uint(uint64(len(dead)))
	for i := range dead {
		d := &dead[i]
		out.Int(int64(d.Partition))
		out.Int(d.Offset)
		out.Int(d.Append)
		out.Int(d.Time)
		out.String(d.Device)
		out.String(string(d.Reason))
		out.String(d.Detail)
		out.Bytes(d.Raw)
		d.Origin.AppendTo(out)
	}
}

func appendWarnings(out *codec.Writer, warnings []identity.Warning) {
	out.Uint(uint64(len(warnings)))
	for i := range warnings {
		w := &warnings[i]
		out.Int(int64(w.Partition))
		out.Int(w.Offset)
		out.Int(w.Append)
		out.String(w.Property)
		out.String(string(w.Why))
		out.String(w.Example)
	}
}

// ReadEvents decodes a batch that EventWriter made. The batch's strings alias b.
func ReadEvents(b []byte, batch *identity.Batch) (Header, error) {
	r := codec.Reader{B: b}
	h := readHeader(&r)
	batch.Ranges, batch.Emitted, batch.Due, batch.Semantics, batch.LegacyUntil, batch.Limits = h.Ranges, h.Emitted, h.Due, h.Semantics, h.LegacyUntil, h.Limits
	batch.Dead = batch.Dead[:0]
	for range r.Len() {
		batch.Dead = append(batch.Dead, identity.DeadLetter{Partition: int32(r.Int()), Offset: r.Int(), Append: r.Int(), Time: r.Int(),
			Device: r.String(), Reason: event.Reason(r.String()), Detail: r.String(), Raw: r.Bytes(), Origin: identity.ReadOriginFrom(&r)})
	}
	batch.Warnings = batch.Warnings[:0]
	for range r.Len() {
		batch.Warnings = append(batch.Warnings, identity.Warning{Partition: int32(r.Int()), Offset: r.Int(), Append: r.Int(),
			Warning: event.Warning{Property: r.String(), Why: event.Why(r.String()), Example: r.String()}})
	}
	batch.Events = batch.Events[:0]
	if err := r.Err(); err != nil {
		return h, err
	}
	return h, read(r.B, eventPreamble, func(rec arrow.Record) (err error) {
		batch.Events, err = appendEvents(batch.Events, rec)
		return err
	})
}

func appendEvents(out []event.Event, rec arrow.Record) ([]event.Event, error) {
	device, user, more := rec.Column(0).(*array.String), rec.Column(1).(*array.String), rec.Column(12).(*array.Binary)
	i64 := func(i int) []int64 { return rec.Column(i).(*array.Int64).Int64Values() }
	i32 := func(i int) []int32 { return rec.Column(i).(*array.Int32).Int32Values() }
	u64 := func(i int) []uint64 { return rec.Column(i).(*array.Uint64).Uint64Values() }
	times, offsets, parts, ids, pages, receipts := i64(2), i64(3), i32(4), u64(5), u64(6), i64(13)
	xs, appends, ingests, codes := rec.Column(7).(*array.Float64).Float64Values(), i64(8), i32(9), u64(10)
	screens := rec.Column(11).(*array.Uint32).Uint32Values()
	for i := range times {
		c := codes[i]
		e := event.Event{Device: device.Value(i), User: user.Value(i), Time: times[i], Offset: offsets[i], Partition: parts[i],
			ID: ids[i], Page: pages[i], X: xs[i], Append: appends[i], Receipt: receipts[i], Ingest: int64(ingests[i]),
			Width: uint16(screens[i] >> 16), Height: uint16(screens[i]), Kind: event.Kind(c), PageType: event.PageType(c >> 8),
			Element: uint8(c >> 16), DeviceType: event.DeviceType(c >> 24), OS: event.OS(c >> 32), Network: event.Network(c >> 40), Flags: event.Flags(c >> 48), Trust: event.Trust(c >> 56)}
		if e.PageType >= event.NumPageTypes || !e.Trust.Known() {
			return out, codec.ErrCorrupt // it is an index
		}
		if b := more.Value(i); len(b) > 0 {
			r := codec.Reader{B: b}
			e.Y, e.Z, e.Item = r.Float(), r.Float(), r.Uint()
			if e.HasOrigin = r.Bool(); e.HasOrigin {
				e.OriginPartition, e.OriginOffset = int32(r.Int()), r.Int()
			}
			if r.Bool() {
				e.Raw = r.B
			}
			if err := r.Err(); err != nil {
				return out, err
			}
		}
		out = append(out, e)
	}
	return out, nil
}
