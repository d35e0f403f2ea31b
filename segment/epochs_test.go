package segment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// TestUserOfManyEpochs: a device that logged in and out in turn gave its user one more
// vector each time, all of which are looked at for each decision. However many there
// are, the user has the sums, orders and newest session that all of them together say,
// also when it is read from a snapshot or a vector comes again.
func TestUserOfManyEpochs(t *testing.T) {
	t.Parallel()
	s := NewShard(&ShardParams{Params: Params{HalfLives: signal.HalfLives{Live: 600_000, Long: 7_200_000}, GapMS: 1_800_000}, Schema: NewSchema(nil), Tree: rootOnly(t),
		Slots: []session.Slot{session.SlotEvents, session.SlotDevice, session.SlotCustomer(0)}})
	r := rand.New(rand.NewPCG(1, 1))
	u, all := &user{}, &user{}
	const hour = 3_600_000
	for i := range int64(5 * maxEpochs) {
		at := 1000*hour + i*hour
		v := session.Vector{Device: "d", Epoch: i, Version: session.Version{Offset: i}, Last: at, End: at + 1_800_000, Said: at,
			Live: signal.Decayed{Sum: 1, Ref: at}, Long: signal.Decayed{Sum: 2, Ref: at}, Values: []float64{3, float64(r.IntN(3)), float64(r.IntN(2))}}
		for _, of := range []*user{u, all} {
			of.put(&v, 0)
		}
		u.limitEpochs("d", s)
		if i > 2*maxEpochs && r.IntN(3) == 0 { // one of those that are a part of another by now
			v.Epoch, v.Version.Offset = r.Int64N(i-maxEpochs), i
			if got := u.put(&v, 0); got != stale {
				t.Fatalf("epoch %d came again after %d: %v", v.Epoch, i, got)
			}
		}
		if len(u.devices) > maxEpochs {
			t.Fatalf("%d vectors", len(u.devices))
		}
		show := func(of *user) string {
			v := View{Values: make([]float64, len(s.catalog))}
			of.sum(&v, s, at)
			near := func(x float64) float64 { return math.Round(x*1e6) / 1e6 }
			return fmt.Sprint(v.Devices, of.last, of.bot, near(sumAt(v.Live, at, 600_000)), near(sumAt(v.Long, at, 7_200_000)), v.Values[session.SlotEvents], v.Values[session.SlotCustomer(0)])
		}
		if got, want := show(u), show(all); got != want {
			t.Fatalf("after %d epochs: %s, all of them say %s", i+1, got, want)
		}
	}
}

func rootOnly(t *testing.T) *Tree {
	t.Helper()
	tree, err := NewTree(NewCompiler(NewSchema(nil), Params{HalfLives: signal.HalfLives{Live: 600_000, Long: 7_200_000}, Kappa: 1, RefreshMS: 1000, GapMS: 1_800_000}), []Spec{{Name: "all", When: "true"}})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
