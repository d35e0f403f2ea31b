package collect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/throttle"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestOfficeMeetsNoLimit: 1,000 visitors of a shop behind one address, for five minutes
// of its own time: an event a second each in batches of five, bursts of 20 between
// them, and once all of them at the same moment come back from a network that was away,
// with 40 events each. The shipped limits refuse none of it.
func TestOfficeMeetsNoLimit(t *testing.T) {
	t.Parallel()
	l := config.Default().Collector.Limits
	s, err := newSenders(&Limits{Address: throttle.Rate{PerSecond: float64(l.AddressRate), Burst: float64(l.AddressBurst)},
		Device: throttle.Rate{PerSecond: float64(l.DeviceRate), Burst: float64(l.DeviceBurst)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	office, rnd, begin := netip.MustParseAddr("203.0.113.7"), rand.New(rand.NewPCG(1, 2)), time.Now()
	send := func(visitor, events int, at time.Time) {
		from := s.sender(office, "", at)
		errs := []error{from.arrive(), from.pay(events)}
		from.read(events * 900)
		var records []*kgo.Record
		for range events {
			records = append(records, &kgo.Record{Key: fmt.Append(nil, "visitor-", visitor), Value: make([]byte, 900)})
		}
		for _, err := range append(errs, from.payDevices(records)) {
			if err != nil {
				t.Fatalf("%v after %v: %v", visitor, at.Sub(begin), err)
			}
		}
	}
	for second := range 300 {
		at := begin.Add(time.Duration(second) * time.Second)
		for v := range 1000 {
			switch {
			case second == 150:
				send(v, 40, at)
			case second%5 == v%5:
				send(v, 5, at)
			case rnd.IntN(200) == 0:
				send(v, 20, at)
			}
		}
	}
}
