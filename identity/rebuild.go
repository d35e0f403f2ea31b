package identity

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// Place is a record's place in the log.
type Place struct {
	Partition int32
	Offset    int64
}

// Rebuild is what a device is made anew from, in the order of the log.
type Rebuild struct {
	Receipt string
	Cut     bool // as in History
	Steps   []Step
}

// Step is a record of the device.
type Step struct {
	Event   event.Event
	Clock   DataClock    // of the partition before the record
	Letter  bool         // it was a dead letter
	Placed  bool         // and is in the device's state by a replay
	Refused event.Reason // by the decoder, still: Event has only its place
}

// What a replay made of a dead letter, besides the reasons of those that stay
// dead letters; they are the values of dead_letter_replays.outcome.
const (
	ReplayedGood      = "good"
	ReplayedDuplicate = "duplicate"
	// ReplayedHistory: nothing was done, since the device's state comes from events
	// that the log no longer holds.
	ReplayedHistory = "history"
)

// Replayed is what became of a dead letter.
type Replayed struct {
	Place
	Receipt string
	Outcome string
	Version int64 // offset of the record that told to make the device anew
}

// rebuild makes a device anew, as if its dead letters had been read in their
// time: all events that the log holds of it are folded again, in all of its
// epochs, by a shard of its own. What the device has shown stays: its person goes
// on where it is. A state that the log does not explain, without the letters or
// with them, comes from events that the log no longer holds; it stays as it is,
// unless the rebuild says that it may lose them.
func (s *Shard) rebuild(q *Partition, e *event.Event, out *Output) {
	q.Counts.Read++
	q.Counts.Good++
	r := s.rebuilds[Place{e.Partition, e.Offset}]
	if r == nil {
		return // a part: the last one brings all
	}
	old := s.present(q, e.Device, out)
	without := s.refold(q, e, r, false)
	with := s.refold(q, e, r, true)
	done := slices.Contains(slices.Collect(maps.Values(with.letters)), ReplayedGood)
	if !r.Cut && !without.explains(s, old, q) {
		done = false // either it has the letters, or it has what the log has not
		if !with.explains(s, old, q) {
			for at := range with.letters {
				with.letters[at] = ReplayedHistory
			}
		}
	}
	for _, at := range slices.Sorted(maps.Keys(with.letters)) {
		out.Replayed = append(out.Replayed, Replayed{Place{e.Partition, at}, r.Receipt, with.letters[at], e.Offset})
	}
	if !done {
		return
	}
	s.correct(without, with, r.Cut, e, out)
	s.placed(q, with)
	if with.devices[e.Device] != nil { // else the retention has forgotten it
		s.replace(q, old, without, with, e, out)
	}
}

// correct makes the rows of the sessions that are over, where they are otherwise
// with the letters or were not made before, and tombstones for those that there
// are no longer. Open ones get theirs when they are due.
func (s *Shard) correct(without, with *refolded, cut bool, e *event.Event, out *Output) {
	version := RowVersion(s.versionAt(e.Offset))<<1 | 1
	unsaid, open := openSessions(s.epochsOf(e.Device)), openSessions(with.epochsOf(e.Device))
	for _, key := range sortedKeys(with.sessions) {
		row := with.sessions[key]
		if was := without.sessions[key]; !unsaid[key] && was != nil && was.Person == row.Person && was.Claimed == row.Claimed && was.Fold.Same(row.Fold) {
			continue
		}
		row.Version = version
		out.Sessions = append(out.Sessions, *row)
	}
	gone := maps.Clone(without.sessions)
	for key := range openSessions(without.epochsOf(e.Device)) { // it may have a row
		gone[key] = nil
	}
	if !cut { // nor may one have a row of an epoch that had another number, of a device that was let go
		for key := range unsaid {
			gone[key] = nil
		}
	}
	for _, key := range sortedKeys(gone) {
		if with.sessions[key] == nil && !open[key] {
			out.Sessions = append(out.Sessions, SessionRow{Device: e.Device, Person: session.PersonID(e.Device, ""), Epoch: key.epoch, Start: key.start, Version: version})
		}
	}
}

// openSessions are the sessions of which the row that says "closed" was not made.
func openSessions(epochs []*device) map[sessionKey]bool {
	open := map[sessionKey]bool{}
	for _, d := range epochs {
		if f := d.State().Fold; f != nil && !d.closed {
			open[sessionKey{d.epoch, f.Start}] = true
		}
	}
	return open
}

// epochsOf are the device's epochs that late events can reach, and the present one.
func (s *Shard) epochsOf(id string) []*device {
	all := slices.Clone(s.past[id])
	if d := s.devices[id]; d != nil {
		all = append(all, d)
	}
	return all
}

func sortedKeys(m map[sessionKey]*SessionRow) []sessionKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b sessionKey) int {
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.start, b.start))
	})
}

// replace puts the refolded device in the place of what the shard has of it, and
// tells whoever it is and was a part of.
func (s *Shard) replace(q *Partition, old *device, without, f *refolded, e *event.Event, out *Output) {
	if old == nil {
		s.makeRoom(q, 1, e, out)
	}
	now := f.devices[f.id]
	t := max(s.now(q, old, nil), s.settled, now.Last)
	owned, own := old.isPerson(), now.isPerson()
	had := maps.Clone(without.vectors)
	if old != nil {
		out.Before(&old.Profile, t)
		if user := old.userID(); user != "" && (had[old.epoch] == nil || had[old.epoch].User != user) {
			had[old.epoch] = &session.Vector{User: user} // of a history that is cut
		}
	}
	if owned && !own {
		s.vectorOf(old, t)
		s.vector.Version, s.vector.Retract, s.vector.Rebuilt = s.versionAt(e.Offset), true, true
		out.Vector(&s.vector, e)
	}
	if now.userID() == "" && !own && old != nil {
		out.Opened(f.id)
	}
	d := s.insert(q, old, without, f, e.Offset)
	// The data clock is the newest accepted event's at lower offsets: these are accepted here.
	for _, letter := range f.good {
		s.take(q, letter)
	}
	if own {
		s.vectorOf(d, t)
		s.vector.Rebuilt = true
		out.Vector(&s.vector, e)
	}
	s.tell(d, had, f, t, e, out)
}

// isPerson reports whether the device is a person of its own.
func (d *device) isPerson() bool { return d != nil && d.userID() == "" && d.Last > 0 }

// insert puts the epochs of the refolded device into the shard. The present one
// keeps the place in memory of the old one, whose person looks at its profile.
func (s *Shard) insert(q *Partition, old *device, without, f *refolded, offset int64) *device {
	for _, p := range s.past[f.id] {
		s.unplace(p)
	}
	delete(s.past, f.id)
	d, now := &device{}, f.devices[f.id]
	if old != nil {
		s.unplace(old)
		s.unrank(q, old)
		d = old
	}
	state, same := d.PersonState, old != nil && old.userID() == now.userID()
	*d = *now
	d.set(markSaved, s.round)
	d.set(markAgain, q.LetGo != [classes]uint64{})
	d.rank = unranked
	if d.PersonState = nil; same {
		d.PersonState = state
	}
	s.devices[d.id] = d
	for _, p := range append(slices.Clone(f.past[f.id]), d) {
		p.offset, p.queued, p.dirty = offset, 0, false
		p.set(markHeld, false)
		if p != d {
			p.set(markSaved, s.round)
			s.past[p.id] = append(s.past[p.id], p)
		}
		if p.State().Fold != nil && !p.closed {
			s.wait(p)
		}
		s.schedule(q, p)
	}
	users := f.former[f.id]
	for _, u := range s.former[f.id] { // those whom the log does not explain have what they had
		theirs := func(o former) bool { return o.user == u.user }
		if !slices.ContainsFunc(without.former[f.id], theirs) && !slices.ContainsFunc(users, theirs) {
			users = append(users, u)
		}
	}
	if delete(s.former, d.id); len(users) > 0 {
		s.former[d.id] = users
	}
	s.rerank(q, d)
	return d
}

// unplace takes an epoch out of whatever waits for it.
func (s *Shard) unplace(d *device) {
	if _, q := s.homeOf(d); q != nil {
		heap.Remove(&q.agenda, int(d.place))
	}
	s.held = slices.DeleteFunc(s.held, func(h held) bool { return h.device == d })
	s.dirty = slices.DeleteFunc(s.dirty, func(y dirty) bool { return y.device == d })
	d.queued = 0
}

// tell gives users the vectors of epochs that are theirs and are otherwise than
// before, and then takes those back that are not theirs any more. What is the same
// with the letters and without is not touched: a user may have more of it than the
// log explains.
func (s *Shard) tell(d *device, had map[int64]*session.Vector, f *refolded, t int64, e *event.Event, out *Output) {
	for _, epoch := range slices.Sorted(maps.Keys(f.vectors)) {
		v, was := f.vectors[epoch], had[epoch]
		if epoch != d.epoch && was != nil && was.Profile != nil && was.User == v.User && was.Profile.Same(v.Profile, t, s.session) {
			continue
		}
		s.vector = *v
		if s.vector.Former = epoch != d.epoch; !s.vector.Former {
			s.vector.Profile = &d.Profile
		}
		s.vector.Device, s.vector.Version, s.vector.At, s.vector.Rebuilt = d.id, s.versionAt(e.Offset), t, true
		s.vector.Version.Revision++
		out.Vector(&s.vector, e)
	}
	for _, epoch := range slices.Sorted(maps.Keys(had)) {
		if v := f.vectors[epoch]; v == nil || v.User != had[epoch].User {
			s.vector = session.Vector{Device: d.id, Epoch: epoch, User: had[epoch].User, Version: s.versionAt(e.Offset), Retract: true, Rebuilt: true, At: t}
			out.Vector(&s.vector, e)
		}
	}
}
