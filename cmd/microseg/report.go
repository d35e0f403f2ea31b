package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/stack"
	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/engine/inflight"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/spf13/cobra"
)

func reportCommand() *cobra.Command {
	var p place
	var asJSON bool
	c := &cobra.Command{
		Use:   "report",
		Short: "Print the report of a site, read back from ClickHouse",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conn, err := p.open(c.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			r, err := query.Report(c.Context(), conn, p.site, thresholds(config.Default(), p.site))
			if err != nil {
				return err
			}
			return printReport(os.Stdout, r, asJSON)
		},
	}
	p.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func healthCommand(cfg *string) *cobra.Command {
	var p place
	c := &cobra.Command{
		Use:   "health",
		Short: "Print the health of a site as JSON; exit code 1 when a check fails",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := config.Load(*cfg)
			if err != nil {
				return err
			}
			conn, err := p.open(c.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			h, err := query.Health(c.Context(), conn, p.site, thresholds(conf, p.site))
			if err != nil {
				return err
			}
			if err := cli.PrintJSON(os.Stdout, h); err != nil {
				return err
			}
			if !h.OK {
				return exitCode(1)
			}
			return nil
		},
	}
	p.flags(c)
	return c
}

// watchHealth runs the health checks every interval, logs what fails, and
// records an alert when a check starts or stops failing.
func (j *job) watchHealth(ctx context.Context, every time.Duration) {
	conn, err := clickhouseio.Dial(j.Sink.DSN)
	if err != nil {
		slog.Error("watching the job's health", "err", err)
		return
	}
	defer conn.Close()
	failing, known := map[string]bool{}, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
		if !known {
			// An alert that the process before has raised is this one's to clear.
			if known = j.raised(ctx, conn, failing) == nil; !known {
				continue
			}
		}
		h, err := query.Health(ctx, conn, j.Site, j.thresholds())
		if err != nil {
			slog.Warn("checking the job's health", "err", err)
			continue
		}
		b := rows.NewAlertBuilder()
		checks := append(h.Checks, unreadCheck(j.Unread()), busyCheck(j.Engine(), busyAfter))
		for i := range checks {
			c := &checks[i]
			// The signal weight and jumps are event time's: the audience stage raises these alerts.
			if c.OK == !failing[c.Kind] || c.Kind == rows.AlertSignalWeight || c.Kind == rows.AlertAudienceJump {
				continue
			}
			failing[c.Kind] = !c.OK
			b.Append(alertOf(j.Site, c, time.Now()))
			slog.Warn("health", "check", c.Kind, "ok", c.OK, "message", c.Message)
		}
		if err := j.record(ctx, b); err != nil {
			slog.Warn("recording alerts", "err", err)
		}
	}
}

// raised notes which alerts of the site as a whole stand.
func (j *job) raised(ctx context.Context, conn driver.Conn, failing map[string]bool) error {
	kinds, err := query.RaisedKinds(ctx, conn, j.Site)
	if err != nil {
		slog.Warn("checking the job's health", "err", err)
		return err
	}
	for _, k := range kinds {
		failing[k] = true
	}
	return nil
}

// unreadCheck is the check of partitions that the job does not read.
func unreadCheck(n int) query.Check {
	v := float64(n)
	return query.Check{Kind: rows.AlertUnread, OK: n == 0, Value: &v, Unit: "1",
		Message: fmt.Sprintf("%d partitions that the topic has got since the job was started are not read; restart the job to take them in", n)}
}

// busyAfter is for how long a batch may be under way before the job is not ready.
const busyAfter = 10 * time.Second

// busyCheck is the check that what was taken from the log is decided: a stage may be
// at work for long while nothing more is fetched and nothing seems to wait.
func busyCheck(job *engine.Engine, after time.Duration) query.Check {
	u := inflight.UnderOf(job)
	v := u.For.Seconds()
	return query.Check{Kind: rows.AlertBusy, OK: u.For <= after, Value: &v, Threshold: after.Seconds(), Unit: "s",
		Message: fmt.Sprintf("a batch of events has been under way for %.0f s, and %d events wait with it: visitors are decided late", v, u.Records)}
}

func alertOf(site string, c *query.Check, now time.Time) *rows.Alert {
	a := &rows.Alert{Site: site, Kind: c.Kind, At: now.UnixMilli(), State: rows.Raised, Threshold: c.Threshold, Message: c.Message, Version: uint64(now.UnixMilli())}
	if c.OK {
		a.State = rows.Cleared
	}
	if c.Value != nil {
		a.Value = *c.Value
	}
	return a
}

func (j *job) record(ctx context.Context, b *rows.Builder[rows.Alert]) error {
	if b.Len() == 0 {
		return nil
	}
	e := j.Engine()
	w, err := clickhouseio.Acquire(ctx, e, j.Sink)
	if err != nil {
		return err
	}
	batch, err := b.Batch(0)
	if err == nil {
		err = w.Add(ctx, batch)
	}
	return errors.Join(err, clickhouseio.Release(e, j.Sink, w))
}

func clickhouseCommand() *cobra.Command {
	var dir string
	var tcp, http int
	c := &cobra.Command{
		Use:   "clickhouse",
		Short: "Run the embedded ClickHouse alone until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := clickhouse.Start(c.Context(), clickhouse.Options{Dir: dir, TCPPort: tcp, HTTPPort: http})
			if err != nil {
				return err
			}
			if s.Exposed != "" {
				fmt.Fprintln(os.Stderr, s.Exposed)
			}
			fmt.Printf("native %s\nhttp   %s\n", s.Addr(), s.HTTPAddr())
			for _, user := range []string{clickhouse.User, clickhouse.Analyst} {
				fmt.Printf("user   %s, with the password in %s\n", user, clickhouse.PasswordFile(dir, user))
			}
			select {
			case <-c.Context().Done():
			case <-s.Exited():
				return fmt.Errorf("ClickHouse ended by itself; its log is %s", s.Log())
			}
			return s.Stop()
		},
	}
	c.Flags().StringVar(&dir, "dir", filepath.Join(stack.Home, "clickhouse"), "data folder")
	c.Flags().IntVar(&tcp, "tcp-port", 0, "native port; 0: a free one")
	c.Flags().IntVar(&http, "http-port", 0, "HTTP port; 0: a free one")
	return c
}

// thresholds are the configuration's. A demo's site has recorded events alone, which
// come at full speed and wait in the log: a first run would end with an alert for it.
func thresholds(c *config.Config, site string) query.Thresholds {
	h := c.Health
	if _, err := time.Parse(demoSites, site); err == nil {
		h.RefreshLatency, h.Budgets.Compute = 0, 0
	}
	return query.Thresholds{Refresh: h.RefreshLatency, SignalWeight: h.SignalWeight, WatermarkLag: h.WatermarkLag, SinkLag: h.SinkLag, DeadShare: h.DeadShare, Silence: h.Silence, Window: h.Window,
		Budgets: query.Budgets(h.Budgets)}
}
