package query

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Limit is a person or a device that has gone beyond a limit of identity.
type Limit struct {
	Kind   string    `json:"kind"`  // person_devices or device_persons, as alerts.kind
	ID     string    `json:"id"`    // "u:<userId>" or "d:<anonymousId>"
	Since  time.Time `json:"since"` // first day on which it did, event time
	Last   time.Time `json:"last"`  // and the last one
	Days   uint64    `json:"days"`
	Count  uint64    `json:"count"` // devices or persons on the last day
	Limit  uint64    `json:"limit"`
	Advice string    `json:"advice"`
}

// advice says what to do, by kind.
var advice = map[string]string{
	"person_devices": "an id that many share? keep it out of identify; a real person: unlink devices that are gone (POST /v1/identity/unlink), or raise identity.max_devices",
	"device_persons": "a shared device? send reset when someone logs out; a server's events: give each visitor an anonymousId; or raise identity.max_persons_per_day",
}

// Limits lists who has gone beyond a limit of identity, the last ones first.
func Limits(ctx context.Context, conn driver.Conn, site string) ([]Limit, error) {
	out := []Limit{}
	err := each(ctx, conn, "SELECT kind, subject, since, last, days, count, threshold FROM identity_limits WHERE site = ? ORDER BY last DESC, count DESC, kind, subject", site,
		func(rows driver.Rows) error {
			var l Limit
			err := rows.Scan(&l.Kind, &l.ID, &l.Since, &l.Last, &l.Days, &l.Count, &l.Limit)
			l.Advice = advice[l.Kind]
			out = append(out, l)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading who is beyond the limits of identity of site %q: %w", site, err)
	}
	return out, nil
}

// LimitsText is the list for people.
func LimitsText(site string, limits []Limit) string {
	if len(limits) == 0 {
		return fmt.Sprintf("site %s: nobody is beyond the limits of identity\n", site)
	}
	var b strings.Builder
	rows := [][]string{{"kind", "id", "since", "last", "count", "limit"}}
	kinds := map[string]bool{}
	for i := range limits {
		l := &limits[i]
		kinds[l.Kind] = true
		rows = append(rows, []string{l.Kind, l.ID, l.Since.Format(time.DateOnly), l.Last.Format(time.DateOnly), count(l.Count), count(l.Limit)})
	}
	table(&b, rows, "llllrr")
	for _, kind := range []string{"person_devices", "device_persons"} {
		if kinds[kind] {
			fmt.Fprintf(&b, "  %s: %s\n", kind, advice[kind])
		}
	}
	return b.String()
}
