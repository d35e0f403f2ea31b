package wire

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
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
	{Name: "y", Type: arrow.PrimitiveTypes.Float64},
	{Name: "z", Type: arrow.PrimitiveTypes.Float64},
	{Name: "append", Type: arrow.PrimitiveTypes.Int64},
	{Name: "ingest", Type: arrow.PrimitiveTypes.Int64},
	{Name: "codes", Type: arrow.PrimitiveTypes.Uint64}, // kind, page type, element, device, os, network, flags: a byte each
	{Name: "screen", Type: arrow.PrimitiveTypes.Uint32},
	{Name: "raw", Type: arrow.BinaryTypes.Binary, Nullable: true},
}, nil)

// EventWriter encodes batches of events; it is used by one goroutine at a time.
type EventWriter struct {
	b    *array.RecordBuilder
	size int // of the last batch: the next one's first guess
}

// NewEventWriter returns a writer with its own builders.
func NewEventWriter() *EventWriter {
	return &EventWriter{b: array.NewRecordBuilder(memory.DefaultAllocator, eventSchema)}
}

func codes(e *event.Event) uint64 {
	return uint64(e.Kind) | uint64(e.PageType)<<8 | uint64(e.Element)<<16 | uint64(e.DeviceType)<<24 |
		uint64(e.OS)<<32 | uint64(e.Network)<<40 | uint64(e.Flags)<<48
}

// Add takes one event.
func (w *EventWriter) Add(e *event.Event) {
	f := w.b.Fields()
	f[0].(*array.StringBuilder).Append(e.Device)
	f[1].(*array.StringBuilder).Append(e.User)
	f[2].(*array.Int64Builder).Append(e.Time)
	f[3].(*array.Int64Builder).Append(e.Offset)
	f[4].(*array.Int32Builder).Append(e.Partition)
	f[5].(*array.Uint64Builder).Append(e.ID)
	f[6].(*array.Uint64Builder).Append(e.Page)
	f[7].(*array.Float64Builder).Append(e.X)
	f[8].(*array.Float64Builder).Append(e.Y)
	f[9].(*array.Float64Builder).Append(e.Z)
	f[10].(*array.Int64Builder).Append(e.Append)
	f[11].(*array.Int64Builder).Append(e.Ingest)
	f[12].(*array.Uint64Builder).Append(codes(e))
	f[13].(*array.Uint32Builder).Append(uint32(e.Width)<<16 | uint32(e.Height))
	raw := f[14].(*array.BinaryBuilder)
	if e.Raw == nil {
		raw.AppendNull()
	} else {
		raw.Append(e.Raw)
	}
}

// Finish encodes what was added and starts anew.
func (w *EventWriter) Finish(h *Header, dead []identity.DeadLetter) ([]byte, error) {
	out := codec.Writer{B: make([]byte, 0, w.size+w.size/8+4096)}
	h.appendTo(&out)
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
	}
	err := record(&out, w.b)
	w.size = len(out.B)
	return out.B, err
}

// ReadEvents decodes a batch that EventWriter made. The batch's strings alias b.
func ReadEvents(b []byte, batch *identity.Batch) (Header, error) {
	r := codec.Reader{B: b}
	h := readHeader(&r)
	batch.Ranges, batch.Flush = h.Ranges, h.Flush
	batch.Dead = batch.Dead[:0]
	for range r.Len() {
		batch.Dead = append(batch.Dead, identity.DeadLetter{Partition: int32(r.Int()), Offset: r.Int(), Append: r.Int(), Time: r.Int(),
			Device: r.String(), Reason: event.Reason(r.String()), Detail: r.String(), Raw: r.Bytes()})
	}
	batch.Events = batch.Events[:0]
	if err := r.Err(); err != nil {
		return h, err
	}
	return h, read(r.B, eventSchema, func(rec arrow.Record) error {
		batch.Events = appendEvents(batch.Events, rec)
		return nil
	})
}

func appendEvents(out []event.Event, rec arrow.Record) []event.Event {
	device, user := rec.Column(0).(*array.String), rec.Column(1).(*array.String)
	i64 := func(i int) []int64 { return rec.Column(i).(*array.Int64).Int64Values() }
	u64 := func(i int) []uint64 { return rec.Column(i).(*array.Uint64).Uint64Values() }
	f64 := func(i int) []float64 { return rec.Column(i).(*array.Float64).Float64Values() }
	times, offsets, ids, pages := i64(2), i64(3), u64(5), u64(6)
	parts, x, y, z := rec.Column(4).(*array.Int32).Int32Values(), f64(7), f64(8), f64(9)
	appends, ingests, cs := i64(10), i64(11), u64(12)
	screens, raw := rec.Column(13).(*array.Uint32).Uint32Values(), rec.Column(14).(*array.Binary)
	for i := range times {
		c := cs[i]
		e := event.Event{Device: device.Value(i), User: user.Value(i), Time: times[i], Offset: offsets[i], Partition: parts[i],
			ID: ids[i], Page: pages[i], X: x[i], Y: y[i], Z: z[i], Append: appends[i], Ingest: ingests[i],
			Width: uint16(screens[i] >> 16), Height: uint16(screens[i]), Kind: event.Kind(c), PageType: event.PageType(c >> 8),
			Element: uint8(c >> 16), DeviceType: event.DeviceType(c >> 24), OS: event.OS(c >> 32), Network: event.Network(c >> 40), Flags: event.Flags(c >> 48)}
		if !raw.IsNull(i) {
			e.Raw = raw.Value(i)
		}
		out = append(out, e)
	}
	return out
}
