package oracle

import (
	"math"
	"strings"

	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// Person is somebody as of the end of the log: one unlinked device, or a user
// with all the epochs of devices that are linked to it.
type Person struct {
	Last    int64 // ms: newest event
	Devices int   // however many of their epochs are linked to it
	res     *Result
	linked  bool
	parts   []*Part // of each epoch, in the order of (device, epoch)
	epochs  []*epoch
}

// Person folds a person of Persons; nil: there is none of that name.
func (r *Result) Person(id string) (*Person, error) {
	var es []*epoch
	user, linked := strings.CutPrefix(id, "u:")
	if linked {
		es = r.users[user]
	} else if all := r.devices[strings.TrimPrefix(id, "d:")]; len(all) > 0 && all[len(all)-1].user == "" && len(all[len(all)-1].events)+len(all[len(all)-1].late) > 0 {
		es = all[len(all)-1:]
	}
	if len(es) == 0 {
		return nil, nil
	}
	rules, err := r.cfg.SignalRules()
	if err != nil {
		return nil, err
	}
	p := r.cfg.SegmentParams()
	sp := session.Params{Gap: p.GapMS, DwellCap: r.cfg.Session.DwellCap.Milliseconds(), Lateness: math.MaxInt64 / 4,
		Elements: len(r.cfg.Elements), HalfLives: p.HalfLives, Weigher: signal.NewWeigher(rules)}
	devices := map[string]bool{}
	for _, e := range es {
		devices[e.device] = true
	}
	out := &Person{res: r, linked: linked, Devices: len(devices), epochs: es}
	for _, e := range es {
		q := &session.Profile{}
		for i := range e.events {
			q.Add(&e.events[i], &sp)
		}
		for i := range e.late {
			q.AddLate(&e.late[i], &sp)
		}
		out.parts, out.Last = append(out.parts, &Part{e.device, e.events, e.late, q}), max(out.Last, q.Last)
	}
	return out, nil
}

// Path is where the person stands at time t (ms), not before its last event.
func (p *Person) Path(t int64) string {
	node, _ := p.res.tree.Decide(p.view(t), t)
	return p.res.tree.Path(node)
}

// Sums are the decayed sums of signal weights at t (ms), or at the newest event that has
// a weight: an identify of before, which comes behind it, makes a person with a future.
func (p *Person) Sums(t int64) (live, long float64) {
	h := p.res.cfg.SegmentParams().HalfLives
	for _, part := range p.parts {
		if q := part.Fold; q.Live.Sum != 0 {
			t = max(t, q.Live.Ref)
		}
	}
	for _, part := range p.parts {
		live += part.Fold.Live.At(t, h.Live)
		long += part.Fold.Long.At(t, h.Long)
	}
	return live, long
}

// CartValue is the value of the person's cart at t (ms).
func (p *Person) CartValue(t int64) float64 { return p.view(t).Values[session.SlotCartValue] }

// view merges the devices by the rules of the catalogue (design §2, across devices).
func (p *Person) view(t int64) *segment.View {
	params := p.res.cfg.SegmentParams()
	stored := p.res.schema.Stored()
	v := &segment.View{Last: p.Last, Linked: p.linked, Devices: p.Devices, Values: make([]float64, len(stored))}
	for _, part := range p.parts {
		v.Live, v.Long = v.Live.Merge(part.Fold.Live, params.HalfLives.Live), v.Long.Merge(part.Fold.Long, params.HalfLives.Long)
		v.SessionEnd = max(v.SessionEnd, part.last()+params.GapMS)
	}
	Merge(v.Values, p.parts, stored, params.GapMS, t)
	return v
}
