package segment

import (
	"container/heap"
	"fmt"
	"math"
	"slices"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
)

// shardVersion is the first byte of a snapshot; a newer one is refused. Version 5 owed
// nobody anything (owed.go); 4
// knew nothing of when events were received; 3 kept of a device's cart what was in it last; version 2 was written at once; version 1 knew no limit of devices, and of a user's last
// vector alone whether it was a bot's.
const (
	shardVersion  = 6
	unowed        = 5
	unreceived    = 4
	firstCarts    = 3
	wholeVersion  = 2
	oldestVersion = 1
)

// AppendTo writes the whole shard. Profiles of local persons are their owner's
// to write.
func (s *Shard) AppendTo(w *codec.Writer) {
	s.Save(w)
	for s.SaveSome(w, math.MaxInt) {
	}
}

// saving is a snapshot that is written while the shard goes on: the persons that
// are still to be written, and those that have changed since it began, as they
// were then.
type saving struct {
	on   bool
	left []*person
	kept codec.Writer
}

// Save begins a snapshot of the shard as it is now and writes what is not of
// single persons. SaveSome writes these, whatever happens to them meanwhile.
func (s *Shard) Save(w *codec.Writer) {
	for _, q := range s.saving.left { // nobody went on with the last one
		q.saved = s.round
	}
	s.round = !s.round
	w.Byte(shardVersion)
	w.Int(s.Now)
	w.Uint(s.Dropped)
	s.audience.appendTo(w)
	w.Uint(uint64(len(s.slots)))
	for _, slot := range s.slots {
		w.Uint(uint64(slot))
	}
	s.appendDirty(w)
	s.owed.appendTo(w)
	s.saving = saving{on: true, left: slices.Clone(s.all)}
	w.Uint(uint64(len(s.all)))
}

// SaveSome goes on with the snapshot that Save began and looks at up to n persons.
// It reports whether there is more to do.
func (s *Shard) SaveSome(w *codec.Writer, n int) bool {
	for ; n > 0 && len(s.saving.left) > 0; n-- {
		q := s.saving.left[0]
		s.saving.left = s.saving.left[1:]
		if q.saved != s.round {
			q.saved = s.round
			q.appendTo(w)
		}
	}
	if len(s.saving.left) > 0 {
		return true
	}
	w.B = append(w.B, s.saving.kept.B...)
	s.saving = saving{}
	return false
}

// keep must be called before a person changes in any way that a snapshot shows.
func (s *Shard) keep(q *person) {
	// Entries of the wake heap outlive their persons.
	if s.saving.on && q != nil && !q.gone && q.saved != s.round {
		q.saved = s.round
		q.appendTo(&s.saving.kept)
	}
}

// appendDirty writes which rows wait, and since when: who takes over must make
// them at the same batch, or it may believe that they have left.
func (s *Shard) appendDirty(w *codec.Writer) {
	n := 0
	for _, y := range s.dirty {
		if y.person.dirty && !y.person.gone {
			n++
		}
	}
	w.Uint(uint64(n))
	for _, y := range s.dirty {
		if q := y.person; q.dirty && !q.gone {
			w.Bool(q.user != nil)
			w.String(q.id)
			w.Int(y.at)
		}
	}
}

// waiting is a row that waits, before its person is read.
type waiting struct {
	linked bool
	id     string
	at     int64
}

func readDirty(r *codec.Reader) (all []waiting) {
	for range r.Len() {
		all = append(all, waiting{r.Bool(), r.String(), r.Int()})
	}
	return all
}

func (s *Shard) setDirty(all []waiting, profile func(device string) *session.Profile) error {
	for _, y := range all {
		q := s.users[y.id]
		if !y.linked && profile != nil {
			if p := profile(y.id); p != nil {
				q, _ = p.PersonState.(*person)
			}
		}
		if q == nil && s.fewer && !y.linked {
			continue // it is owed
		}
		if q == nil {
			return codec.ErrCorrupt
		}
		q.dirty = true
		s.dirty = append(s.dirty, dirty{q, y.at})
	}
	return nil
}

func (q *person) appendTo(w *codec.Writer) {
	w.String(q.id)
	w.Bool(q.user != nil)
	w.Bool(q.counted)
	w.Uint(uint64(q.transitions))
	for _, v := range []int64{int64(q.node), q.since, q.evaluated, q.wake, q.queued} {
		w.Int(v)
	}
	if q.user == nil {
		return
	}
	w.Int(q.user.last)
	w.Bool(q.user.beyond != nil)
	if q.user.beyond != nil {
		q.user.beyond.AppendTo(w)
	}
	w.Uint(uint64(len(q.user.devices)))
	for i := range q.user.devices {
		q.user.devices[i].appendTo(w)
	}
}

func (d *deviceVector) appendTo(w *codec.Writer) {
	w.String(d.device)
	w.Int(d.epoch)
	w.Uint(0) // part of a version that nothing ever raised
	w.Int(d.version.Offset)
	w.Uint(uint64(d.version.Revision))
	w.Bool(d.left)
	w.Bool(d.bot)
	w.Int(d.last)
	w.Int(d.end)
	w.Int(d.said)
	w.Int(d.paged)
	d.carts.AppendTo(w)
	w.Float(d.live.Sum)
	w.Int(d.live.Ref)
	w.Float(d.long.Sum)
	w.Int(d.long.Ref)
	w.Sparse(d.values)
	d.seen.AppendTo(w, d.last)
	w.Bool(d.folded)
}

func (s *Shard) readVector(r *codec.Reader, version byte, bot bool, slots []session.Slot) deviceVector {
	d := deviceVector{device: r.String(), epoch: r.Int(), bot: bot}
	r.Uint()
	d.version, d.left = session.Version{Offset: r.Int(), Revision: uint32(r.Uint())}, r.Bool()
	if version > oldestVersion {
		d.bot = r.Bool()
	}
	if d.last = r.Int(); version > firstCarts {
		d.end, d.said, d.paged, d.carts = r.Int(), r.Int(), r.Int(), session.ReadCarts(r)
	}
	d.live, d.long = signal.Decayed{Sum: r.Float(), Ref: r.Int()}, signal.Decayed{Sum: r.Float(), Ref: r.Int()}
	d.values = r.Sparse(nil)
	if d.seen = session.Whole(d.last); version > unreceived {
		d.seen, d.folded = session.ReadPresence(r, d.last), r.Bool()
	}
	if r.Err() == nil && !d.left {
		s.fit(&d, version, slots)
	}
	return d
}

// fit gives a vector the values of slots that its snapshot did not know, and
// what it did not say of itself.
func (s *Shard) fit(d *deviceVector, version byte, slots []session.Slot) {
	all := make([]float64, len(s.catalog))
	for i, slot := range slots {
		if i < len(d.values) && int(slot) < len(all) {
			all[slot] = d.values[i]
		}
	}
	if version <= firstCarts {
		d.end, d.said, d.paged = d.last+s.p.GapMS, d.last, d.last
		d.carts = session.FirstCarts(all[session.SlotCartItems], all[session.SlotCartValue], int64(all[session.SlotCartChanged]))
	}
	d.values = d.values[:0]
	for _, slot := range s.slots {
		d.values = append(d.values, all[slot])
	}
}

func (s *Shard) readUser(r *codec.Reader, version byte, slots []session.Slot) *person {
	q := &person{id: r.String()}
	linked := r.Bool()
	q.counted, q.transitions, q.node = r.Bool(), uint32(r.Uint()), int32(r.Int())
	q.since, q.evaluated, q.wake, q.queued = r.Int(), r.Int(), r.Int(), r.Int()
	if !linked {
		return q
	}
	q.user = &user{last: r.Int()}
	bot := r.Bool() // of version 1; then: whether devices were left out
	if version > oldestVersion && bot {
		day := session.ReadDay(r)
		q.user.beyond = &day
	}
	for range r.Len() {
		q.user.devices = append(q.user.devices, s.readVector(r, version, bot, slots))
	}
	q.user.settle()
	return q
}

// ReadShard reads what AppendTo wrote, or an older version. profile finds the
// profile of a local person's device; it may be nil where there are none.
func ReadShard(r *codec.Reader, p *ShardParams, profile func(device string) *session.Profile) (*Shard, error) {
	return ReadShardOfFewer(r, p, profile, false)
}

// ReadShardOfFewer is ReadShard where devices were let go as they were read: that their
// persons have left is owed then.
func ReadShardOfFewer(r *codec.Reader, p *ShardParams, profile func(device string) *session.Profile, fewer bool) (*Shard, error) {
	s := NewShard(p)
	s.fewer = fewer
	version := r.Byte()
	if version < oldestVersion || version > shardVersion {
		return nil, &codec.VersionError{What: "person shard", Got: int(version), Want: shardVersion}
	}
	s.Now, s.Dropped = r.Int(), r.Uint()
	s.audience.read(r)
	slots, err := s.readSlots(r, version)
	if err != nil {
		return nil, err
	}
	var rows []waiting
	if version > wholeVersion {
		rows = readDirty(r)
	}
	if version > unowed {
		s.owed.read(r)
	}
	for range r.Len() {
		if err := s.readPerson(r, version, slots, profile); err != nil {
			return nil, err
		}
	}
	heap.Init(&s.wakes)
	if version <= wholeVersion {
		rows = readDirty(r)
	}
	if err := s.setDirty(rows, profile); err != nil {
		return nil, err
	}
	return s, r.Err()
}

func (s *Shard) readPerson(r *codec.Reader, version byte, slots []session.Slot, profile func(device string) *session.Profile) error {
	q := s.readUser(r, version, slots)
	if r.Err() != nil {
		return r.Err()
	}
	if q.user == nil {
		if profile != nil {
			q.profile = profile(q.id)
		}
		if q.profile == nil && s.fewer {
			s.owe(q)
			return nil
		}
		if q.profile == nil {
			return fmt.Errorf("reading the snapshot of a person shard: there is no device %q: %w", q.id, codec.ErrCorrupt)
		}
	}
	s.insert(q)
	s.newest = max(s.newest, q.last())
	if q.queued != 0 {
		s.wakes = append(s.wakes, wake{q.queued, q})
	}
	return nil
}

// readSlots checks that the vectors hold what the configuration needs. Older
// versions knew nothing of orders beyond sessions.
func (s *Shard) readSlots(r *codec.Reader, version byte) ([]session.Slot, error) {
	got := make([]session.Slot, 0, len(s.slots))
	for range r.Len() {
		got = append(got, session.Slot(r.Uint()))
	}
	want := s.slots
	if version <= firstCarts {
		unknown := Orders(s.p.Schema)
		want = slices.DeleteFunc(slices.Clone(want), func(slot session.Slot) bool { return slices.Contains(unknown, slot) })
	}
	if r.Err() == nil && !slices.Equal(got, want) {
		return nil, fmt.Errorf("reading the snapshot of a person shard: it holds the features %v and the configuration needs %v: rebuild from the log", got, want)
	}
	return got, r.Err()
}

func (a *audience) appendTo(w *codec.Writer) {
	w.Int(a.done)
	w.Uint(uint64(len(a.counts)))
	for n := range a.counts {
		w.Int(int64(a.counts[n]))
		w.Byte(byte(a.stale[n]))
	}
	w.Uint(uint64(len(a.deltas)))
	for m, d := range a.deltas {
		w.Int(m)
		for _, v := range d {
			w.Int(int64(v))
		}
	}
	w.Int(a.weighed)
	w.Sparse(a.live)
	w.Sparse(a.long)
}

func (a *audience) read(r *codec.Reader) {
	a.done = r.Int()
	if n := r.Len(); n != len(a.counts) {
		r.Fail()
		return
	}
	for n := range a.counts {
		a.counts[n], a.stale[n] = int32(r.Int()), staleness(r.Byte())
	}
	for range r.Len() {
		m, d := r.Int(), make([]int32, len(a.counts))
		for i := range d {
			d[i] = int32(r.Int())
		}
		a.deltas[m] = d
	}
	a.weighed, a.live, a.long = r.Int(), r.Sparse(nil), r.Sparse(nil)
}
