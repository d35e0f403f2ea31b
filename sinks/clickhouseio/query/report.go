// Package query reads the record back from ClickHouse: the report of a site and
// the verdict on its health. It only reads the views of package migrations.
package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/segment"
)

// ReportData is what is recorded of a site.
type ReportData struct {
	Site         string               `json:"site"`
	Events       Events               `json:"events"`
	DeadLetters  map[string]uint64    `json:"dead_letters"`   // by reason
	Warnings     []EventWarning       `json:"event_warnings"` // the most frequent first
	Sessions     uint64               `json:"sessions"`
	SessionsOpen uint64               `json:"sessions_open"` // of Sessions: not ended at the end of the data
	Persons      uint64               `json:"persons"`
	Segments     []Segment            `json:"segments"` // in tree order, parents first
	Memberships  Memberships          `json:"memberships"`
	LatencyMS    map[string]Quantiles `json:"latency_ms"` // by stage, ms
	Health       Verdict              `json:"health"`
}

// Events says what became of the records: Read = Good + Duplicate + Dead.
type Events struct {
	Read      uint64 `json:"read"`
	Good      uint64 `json:"good"`
	Duplicate uint64 `json:"duplicate"`
	Dead      uint64 `json:"dead"`
}

// Balanced reports whether every record read is accounted for.
func (e Events) Balanced() bool { return e.Read == e.Good+e.Duplicate+e.Dead }

// Segment is a node of the tree at the end of the data.
type Segment struct {
	Path         string   `json:"path"`
	Members      uint64   `json:"members"` // active persons in the subtree, newest minute
	Share        float64  `json:"share"`   // of the active persons, 0..1
	Active       bool     `json:"active"`  // served; otherwise pruned
	Exempt       bool     `json:"exempt"`  // served whatever its audience
	Why          string   `json:"why"`     // it is served or not, in words
	Stale        bool     `json:"stale"`   // flagged for re-evaluation
	StaleShare   *float64 `json:"stale_share"`
	SignalWeight *float64 `json:"signal_weight"` // nil: undefined, without events
	Persons      uint64   `json:"persons"`       // all persons in the subtree, also the inactive
}

// Depth is 0 for the root.
func (s Segment) Depth() int { return strings.Count(s.Path, "/") }

// Memberships counts membership events.
type Memberships struct {
	Entered uint64 `json:"entered"`
	Left    uint64 `json:"left"`
}

// Quantiles of a latency, ms, within 1/32; the mean is exact.
type Quantiles struct {
	P50    float64 `json:"p50"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
	Mean   float64 `json:"mean"`
	Events uint64  `json:"events"`
}

// Stages lists the latency stages in the order of an event's way.
var Stages = []string{"ingest", "queue", "compute", "refresh", "record", "deliver", "whole", "respond"}

// Report reads everything about a site. A site without any rows gives zeros.
func Report(ctx context.Context, conn driver.Conn, site string, th Thresholds) (*ReportData, error) {
	r := &ReportData{Site: site, DeadLetters: map[string]uint64{}, Warnings: []EventWarning{}, Segments: []Segment{}, LatencyMS: map[string]Quantiles{}}
	for _, part := range []struct {
		what string
		read func(context.Context, driver.Conn) error
	}{
		{"the events", r.readEvents}, {"the dead letters", r.readDeadLetters}, {"the warnings", r.readWarnings}, {"the sessions", r.readSessions},
		{"the segments", r.readSegments}, {"the memberships", r.readMemberships}, {"the latencies", r.readLatencies},
	} {
		if err := part.read(ctx, conn); err != nil {
			return nil, fmt.Errorf("reading %s of site %s: %w", part.what, site, err)
		}
	}
	h, err := Health(ctx, conn, site, th)
	if errors.Is(err, ErrNoData) {
		h = &HealthData{Verdict: Verdict{OK: true, Alerts: []Alert{}}}
	} else if err != nil {
		return nil, err
	}
	r.Health = h.Verdict
	return r, nil
}

func (r *ReportData) readEvents(ctx context.Context, conn driver.Conn) error {
	// Sums, so that a site without rows gives a row of zeros.
	return conn.QueryRow(ctx, `SELECT sum(read_events), sum(good_events), sum(duplicate_events), sum(dead_events)
		FROM events_summary WHERE site = ?`, r.Site).Scan(&r.Events.Read, &r.Events.Good, &r.Events.Duplicate, &r.Events.Dead)
}

func (r *ReportData) readDeadLetters(ctx context.Context, conn driver.Conn) error {
	return each(ctx, conn, "SELECT reason, count() FROM dead_letters_dedup WHERE site = ? GROUP BY reason", r.Site,
		func(rows driver.Rows) error {
			var reason string
			var n uint64
			err := rows.Scan(&reason, &n)
			r.DeadLetters[reason] = n
			return err
		})
}

// EventWarning is what could not be read of accepted records.
type EventWarning struct {
	Property string `json:"property"`
	Reason   string `json:"reason"`
	Records  uint64 `json:"records"`
	Example  string `json:"example"` // of the last one
}

func (r *ReportData) readWarnings(ctx context.Context, conn driver.Conn) error {
	return each(ctx, conn, `SELECT property, reason, sum(records) AS n, argMax(last_example, last) FROM event_warnings_daily
		WHERE site = ? GROUP BY property, reason ORDER BY n DESC, property, reason`, r.Site,
		func(rows driver.Rows) error {
			var w EventWarning
			err := rows.Scan(&w.Property, &w.Reason, &w.Records, &w.Example)
			r.Warnings = append(r.Warnings, w)
			return err
		})
}

func (r *ReportData) readSessions(ctx context.Context, conn driver.Conn) error {
	return conn.QueryRow(ctx, "SELECT count(), countIf(open = 1) FROM sessions_current WHERE site = ?", r.Site).
		Scan(&r.Sessions, &r.SessionsOpen)
}

func (r *ReportData) readMemberships(ctx context.Context, conn driver.Conn) error {
	return conn.QueryRow(ctx, "SELECT countIf(action = 'entered'), countIf(action = 'left') FROM segment_events_dedup WHERE site = ?", r.Site).
		Scan(&r.Memberships.Entered, &r.Memberships.Left)
}

func (r *ReportData) readLatencies(ctx context.Context, conn driver.Conn) error {
	return each(ctx, conn, "SELECT stage, events, mean_ms, p50_ms, p95_ms, p99_ms FROM latency_quantiles WHERE site = ?", r.Site,
		func(rows driver.Rows) error {
			var stage string
			var q Quantiles
			err := rows.Scan(&stage, &q.Events, &q.Mean, &q.P50, &q.P95, &q.P99)
			r.LatencyMS[stage] = q
			return err
		})
}

// readSegments joins the verdict on each node with its newest audience and the
// persons in its subtree. A node without audience rows (a replay of less than a
// minute) is listed with its share of all persons.
func (r *ReportData) readSegments(ctx context.Context, conn driver.Conn) error {
	if err := conn.QueryRow(ctx, "SELECT count() FROM persons_current WHERE site = ?", r.Site).Scan(&r.Persons); err != nil {
		return err
	}
	nodes := map[string]*Segment{}
	err := each(ctx, conn, `SELECT arrayJoin(nodes) AS node, count() FROM segments_current WHERE site = ? GROUP BY node`, r.Site,
		func(rows driver.Rows) error {
			s := &Segment{Why: segment.WhyUndecided}
			err := rows.Scan(&s.Path, &s.Persons)
			s.Share, s.Active = float64(s.Persons)/float64(max(r.Persons, 1)), s.Depth() == 0
			nodes[s.Path] = s
			return err
		})
	if err != nil {
		return err
	}
	err = each(ctx, conn, `SELECT v.path, v.active = 1, v.exempt = 1, v.why, a.path != '', a.members, a.share, a.stale = 1, a.stale_share, a.signal_weight
		FROM verdicts_current AS v LEFT JOIN activation_current AS a ON v.site = a.site AND v.path = a.path WHERE v.site = ?`, r.Site,
		func(rows driver.Rows) error {
			s, n := Segment{}, (*Segment)(nil)
			var members uint32
			var counted bool
			err := rows.Scan(&s.Path, &s.Active, &s.Exempt, &s.Why, &counted, &members, &s.Share, &s.Stale, &s.StaleShare, &s.SignalWeight)
			s.Members = uint64(members)
			if n = nodes[s.Path]; n != nil {
				s.Persons = n.Persons
			}
			if !counted && n != nil {
				s.Share = n.Share
			}
			nodes[s.Path] = &s
			return err
		})
	for _, s := range nodes {
		r.Segments = append(r.Segments, *s)
	}
	slices.SortFunc(r.Segments, func(a, b Segment) int {
		return slices.Compare(strings.Split(a.Path, "/"), strings.Split(b.Path, "/"))
	})
	return err
}

// each calls scan for every row of a query about a site.
func each(ctx context.Context, conn driver.Conn, q, site string, scan func(driver.Rows) error) error {
	return eachOf(ctx, conn, q, scan, site)
}

// eachOf calls scan for every row of a query with any parameters.
func eachOf(ctx context.Context, conn driver.Conn, q string, scan func(driver.Rows) error, args ...any) error {
	rows, err := conn.Query(ctx, q, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
