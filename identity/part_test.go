package identity

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/microseg/microseg/event"
)

func randomHistory(r *rand.Rand) *History {
	h := &History{Receipt: "receipt", Clock: DataClock{r.Int64N(1000), lead{r.Uint64(), r.Int64N(1000)}}, Cut: r.IntN(2) == 0}
	offset := int64(0)
	for range r.IntN(20) {
		offset += 1 + r.Int64N(9)
		h.Records = append(h.Records, Past{Record: Record{Partition: 3, Offset: offset, Append: r.Int64N(99), Trust: event.Trust(r.IntN(5)), Value: bytes.Repeat([]byte{byte(r.IntN(256))}, 1+r.IntN(50))}, Clock: DataClock{r.Int64N(9), lead{r.Uint64(), r.Int64N(9)}}, Letter: r.IntN(2) == 0, Placed: r.IntN(2) == 0})
	}
	h.End = offset + 1 + r.Int64N(3)
	return h
}

// TestHistory: a history comes out of its parts as it went in, however small they
// are; with one of them missing, twice or of another history it does not.
func TestHistory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := randomHistory(r)
		payloads, err := h.Parts(1 + r.IntN(200))
		if err != nil {
			t.Fatal(err)
		}
		var parts []Part
		for _, b := range payloads {
			p, err := ReadPart(b)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, p)
		}
		got, err := ReadHistory(3, parts)
		if err != nil || !reflect.DeepEqual(got, h) {
			t.Fatalf("seed %d: %v\n%+v, not\n%+v", seed, err, got, h)
		}
		if len(parts) < 2 {
			continue
		}
		i := r.IntN(len(parts))
		broken := [][]Part{append(append([]Part(nil), parts[:i]...), parts[i+1:]...), append(append([]Part(nil), parts...), parts[i]), nil}
		for _, b := range broken {
			if _, err := ReadHistory(3, b); err == nil {
				t.Fatalf("seed %d: %d of %d parts are taken for whole", seed, len(b), len(parts))
			}
		}
	}
}

// FuzzHistory: no bytes of the log make reading a history panic or take more than
// they are worth.
func FuzzHistory(f *testing.F) {
	for seed := range uint64(5) {
		parts, err := randomHistory(rand.New(rand.NewPCG(seed, 2))).Parts(1 << 20)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(parts[0])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ReadPart(b); err == nil {
			if h, err := ReadHistory(1, []Part{p}); err == nil && len(h.Records) > 0 && h.Records[len(h.Records)-1].Offset >= h.End {
				t.Fatal("a record behind the history's end")
			}
		}
	})
}
