package transforms

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/signal"
)

// shardCounts is what a shard that decides tells: absolute counts of the minutes
// that changed, and how far its time has come. Reporters are the device shards
// and behind them the person shards.
type shardCounts struct {
	Reporter int
	Seq      int64 // numbers what the reporter tells, from 1
	UpTo     int64 // minutes since the epoch; 0 while unknown
	Idle     bool
	Minutes  []segment.MinuteCounts
	LeftOut  bool `json:",omitempty"` // of the log of a state: only their time has passed
}

func encodeCounts(c *shardCounts) ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding audience counts: %w", err)
	}
	return b, nil
}

// AudienceState is what the decision needs: each shard's counts and time, and
// which nodes are active, stale and alerted.
type AudienceState struct {
	Shards     map[int]*AudienceShard
	Decided    int64 // last minute decided
	Activation segment.Activation
	Stale      []bool // nodes flagged for re-evaluation
	Quiet      bool   // the site's signal weight is below its threshold
	Jumps      segment.Jumps

	built *Built
}

// beforeRegrouping is no reporter: it is what those of another grouping differ in
// from those of this one, at minutes that they knew of (Regroup).
const beforeRegrouping = -1

// AudienceShard is the last that a reporter told.
type AudienceShard struct {
	Seq        int64
	Ahead      map[int64]*shardCounts `json:",omitempty"` // came before what they follow
	UpTo       int64
	Idle       bool
	Members    []int32
	Pending    []segment.MinuteCounts
	Live, Long []float64 // at minute Weighed
	Weighed    int64
}

// NewAudienceState returns the state before the first minute.
func NewAudienceState(b *Built) *AudienceState {
	n := b.Segment.Tree.Len()
	a := &AudienceState{Shards: map[int]*AudienceShard{}, Stale: make([]bool, n), built: b}
	a.Activation = *segment.NewActivation(b.Segment.Tree, b.Spec.Activate, b.Spec.Hysteresis, b.Spec.MinSample)
	a.Jumps.Factor, a.Jumps.Window = b.Spec.JumpFactor, b.Spec.WindowMS/60_000
	return a
}

// Apply takes one shard's counts.
func (a *AudienceState) Apply(c *shardCounts, b *Built, out func(rows.Batch), publish func([]byte)) error {
	s := a.Shards[c.Reporter]
	if s == nil {
		s = &AudienceShard{Members: make([]int32, b.Segment.Tree.Len())}
		a.Shards[c.Reporter] = s
	}
	if !s.hear(c) {
		return nil
	}
	if len(a.Shards) < b.Spec.reporters() {
		return nil // a shard that has told nothing yet may have persons
	}
	upTo, ok := a.complete()
	if !ok {
		return nil
	}
	w := audienceRows{spec: &b.Spec, tree: b.Segment.Tree, again: rows.NewReevaluationBuilder(), audience: rows.NewAudienceBuilder(), alerts: rows.NewAlertBuilder()}
	last := int64(0)
	for m, ok := a.next(upTo); ok; m, ok = a.next(upTo) {
		a.decide(m, b, &w)
		a.Decided, last = m, m
	}
	if last > 0 && b.Segment.Publish {
		a.publish(last, b, publish)
	}
	a.Decided = max(a.Decided, upTo)
	if err := emitRows(w.audience, 0, out); err != nil {
		return err
	}
	if err := emitRows(w.again, 0, out); err != nil {
		return err
	}
	return emitRows(w.alerts, 0, out)
}

// hear takes what a reporter tells, in the order in which it was told: twice told
// counts once, and what has overtaken something waits for it.
func (s *AudienceShard) hear(c *shardCounts) (news bool) {
	if c.Seq > s.Seq+1 {
		if s.Ahead == nil {
			s.Ahead = map[int64]*shardCounts{}
		}
		s.Ahead[c.Seq] = c
		return false
	}
	for ; c != nil && c.Seq == s.Seq+1; c = s.Ahead[s.Seq+1] {
		delete(s.Ahead, c.Seq)
		s.Seq, news = c.Seq, true
		s.UpTo, s.Idle = max(s.UpTo, c.UpTo), c.Idle
		s.Pending = append(s.Pending, c.Minutes...)
	}
	return news
}

// publish tells serving which nodes are active since the minute.
func (a *AudienceState) publish(minute int64, b *Built, out func([]byte)) {
	active := segment.Active{Version: b.Spec.version(minute), Minute: minute, Counted: true, Members: map[string]int{}}
	counts := a.counts(len(a.Activation.Active))
	active.Total, active.Held = counts[0], a.Activation.Held
	for n, on := range a.Activation.Active {
		if on {
			active.Paths = append(active.Paths, b.Segment.Tree.Path(n))
		}
		if counts[n] > 0 {
			active.Members[b.Segment.Tree.Path(n)] = counts[n]
		}
	}
	var r records
	r.active(&active)
	r.emit(out)
}

// complete is the last minute that every shard has passed. Idle shards do not
// hold the others back; when all idle, the furthest counts.
func (a *AudienceState) complete() (int64, bool) {
	var low, high int64 = math.MaxInt64, 0
	for reporter, s := range a.Shards {
		if reporter == beforeRegrouping {
			continue
		}
		high = max(high, s.UpTo)
		if !s.Idle {
			low = min(low, s.UpTo)
		}
	}
	if low == math.MaxInt64 {
		low = high
	}
	return low, low > 0
}

// next is the first minute up to one that is to be decided: something is told of it, or a
// hold ends, whether or not anybody comes or goes.
func (a *AudienceState) next(upTo int64) (minute int64, ok bool) {
	minute = math.MaxInt64
	for _, s := range a.Shards {
		if len(s.Pending) > 0 {
			minute = min(minute, max(s.Pending[0].Minute, a.Decided+1))
		}
	}
	if end := a.Jumps.Until; end > a.Decided {
		minute = min(minute, end)
	}
	return minute, minute <= upTo
}

func (a *AudienceState) decide(minute int64, b *Built, w *audienceRows) {
	n, weighed := b.Segment.Tree.Len(), false
	again := reevaluated{make([]uint32, n), make([]uint32, n)}
	for _, s := range a.Shards {
		weighed = s.take(minute, &again) || weighed
	}
	counts := a.counts(n)
	if old := a.Shards[beforeRegrouping]; old != nil && weighed {
		old.Live, old.Long = nil, nil // the new ones have told theirs
	}
	flips, turn := a.Jumps.Decide(minute, counts, &a.Activation)
	a.jumped(minute, counts[0], turn, w)
	weights := make([]float64, n)
	for i := range weights {
		weights[i] = math.NaN()
		if weighed {
			weights[i] = a.weight(i, minute, b)
		}
	}
	if weighed {
		a.flag(minute, weights, b, w)
	}
	w.minute(minute, counts, a, flips, weights)
	w.refreshes(minute, &again, weights)
}

// reevaluated counts, by node, members who were evaluated again in a minute because
// a segment was flagged, and those of them who moved.
type reevaluated struct{ evaluated, moved []uint32 }

func (r *reevaluated) add(c *segment.MinuteCounts) {
	for n := range c.Evaluated {
		r.evaluated[n] += uint32(c.Evaluated[n])
		r.moved[n] += uint32(c.Moved[n])
	}
}

// counts are the active persons in each node's subtree, over all shards.
func (a *AudienceState) counts(nodes int) []int {
	out := make([]int, nodes)
	for _, s := range a.Shards {
		for i, c := range s.Members {
			out[i] += int(c)
		}
	}
	return out
}

// take applies the pending counts up to the minute.
func (s *AudienceShard) take(minute int64, again *reevaluated) (weighed bool) {
	i := 0
	for ; i < len(s.Pending) && s.Pending[i].Minute <= minute; i++ {
		c := &s.Pending[i]
		s.Members = c.Members
		again.add(c)
		if c.Live != nil {
			s.Live, s.Long, s.Weighed, weighed = c.Live, c.Long, c.Minute, true
		}
	}
	s.Pending = s.Pending[i:]
	return weighed
}

// weight is the signal weight of a node at the minute, NaN without events.
func (a *AudienceState) weight(node int, minute int64, b *Built) float64 {
	var live, long signal.Decayed
	h := b.Spec.HalfLives
	for _, s := range a.Shards {
		if s.Live != nil {
			live = live.Merge(signal.Decayed{Sum: s.Live[node], Ref: s.Weighed * 60_000}, h.Live)
			long = long.Merge(signal.Decayed{Sum: s.Long[node], Ref: s.Weighed * 60_000}, h.Long)
		}
	}
	w, ok := signal.Weight(live, long, minute*60_000, h)
	if !ok {
		return math.NaN()
	}
	return w
}

// flag raises and clears the alerts of stale segments and of a quiet site.
func (a *AudienceState) flag(minute int64, weights []float64, b *Built, w *audienceRows) {
	for i, v := range weights {
		if stale := 1-v > b.Spec.StaleShare; stale != a.Stale[i] {
			a.Stale[i] = stale
			path := b.Segment.Tree.Path(i)
			w.alert(rows.AlertStaleSegment, path, minute, stale, 1-v, b.Spec.StaleShare,
				fmt.Sprintf("%.0f %% of the event weight of %s is stale", 100*(1-v), path))
		}
	}
	if quiet := weights[0] < b.minWeight(); quiet != a.Quiet {
		a.Quiet = quiet
		w.alert(rows.AlertSignalWeight, "", minute, quiet, weights[0], b.minWeight(),
			fmt.Sprintf("the site's signal weight is %.2f: visitors are disengaging", weights[0]))
	}
}

// jumped raises and clears the alert of a jump.
func (a *AudienceState) jumped(minute int64, total int, turn segment.Turn, w *audienceRows) {
	j := &a.Jumps
	switch turn {
	case segment.Held:
		w.alert(rows.AlertAudienceJump, "", minute, true, float64(total), j.Factor*float64(j.Base),
			fmt.Sprintf("segments are not activated or pruned for 10 minutes (exempt ones are served as ever): the active visitors rose from %d to %d "+
				"within 10 minutes, and audience.jump_factor is %v; if nobody invited them, look who sends so much", j.Base, total, j.Factor))
	case segment.Released:
		w.alert(rows.AlertAudienceJump, "", minute, false, float64(total), j.Factor*float64(j.Base),
			fmt.Sprintf("segments are activated and pruned again, by %d active visitors", total))
	}
}

type audienceRows struct {
	spec     *Spec
	tree     *segment.Tree
	again    *rows.Builder[rows.Reevaluation]
	audience *rows.Builder[rows.Audience]
	alerts   *rows.Builder[rows.Alert]
}

func (w *audienceRows) minute(minute int64, counts []int, a *AudienceState, flips []segment.Flip, weights []float64) {
	for n, c := range counts {
		r := rows.Audience{Site: w.spec.Site, Minute: minute * 60_000, Path: w.tree.Path(n), Members: uint32(c), Total: uint32(counts[0]),
			Active: a.Activation.Active[n], Exempt: a.Activation.Exempt[n], Why: a.Activation.Why(w.tree, n, c, counts[0]), StaleShare: 1 - weights[n], SignalWeight: weights[n], Stale: a.Stale[n], Version: w.spec.version(minute)}
		if counts[0] > 0 {
			r.Share = float64(c) / float64(counts[0])
		}
		for _, f := range flips {
			if f.Node == n && f.Active {
				r.Flipped = 1
			} else if f.Node == n {
				r.Flipped = -1
			}
		}
		w.audience.Append(&r)
	}
}

// refreshes records what came of a flag, also where nobody moved.
func (w *audienceRows) refreshes(minute int64, again *reevaluated, weights []float64) {
	for n, members := range again.evaluated {
		if members > 0 {
			w.again.Append(&rows.Reevaluation{Site: w.spec.Site, Minute: minute * 60_000, Path: w.tree.Path(n), Members: members, Moved: again.moved[n],
				StaleShare: 1 - weights[n], Version: w.spec.version(minute)})
		}
	}
}

func (w *audienceRows) alert(kind, subject string, minute int64, raised bool, value, threshold float64, message string) {
	state := rows.Cleared
	if raised {
		state = rows.Raised
	}
	w.alerts.Append(&rows.Alert{Site: w.spec.Site, Kind: kind, Subject: subject, At: minute * 60_000, State: state, Value: value,
		Threshold: threshold, Message: message, Version: w.spec.version(minute)})
}
