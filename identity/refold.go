package identity

import (
	"maps"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// refolded is a device made from its events alone.
type refolded struct {
	*Shard
	id       string
	good     []*event.Event             // of the letters
	vectors  map[int64]*session.Vector  // of epochs that are users', the last of each
	sessions map[sessionKey]*SessionRow // that are over
	letters  map[int64]string           // offset of a letter → outcome
}

// sessionKey names a session of the device.
type sessionKey struct{ epoch, start int64 }

// noPartition holds the time of a refolded shard back, so that it drops nothing
// that the real one may still look at.
const noPartition = -1

// foldEvery is after how many events a refolded shard folds away what is over.
const foldEvery = 256

// refold folds the steps, with the letters among them or without.
func (s *Shard) refold(q *Partition, e *event.Event, r *Rebuild, letters bool) *refolded {
	params := *s.p
	params.Partitions = 0 // the device is where it is
	f := &refolded{Shard: NewShard(&params), id: e.Device, vectors: map[int64]*session.Vector{}, sessions: map[sessionKey]*SessionRow{}, letters: map[int64]string{}}
	f.settled, f.emitted = s.settled, s.emitted
	f.Partition(noPartition).Time = s.settled
	f.legacyUntil = s.legacyUntil
	p := f.Partition(e.Partition)
	p.older, p.moved = q.older, true
	out := Output{Vector: f.vector, Before: func(*session.Profile, int64) {}, Gone: func(string, *session.Profile, int64) { clear(f.vectors) },
		Erased: func(string, *session.Profile, int64) { clear(f.sessions) }, Opened: func(string) {}, Passed: func(int64) {}}
	for i := range r.Steps {
		x := &r.Steps[i]
		switch left := s.leftOut(q, x.Event.Offset); {
		case x.Letter && !letters:
			continue
		case left && !x.Letter: // who gathered the history did not know of it
			continue
		}
		if p.lead = x.Clock.lead; x.Clock.Time > p.Clock {
			p.Clock = x.Clock.Time
		}
		p.Time = max(p.Time, p.Clock)
		if x.Refused != "" {
			f.letters[x.Event.Offset] = string(x.Refused)
			continue
		}
		if x.Event.Kind == event.KindDeleteUser {
			f.take(&out)
			f.eraseSessions(&x.Event)
		}
		was := *p
		f.event(&x.Event, &out)
		if x.Letter {
			f.judged(&x.Event, &was.Counts, p, &out)
		}
		if x.Letter || x.Placed {
			// What came behind it was judged without it, and that stays.
			p.Clock, p.Time, p.lead = was.Clock, was.Time, was.lead
		}
		if i%foldEvery == foldEvery-1 {
			f.pass(&out)
		}
		f.take(&out)
	}
	p.Clock, p.Time = max(p.Clock, q.Clock), max(p.Time, q.Time)
	f.pass(&out)
	f.take(&out)
	return f
}

// judged notes what became of a letter.
func (f *refolded) judged(e *event.Event, before *Counts, p *Partition, out *Output) {
	switch {
	case p.Counts.Good > before.Good:
		f.letters[e.Offset] = ReplayedGood
		f.good = append(f.good, e)
	case p.Counts.Duplicate > before.Duplicate:
		f.letters[e.Offset] = ReplayedDuplicate
	case len(out.Dead) > 0: // else it was erased
		f.letters[e.Offset] = string(out.Dead[len(out.Dead)-1].Reason)
	}
}

// vector keeps what users have of the device.
func (f *refolded) vector(v *session.Vector, _ *event.Event) {
	switch {
	case v.User == "":
	case v.Retract:
		maps.DeleteFunc(f.vectors, func(_ int64, o *session.Vector) bool { return o.User == v.User })
	default:
		c := *v
		f.vectors[v.Epoch] = &c
	}
}

// eraseSessions drops the sessions of a user who is deleted: they are not made again.
func (f *refolded) eraseSessions(e *event.Event) {
	for _, o := range f.epochs(f.id) {
		if o.isUsers(e.User) {
			maps.DeleteFunc(f.sessions, func(key sessionKey, _ *SessionRow) bool { return key.epoch == o.epoch })
		}
	}
}

// take keeps the rows of sessions, the last of each, and lets all else go.
func (f *refolded) take(out *Output) {
	for _, row := range out.Sessions {
		key := sessionKey{row.Epoch, row.Start}
		if row.Fold == nil {
			delete(f.sessions, key)
			continue
		}
		f.sessions[key] = &row
	}
	out.Reset()
}

// explains reports whether the fold gives the state that the device has in s, and has
// the users of its earlier epochs, and those of them that wait for a proof.
func (f *refolded) explains(s *Shard, d *device, q *Partition) bool {
	if d == nil {
		return true // there is nothing to lose
	}
	for _, u := range s.former[f.id] {
		if !slices.ContainsFunc(f.former[f.id], func(o former) bool { return o.user == u.user }) {
			return false
		}
	}
	same := func(n, d *device) bool {
		return n.named() == d.named() && n.userID() == d.userID() && n.epoch == d.epoch && n.isShared() == d.isShared() && n.Profile.Same(&d.Profile, q.Time, &s.p.Session)
	}
	for _, o := range s.past[f.id] {
		if o.claims() && !slices.ContainsFunc(f.past[f.id], func(n *device) bool { return same(n, o) }) {
			return false
		}
	}
	n := f.devices[f.id]
	return n != nil && same(n, d)
}
