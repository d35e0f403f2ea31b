package wire

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

var vectorSchema = arrow.NewSchema([]arrow.Field{
	{Name: "device", Type: arrow.BinaryTypes.String},
	{Name: "person", Type: arrow.BinaryTypes.String},
	{Name: "epoch", Type: arrow.PrimitiveTypes.Int64},
	{Name: "generation", Type: arrow.PrimitiveTypes.Uint32},
	{Name: "offset", Type: arrow.PrimitiveTypes.Int64},
	{Name: "revision", Type: arrow.PrimitiveTypes.Uint32},
	{Name: "partition", Type: arrow.PrimitiveTypes.Int32},
	{Name: "flags", Type: arrow.PrimitiveTypes.Uint8}, // 1 retract, 2 bot
	{Name: "at", Type: arrow.PrimitiveTypes.Int64},
	{Name: "last", Type: arrow.PrimitiveTypes.Int64},
	{Name: "live", Type: arrow.PrimitiveTypes.Float64},
	{Name: "live_ref", Type: arrow.PrimitiveTypes.Int64},
	{Name: "long", Type: arrow.PrimitiveTypes.Float64},
	{Name: "long_ref", Type: arrow.PrimitiveTypes.Int64},
	{Name: "values", Type: arrow.BinaryTypes.Binary}, // codec.Sparse: most features of most visitors are 0
	{Name: "append", Type: arrow.PrimitiveTypes.Int64},
	{Name: "ingest", Type: arrow.PrimitiveTypes.Int64},
}, nil)

// Vector is a device vector with what the ledger needs to know of its event.
type Vector struct {
	session.Vector
	Partition      int32
	Append, Ingest int64 // as in event.Event
}

// VectorWriter encodes batches of vectors; it is used by one goroutine at a time.
type VectorWriter struct {
	b       *array.RecordBuilder
	scratch codec.Writer
	n       int
	size    int // of the last batch: the next one's first guess
}

// NewVectorWriter returns a writer with its own builders.
func NewVectorWriter() *VectorWriter {
	return &VectorWriter{b: array.NewRecordBuilder(memory.DefaultAllocator, vectorSchema)}
}

// Len is the number of vectors added since the last Finish.
func (w *VectorWriter) Len() int { return w.n }

// Add takes one vector.
func (w *VectorWriter) Add(v *session.Vector, partition int32, appended, ingest int64) {
	var flags uint8
	if v.Retract {
		flags |= 1
	}
	if v.Bot {
		flags |= 2
	}
	f := w.b.Fields()
	i64 := func(i int, x int64) { f[i].(*array.Int64Builder).Append(x) }
	f[0].(*array.StringBuilder).Append(v.Device)
	f[1].(*array.StringBuilder).Append(v.Person)
	i64(2, v.Epoch)
	f[3].(*array.Uint32Builder).Append(v.Version.Generation)
	i64(4, v.Version.Offset)
	f[5].(*array.Uint32Builder).Append(v.Version.Revision)
	f[6].(*array.Int32Builder).Append(partition)
	f[7].(*array.Uint8Builder).Append(flags)
	i64(8, v.At)
	i64(9, v.Last)
	f[10].(*array.Float64Builder).Append(v.Live.Sum)
	i64(11, v.Live.Ref)
	f[12].(*array.Float64Builder).Append(v.Long.Sum)
	i64(13, v.Long.Ref)
	w.scratch.B = w.scratch.B[:0]
	w.scratch.Sparse(v.Values)
	f[14].(*array.BinaryBuilder).Append(w.scratch.B)
	i64(15, appended)
	i64(16, ingest)
	w.n++
}

// Finish encodes what was added and starts anew.
func (w *VectorWriter) Finish(h *Header) ([]byte, error) {
	out := codec.Writer{B: make([]byte, 0, w.size+w.size/8+4096)}
	h.appendTo(&out)
	w.n = 0
	err := record(&out, w.b)
	w.size = len(out.B)
	return out.B, err
}

// ReadVectors decodes a batch that VectorWriter made and calls f for each
// vector, whose Values are valid until f returns. Strings alias b.
func ReadVectors(b []byte, f func(*Vector)) (Header, error) {
	r := codec.Reader{B: b}
	h := readHeader(&r)
	if err := r.Err(); err != nil {
		return h, err
	}
	return h, read(r.B, vectorSchema, func(rec arrow.Record) error { return vectors(rec, f) })
}

// ReadHeader decodes only what a batch of vectors covers, and returns the rest.
func ReadHeader(b []byte) (Header, error) {
	r := codec.Reader{B: b}
	h := readHeader(&r)
	return h, r.Err()
}

func vectors(rec arrow.Record, f func(*Vector)) error {
	i64 := func(i int) []int64 { return rec.Column(i).(*array.Int64).Int64Values() }
	u32 := func(i int) []uint32 { return rec.Column(i).(*array.Uint32).Uint32Values() }
	f64 := func(i int) []float64 { return rec.Column(i).(*array.Float64).Float64Values() }
	device, person := rec.Column(0).(*array.String), rec.Column(1).(*array.String)
	epoch, gen, offset, rev := i64(2), u32(3), i64(4), u32(5)
	part, flags := rec.Column(6).(*array.Int32).Int32Values(), rec.Column(7).(*array.Uint8).Uint8Values()
	at, last, live, liveRef, long, longRef := i64(8), i64(9), f64(10), i64(11), f64(12), i64(13)
	values, appended, ingest := rec.Column(14).(*array.Binary), i64(15), i64(16)
	var scratch []float64
	for i := range epoch {
		r := codec.Reader{B: values.Value(i)}
		scratch = r.Sparse(scratch)
		if err := r.Err(); err != nil {
			return err
		}
		f(&Vector{Partition: part[i], Append: appended[i], Ingest: ingest[i], Vector: session.Vector{
			Device: device.Value(i), Person: person.Value(i), Epoch: epoch[i],
			Version: session.Version{Generation: gen[i], Offset: offset[i], Revision: rev[i]},
			Retract: flags[i]&1 != 0, Bot: flags[i]&2 != 0, At: at[i], Last: last[i],
			Live: signal.Decayed{Sum: live[i], Ref: liveRef[i]}, Long: signal.Decayed{Sum: long[i], Ref: longRef[i]}, Values: scratch}})
	}
	return nil
}
