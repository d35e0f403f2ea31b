package codec

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
)

// TestMore: what comes piece by piece reads as what is there as a whole, and what was
// taken stays as it is.
func TestMore(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		var w Writer
		kinds := make([]int, 1+r.IntN(60))
		for i := range kinds {
			kinds[i] = r.IntN(7)
			write(&w, r, kinds[i])
		}
		size := 1 + r.IntN(40)
		rest := w.B
		more := Reader{More: func() ([]byte, error) {
			piece := rest[:min(size, len(rest))]
			rest = rest[len(piece):]
			return piece, nil
		}}
		whole := Reader{B: w.B}
		var got, want []any
		for _, k := range kinds {
			got, want = append(got, read(&more, k)), append(want, read(&whole, k))
		}
		if !reflect.DeepEqual(got, want) || more.Err() != nil || whole.Err() != nil {
			t.Fatalf("%v (%v), want %v (%v)", got, more.Err(), want, whole.Err())
		}
		if more.Byte(); !errors.Is(more.Err(), ErrCorrupt) {
			t.Errorf("behind the end: %v", more.Err())
		}
	}
	broken := errors.New("broken")
	x := Reader{More: func() ([]byte, error) { return nil, broken }}
	if x.Int(); !errors.Is(x.Err(), broken) {
		t.Errorf("%v", x.Err())
	}
}

func write(w *Writer, r *rand.Rand, kind int) {
	text := make([]byte, r.IntN(50))
	for i := range text {
		text[i] = byte('a' + r.IntN(26))
	}
	switch kind {
	case 0:
		w.Int(r.Int64() >> r.IntN(64))
	case 1:
		w.Uint(r.Uint64() >> r.IntN(64))
	case 2:
		w.Fixed(r.Uint64())
	case 3:
		w.Float(r.Float64() * float64(r.IntN(2)))
	case 4:
		w.String(string(text))
	case 5:
		w.Bytes(text)
	case 6:
		v := make([]float64, r.IntN(30))
		for i := range v {
			v[i] = r.Float64() * float64(r.IntN(2))
		}
		w.Sparse(v)
	}
}

func read(r *Reader, kind int) any {
	switch kind {
	case 0:
		return r.Int()
	case 1:
		return r.Uint()
	case 2:
		return r.Fixed()
	case 3:
		return r.Float()
	case 4:
		return r.String()
	case 5:
		return r.Bytes()
	}
	return r.Sparse(nil)
}
