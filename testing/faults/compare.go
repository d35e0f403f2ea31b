package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/testing/oracle"
)

// comparison holds the record in ClickHouse against the oracle's.
type comparison struct {
	conn   driver.Conn
	truth  *truth
	report *Report
	differ finder // what must never be
	moved  finder // what a job that decides again after a restart may do to history
}

// all compares everything that does not need a node.
func (c *comparison) all(ctx context.Context, acked *acknowledged, w *watcher) (*record, error) {
	c.log(acked)
	if err := c.verdicts(ctx); err != nil {
		return nil, err
	}
	if err := c.letters(ctx); err != nil {
		return nil, err
	}
	if err := c.sessions(ctx); err != nil {
		return nil, err
	}
	rec, err := readRecord(ctx, c.conn)
	if err != nil {
		return nil, err
	}
	if err := c.persons(rec); err != nil {
		return nil, err
	}
	c.chains(rec)
	c.published(rec, w)
	return rec, nil
}

// log: every acknowledged event is there, and nothing that was not sent.
func (c *comparison) log(acked *acknowledged) {
	for n, ok := range acked.numbers {
		if !ok {
			continue
		}
		c.report.Acknowledged++
		if !c.truth.numbers[n] {
			c.report.Lost++
			c.differ.add("lost", "e%d was acknowledged and is not in the log", n)
		}
	}
	for _, receipt := range acked.receipts {
		if !c.truth.receipts[receipt] {
			c.report.Lost++
			c.differ.add("lost", "unlink %s was acknowledged and is not in the log", receipt)
		}
	}
	c.report.Unlinks = len(c.truth.receipts)
	for n := range c.truth.numbers {
		if n >= c.report.Events {
			c.differ.add("extra", "e%d is in the log and was never sent", n)
			c.report.Extra++
		}
	}
	if c.truth.alien > 0 {
		c.report.Extra += c.truth.alien
		c.differ.add("extra", "%d records of the log have no number", c.truth.alien)
	}
	c.report.Records = c.truth.records
}

// verdicts: good, duplicate and dead add up to the log, each as the oracle has it.
func (c *comparison) verdicts(ctx context.Context) error {
	var read, good, duplicate, dead uint64
	err := c.conn.QueryRow(ctx, "SELECT read_events, good_events, duplicate_events, dead_events FROM events_summary WHERE site = ?", site).Scan(&read, &good, &duplicate, &dead)
	if err != nil {
		return fmt.Errorf("reading the verdicts: %w", err)
	}
	c.report.Good, c.report.Duplicates, c.report.Dead = int(good), int(duplicate), int(dead)
	w := c.truth.want
	if int(good) != w.Good || int(duplicate) != w.Duplicate || int(dead) != w.Dead || int(read) != c.truth.records {
		c.differ.add("verdicts", "read %d, good %d, duplicate %d, dead %d; the log has %d, good %d, duplicate %d, dead %d", read, good, duplicate, dead, c.truth.records, w.Good, w.Duplicate, w.Dead)
	}
	return nil
}

// letters: each dead record has its letter, and no other has one.
func (c *comparison) letters(ctx context.Context) error {
	want := map[oracle.Letter]bool{}
	for _, l := range c.truth.want.Letters {
		want[l] = true
	}
	rows, err := c.conn.Query(ctx, "SELECT partition, offset, reason FROM dead_letters_dedup WHERE site = ?", site)
	if err != nil {
		return fmt.Errorf("reading the dead letters: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var l oracle.Letter
		var reason string
		if err := rows.Scan(&l.Partition, &l.Offset, &reason); err != nil {
			return fmt.Errorf("reading the dead letters: %w", err)
		}
		l.Reason = reasonOf(reason)
		if !want[l] {
			c.differ.add("dead letter", "%+v should not be", l)
		}
		delete(want, l)
	}
	for l := range want {
		c.differ.add("dead letter", "%+v is missing", l)
	}
	return rows.Err()
}

// sessions: each one with its bounds and counts, and closed once it is over.
func (c *comparison) sessions(ctx context.Context) error {
	over, err := c.passed(ctx)
	if err != nil {
		return err
	}
	rows, err := c.conn.Query(ctx, "SELECT device, epoch, toUnixTimestamp64Milli(start), toUnixTimestamp64Milli(end), events, page_views, open FROM sessions_current WHERE site = ?", site)
	if err != nil {
		return fmt.Errorf("reading the sessions: %w", err)
	}
	defer rows.Close()
	type key struct {
		device       string
		epoch, start int64
	}
	want := map[key]oracle.Session{}
	for _, s := range c.truth.want.Sessions {
		want[key{s.Device, s.Epoch, s.Start}] = s
	}
	c.report.Sessions = len(want)
	for rows.Next() {
		var s oracle.Session
		var open uint8
		if err := rows.Scan(&s.Device, &s.Epoch, &s.Start, &s.End, &s.Events, &s.PageViews, &open); err != nil {
			return fmt.Errorf("reading the sessions: %w", err)
		}
		w := want[key{s.Device, s.Epoch, s.Start}]
		delete(want, key{s.Device, s.Epoch, s.Start})
		if s != w {
			c.report.Lost += max(0, int(w.Events)-int(s.Events))
			c.report.Extra += max(0, int(s.Events)-int(w.Events))
			c.differ.add("session", "%+v, the oracle has %+v", s, w)
		}
		p, _ := c.truth.want.Partition(s.Device)
		if gap := c.truth.want.Gap(); open == 1 && s.End+gap <= over[p] {
			c.differ.add("session", "%+v is open, %v after its end", s, time.Duration(over[p]-s.End-gap)*time.Millisecond)
		}
	}
	for _, w := range want {
		c.report.Lost += int(w.Events)
		c.differ.add("session", "%+v is missing", w)
	}
	return rows.Err()
}

// passed is the event time that has passed and is recorded, by partition, ms.
func (c *comparison) passed(ctx context.Context) (map[int32]int64, error) {
	rows, err := c.conn.Query(ctx, "SELECT partition, toUnixTimestamp64Milli(watermark) FROM progress_current WHERE site = ? AND stage = 'device'", site)
	if err != nil {
		return nil, fmt.Errorf("reading the progress: %w", err)
	}
	defer rows.Close()
	out := map[int32]int64{}
	for rows.Next() {
		var p int32
		var w int64
		if err := rows.Scan(&p, &w); err != nil {
			return nil, fmt.Errorf("reading the progress: %w", err)
		}
		out[p] = w
	}
	return out, rows.Err()
}
