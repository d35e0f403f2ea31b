package pipelines

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/signal"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/migrations"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/microseg/microseg/sinks/spillio"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/transforms"
)

// Job is one run of the live pipeline in this process.
type Job struct {
	Config   *config.Config
	Site     string
	Spec     transforms.Spec
	Source   kafkaio.Options
	Sink     clickhouseio.Config
	Segments segmentsio.Config // the topic that serving reads
	Runner   string            // in this process: LocalRunner (also ""), or PrismRunner
	Rebuild  bool              // do not go on from the changelog: make the state anew from the log
	Abrupt   bool              // Stop writes no snapshots: the next job finds what one that was killed leaves
	Recovery Recovery          // where the job went on; set by Start
	Look     time.Duration     // how often it looks for new partitions; 0: 30 s
	Rekeyer  *kafkaio.Rekeyer  // copies the records of the topic of events by device into that of Source; nil: none is needed

	mu          sync.Mutex // of stopping, and of local and changelog, which a start that a panic has caused makes anew
	stopping    bool
	engine      atomic.Pointer[engine.Engine]
	reloaded    atomic.Pointer[config.Config] // what Reload took last
	verdicts    []time.Time                   // of records that were left out in the last minute
	left        atomic.Uint64                 // all of them
	done        chan error
	before      Recovery // of the job as it was, where it had other shards
	local       *transforms.Local
	clock       *clock.Forward // that of the source: over machines, and never back
	changelog   *changelogio.Log
	stopKeep    context.CancelFunc
	kept        chan struct{} // closed when no snapshot is written any more
	snapshotErr atomic.Pointer[error]
	unread      atomic.Int32 // partitions that the topic has got since
}

// NewJob wires a configuration to a log, a topic of events and a ClickHouse,
// whose schema it migrates, and makes the topic of segments beside the other. An
// UnavailableError says that one of them does not answer; it may be called again then.
func NewJob(ctx context.Context, cfg *config.Config, brokers []string, topic, site, dsn string) (*Job, error) {
	events, topic, err := openSource(ctx, cfg, brokers, topic)
	if err != nil {
		return nil, away(theLog(brokers), err)
	}
	parts, err := kafkaio.Partitions(ctx, brokers, topic)
	if err != nil {
		return nil, away(theLog(brokers), err)
	}
	if err := migrations.Up(ctx, dsn); err != nil {
		return nil, away(theClickHouse(dsn), err)
	}
	j := &Job{Config: cfg, Site: site, done: make(chan error, 1)}
	if events != topic {
		j.Rekeyer = &kafkaio.Rekeyer{Brokers: brokers, Events: events, Event: cfg.EventConfig()}
	}
	if j.Spec, err = SpecOf(cfg, site, parts); err != nil {
		return nil, err
	}
	tree, err := cfg.SegmentTree()
	if err != nil {
		return nil, err
	}
	if err := clickhouseio.DescribeTree(ctx, dsn, site, tree, cfg.Activation(tree), clock.Now().UnixMilli()); err != nil {
		return nil, away(theClickHouse(dsn), err)
	}
	if j.Spec.Erased, err = kafkaio.Erasures(ctx, brokers, topic); err != nil {
		return nil, away(theLog(brokers), err)
	}
	s := &cfg.Source
	j.Source = kafkaio.Options{Brokers: brokers, Topic: topic, Job: j.Spec.Job, Shards: j.Spec.Shards, Partitions: parts, Linger: s.Linger,
		MaxBatch: s.MaxBatch, MaxInFlight: s.MaxInFlight, BufferBytes: s.BufferBytes, Heartbeat: s.Heartbeat, IdleAfter: s.IdleAfter, Flush: s.StateInterval}
	j.Segments = segmentsio.Config{Brokers: brokers, Topic: segmentsio.Topic(topic), Job: j.Spec.Job}
	if err := segmentsio.CreateTopic(ctx, brokers, j.Segments.Topic, parts); err != nil {
		return nil, away(theLog(brokers), err)
	}
	j.Sink = clickhouseio.Config{DSN: dsn, Site: site, Linger: cfg.Sink.Linger, MaxRows: cfg.Sink.MaxRows, MaxPendingBytes: cfg.Sink.MaxPending, Job: j.Spec.Life, Engine: j.Spec.Job}
	if err := spillio.CreateTopic(ctx, brokers, spillio.Topic(topic)); err != nil {
		return nil, away(theLog(brokers), err)
	}
	if cfg.Sink.Linger > 0 {
		j.Sink.Spill, j.Sink.SpillAfter = spillio.Config{Brokers: strings.Join(brokers, ","), Topic: spillio.Topic(topic)}, cfg.Sink.SpillAfter
	}
	return j, nil
}

// openSource finds the topic that the job reads: that of events, or one that has its
// records by device.
func openSource(ctx context.Context, cfg *config.Config, brokers []string, events string) (was, source string, err error) {
	if source, err = kafkaio.SourceTopic(ctx, brokers, events, cfg.Source.Rekey); err != nil {
		return "", "", err
	}
	known := int32(0)
	if source == events { // who reads copies needs no right to the changelog of a job that does not
		read, _, err := changelogio.Covered(ctx, brokers, changelogio.Topic(events))
		if err != nil {
			return "", "", err
		}
		for p := range read {
			known = max(known, p+1)
		}
	}
	source, why, err := kafkaio.OpenSource(ctx, brokers, events, cfg.Source.Rekey, known, cfg.EventConfig())
	if why != "" {
		slog.Warn("the events are copied by device from here on, and the state is made from the copies", "why", why, "topic", source)
	}
	return events, source, err
}

// maxPrismShards: Prism runs eight bundles at a time; each shard's source always holds
// one of them while it waits for records, and the stages need the others.
const maxPrismShards = 6

// SpecOf is what the stages need to know of a configuration.
func SpecOf(cfg *config.Config, site string, parts int32) (transforms.Spec, error) {
	rules, err := cfg.SignalRules()
	if err != nil {
		return transforms.Spec{}, err
	}
	shards := cfg.Source.Shards
	if shards == 0 {
		shards = runtime.NumCPU()
	}
	now := clock.Now()
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	return transforms.Spec{Site: site, Job: fmt.Sprintf("%s-%d", site, now.UnixNano()), Run: now.Unix(), Life: uint64(now.UnixNano()), Shards: min(shards, int(parts)), Partitions: parts,
		Event: cfg.EventConfig(), Signals: rules, HalfLives: signal.HalfLives{Live: float64(ms(cfg.HalfLives.Live)), Long: float64(ms(cfg.HalfLives.Long))},
		Kappa: cfg.Intent.Kappa, GapMS: ms(cfg.Session.Gap), DwellCapMS: ms(cfg.Session.DwellCap), LatenessMS: ms(cfg.Lateness.Short), LongMS: ms(cfg.Lateness.Long), Patient: cfg.Patient(), RefreshMS: ms(cfg.Refresh),
		WindowMS: ms(cfg.Audience.Window), MinSpanMS: ms(cfg.Audience.MinSpan), Retention: ms(cfg.Retention), Activate: cfg.Audience.Activate, Hysteresis: cfg.Audience.Hysteresis,
		MinSample: cfg.Audience.MinSample, JumpFactor: cfg.Audience.JumpFactor, StaleShare: cfg.Audience.StaleShare, MaxDevices: cfg.Identity.MaxDevices, MaxUsers: cfg.Identity.MaxPersons, LegacyUntil: cfg.Identity.LegacyUntilMS(), MinWeight: cfg.Health.SignalWeight, Trust: cfg.Trust(), Segments: cfg.SegmentSpecs(), Slots: cfg.RuleSlots(), Rules: cfg.RuleSpecs(),
		MaxState: cfg.State.MaxDevices, MaxPending: cfg.State.MaxPending, SingleMS: ms(cfg.State.Single)}, nil
}

// Start runs the pipeline in the background; Done tells how it ended. It does
// not end with the context: Stop drains it, a cancelled one would fail. After an
// UnavailableError it may be called again.
func (j *Job) Start(ctx context.Context) error {
	if n := j.Spec.Shards; j.Runner == PrismRunner && n > maxPrismShards {
		return fmt.Errorf("the job has %d shards, but Prism runs eight bundles at a time and each shard's source holds one: set source.shards to at most %d, or take --runner %s", n, maxPrismShards, LocalRunner)
	}
	ran, err := j.launch(ctx)
	if err != nil {
		return err
	}
	go j.watch(context.WithoutCancel(ctx), ran)
	return nil
}

// launch takes the job over and runs the pipeline; ran is sent its result.
func (j *Job) launch(ctx context.Context) (ran chan error, err error) {
	e, err := j.Open()
	if err != nil {
		return nil, err
	}
	if ran, err = j.begin(ctx, e); err != nil {
		if cerr := e.Close(); cerr != nil {
			err = errors.Join(err, cerr)
		}
	}
	return ran, err
}

func (j *Job) begin(ctx context.Context, e *engine.Engine) (ran chan error, err error) {
	err = j.takeOver(ctx, e)
	if other := (*otherGrouping)(nil); errors.As(err, &other) {
		if err = j.asItWas(ctx, other.was); err == nil {
			err = j.takeOver(ctx, e)
		}
	}
	if err != nil {
		return nil, away(theLog(j.Source.Brokers), err)
	}
	p, s := beam.NewPipelineWithRoot()
	out, err := Live(s, j.Spec, j.lanes())
	if err != nil {
		return nil, err
	}
	for _, rows := range out.Rows {
		clickhouseio.Write(s, j.Sink, rows)
	}
	for _, records := range out.Records {
		segmentsio.Write(s, j.Segments, records)
	}
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	j.stopKeep, j.kept = stop, make(chan struct{})
	go j.keep(keep, j.Config.Source.SnapshotInterval)
	go j.changelog.Watch(keep)
	go j.watchPartitions(keep, cmp.Or(j.Look, lookEvery))
	if j.Rekeyer != nil {
		go j.Rekeyer.Run(keep)
	}
	ran = make(chan error, 1)
	go func() { ran <- execute(e.Context(), j.Runner, p) }()
	return ran, nil
}

// lanes is the source with the lanes that the runner needs.
func (j *Job) lanes() kafkaio.Options {
	source := j.Source
	if source.Lanes = 1; j.Runner == PrismRunner {
		source.Lanes = source.Shards
	}
	return source
}

// Open readies this process for the job's DoFns: they find the engine by its name until it
// is closed. Start and Submit open it; who does without them closes it as well.
func (j *Job) Open() (*engine.Engine, error) {
	e := engine.New(j.Spec.Job)
	if err := e.Open(); err != nil {
		return nil, err
	}
	j.engine.Store(e)
	return e, nil
}

// Engine is what the job has in this process, nil before it is started. It is another one
// after a start that a panic has caused.
func (j *Job) Engine() *engine.Engine { return j.engine.Load() }

// Done is sent the pipeline's result when it ends; put it back for others.
func (j *Job) Done() chan error { return j.done }

// Stop drains the pipeline and records everything that it decided.
func (j *Job) Stop() error {
	j.mu.Lock()
	j.stopping = true
	if e := j.Engine(); e != nil {
		e.Stop()
	}
	j.mu.Unlock()
	err := <-j.done
	j.done <- err
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if j.stopKeep != nil {
		j.stopKeep()
		<-j.kept
		defer j.changelog.Close()
		if err == nil && !j.Abrupt {
			err = j.rest(ctx)
		}
	}
	if err != nil && j.changelog != nil && errors.Is(j.changelog.Err(), changelogio.ErrFenced) {
		// Whoever has the job makes these rows again: with ClickHouse away a zombie
		// need not stay for as long as it takes to spill them.
		go j.finish()
		return err
	}
	if ferr := j.finish(); err == nil {
		err = ferr
	}
	return err
}

// finish records what the job has decided, and lets go of what it has in this process.
func (j *Job) finish() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	e := j.Engine()
	return errors.Join(clickhouseio.Finish(e, j.Sink), segmentsio.Finish(ctx, e), e.Close())
}

// drainTimeout bounds how long a log that does not answer keeps the job from stopping.
const drainTimeout = 30 * time.Second
