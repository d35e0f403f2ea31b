package clock

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestForward: however the machine's clock is set, and whatever another machine's
// was, a Forward never goes back, is never behind the machine's, and is ahead of
// it by no more than it was.
func TestForward(t *testing.T) {
	defer func() { Advance(-Ahead()) }()
	r := rand.New(rand.NewPCG(4, 4))
	for range 200 {
		start := Now().Round(0)
		after := start.Add(time.Duration(r.Int64N(int64(10*time.Minute))) - 5*time.Minute)
		f := NewForward(after)
		last := after
		for range 50 {
			d := time.Duration(r.Int64N(int64(time.Minute))) - 30*time.Second
			if r.IntN(3) > 0 {
				d = 0
			}
			Advance(d)
			before := Now().Round(0)
			now := f.Now()
			switch {
			case now.Before(last):
				t.Fatalf("it went back by %v", last.Sub(now))
			case now.Before(before):
				t.Fatalf("it is %v behind", before.Sub(now))
			case now.After(Now().Round(0)) && now.Sub(last) > time.Second:
				t.Fatalf("it is ahead, and went on by %v", now.Sub(last))
			}
			last = now
		}
	}
}

func TestFromEnv(t *testing.T) {
	defer func() { Advance(-Ahead()) }()
	t.Setenv(aheadEnv, "-5m")
	if err := FromEnv(); err != nil || Ahead() != -5*time.Minute {
		t.Errorf("%v ahead, %v", Ahead(), err)
	}
	t.Setenv(aheadEnv, "soon")
	if err := FromEnv(); err == nil {
		t.Error("soon is no time")
	}
}
