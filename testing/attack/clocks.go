package attack

import (
	"context"
	"strings"
	"time"
)

// clocks try to move the time of others.
func clocks() []attack {
	return []attack{{"ahead", "64 devices whose clocks are 298 s ahead", false, false, ahead}}
}

// others are visitors of all partitions.
const others = 24

func ahead(ctx context.Context, s *suite, r *Result) error {
	x := s.sender(canaryHost(52))
	defer x.close()
	shopping := make([]string, others)
	for i := range shopping {
		shopping[i] = s.id("shopping%d", i)
		if err := x.must(ctx, added(shopping[i], 1)); err != nil {
			return err
		}
	}
	for _, device := range shopping {
		if !until(ctx, patience, func() bool { return x.device(ctx, device).cart() == 1 }) {
			r.breach("%s is not known", device)
		}
	}
	b := s.bots(8)
	defer b.close()
	b.each(ctx, r, 64, func(i int, x *sender) int {
		return x.batch(ctx, small("track", s.id("ahead%d", i), at(time.Now().Add(298*time.Second))))
	})
	// Seven minutes old is not late, whatever somebody else's clock says.
	late := 0
	var old []object
	for i := range others {
		old = append(old, added(s.id("old%d", i), 2, at(time.Now().Add(-7*time.Minute))))
	}
	if err := x.must(ctx, old...); err != nil {
		return err
	}
	for i := range others {
		if !until(ctx, 5*time.Second, func() bool { return x.device(ctx, s.id("old%d", i)).cart() == 2 }) {
			late++
		}
	}
	ended := 0
	for _, device := range shopping {
		if st := x.device(ctx, device); strings.Contains(st.Path, "abandoner") || st.cart() != 1 {
			ended++
		}
	}
	r.Saw["others"] = object{"visitors": others, "late_of_seven_minutes": late, "ended_early": ended}
	if late > 0 {
		r.breach("%d of %d events of others that are seven minutes old are late", late, others)
	}
	if ended > 0 {
		r.breach("%d of %d segments of others have ended early", ended, others)
	}
	return nil
}
