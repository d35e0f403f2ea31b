package segment

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/microseg/microseg/session"
)

// TestUserOrder: vectors and retractions give the same view in any order and
// however often they come: a retraction takes what is older, of all epochs, and
// nothing that is newer.
func TestUserOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var vs []session.Vector
		for offset := range int64(1 + r.IntN(12)) {
			v := session.Vector{Device: fmt.Sprint("d", r.IntN(2)), Epoch: r.Int64N(3), Version: session.Version{Offset: offset}, Last: 100 + r.Int64N(50), Bot: r.IntN(4) == 0, Values: []float64{float64(offset)}}
			v.Retract = r.IntN(4) == 0
			vs = append(vs, v)
		}
		apply := func(u *user, v *session.Vector) {
			if v.Retract {
				u.lose(v)
			} else {
				u.put(v, 0)
			}
		}
		want := &user{}
		for i := range vs {
			apply(want, &vs[i])
		}
		got := &user{}
		for _, i := range append(r.Perm(len(vs)), r.Perm(len(vs))...) {
			apply(got, &vs[i])
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %+v\nin another order %+v\nfrom %+v", seed, want, got, vs)
		}
		newest := map[string]session.Vector{}
		for _, v := range vs {
			if v.Retract {
				for k, old := range newest {
					if old.Device == v.Device {
						delete(newest, k)
					}
				}
				continue
			}
			newest[fmt.Sprint(v.Device, v.Epoch)] = v
		}
		devices, last := map[string]bool{}, int64(0)
		for _, v := range newest {
			devices[v.Device] = true
			last = max(last, v.Last)
		}
		if want.linked() != len(devices) || want.last != last {
			t.Fatalf("seed %d: %d devices, last %d; the vectors say %v, %d", seed, want.linked(), want.last, devices, last)
		}
	}
}

// TestUserLimit: the first devices stay, further ones are left out whatever epoch
// they send, and one that leaves makes room for the next to come.
func TestUserLimit(t *testing.T) {
	t.Parallel()
	u := &user{}
	offset := int64(0)
	send := func(device string, epoch int64, retract bool) outcome {
		offset++
		v := session.Vector{Device: device, Epoch: epoch, Version: session.Version{Offset: offset}, Last: offset, Retract: retract}
		if retract {
			u.lose(&v)
			return taken
		}
		return u.put(&v, 2)
	}
	for i, c := range []struct {
		device  string
		epoch   int64
		retract bool
		want    outcome
	}{
		{"a", 0, false, joined}, {"b", 0, false, joined}, {"c", 0, false, beyond}, {"c", 9, false, beyond}, {"a", 5, false, joined}, {"a", 5, false, taken},
		{"b", 0, true, taken}, {"d", 0, false, joined}, {"b", 0, false, beyond}, {"a", 0, true, taken}, {"b", 0, false, joined}, {"c", 0, false, beyond},
	} {
		if got := send(c.device, c.epoch, c.retract); got != c.want {
			t.Errorf("step %d: %v, not %v", i, got, c.want)
		}
		if n := u.linked(); n > 2 {
			t.Errorf("step %d: %d devices", i, n)
		}
	}
}
