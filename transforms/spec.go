// Package transforms holds the job's DoFns, one a file: thin shells that read
// state, call the domain, write state and emit.
package transforms

import (
	"fmt"
	"sync/atomic"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// Spec is everything that the stages need to know of a site. It travels with
// the job as JSON.
type Spec struct {
	Site        string             `setting:"site"`
	Job         string             `setting:"-"` // names the job: its engine in this process
	Run         int64              `setting:"-"` // seconds since the epoch at the first submission: later runs' rows win; a job that goes on keeps it
	Life        uint64             `setting:"-"` // names the process: what it measures adds to what others measured
	Shards      int                `setting:"-"`
	Partitions  int32              `setting:"-"`
	Event       event.Config       `setting:"events"`
	Signals     []signal.Rule      `setting:"signals"`
	HalfLives   signal.HalfLives   `setting:"half_lives"`
	Kappa       float64            `setting:"intent.kappa"`
	GapMS       int64              `setting:"session.gap,ms"`
	DwellCapMS  int64              `setting:"session.dwell_cap,ms"`
	LatenessMS  int64              `setting:"allowed_lateness,ms"`
	LongMS      int64              `setting:"lateness.long,ms,default=24h0m0s"` // how late orders, refunds, identify, alias and the kinds of Patient may be
	Patient     []event.Kind       `setting:"lateness.events"`                  // further kinds
	RefreshMS   int64              `setting:"refresh_interval,ms"`
	WindowMS    int64              `setting:"audience.window,ms"` // of the audience
	MinSpanMS   int64              `setting:"audience.min_span,ms,default=10s"`
	Retention   int64              `setting:"retention,ms"` // ms
	Activate    float64            `setting:"audience.activate"`
	Hysteresis  float64            `setting:"audience.hysteresis"`
	MinSample   int                `setting:"audience.min_sample"`
	JumpFactor  float64            `setting:"-"` // the decision is in the journal, so another one makes nothing anew
	StaleShare  float64            `setting:"audience.stale_share"`
	MaxDevices  int                `setting:"identity.max_devices"`                // of a person, 0: any number
	MaxUsers    int                `setting:"identity.max_persons_per_day"`        // of a device in a day of event time, 0: any number
	MaxPending  int                `setting:"state.max_pending,default=10000"`     // events of a device that wait for late ones, 0: any number
	LegacyUntil int64              `setting:"-"`                                   // as in identity.Batch: it comes with batches, so another one makes nothing anew
	MaxState    int                `setting:"-"`                                   // devices in state, of all partitions; 0: any number; as LegacyUntil it comes with batches
	SingleMS    int64              `setting:"-"`                                   // as in identity.Limits, the same
	MinWeight   float64            `setting:"health.signal_weight"`                // site signal weight below which an alert is raised
	Trust       event.Trust        `setting:"source.trust,reading,default=public"` // of records of which no collector has judged
	Segments    []segment.Spec     `setting:"segments"`
	Slots       []rule.Slot        `setting:"-"`
	Rules       []rule.Spec        `setting:"-"`
	Erased      []identity.Erasure `setting:"-"` // what was deleted before the job was submitted: no replay brings it back
}

// Built are the domain objects of a Spec; the stages of a job in
// this process share them, and what they measure.
type Built struct {
	Spec     Spec
	Identity identity.Params
	Segment  segment.ShardParams
	running  atomic.Pointer[running]
	board    *board // what the stages hold and have done
	ledger   *ledger
	// testPanic is a test's: it is called when a stage has taken half of a record.
	testPanic func(stage string, at identity.Place)
}

// running is what a job takes over while it runs: it decides nothing.
type running struct {
	outcomes  func(v *segment.View, now int64) uint64
	minWeight float64
}

var injected atomic.Pointer[func(stage string, at identity.Place)]

// Inject is for tests of what a job does when a stage panics: jobs that are built from
// here on call f when a stage (device, person, audience) has taken half of a record.
func Inject(f func(stage string, at identity.Place)) { injected.Store(&f) }

// Build compiles the spec.
func (s *Spec) Build() (*Built, error) {
	params := segment.Params{HalfLives: s.HalfLives, Kappa: s.Kappa, RefreshMS: s.RefreshMS, GapMS: s.GapMS}
	schema := segment.NewSchema(s.Event.Elements)
	tree, err := segment.NewTree(segment.NewCompiler(schema, params), s.Segments)
	if err != nil {
		return nil, fmt.Errorf("building the segment tree: %w", err)
	}
	b := &Built{Spec: *s, board: newBoard(), ledger: newLedger(s.Life)}
	if f := injected.Load(); f != nil {
		b.testPanic = *f
	}
	b.Identity = identity.Params{Partitions: s.Partitions, Retention: s.Retention, MaxUsers: s.MaxUsers, MaxPending: s.MaxPending, Slots: len(session.Catalogue(s.Event.Elements)),
		Session: session.Params{Gap: s.GapMS, DwellCap: s.DwellCapMS, Lateness: s.LatenessMS, Long: min(s.LongMS, s.Retention), Waited: append(session.Patient(), s.Patient...), Elements: len(s.Event.Elements),
			HalfLives: s.HalfLives, Weigher: signal.NewWeigher(s.Signals)}}
	b.Segment = segment.ShardParams{Params: params, Schema: schema, Tree: tree, Window: s.WindowMS, MinSpan: s.MinSpanMS, Retention: s.Retention, StaleShare: s.StaleShare, MaxDevices: s.MaxDevices}
	b.Identity.Tick = b.Segment.TickMS()
	if err := b.publish(); err != nil {
		return nil, err
	}
	return b, nil
}

// publish makes the person stages publish what the rules read.
func (b *Built) publish() error {
	p := &b.Segment
	rules, err := rule.Compile(segment.NewCompiler(segment.NewRuleSchema(b.Spec.Event.Elements, p.Tree), p.Params), b.Spec.Slots, b.Spec.Rules)
	if err != nil {
		return fmt.Errorf("building the rules: %w", err)
	}
	b.running.Store(&running{rules.Outcomes, b.Spec.MinWeight})
	p.Publish, p.Slots = true, p.Tree.Slots(append(rules.Stored(), segment.Orders(p.Schema)...))
	p.Outcomes = func(v *segment.View, now int64) uint64 { return b.running.Load().outcomes(v, now) }
	return nil
}

// Reload makes the job of this process publish at once what other rules read,
// and raise the alert of the site's signal weight below another limit. The rules
// must read no stored features but those that are published.
func (b *Built) Reload(rules *rule.Set, minWeight float64) {
	b.running.Store(&running{rules.Outcomes, minWeight})
}

// minWeight is the site's signal weight below which an alert is raised.
func (b *Built) minWeight() float64 { return b.running.Load().minWeight }

// PersonShard is the shard of a user: that of the partition that the log's
// partitioner would give the userId as a key.
func (s *Spec) PersonShard(user string) int {
	if s.Shards == 1 {
		return 0
	}
	return int(event.Partition(user, s.Partitions)) % s.Shards
}

// limits are those of a partition: a device's partition follows from its id, and from
// nothing else, so that whom there is room for depends neither on shards nor on machines.
func (s *Spec) limits() identity.Limits {
	parts := max(1, int64(s.Partitions))
	return identity.Limits{Devices: (int64(s.MaxState) + parts - 1) / parts, Single: s.SingleMS}
}

// reporters is how many shards report to the audience: those of both stages.
func (s *Spec) reporters() int { return 2 * s.Shards }

// userReporter is the reporter of a person shard.
func (s *Spec) userReporter(shard int) int { return s.Shards + shard }

// version orders the rows of a shard's batches over runs.
func (s *Spec) version(batch int64) uint64 { return uint64(s.Run)<<32 | uint64(batch)&(1<<32-1) }
