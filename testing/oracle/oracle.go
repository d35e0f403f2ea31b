// Package oracle is the obviously right version of the whole job: it holds all
// events in memory, sorts them, and folds each device once, in one thread. It
// knows no shards, no lateness list, no wake-ups and no versions.
package oracle

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// Session is a session as the oracle sees it; times are ms.
type Session struct {
	Device            string
	Start, End        int64
	Events, PageViews uint32
}

// Result is what the job must have recorded in the end.
type Result struct {
	Good, Duplicate, Dead int
	Sessions              []Session // by device and start
	cfg                   *config.Config
	tree                  *segment.Tree
	events                map[string][]event.Event
}

// Run reads Segment-spec JSONL in log order: the order decides what is late and
// what is a duplicate, nothing else. append is the time of the append, ms.
func Run(cfg *config.Config, in io.Reader, appended int64) (*Result, error) {
	d, err := event.NewDecoder(cfg.EventConfig())
	if err != nil {
		return nil, err
	}
	p := cfg.SegmentParams()
	tree, err := segment.NewTree(segment.NewCompiler(segment.NewSchema(cfg.Elements), p), cfg.SegmentSpecs())
	if err != nil {
		return nil, err
	}
	r := &Result{cfg: cfg, tree: tree, events: map[string][]event.Event{}}
	seen, clock := map[string]bool{}, int64(math.MinInt64/2)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for offset := int64(0); lines.Scan(); offset++ {
		var e event.Event
		if err := d.Decode(lines.Bytes(), nil, appended, &e); err != nil {
			var refused *event.Error
			if !errors.As(err, &refused) {
				return nil, err
			}
			r.Dead++
			continue
		}
		id := fmt.Sprint(e.Device, e.ID)
		switch {
		case e.Time < clock-cfg.Lateness.Milliseconds():
			r.Dead++
		case seen[id]:
			r.Duplicate++
		default:
			r.Good++
			seen[id], clock, e.Offset = true, max(clock, e.Time), offset
			r.events[e.Device] = append(r.events[e.Device], e)
		}
	}
	r.sessions()
	return r, lines.Err()
}

func (r *Result) sessions() {
	for _, es := range r.events {
		slices.SortFunc(es, func(a, b event.Event) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
		})
		for i, e := range es {
			if i == 0 || e.Time-es[i-1].Time >= r.cfg.Session.Gap.Milliseconds() {
				r.Sessions = append(r.Sessions, Session{Device: e.Device, Start: e.Time})
			}
			s := &r.Sessions[len(r.Sessions)-1]
			s.End = e.Time
			s.Events++
			if e.Kind == event.KindPage {
				s.PageViews++
			}
		}
	}
	slices.SortFunc(r.Sessions, func(a, b Session) int { return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Start, b.Start)) })
}

// Devices are the devices with accepted events, sorted.
func (r *Result) Devices() []string {
	var out []string
	for d := range r.events {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

// Path is where an unlinked device's person stands at time t (ms), which is not
// before its last event.
func (r *Result) Path(device string, t int64) (string, error) {
	rules, err := r.cfg.SignalRules()
	if err != nil {
		return "", err
	}
	p := r.cfg.SegmentParams()
	sp := session.Params{Gap: p.GapMS, DwellCap: r.cfg.Session.DwellCap.Milliseconds(), Lateness: math.MaxInt64 / 4,
		Elements: len(r.cfg.Elements), HalfLives: p.HalfLives, Weigher: signal.NewWeigher(rules)}
	var q session.Profile
	es := r.events[device]
	for i := range es {
		q.Add(&es[i], &sp)
	}
	v := segment.View{Live: q.Live, Long: q.Long, Last: q.Last, SessionEnd: q.Last + p.GapMS, Devices: 1,
		Values: make([]float64, len(session.Catalogue(r.cfg.Elements)))}
	q.State().Fill(v.Values, sp.Elements)
	node, _ := r.tree.Decide(&v, t)
	return r.tree.Path(node), nil
}
