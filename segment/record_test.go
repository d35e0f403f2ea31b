package segment

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/signal"
)

func randomRecord(r *rand.Rand) Record {
	t := r.Int64N(1 << 41)
	var sent int64
	if r.IntN(2) == 0 {
		sent = 1 + r.Int64N(1<<41)
	}
	if r.IntN(4) == 0 {
		return Record{Version: r.Uint64(), User: "user-1", Decided: t * 1000, Sent: sent, Evaluated: t}
	}
	rec := Record{Sent: sent, Version: r.Uint64(), Decided: t * 1000, Path: "everyone/a", Since: t - r.Int64N(1e6), Evaluated: t, Last: t - r.Int64N(1e6), SessionEnd: t + r.Int64N(1e6),
		Live: signal.Decayed{Sum: r.Float64(), Ref: t - r.Int64N(1e6)}, Long: signal.Decayed{Sum: 2, Ref: t}, Linked: r.IntN(2) == 0, Bot: r.IntN(2) == 0, Once: r.IntN(2) == 0, Devices: r.IntN(9), Values: make([]float64, 40)}
	for i := range rec.Values {
		if r.IntN(5) == 0 {
			rec.Values[i] = r.NormFloat64()
		}
	}
	return rec
}

func TestRecordRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var w codec.Writer
	var want []Record
	for range 500 {
		rec := randomRecord(r)
		var value codec.Writer
		rec.AppendTo(&value)
		AppendKeyed(&w, "d:1", value.B)
		want = append(want, rec)
	}
	var got []Record
	err := EachKeyed(w.B, func(key, value []byte) {
		var rec Record
		if err := rec.Read(value); err != nil || string(key) != "d:1" {
			t.Fatal(string(key), err)
		}
		got = append(got, rec)
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v; records differ", err)
	}
	var out codec.Writer
	var b Active
	for _, a := range []Active{ // older jobs tell no counts
		{Version: 3, Minute: 5, Paths: []string{"everyone", "everyone/a"}},
		{Version: 3, Minute: 5, Paths: []string{"everyone"}, Counted: true, Members: map[string]int{}},
		{Version: 3, Minute: 5, Paths: []string{"everyone", "everyone/a"}, Counted: true, Total: 200, Members: map[string]int{"everyone": 200, "everyone/a": 24}},
	} {
		out.B = nil
		a.AppendTo(&out)
		if err := b.Read(out.B); err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%+v, %v", b, err)
		}
	}
	out.B[0] = 9
	if err := b.Read(out.B); err == nil {
		t.Error("a newer format was read")
	}
}

// TestSentIsReadByWhoKnowsIt: a node of the version before goes on reading what a newer
// job writes, which is the same but for a flag and the last eight bytes; and a node
// reads what an older job wrote.
func TestSentIsReadByWhoKnowsIt(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 500 {
		rec := randomRecord(r)
		var with, without codec.Writer
		rec.AppendTo(&with)
		older := rec
		older.Sent = 0
		older.AppendTo(&without)
		heard, keep := min(rec.Last, rec.Decided/1000), KeepDevice
		switch {
		case rec.User != "":
			heard, keep = min(rec.Evaluated, rec.Decided/1000), KeepUser
		case rec.Linked:
			keep = KeepUser
		case rec.Once:
			keep = KeepOnce
		}
		if stamp, err := StampOf(with.B); err != nil || stamp != (Stamp{rec.Evaluated, rec.Version, rec.Decided, rec.Sent, heard, keep}) {
			t.Fatalf("%+v, %v of %+v", stamp, err, rec)
		}
		var back Record
		if err := back.Read(without.B); err != nil || !reflect.DeepEqual(back, older) {
			t.Fatalf("%+v, %v", back, err)
		}
		if rec.Sent == 0 {
			continue
		}
		// What the version before reads: it does not know the flag, and leaves the
		// rest of the bytes unread.
		with.B[1] &^= flagSent
		if front := with.B[:len(with.B)-sentBytes]; !bytes.Equal(front, without.B) {
			t.Fatalf("%x, want %x", front, without.B)
		}
		if err := back.Read(with.B); err != nil || !reflect.DeepEqual(back, older) {
			t.Fatalf("%+v, %v", back, err)
		}
	}
}

// FuzzRecord: any bytes are refused or read, without a panic.
func FuzzRecord(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 8 {
		rec := randomRecord(r)
		var w codec.Writer
		rec.AppendTo(&w)
		f.Add(w.B)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		_ = r.Read(b)
		var a Active
		_ = a.Read(b)
		_ = EachKeyed(b, func([]byte, []byte) {})
	})
}
