package throttle

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// naive is a bucket as textbooks have it.
type naive struct {
	tokens float64
	at     time.Time
}

// TestBucketsEqualModel: while there are places for all, the table decides as one
// bucket of tokens a key does.
func TestBucketsEqualModel(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		rnd := rand.New(rand.NewPCG(1, uint64(round)))
		rate := Rate{PerSecond: math.Exp2(float64(rnd.IntN(12) - 3)), Burst: math.Exp2(float64(rnd.IntN(10)))}
		b, model := New(rate, 1<<12), map[Key]*naive{}
		now := b.begun
		for range 5000 {
			now = now.Add(time.Duration(rnd.Int64N(int64(3 * time.Second / time.Duration(max(1, rate.PerSecond))))))
			k, n := KeyOf(netip.Addr{}, string(rune('a'+rnd.IntN(20)))), 1+rnd.IntN(int(2*rate.Burst))
			m := model[k]
			if m == nil {
				m = &naive{rate.Burst, now}
				model[k] = m
			}
			m.tokens, m.at = min(rate.Burst, m.tokens+now.Sub(m.at).Seconds()*rate.PerSecond), now
			want := max(0, 1-m.tokens) / rate.PerSecond
			got := b.Charge(k, n, now)
			if math.Abs(got.Seconds()-want) > 1e-5 {
				t.Fatalf("round %d: waits %v, want %v s", round, got, want)
			}
			if got == 0 {
				m.tokens -= min(float64(n), rate.Burst)
			}
		}
	}
}

// TestSpendIsBounded: what has been done is paid for, and never for longer than two bursts.
func TestSpendIsBounded(t *testing.T) {
	t.Parallel()
	b := New(Rate{PerSecond: 1, Burst: 10}, 1)
	for range 1000 {
		b.Spend(1, 7, b.begun)
	}
	if got := b.Wait(1, 1, b.begun); got != 11*time.Second {
		t.Errorf("waits %v", got)
	}
	if got := b.Wait(1, 1, b.begun.Add(11*time.Second)); got != 0 {
		t.Errorf("waits %v after the time that it was told", got)
	}
}

// TestChargeIsFair: a client whose batches need 50 tokens had never its turn beside one that
// takes each token as it comes; what was charged is owed, so the rate holds all the same.
func TestChargeIsFair(t *testing.T) {
	t.Parallel()
	b := New(Rate{PerSecond: 10, Burst: 100}, 1)
	rnd, now, large, small := rand.New(rand.NewPCG(1, 2)), b.begun, 0, 0
	for now.Sub(b.begun) < 10*time.Minute {
		now = now.Add(time.Duration(rnd.IntN(int(20 * time.Millisecond))))
		if n := 1 + 49*rnd.IntN(2); b.Charge(1, n, now) > 0 {
			continue
		} else if n > 1 {
			large++
		} else {
			small++
		}
	}
	if large < 50 || small < 50 || 50*large+small < 5900 || 50*large+small > 6000+100+50 {
		t.Errorf("%d large and %d small ones in the time of 6,000 tokens and a burst of 100", large, small)
	}
}

// TestNobodyGetsRidOfWhatIsSpent: with a network of IPv6 an attacker has more addresses
// than there are places. A table that forgets the one that was silent longest, or any
// one, gave him a full bucket back for one request from each; one that shares places
// emptied the buckets of others.
func TestNobodyGetsRidOfWhatIsSpent(t *testing.T) {
	t.Parallel()
	const places = 1 << 12
	b := New(Rate{PerSecond: 1, Burst: 100}, places)
	now := b.begun
	attacker := KeyOf(netip.MustParseAddr("2001:db8::"), "")
	if wait := b.Charge(attacker, 100, now); wait != 0 {
		t.Fatal(wait)
	}
	addr := netip.MustParseAddr("2001:db8:1::").As16()
	for i := range 20 * places {
		addr[4], addr[5], addr[6] = byte((i+1)>>16), byte((i+1)>>8), byte(i+1)
		if wait := b.Charge(KeyOf(netip.AddrFrom16(addr), ""), 1, now); wait != 0 {
			t.Fatalf("the first request of address %d waits %v: it pays for another one's", i, wait)
		}
	}
	if wait := b.Wait(attacker, 1, now); wait == 0 {
		t.Error("the attacker's bucket is full again")
	}
	for i := range 1000 { // visitors who come in the midst of it
		if wait := b.Charge(KeyOf(netip.MustParseAddr("192.0.2.1"), string(rune(i))), 50, now); wait != 0 {
			t.Errorf("a visitor waits %v", wait)
		}
	}
}

// TestNoLimit: a rate of 0 is none.
func TestNoLimit(t *testing.T) {
	t.Parallel()
	b := New(Rate{}, 10)
	b.Spend(1, 1e9, time.Now())
	if b.Charge(1, 1e9, time.Now()) != 0 || b.Wait(1, 1, time.Now()) != 0 {
		t.Error("there is a limit")
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]string{0: "1", 1: "1", time.Second: "1", time.Second + 1: "2", 90 * time.Second: "90"} {
		if got := RetryAfter(wait); got != want {
			t.Errorf("%v: %s, want %s", wait, got, want)
		}
	}
}

// TestRefusalsAreOneMetric: collector, answers and listeners count in the same.
func TestRefusalsAreOneMetric(t *testing.T) {
	t.Parallel()
	to := prometheus.NewRegistry()
	a, err := NewRefusals(to)
	b, again := NewRefusals(to)
	if err != nil || again != nil || a != b {
		t.Errorf("%v, %v, %v", a == b, err, again)
	}
}

// TestRestIsForThoseWhoHaveAsMany: an attacker who was refused kept out everybody else for a
// moment, and by asking again for good.
func TestRestIsForThoseWhoHaveAsMany(t *testing.T) {
	t.Parallel()
	now, r := time.Now(), Rest{}
	if r.Holds(0, now) {
		t.Error("nothing was noted")
	}
	r.Begin(5, now)
	if r.Holds(4, now) || !r.Holds(5, now) || !r.Holds(6, now) || r.Holds(6, now.Add(time.Second)) {
		t.Error("it holds for others, or for ever")
	}
}

func BenchmarkCharge(b *testing.B) {
	buckets := New(Rate{PerSecond: 1, Burst: 100}, 1<<18)
	now := time.Now()
	b.ReportAllocs()
	for i := range b.N {
		buckets.Charge(Key(uint64(i)*0x9e3779b97f4a7c15), 1, now)
	}
}
