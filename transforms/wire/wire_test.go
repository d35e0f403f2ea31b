package wire

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

func randomBatch(r *rand.Rand) (Header, *identity.Batch) {
	h := Header{Shard: r.IntN(4), Again: r.IntN(2) == 0, Semantics: event.FirstSemantics + event.Semantics(r.IntN(2)), ID: r.Int64N(100), Due: r.Int64N(2) * 7, Emitted: 9, Ranges: []identity.Range{{Partition: 3, Prev: 4, First: 5, Last: 9, Idle: r.Int64N(3)}}}
	b := &identity.Batch{Ranges: h.Ranges, Semantics: h.Semantics, Due: h.Due, Emitted: h.Emitted}
	for i := range r.IntN(8) {
		e := event.Event{Device: fmt.Sprint("d", r.IntN(3)), Time: r.Int64(), Offset: int64(i), Partition: 3, ID: r.Uint64(), Page: r.Uint64(), X: r.NormFloat64(), Append: r.Int64(), Ingest: int64(r.IntN(1000)) - 1,
			Width: 1920, Height: 1080, Receipt: r.Int64(), Kind: event.Kind(r.IntN(70)), PageType: event.PageType(r.IntN(int(event.NumPageTypes))), Element: uint8(r.IntN(5)), DeviceType: event.DeviceMobile, OS: event.OSiOS, Network: event.Network4G, Flags: event.Flags(r.IntN(8))}
		if r.IntN(2) == 0 {
			e.User, e.Y, e.Z, e.Item = "u", r.NormFloat64(), 1, r.Uint64()
		}
		if r.IntN(3) == 0 {
			e.Raw = []byte("raw")
		}
		b.Events = append(b.Events, e)
	}
	for range r.IntN(2) {
		b.Warnings = append(b.Warnings, identity.Warning{Partition: 3, Offset: 7, Append: 1, Warning: event.Warning{Property: "price", Why: event.Empty, Example: "x"}})
		b.Dead = append(b.Dead, identity.DeadLetter{Partition: 3, Offset: 8, Append: 1, Time: 2, Device: "x", Reason: event.Malformed, Detail: "no json", Raw: []byte("{")})
	}
	return h, b
}

// TestEventsRoundTrip: what is written is read, events and dead letters.
func TestEventsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	w := NewEventWriter()
	var got identity.Batch
	for range 500 {
		h, want := randomBatch(r)
		b, err := w.Encode(&h, want)
		if err != nil {
			t.Fatal(err)
		}
		gh, err := ReadEvents(b, &got)
		if err != nil || !reflect.DeepEqual(gh, h) {
			t.Fatalf("header %+v, want %+v (%v)", gh, h, err)
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", *want) {
			t.Fatalf("got\n%+v\nwant\n%+v", got, *want)
		}
	}
}

// TestVectorsRoundTrip does the same for vectors.
func TestVectorsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := NewVectorWriter()
	for range 300 {
		var want, got []string
		h := Header{Shard: 1, ID: 2, Watermark: 3, Own: true, Semantics: event.NewestSemantics, Ranges: []identity.Range{}}
		for range r.IntN(6) {
			v := session.Vector{Device: "d", User: fmt.Sprint("u", r.IntN(9)), Epoch: r.Int64(), Version: session.Version{Offset: r.Int64(), Revision: 2},
				Retract: r.IntN(2) == 0, Bot: r.IntN(2) == 0, Erased: r.IntN(2) == 0, At: r.Int64(), Last: r.Int64(), Live: signal.Decayed{Sum: r.Float64(), Ref: 5}, Long: signal.Decayed{Sum: r.Float64(), Ref: 6}, Values: []float64{0, r.Float64(), 0, 4}}
			if r.IntN(2) == 0 {
				v.Presence = session.Presence{Seen: r.Int64(), Span: r.Uint32(), Active: v.Last - r.Int64N(1000)}
			}
			w.Add(&v, 7, 8, 9)
			want = append(want, fmt.Sprintf("%+v", Vector{v, 7, 8, 9}))
		}
		b, err := w.Finish(&h)
		if err != nil {
			t.Fatal(err)
		}
		gh, err := ReadVectors(b, func(v *Vector) { got = append(got, fmt.Sprintf("%+v", *v)) })
		if err != nil || !reflect.DeepEqual(gh, h) || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v %v\nwant %+v %v (%v)", gh, got, h, want, err)
		}
	}
}

// FuzzRead: bytes of any origin give a batch or an error.
func FuzzRead(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 3))
	for range 5 {
		h, b := randomBatch(r)
		enc, err := NewEventWriter().Encode(&h, b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(enc)
	}
	f.Fuzz(func(_ *testing.T, data []byte) { readAny(data) })
}

func readAny(data []byte) {
	var b identity.Batch
	_, _ = ReadEvents(data, &b)
	_, _ = ReadVectors(data, func(*Vector) {})
}

// TestFlippedBytesAreSurvived is what a short fuzzing run does, always.
func TestFlippedBytesAreSurvived(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	h, b := randomBatch(r)
	good, err := NewEventWriter().Encode(&h, b)
	if err != nil {
		t.Fatal(err)
	}
	vw := NewVectorWriter()
	vw.Add(&session.Vector{Device: "d", User: "u", Values: []float64{1}}, 1, 2, 3)
	vectors, err := vw.Finish(&h)
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		for _, data := range [][]byte{good, vectors} {
			bad := append([]byte(nil), data...)
			for range 1 + r.IntN(3) {
				bad[r.IntN(len(bad))] = byte(r.Uint32())
			}
			readAny(bad)
		}
	}
}
