package session

import "github.com/microseg/microseg/signal"

// Version orders the vectors of one device; Revision counts re-folds at one offset.
type Version struct {
	Offset   int64
	Revision uint32
}

// Less reports whether v is older than o.
func (v Version) Less(o Version) bool {
	if v.Offset != o.Offset {
		return v.Offset < o.Offset
	}
	return v.Revision < o.Revision
}

// Vector is the absolute state of one (device, epoch) after one of its events:
// what a person is a view over.
type Vector struct {
	Device  string
	Epoch   int64  // offset of the record that opened the epoch; 0 for the first
	User    string // the userId that the device is linked to; empty: the person is the device
	Version Version
	// Retract: the device leaves its person. A person that is the device ends, since
	// the device was linked; a user loses all epochs of the device that are of lower
	// versions, and then has its vector back if it sends another one; of a device
	// that was made anew it loses only the epoch.
	Retract bool
	Erased  bool // and was deleted, in all of its epochs: nothing of it may stay
	Evicted bool // and was let go for want of room, in all of its epochs
	Freed   bool // the device left its user and is a person again, with all its history
	Rebuilt bool // the device was made anew from the log
	// Former: it is of an earlier epoch of the device, which is somebody else's now, or
	// another one's of the same user. Unless the device was made anew, the vector of
	// the present epoch follows, of the same user, who is decided with that.
	Former bool
	Bot    bool  // a crawler: kept out of audiences
	At     int64 // event time of the event that made this vector, ms
	Last   int64 // newest event time of the device, ms (>= At; greater after a late event)
	End    int64 // when its open session ends unless an event comes, ms; not later than now without one
	Said   int64 // newest event that says something of the device itself, ms; 0: none
	Paged  int64 // and of a page, in the open session
	Carts  *Carts
	Presence
	Live signal.Decayed
	Long signal.Decayed
	// One of both: the features by Slot, or the living profile that has them.
	Values  []float64
	Profile *Profile
}

// PersonID is the person of a device: "u:<userId>" when linked, else "d:<device>".
func PersonID(device, user string) string {
	if user != "" {
		return "u:" + user
	}
	return "d:" + device
}
