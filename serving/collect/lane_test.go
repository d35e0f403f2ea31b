package collect

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microseg/microseg/serving/throttle"
)

// client is who sends from an address of its own.
func client(t *testing.T, i int) *sender {
	t.Helper()
	s, err := newSenders(&Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
	return &sender{senders: s, addr: a, key: throttle.KeyOf(a, ""), at: time.Now()}
}

const large = 200 << 10 // bytes

// laneOf is one with a single turn, on a job that has so many undecided.
func laneOf(undecided func() int) *lane {
	l := newLane(func(map[int32]int64) int { return undecided() })
	l.free, l.window = 1, slice
	return l
}

// TestOthersGoOn: 50,000 devices in twenty requests made all others wait until all of
// them were decided, 10 times as long as before. Who sends little now needs no turn, and
// who sends much waits without harm to others.
func TestOthersGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := laneOf(func() int { return 1 << 20 })
		flood, err := l.enter(t.Context(), client(t, 0), large)
		if err != nil || flood == nil {
			t.Fatalf("the first large request: %v, %v", flood, err)
		}
		for i := 1; i < 1000; i++ {
			if turn, err := l.enter(t.Context(), client(t, i), 1200); turn != nil || err != nil {
				t.Fatalf("visitor %d has to wait behind a flood: %v", i, err)
			}
		}
		shop := client(t, 0)
		shop.server = true
		if turn, err := l.enter(t.Context(), shop, large); turn != nil || err != nil {
			t.Fatalf("the shop's own server has to wait behind a flood: %v", err)
		}
		begun := time.Now()
		_, err = l.enter(t.Context(), client(t, 2000), large)
		if why := (*refusal)(nil); !errors.As(err, &why) || why.status != 429 || why.retry <= 0 {
			t.Errorf("a large request whose turn does not come is told %v", err)
		}
		if d := time.Since(begun); d != turnWait {
			t.Errorf("it was told after %v", d)
		}
		flood.leave()
		flood.leave() // is over, and gives no second one
		if turn, err := l.enter(t.Context(), client(t, 2001), large); turn == nil || err != nil {
			t.Errorf("the turn of who gave up was not passed on: %v", err)
		}
		if l.free != 0 {
			t.Errorf("%d turns are free", l.free)
		}
	})
}

// TestTurnsAreShared: who waits with many requests has one turn for each of another's.
func TestTurnsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := laneOf(func() int { return 0 })
		first, err := l.enter(t.Context(), client(t, 0), large)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		ask := func(who int) {
			all.Go(func() {
				turn, err := l.enter(t.Context(), client(t, who), large)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, who)
				mu.Unlock()
				turn.leave()
			})
			synctest.Wait()
		}
		for range 20 {
			ask(0)
		}
		ask(1)
		ask(2)
		ask(1)
		first.leave()
		all.Wait()
		// 0 has had one more at the beginning.
		if i := slices.Index(order, 1); i > 1 || slices.Index(order, 2) > 1 || len(order) != 23 {
			t.Errorf("turns were given to %v", order)
		}
		if len(l.had) > 1 || len(l.waiting) != 0 {
			t.Errorf("%v are remembered, %d wait", l.had, len(l.waiting))
		}
	})
}

// TestPace: a turn goes on as fast as the job decides, half of the time, small requests
// go between its parts, and a job that stands still holds up nobody for good.
func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var undecided atomic.Int64
		l := laneOf(func() int { return int(undecided.Load()) })
		turn, err := l.enter(t.Context(), client(t, 0), large)
		if err != nil {
			t.Fatal(err)
		}
		took := func() time.Duration {
			begun := time.Now()
			turn.room()
			return time.Since(begun)
		}
		if d := took(); d != 0 {
			t.Errorf("with nothing undecided a turn waits for %v", d)
		}
		undecided.Store(slice + 1)
		go func() {
			time.Sleep(10 * time.Millisecond)
			undecided.Store(slice)
		}()
		if d := took(); d < 20*time.Millisecond || d > 22*time.Millisecond {
			t.Errorf("a turn waits for %v where the job takes 10 ms", d)
		}
		undecided.Store(1 << 20)
		if d := took(); d > 2*stall+2*time.Millisecond {
			t.Errorf("a job that stands still holds a turn up for %v", d)
		}
		office, passed := client(t, 1), false
		office.at = office.at.Add(-time.Hour)
		for range 3 { // so many that they need turns
			go func() {
				if turn, err := l.enter(t.Context(), office, promptBurst*promptBytes/2); err == nil {
					passed = passed || turn != nil
					turn.leave()
				}
			}()
			synctest.Wait()
		}
		if passed {
			t.Fatal("two turns at once")
		}
		if took(); !passed {
			t.Error("a small request waits for the end of a large one")
		}
	})
}

// TestLaneForgets: what is remembered of clients is bounded, however many there are.
func TestLaneForgets(t *testing.T) {
	t.Parallel()
	l := laneOf(func() int { return 0 })
	l.free = 0
	for i := range 2*remembered + 10 {
		s := sender{key: throttle.Key(i), at: time.Now()}
		l.line(&s, 100)
		if i%1000 == 0 {
			l.waiting = nil
		}
	}
	if len(l.had) > remembered {
		t.Errorf("%d clients are remembered", len(l.had))
	}
}
