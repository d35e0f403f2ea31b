package collect

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/iotest"
)

// TestMemoryAddsUp: whatever bodies do, what is used is what they hold, within the
// limits; whoever is cut off holds nothing, and who was whole never is.
func TestMemoryAddsUp(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	m := newMemory(10_000, 0.3, 1)
	type under struct {
		*body
		whole, cut bool
	}
	var all []*under
	for range 100_000 {
		switch n := rnd.IntN(5); {
		case n == 0 || len(all) == 0:
			u := &under{}
			u.body = m.begin(netip.AddrFrom4([4]byte{byte(rnd.IntN(8))}), rnd.IntN(20) == 0, func() { u.cut = true })
			all = append(all, u)
		case n < 3:
			u := all[rnd.IntN(len(all))]
			if u.cut == u.take(int64(rnd.IntN(2000))) && u.cut {
				t.Fatal("one that was cut off went on")
			}
		case n == 3:
			u := all[rnd.IntN(len(all))]
			if u.body.whole(); !u.cut {
				u.whole = true
			}
		default:
			i := rnd.IntN(len(all))
			all[i].release()
			all[i] = all[len(all)-1]
			all = all[:len(all)-1]
		}
		sum, by := int64(0), map[netip.Addr]int64{}
		for _, u := range all {
			sum += u.held
			if !u.free {
				by[u.addr] += u.held
			}
			if u.cut != u.gone || u.cut && (u.held != 0 || u.whole) {
				t.Fatalf("cut %v, gone %v, holds %d, whole %v", u.cut, u.gone, u.held, u.whole)
			}
		}
		if m.used != sum || sum > m.max {
			t.Fatalf("%d used, %d held, of %d", m.used, sum, m.max)
		}
		for a, n := range by {
			if n > m.each {
				t.Fatalf("%v has %d of %d", a, n, m.each)
			}
		}
	}
}

// TestReadAll: what is read is what was sent, in whatever pieces, and no memory is used
// that was not taken.
func TestReadAll(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 511, 512, 513, 5000, 65536} {
		sent := bytes.Repeat([]byte("x"), n)
		m := newMemory(1<<20, 1, 65536)
		b := m.begin(netip.Addr{}, false, nil)
		got, err := b.readAll(iotest.HalfReader(bytes.NewReader(sent)), 65537)
		if err != nil || !bytes.Equal(got, sent) || int64(cap(got)) > b.held || b.held > int64(2*n+512) {
			t.Errorf("%d bytes: %d, %v, %d taken for %d", n, len(got), err, b.held, cap(got))
		}
	}
	if _, err := newMemory(0, 0, 100).begin(netip.Addr{}, false, nil).readAll(bytes.NewReader(make([]byte, 1000)), 1000); !errors.Is(err, errNoMemory) {
		t.Error(err)
	}
}
