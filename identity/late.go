package identity

import (
	"fmt"
	"strings"
	"time"

	"github.com/microseg/microseg/event"
)

// late reports whether an event is too late for a session, and in words why it is
// too late for anything; empty: it is not.
func (s *Shard) late(q *Partition, e *event.Event) (late bool, dead string) {
	age, short, long := q.Clock-e.Time, s.session.Lateness, s.session.Long
	switch {
	case q.Clock == 0 || age <= short:
		return false, ""
	case !s.session.Patient(e.Kind):
		is, most := spelled(age, short)
		return true, fmt.Sprintf("%s older than the newest event, of %s allowed (lateness.short)", is, most)
	case age > long:
		is, most := spelled(age, long)
		return true, fmt.Sprintf("%s older than the newest event, of %s allowed for its kind (lateness.long)", is, most)
	}
	return true, ""
}

// spelled is how much older an event is than what is allowed, in words that differ: "1.042
// days" of "1 day", and not one day of one day.
func spelled(age, allowed int64) (string, string) {
	for _, digits := range [...]int{1, 3, 6} {
		if a, b := spell(age, digits), spell(allowed, digits); a != b {
			return a, b
		}
	}
	return fmt.Sprintf("%d ms", age), fmt.Sprintf("%d ms", allowed)
}

// spell is a span of time in the unit that people would say: "6.9 years".
func spell(ms int64, digits int) string {
	d := time.Duration(ms) * time.Millisecond
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{365 * 24 * time.Hour, "years"}, {24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}, {time.Second, "seconds"}} {
		if d >= u.of {
			n := strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.*f", digits, float64(d)/float64(u.of)), "0"), ".")
			if n == "1" {
				return "1 " + strings.TrimSuffix(u.name, "s")
			}
			return n + " " + u.name
		}
	}
	return fmt.Sprintf("%d ms", ms)
}
