package query

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
)

// DeadLetters are dead letters of one reason and detail.
type DeadLetters struct {
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail"` // of the newest: numbers in it differ
	Count     uint64    `json:"count"`
	Replayed  uint64    `json:"replayed"` // those that are in their place by now
	Devices   uint64    `json:"devices"`
	First     time.Time `json:"first"` // append to the log
	Last      time.Time `json:"last"`
	Partition int32     `json:"partition"` // of the newest
	Offset    int64     `json:"offset"`
	Payload   string    `json:"payload"` // of the newest, truncated
}

// ListDeadLetters groups a site's dead letters by reason and what is wrong,
// numbers apart, the most frequent ones first.
func ListDeadLetters(ctx context.Context, conn driver.Conn, site string) ([]DeadLetters, error) {
	out := []DeadLetters{}
	err := each(ctx, conn, `SELECT reason, argMax(detail, appended), count(), countIf(replayed IN ('good', 'duplicate')), uniqExact(device),
			min(appended), max(appended), argMax(partition, appended), argMax(offset, appended), argMax(payload, appended)
		FROM dead_letters_dedup WHERE site = ?
		GROUP BY reason, replaceRegexpAll(detail, '[0-9]+', 'N') ORDER BY count() DESC, reason, 2`, site,
		func(rows driver.Rows) error {
			var l DeadLetters
			err := rows.Scan(&l.Reason, &l.Detail, &l.Count, &l.Replayed, &l.Devices, &l.First, &l.Last, &l.Partition, &l.Offset, &l.Payload)
			out = append(out, l)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading the dead letters of site %q: %w", site, err)
	}
	return out, nil
}

// Letter is a dead letter, and whether a replay has taken it in its place.
type Letter struct {
	identity.Place
	identity.Letter
}

// ListLetters lists all dead letters of a site.
func ListLetters(ctx context.Context, conn driver.Conn, site string) ([]Letter, error) {
	var out []Letter
	err := each(ctx, conn, "SELECT partition, offset, reason, replayed IN ('good', 'duplicate') FROM dead_letters_dedup WHERE site = ? ORDER BY partition, offset", site,
		func(rows driver.Rows) error {
			var l Letter
			var reason string
			err := rows.Scan(&l.Partition, &l.Offset, &reason, &l.Placed)
			l.Reason = event.Reason(reason)
			out = append(out, l)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading the dead letters of site %q: %w", site, err)
	}
	return out, nil
}

// Outcomes counts what became of the letters of a replay, by outcome.
func Outcomes(ctx context.Context, conn driver.Conn, site, receipt string) (map[string]uint64, error) {
	rows, err := conn.Query(ctx, "SELECT outcome, count() FROM dead_letter_replays_dedup WHERE site = ? AND receipt = ? GROUP BY outcome", site, receipt)
	if err != nil {
		return nil, fmt.Errorf("reading what became of replay %s: %w", receipt, err)
	}
	defer rows.Close()
	out := map[string]uint64{}
	for rows.Next() {
		var outcome string
		var n uint64
		if err := rows.Scan(&outcome, &n); err != nil {
			return nil, fmt.Errorf("reading what became of replay %s: %w", receipt, err)
		}
		out[outcome] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading what became of replay %s: %w", receipt, err)
	}
	return out, nil
}

const shownPayload = 120 // characters

// DeadLettersText is the list for people.
func DeadLettersText(site string, letters []DeadLetters) string {
	if len(letters) == 0 {
		return fmt.Sprintf("site %s has no dead letters\n", site)
	}
	var b strings.Builder
	rows := [][]string{{"reason", "letters", "replayed", "devices", "first", "last", "what is wrong"}}
	for i := range letters {
		l := &letters[i]
		rows = append(rows, []string{l.Reason, count(l.Count), count(l.Replayed), count(l.Devices), l.First.UTC().Format(time.DateTime), l.Last.UTC().Format(time.DateTime), l.Detail})
	}
	table(&b, rows, "lrrrlll")
	for i := range letters {
		if l := &letters[i]; l.Payload != "" && l.Replayed < l.Count {
			fmt.Fprintf(&b, "  %s, e.g. %d:%d  %s\n", l.Reason, l.Partition, l.Offset, shorten(l.Payload))
		}
	}
	return b.String()
}

func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= shownPayload {
		return s
	}
	return string([]rune(s)[:shownPayload]) + "…"
}
