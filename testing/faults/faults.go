// Package faults proves that nothing is lost and nothing counted twice: it runs
// the real binary (a job, two serving nodes) on a real Apache Kafka and the
// embedded ClickHouse, sends numbered events through the collectors, kills and
// stops everything at random, and in the end compares what is recorded and
// served with what the oracle makes of the log. The clocks of the nodes are five
// minutes ahead and behind, the job's changes with each start, and a partition gets
// no events. (A disk that fills up is testing/e2e/disk's: it takes a room of its own.)
//
// The log is the truth: in which order it holds what, how often, and when it was
// appended. That it holds what was acknowledged is checked apart.
package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
)

// Options of a run.
type Options struct {
	Binary   string        // microseg
	Dir      string        // new; for data and logs of all processes. It is removed when nothing is wrong
	Seed     uint64        // of events, faults and outages
	Events   int           // at least so many
	Duration time.Duration // in which they are sent
	Every    time.Duration // between faults, on average
	MaxDown  time.Duration // longest outage of a process
	MaxPause time.Duration // longest that a zombie stands still
	// Strict counts it as a difference when the history of memberships was
	// rewritten: when a change of path that somebody could have seen is not, or
	// not any more, in the record.
	Strict   bool
	Progress io.Writer // what happens, with its time
}

// span is the event time of a run: visitors come, leave, and come back.
const span = 2 * time.Hour

// How long the collectors may take for what is left to send when all faults are
// over, and the job for what is left in the log.
const (
	acknowledgedWithin = 3 * time.Minute
	drainedWithin      = 3 * time.Minute
)

// Run runs everything and returns what it found; an error means that the run
// did not come to its end. The caller must have called clickhouse.HandleChild
// first thing in its main function. No process outlives Run, nor this process.
func Run(ctx context.Context, o Options) (*Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of the run: %w", err)
	}
	r := &runner{Options: o, report: &Report{Seed: o.Seed, Kills: map[string]int{}, Ended: map[string]int{}}, start: time.Now()}
	r.say("seed %d, %d events in %v", o.Seed, o.Events, o.Duration)
	err := r.run(ctx)
	r.report.TookS = time.Since(r.start).Seconds()
	if err != nil {
		return r.report, fmt.Errorf("faults with seed %d (the logs are in %s): %w", o.Seed, o.Dir, err)
	}
	r.report.Logs = o.Dir
	if r.report.Found == 0 {
		r.report.Logs = ""
		if err := os.RemoveAll(o.Dir); err != nil {
			return r.report, fmt.Errorf("removing the folder of the run: %w", err)
		}
	}
	return r.report, nil
}

// runner is one run.
type runner struct {
	Options
	report *Report
	start  time.Time
	mu     sync.Mutex // of Progress
}

// say notes what happens.
func (r *runner) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.Progress, "%7.2fs %s\n", time.Since(r.start).Seconds(), fmt.Sprintf(format, args...))
}

func (r *runner) run(ctx context.Context) error {
	log, err := os.Create(filepath.Join(r.Dir, "faults.log"))
	if err != nil {
		return fmt.Errorf("opening the log of the run: %w", err)
	}
	defer log.Close()
	r.Progress = io.MultiWriter(r.Progress, log)
	c, err := startCluster(ctx, r.Binary, r.Dir, r.say)
	if err != nil {
		return err
	}
	defer c.close()
	conn, err := clickhouseio.Dial(c.dsn)
	if err != nil {
		return err
	}
	defer conn.Close()
	p := newProgress(conn, c.urls)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go p.run(watching)
	w, err := watch(ctx, c.brokers)
	if err != nil {
		return err
	}
	if err := awaitReady(ctx, p); err != nil {
		return err
	}
	acked, err := r.disturb(ctx, c, p)
	if err != nil {
		return err
	}
	if err := r.drain(ctx, c, p); err != nil {
		return err
	}
	stop()
	return r.compare(ctx, &comparison{conn: conn, report: r.report}, c, w, p, acked)
}

// disturb sends everything while faults happen, and returns which events were
// acknowledged, by number.
func (r *runner) disturb(ctx context.Context, c *cluster, p *progress) (*acknowledged, error) {
	plan := schedule(r.Seed, limits{r.Duration, r.Every, r.MaxDown, r.MaxPause})
	sending, cancel := context.WithTimeout(ctx, r.Duration+plan.longest()+acknowledgedWithin)
	defer cancel()
	s := startSender(sending, c.urls, c.admins, config.Demo().Collector.WriteKeys[0])
	in := &injector{c: c, watch: p, report: r.say, kills: r.report.Kills}
	var faults sync.WaitGroup
	faults.Go(func() { in.run(ctx, plan) })
	begin, n := time.Now(), 0
	made, err := generate(r.Seed, r.Events, begin.Add(-span), span, func(m message) error {
		pause(sending, time.Until(begin.Add(r.Duration*time.Duration(n)/time.Duration(r.Events))))
		n++
		return s.send(sending, m)
	})
	s.finish()
	faults.Wait()
	if err = errors.Join(err, sending.Err()); err != nil {
		return nil, fmt.Errorf("sending: %w", err)
	}
	r.say("everything is acknowledged: %d events %v, %d requests sent again; %v", made.next, made.marked, s.retried.Load(), &made.quiet)
	r.report.Events, r.report.Retries, r.report.Fenced = made.next, s.retried.Load(), in.fenced
	return &s.acked, nil
}

// drain waits until the job has recorded the whole log, and stops it.
func (r *runner) drain(ctx context.Context, c *cluster, p *progress) error {
	ctx, cancel := context.WithTimeout(ctx, drainedWithin)
	defer cancel()
	c.kafka.running()
	want, err := ends(ctx, c.brokers, topic)
	if err != nil {
		return err
	}
	for {
		ok, err := query.Recorded(ctx, p.conn, site, want)
		if ok {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the job to record the log up to %v: %w", want, errors.Join(err, ctx.Err()))
		}
		pause(ctx, every)
	}
	r.say("the log is recorded")
	p.ended(want)
	if err := awaitReady(ctx, p); err != nil {
		return err
	}
	// Everybody's row follows within the interval at which changed state leaves.
	pause(ctx, 3*config.Demo().Source.StateInterval)
	if err := c.stopPipeline(); err != nil {
		return err
	}
	r.say("the job has stopped")
	for _, u := range append([]*unit{c.kafka, c.clickhouse, c.pipeline}, c.nodes...) {
		u.mu.Lock()
		if u.exits > 0 {
			r.report.Ended[u.name] = u.exits
		}
		u.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r.report.recovered(p.took)
	for _, left := range p.pending {
		return fmt.Errorf("nothing new was recorded after the restart of %s, at %v", left.kind, left.since.Sub(r.start))
	}
	return nil
}

// compare fills the report.
func (r *runner) compare(ctx context.Context, with *comparison, c *cluster, w *watcher, p *progress, acked *acknowledged) error {
	var err error
	if with.truth, err = readTruth(ctx, config.Demo(), c.brokers); err != nil {
		return err
	}
	if err := w.finish(ctx, c.brokers); err != nil {
		return err
	}
	rec, err := with.all(ctx, acked, w)
	if err != nil {
		return err
	}
	if err := awaitReady(ctx, p); err != nil {
		return err
	}
	if err := with.served(ctx, rec, c.urls); err != nil {
		return err
	}
	r.report.Rewritten, r.report.Rewrites = with.moved.n, with.moved.text
	r.report.Found, r.report.Differences = with.differ.n, with.differ.text
	if r.Strict {
		r.report.Found += with.moved.n
		r.report.Differences = append(r.report.Differences, with.moved.text...)
	}
	r.say("compared: %d differences, history rewritten %d times", r.report.Found, r.report.Rewritten)
	return nil
}
