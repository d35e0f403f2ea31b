package identity

import (
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/session"
)

// device is one (device, epoch).
type device struct {
	session.Profile
	id     string
	link   *link // nil where there is nothing to say, as of most
	epoch  int64
	offset int64 // of the last event: the version of the vector
	queued int64 // when the agenda looks at it next
	place  int32 // in the agenda
	dirty  bool  // its open session changed since its row was last made
	closed bool  // the row that says "closed" was made
	past   bool  // a newer epoch has begun
	marks
	turn int32 // place among those of its rank
	rank rank  // of whom to let go first
	// heard is when it was last heard of, ms: event time, but for events that are ahead of
	// the data clock.
	heard int64
}

// marks are facts in one byte: a device is as large as its size class.
type marks uint8

const (
	markHeld  marks = 1 << iota // it is silent for the retention, and the shard's time is not so far yet
	markSaved                   // as Shard.round: it is in the snapshot that is being written
	markHeard                   // it has had an event, in any epoch
	markAgain                   // its partition had let devices go before, maybe this one
)

// marksOfDevice are those that a device keeps for good.
const marksOfDevice = markHeard | markAgain

func (m marks) is(fact marks) bool { return m&fact != 0 }

func (m *marks) set(fact marks, is bool) {
	if *m &^= fact; is {
		*m |= fact
	}
}

// fresh is a device that a snapshot which is being written does not know.
func (s *Shard) fresh(id string, epoch int64) *device {
	d := &device{id: id, epoch: epoch, offset: epoch}
	d.set(markSaved, s.round)
	return d
}

// link is whom the epoch names, and what is known of its device.
type link struct {
	user   string // empty: nobody
	shared bool   // of a device that too many share: it is linked to nobody, ever
	proof  proof  // how well it is known that the epoch is the user's
	left   string // the user whom it was taken from by an unlink, until somebody else is named; user is empty then
	*history
}

// history is what is known of a device over its epochs, which share it.
type history struct {
	users  session.Day // that the device was linked to today, or was to be
	opened int64       // data clock at which a reset opened the present epoch, else 0
	newest int64       // event of the epochs before the present one
	resets []uint64    // ids of its last resets, the newest last: one that comes again logs nobody out
	folded int64       // event time before which the device's events have folded early, 0: none has
	unsure int64       // the same for the kinds that may come late, of which it is not known any more what came
}

// userID is the user that the device is linked to; empty while it is not, or while
// that is a claim.
func (d *device) userID() string {
	if d == nil || d.link == nil || d.link.proof == claimed {
		return ""
	}
	return d.link.user
}

// linkTo lets the epoch name a user; strings of a batch alias its buffer, so it is cloned.
func (d *device) linkTo(user string, p proof) {
	if user == "" {
		return
	}
	if d.link == nil {
		d.link = &link{}
	}
	d.link.user, d.link.proof, d.link.left = strings.Clone(user), p, ""
}

// told is the device's history; it is made when there is none.
func (d *device) told() *history {
	if d.link == nil {
		d.link = &link{}
	}
	if d.link.history == nil {
		d.link.history = &history{}
	}
	return d.link.history
}

// remembered is the device's history, nil where there is none.
func (d *device) remembered() *history {
	if d == nil || d.link == nil {
		return nil
	}
	return d.link.history
}

// isShared reports whether the epoch is linked to nobody, ever.
func (d *device) isShared() bool { return d.link != nil && d.link.shared }

// Devices is the number of devices in state.
func (s *Shard) Devices() int { return len(s.devices) }

// Profile is the profile of a device's current epoch while it is linked to no
// user; nil otherwise.
func (s *Shard) Profile(id string) *session.Profile {
	if d := s.devices[id]; d != nil && d.userID() == "" {
		return &d.Profile
	}
	return nil
}

// duplicate reports whether the device, in this epoch or an earlier one, has
// the event.
func (s *Shard) duplicate(d *device, id uint64) bool {
	if len(s.past) == 0 {
		return d.Duplicate(id, nil)
	}
	past := s.past[d.id]
	return d.Duplicate(id, func(yield func(*session.Profile) bool) {
		for _, o := range past {
			if !yield(&o.Profile) {
				return
			}
		}
	})
}

// leave drops an earlier epoch that no late event can reach any more; mostly it is
// the oldest.
func (s *Shard) leave(d *device) {
	all := s.past[d.id]
	switch i := slices.Index(all, d); {
	case i < 0:
	case len(all) == 1:
		delete(s.past, d.id)
	case i == 0:
		all[0] = nil
		s.past[d.id] = all[1:]
	default:
		s.past[d.id] = slices.Delete(all, i, i+1)
	}
}

// forget drops a device that has been silent for the retention time. The agenda
// may get to it later or earlier; what an event finds must not depend on that.
func (s *Shard) forget(q *Partition, d *device, out *Output) *device {
	s.unrank(q, d)
	out.Gone(d.id, &d.Profile, d.seen()+s.p.Retention)
	for _, o := range s.past[d.id] {
		if s.keep(o); o.claims() { // no proof can come any more
			if s.session.Semantics.Has(5) {
				s.close(o, d.seen()+s.p.Retention, out) // what is over keeps its name
			}
			s.unname(o, o.offset)
		}
	}
	delete(s.devices, d.id)
	delete(s.former, d.id)
	d.past = true
	return nil
}

// emit hands out the device's vector after event e.
func (s *Shard) emit(d *device, e *event.Event, retract bool, out *Output) {
	s.vectorOf(d, e.Time)
	s.vector.Retract = retract
	out.Vector(&s.vector, e)
}

// vectorOf makes the device's vector as of t.
func (s *Shard) vectorOf(d *device, t int64) {
	s.vector = session.Vector{Device: d.id, Epoch: d.epoch, User: d.userID(), Version: s.version(d), At: t, Last: d.Last,
		End: d.End(s.session.Gap), Said: d.State().Context.At, Paged: d.Paged(), Carts: d.Carts(), Presence: d.Presence(),
		Bot: d.State().Context.Bot, Live: d.Live, Long: d.Long, Profile: &d.Profile}
}

func (s *Shard) version(d *device) session.Version {
	return s.versionAt(d.offset)
}

// versionAt is the version of what a record of the log makes.
func (s *Shard) versionAt(offset int64) session.Version {
	return session.Version{Offset: offset}
}
