package latency

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestMinutesAreWrittenCompletely: whatever fails between looking and writing, and
// whoever counts meanwhile, what was written in the end is what happened, minute by
// minute; a naive table of all observations says what that is.
func TestMinutesAreWrittenCompletely(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	for range 100 {
		var m Minutes
		want, got := map[int64]uint64{}, map[int64]uint64{}
		now, total := time.Unix(1_800_000_000, 0), uint64(0)
		write := func(fails, disturbed bool) {
			minutes := m.Unwritten()
			if disturbed { // somebody counts while it is written
				m.Observe(now, time.Millisecond)
				want[now.Unix()/60]++
				total++
			}
			if fails {
				return
			}
			for i := range minutes {
				if minutes[i].Count() < got[minutes[i].At] {
					t.Fatalf("the counts of minute %d fell", minutes[i].At)
				}
				got[minutes[i].At] = minutes[i].Count()
			}
			m.Written(minutes)
		}
		for range r.IntN(400) {
			if r.IntN(8) == 0 {
				write(r.IntN(3) == 0, r.IntN(2) == 0)
			}
			now = now.Add(time.Duration(r.IntN(20)) * time.Second)
			m.Observe(now, time.Duration(r.IntN(1000))*time.Millisecond)
			want[now.Unix()/60]++
			total++
			if len(m.minutes) == keptMinutes {
				write(false, true) // before any is lost
			}
		}
		write(false, false)
		for at, n := range want {
			if got[at] != n {
				t.Fatalf("minute %d has %d latencies, want %d", at, got[at], n)
			}
		}
		if len(m.Unwritten()) != 0 || len(got) != len(want) || m.Read().Count() != total || m.Lost() != 0 {
			t.Fatalf("%d minutes of %d, %d of %d latencies, %d lost", len(got), len(want), m.Read().Count(), total, m.Lost())
		}
	}
}

// TestMinutesThatNobodyWritesAreBounded: a day without ClickHouse.
func TestMinutesThatNobodyWritesAreBounded(t *testing.T) {
	var m Minutes
	now := time.Unix(1_800_000_000, 0)
	for range 24 * 60 {
		m.Observe(now, time.Millisecond)
		now = now.Add(time.Minute)
	}
	got := m.Unwritten()
	if len(got) != keptMinutes || got[keptMinutes-1].At != now.Unix()/60-1 || m.Lost() != 24*60-keptMinutes || m.Read().Count() != 24*60 {
		t.Errorf("%d minutes, %d lost", len(got), m.Lost())
	}
}

// TestAClockThatIsSetBack does not begin a minute anew that was written: its absolute
// count would fall.
func TestAClockThatIsSetBack(t *testing.T) {
	var m Minutes
	now := time.Unix(1_800_000_000, 0)
	m.Observe(now, time.Millisecond)
	m.Written(m.Unwritten())
	m.Observe(now.Add(-time.Hour), time.Millisecond)
	if got := m.Unwritten(); len(got) != 1 || got[0].At != now.Unix()/60 || got[0].Count() != 2 {
		t.Errorf("%+v", got)
	}
}

func TestMinutesConcurrently(t *testing.T) {
	var m Minutes
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				m.Observe(time.Unix(1_800_000_000, 0), time.Millisecond)
				m.Written(m.Unwritten())
			}
		})
	}
	wg.Wait()
	if n := m.Read().Count(); n != 4000 || len(m.Unwritten()) != 0 {
		t.Errorf("%d latencies, unwritten %v", n, m.Unwritten())
	}
}

func BenchmarkObserve(b *testing.B) {
	var m Minutes
	now := time.Now()
	for i := 0; b.Loop(); i++ {
		m.Observe(now, time.Duration(i%1000)*time.Millisecond)
	}
}
