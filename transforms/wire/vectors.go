package wire

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/rows/arrowipc"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

var vectorSchema = arrow.NewSchema([]arrow.Field{
	{Name: "device", Type: arrow.BinaryTypes.String},
	{Name: "user", Type: arrow.BinaryTypes.String},
	{Name: "epoch", Type: arrow.PrimitiveTypes.Int64},
	{Name: "generation", Type: arrow.PrimitiveTypes.Uint32},
	{Name: "offset", Type: arrow.PrimitiveTypes.Int64},
	{Name: "revision", Type: arrow.PrimitiveTypes.Uint32},
	{Name: "partition", Type: arrow.PrimitiveTypes.Int32},
	{Name: "flags", Type: arrow.PrimitiveTypes.Uint8}, // 1 retract, 2 bot, 4 erased, 8 rebuilt, 16 former, 32 evicted
	{Name: "at", Type: arrow.PrimitiveTypes.Int64},
	{Name: "last", Type: arrow.PrimitiveTypes.Int64},
	{Name: "live", Type: arrow.PrimitiveTypes.Float64},
	{Name: "live_ref", Type: arrow.PrimitiveTypes.Int64},
	{Name: "long", Type: arrow.PrimitiveTypes.Float64},
	{Name: "long_ref", Type: arrow.PrimitiveTypes.Int64},
	{Name: "values", Type: arrow.BinaryTypes.Binary}, // codec.Sparse: most features of most visitors are 0; then what a device says, since semantics 2, and when it was seen, since 5
	{Name: "append", Type: arrow.PrimitiveTypes.Int64},
	{Name: "ingest", Type: arrow.PrimitiveTypes.Int64},
}, nil)

var vectorPreamble = arrowipc.Preamble(vectorSchema)

// Vector is a device vector with what the ledger needs to know of its event.
type Vector struct {
	session.Vector
	Partition      int32
	Append, Ingest int64 // as in event.Event
}

const (
	flagRetract = 1 << iota
	flagBot
	flagErased
	flagRebuilt
	flagFormer
	flagEvicted
)

// VectorWriter encodes batches of vectors; it is used by one goroutine at a time.
type VectorWriter struct {
	device, user, values                                      text
	epoch, offset, at, last, liveRef, longRef, append, ingest []int64
	nothing, revision                                         []uint32
	partition                                                 []int32
	flags                                                     []uint8
	live, long                                                []float64
}

// NewVectorWriter returns an empty writer.
func NewVectorWriter() *VectorWriter {
	w := &VectorWriter{}
	w.reset()
	return w
}

func (w *VectorWriter) reset() {
	for _, t := range []*text{&w.device, &w.user, &w.values} {
		t.reset()
	}
	for _, c := range []*[]int64{&w.epoch, &w.offset, &w.at, &w.last, &w.liveRef, &w.longRef, &w.append, &w.ingest} {
		*c = (*c)[:0]
	}
	w.nothing, w.revision, w.partition, w.flags = w.nothing[:0], w.revision[:0], w.partition[:0], w.flags[:0]
	w.live, w.long = w.live[:0], w.long[:0]
}

// Len is the number of vectors added since the last Finish.
func (w *VectorWriter) Len() int { return len(w.epoch) }

// Add takes one vector with its projected values.
func (w *VectorWriter) Add(v *session.Vector, partition int32, appended, ingest int64) {
	var flags uint8
	if v.Retract {
		flags |= flagRetract
	}
	if v.Bot {
		flags |= flagBot
	}
	if v.Erased {
		flags |= flagErased
	}
	if v.Rebuilt {
		flags |= flagRebuilt
	}
	if v.Former {
		flags |= flagFormer
	}
	if v.Evicted {
		flags |= flagEvicted
	}
	w.device.add(v.Device)
	w.user.add(v.User)
	w.epoch = append(w.epoch, v.Epoch)
	w.nothing = append(w.nothing, 0)
	w.offset = append(w.offset, v.Version.Offset)
	w.revision = append(w.revision, v.Version.Revision)
	w.partition = append(w.partition, partition)
	w.flags = append(w.flags, flags)
	w.at = append(w.at, v.At)
	w.last = append(w.last, v.Last)
	w.live, w.liveRef = append(w.live, v.Live.Sum), append(w.liveRef, v.Live.Ref)
	w.long, w.longRef = append(w.long, v.Long.Sum), append(w.longRef, v.Long.Ref)
	values := codec.Writer{B: w.values.data}
	values.Sparse(v.Values)
	values.Int(v.End - v.Last)
	values.Int(v.Said - v.Last)
	values.Int(v.Paged - v.Last)
	v.Carts.AppendTo(&values)
	v.Presence.AppendTo(&values, v.Last)
	w.values.data = values.B
	w.values.end()
	w.append = append(w.append, appended)
	w.ingest = append(w.ingest, ingest)
}

// Finish encodes what was added and starts anew.
func (w *VectorWriter) Finish(h *Header) ([]byte, error) {
	defer w.reset()
	c := columns{rows: w.Len()}
	i64 := func(v []int64) { c.add(arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(v)) }
	u32 := func(v []uint32) { c.add(arrow.PrimitiveTypes.Uint32, arrow.Uint32Traits.CastToBytes(v)) }
	f64 := func(v []float64) { c.add(arrow.PrimitiveTypes.Float64, arrow.Float64Traits.CastToBytes(v)) }
	c.text(arrow.BinaryTypes.String, &w.device)
	c.text(arrow.BinaryTypes.String, &w.user)
	i64(w.epoch)
	u32(w.nothing) // of a version that nothing ever raised; older batches have the column
	i64(w.offset)
	u32(w.revision)
	c.add(arrow.PrimitiveTypes.Int32, arrow.Int32Traits.CastToBytes(w.partition))
	c.add(arrow.PrimitiveTypes.Uint8, arrow.Uint8Traits.CastToBytes(w.flags))
	i64(w.at)
	i64(w.last)
	f64(w.live)
	i64(w.liveRef)
	f64(w.long)
	i64(w.longRef)
	c.text(arrow.BinaryTypes.Binary, &w.values)
	i64(w.append)
	i64(w.ingest)
	return c.encode(h, vectorSchema, func(*codec.Writer) {})
}

// ReadVectors decodes a batch that VectorWriter made and calls f for each
// vector, whose Values are valid until f returns. Strings alias b.
func ReadVectors(b []byte, f func(*Vector)) (Header, error) {
	r := codec.Reader{B: b}
	h := readHeader(&r)
	if err := r.Err(); err != nil {
		return h, err
	}
	return h, read(r.B, vectorPreamble, func(rec arrow.Record) error { return vectors(rec, f) })
}

func vectors(rec arrow.Record, f func(*Vector)) error {
	i64 := func(i int) []int64 { return rec.Column(i).(*array.Int64).Int64Values() }
	u32 := func(i int) []uint32 { return rec.Column(i).(*array.Uint32).Uint32Values() }
	f64 := func(i int) []float64 { return rec.Column(i).(*array.Float64).Float64Values() }
	device, user := rec.Column(0).(*array.String), rec.Column(1).(*array.String)
	epoch, offset, rev := i64(2), i64(4), u32(5)
	part, flags := rec.Column(6).(*array.Int32).Int32Values(), rec.Column(7).(*array.Uint8).Uint8Values()
	at, last, live, liveRef, long, longRef := i64(8), i64(9), f64(10), i64(11), f64(12), i64(13)
	values, appended, ingest := rec.Column(14).(*array.Binary), i64(15), i64(16)
	var scratch []float64
	for i := range epoch {
		r := codec.Reader{B: values.Value(i)}
		scratch = r.Sparse(scratch)
		var end, said, paged int64
		var carts *session.Carts
		seen := session.Whole(last[i])
		if len(r.B) > 0 {
			end, said, paged, carts = last[i]+r.Int(), last[i]+r.Int(), last[i]+r.Int(), session.ReadCarts(&r)
		}
		if len(r.B) > 0 {
			seen = session.ReadPresence(&r, last[i])
		}
		if err := r.Err(); err != nil {
			return err
		}
		f(&Vector{Partition: part[i], Append: appended[i], Ingest: ingest[i], Vector: session.Vector{
			Device: device.Value(i), User: user.Value(i), Epoch: epoch[i],
			Version: session.Version{Offset: offset[i], Revision: rev[i]},
			Retract: flags[i]&flagRetract != 0, Bot: flags[i]&flagBot != 0, Erased: flags[i]&flagErased != 0, Rebuilt: flags[i]&flagRebuilt != 0, Former: flags[i]&flagFormer != 0, Evicted: flags[i]&flagEvicted != 0, At: at[i], Last: last[i],
			End: end, Said: said, Paged: paged, Carts: carts, Presence: seen,
			Live: signal.Decayed{Sum: live[i], Ref: liveRef[i]}, Long: signal.Decayed{Sum: long[i], Ref: longRef[i]}, Values: scratch}})
	}
	return nil
}
