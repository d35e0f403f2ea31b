package identity

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestErasures: the index says of each record what looking through the list
// does, and a list survives its topic.
func TestErasures(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var list []Erasure
		for range r.IntN(12) {
			e := Erasure{Partition: r.Int32N(2), Offset: r.Int64N(20), Device: HashDevice(fmt.Sprint("d", r.IntN(3)))}
			if r.IntN(4) == 0 {
				e.Device = ""
			} else if r.IntN(3) == 0 {
				e.User, e.From = HashDevice([]string{"ann", "ben"}[r.IntN(2)]), r.Int64N(20)
				e.Offset = e.From + 1 + r.Int64N(20)
				if e.To = e.From + 1 + r.Int64N(e.Offset-e.From); r.IntN(3) == 0 {
					e.From, e.To = 0, 0
				}
			}
			key, value := e.Record()
			back, err := ReadErasure(key, value)
			if err != nil || back != e {
				t.Fatalf("%+v comes back as %+v, %v", e, back, err)
			}
			list = append(list, e)
		}
		x := NewErasures(list)
		for p := range int32(3) {
			for o := range int64(21) {
				for _, d := range []string{"", "d0", "d1", "d2", "d3"} {
					named, control := []string{"", "ann"}[r.IntN(2)], r.IntN(4) == 0
					want, nameless := false, false
					for _, e := range list {
						ofDevice := e.Partition == p && d != "" && e.Device == HashDevice(d) && o < e.Offset
						nameless = nameless || ofDevice && e.User != "" && e.To == 0 && named != "" && e.User == HashDevice(named) && !control
						other := e.User != "" && (control || named != "" && e.User != HashDevice(named))
						want = want || e.Partition == p && (e.Device == "" && e.Offset == o || d != "" && e.Device == HashDevice(d) && o < e.Offset && (e.User == "" || e.From <= o && o < e.To) && !other)
					}
					got, by := x.Has(&Erased{Place{p, o}, d, named, control})
					if !got && isNameless(by) != nameless {
						t.Fatalf("%v: record %d/%d of %q is read as %q's", list, p, o, d, by)
					}
					if got != want {
						t.Fatalf("%v: record %d/%d of %q that names %q is erased: %v", list, p, o, d, named, !want)
					}
				}
			}
		}
	}
	for _, bad := range [][2]string{{"", ""}, {"0/", "1"}, {"x/abc", "1"}, {"0/abc", ""}, {"-1/abc", "1"}, {"0/abc", "-1"}, {"0", "1"}, {"0/abc/", "1"}, {"0/abc/x", "x"}, {"0//u/0/1", "1"}, {"0/@1/u/0/1", "1"}, {"0/abc//0/1", "1"}, {"0/abc/u/-1/1", "1"}, {"0/abc/u/1", "1"}, {"0/abc/u/1/1", "1"}, {"0/abc/u/0/2", "1"}} {
		if _, err := ReadErasure([]byte(bad[0]), []byte(bad[1])); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// FuzzReadErasure: bytes of any origin give an erasure or an error.
func FuzzReadErasure(f *testing.F) {
	f.Add([]byte("0/abc"), []byte("12"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		e, err := ReadErasure(key, value)
		if err != nil {
			return
		}
		k, v := e.Record()
		if back, err := ReadErasure(k, v); err != nil || back != e {
			t.Errorf("%+v is %+v, %v", e, back, err)
		}
	})
}
