package query

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Thresholds of the health checks.
type Thresholds struct {
	Refresh      time.Duration // average log → decided, above: alert
	SignalWeight float64       // of the site, below: alert
	WatermarkLag time.Duration // above: alert
	SinkLag      time.Duration // above: alert
	DeadShare    float64       // dead letters / records read, above: alert
	Silence      time.Duration // since the job last wrote, above: alert
	Window       time.Duration // of wall clock up to now: what latencies, budgets and dead letters are judged by
	Budgets      Budgets
}

// DefaultThresholds are the brief's where it has any.
var DefaultThresholds = Thresholds{Refresh: 400 * time.Millisecond, SignalWeight: 0.3,
	WatermarkLag: time.Minute, SinkLag: 10 * time.Second, DeadShare: 0.05, Silence: 2 * time.Minute, Window: 10 * time.Minute, Budgets: DefaultBudgets}

// ErrNoData is returned for a site of which nothing is recorded.
var ErrNoData = errors.New("nothing is recorded")

// Verdict is the result of all checks.
type Verdict struct {
	OK     bool    `json:"ok"`
	Alerts []Alert `json:"alerts"` // failed checks first, then what the job has raised
}

// Alert is a failed check, or an alert that the job raised and has not cleared.
type Alert struct {
	Kind      string     `json:"kind"`
	Subject   string     `json:"subject,omitempty"` // e.g. the segment; empty: the site
	Value     float64    `json:"value"`
	Threshold float64    `json:"threshold"`
	Message   string     `json:"message"`
	At        *time.Time `json:"at,omitempty"` // when it was raised; nil: found just now
}

// HealthData is the verdict with every check's figures.
type HealthData struct {
	Site string `json:"site"`
	Verdict
	Checks []Check `json:"checks"`
}

// Check is one figure held against its threshold.
type Check struct {
	Kind      string   `json:"kind"`  // as alerts.kind
	OK        bool     `json:"ok"`    // also where there is nothing to measure
	Value     *float64 `json:"value"` // nil: nothing to measure
	Threshold float64  `json:"threshold"`
	Unit      string   `json:"unit"`
	Message   string   `json:"message"`
}

// Health checks a site. Latencies, budgets and the share of dead letters are of a window
// of wall clock up to now: what is over does not count for ever, and a job that
// stands still is told by its silence. A segment flagged as stale is listed, but does not make the
// site unhealthy. The error is ErrNoData for a site that was never recorded.
func Health(ctx context.Context, conn driver.Conn, site string, th Thresholds) (*HealthData, error) {
	var silence float64
	var held uint64
	var watermark, weight *float64
	err := conn.QueryRow(ctx, `SELECT watermark_lag_s, partitions_held, silence_s, signal_weight FROM health WHERE site = ?`, site).
		Scan(&watermark, &held, &silence, &weight)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("checking the health of site %q: %w", site, ErrNoData)
	}
	if err != nil {
		return nil, fmt.Errorf("checking the health of site %q: %w", site, err)
	}
	now, err := readRecent(ctx, conn, site, th.Window)
	if err != nil {
		return nil, err
	}
	last := lastOf(th.Window)
	h := &HealthData{Site: site, Verdict: Verdict{OK: true, Alerts: []Alert{}}, Checks: []Check{
		within("refresh_latency", now.refresh, th.Refresh, "the average refresh latency (log to decided, "+last+")"),
		below("signal_weight", weight, th.SignalWeight, "1", "the site's signal weight"),
		watermarkLag(watermark, held, th),
		above("sink_lag", now.sink, th.SinkLag.Seconds(), "s", "the time from decided to recorded (p99, "+last+")"),
		above("dead_letters", now.dead, th.DeadShare, "1", "the share of dead letters ("+last+")"),
		above("job_silent", &silence, th.Silence.Seconds(), "s", "the time since the job last wrote"),
	}}
	h.Checks = append(h.Checks, th.Budgets.check(now.stages, th.Window)...)
	failed := map[string]bool{}
	for _, c := range h.Checks {
		if !c.OK {
			h.OK, failed[c.Kind] = false, true
			a := Alert{Kind: c.Kind, Threshold: c.Threshold, Message: c.Message}
			if c.Value != nil {
				a.Value = *c.Value
			}
			h.Alerts = append(h.Alerts, a)
		}
	}
	err = h.readRaised(ctx, conn, failed)
	return h, err
}

// readRaised adds the job's raised alerts, but for what a check has just found.
func (h *HealthData) readRaised(ctx context.Context, conn driver.Conn, failed map[string]bool) error {
	jump := Check{Kind: "audience_jump", OK: true, Unit: "visitors", Message: "the active visitors have not become many times as many within minutes"}
	err := each(ctx, conn, "SELECT kind, subject, value, threshold, message, at FROM alerts_current WHERE site = ? ORDER BY at, kind, subject", h.Site,
		func(rows driver.Rows) error {
			a := Alert{At: new(time.Time)}
			err := rows.Scan(&a.Kind, &a.Subject, &a.Value, &a.Threshold, &a.Message, a.At)
			if !failed[a.Kind] || a.Subject != "" {
				h.Alerts = append(h.Alerts, a)
			}
			if a.Kind == "unread_partitions" || a.Kind == "busy" { // only the job that runs can see it
				h.OK = false
			}
			if a.Kind == jump.Kind { // the audience stage raises and clears it
				h.OK = false
				jump = Check{Kind: a.Kind, Value: &a.Value, Threshold: a.Threshold, Unit: jump.Unit, Message: a.Message}
			}
			return err
		})
	if err != nil {
		return fmt.Errorf("reading the alerts of site %q: %w", h.Site, err)
	}
	h.Checks = append(h.Checks, jump)
	return nil
}

// watermarkLag checks that time passes. Without an event there is none; with events
// and without a watermark it stands still, which is no lag of 0.
func watermarkLag(lag *float64, held uint64, th Thresholds) Check {
	c := above("watermark_lag", lag, th.WatermarkLag.Seconds(), "s", "the oldest watermark's lag behind the newest event")
	switch {
	case held > 0:
		c.OK, c.Message = false, fmt.Sprintf("time stands still in %d partitions that have events: another one of their shards was not read yet, or the log does not say where it ends", held)
	case lag == nil:
		c.Message = "no event yet: there is no watermark"
	}
	return c
}

// RaisedKinds are the kinds of alerts about the site as a whole that stand.
func RaisedKinds(ctx context.Context, conn driver.Conn, site string) (kinds []string, err error) {
	err = each(ctx, conn, "SELECT DISTINCT kind FROM alerts_current WHERE site = ? AND subject = ''", site, func(rows driver.Rows) error {
		var k string
		err := rows.Scan(&k)
		kinds = append(kinds, k)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the alerts of site %q: %w", site, err)
	}
	return kinds, nil
}

func above(kind string, v *float64, limit float64, unit, what string) Check {
	return check(kind, v, limit, unit, what, v == nil || *v <= limit, "at most")
}

// within judges a latency (ms); without a limit it is not judged.
func within(kind string, v *float64, limit time.Duration, what string) Check {
	c := above(kind, v, float64(limit)/1e6, "ms", what)
	if limit == 0 && v != nil {
		c.OK, c.Message = true, fmt.Sprintf("%s is %.4g ms, which is not judged: recorded events wait in the log while they are replayed at full speed, and nobody with them", what, *v)
	}
	return c
}

func below(kind string, v *float64, limit float64, unit, what string) Check {
	return check(kind, v, limit, unit, what, v == nil || *v >= limit, "at least")
}

func check(kind string, v *float64, limit float64, unit, what string, ok bool, bound string) Check {
	c := Check{Kind: kind, OK: ok, Value: v, Threshold: limit, Unit: unit}
	suffix := " " + unit
	if unit == "1" {
		suffix = ""
	}
	if v == nil {
		c.Message = what + " is undefined: nothing to measure yet"
	} else {
		c.Message = fmt.Sprintf("%s is %.4g%s, %s %.4g%s is healthy", what, *v, suffix, bound, limit, suffix)
	}
	return c
}
