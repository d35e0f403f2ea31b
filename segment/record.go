package segment

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/signal"
)

// recordFormat is the first byte of a record; a newer one is refused.
const recordFormat = 1

// Flags of a record.
const (
	flagPointer = 1 << iota
	flagLinked
	flagBot
	flagSent // the record ends with Sent, which older readers leave unread
	flagOnce
)

// Record is what serving knows of a person: its value under PersonID in the
// topic `segments`. From it a node evaluates at its own now what decays and what
// idles. The record of a device that is linked to a user is a pointer.
type Record struct {
	Version    uint64         // of the batch that made it, over runs
	User       string         // not empty: a pointer to this user, and nothing below counts
	Decided    int64          // wall clock, µs
	Sent       int64          // wall clock at which the client sent the event that changed it, ms; 0: not known, or no event did
	Path       string         // empty: nowhere
	Since      int64          // ms: since when on this path
	Evaluated  int64          // ms
	Last       int64          // ms: newest event
	SessionEnd int64          // ms: when the next session of a device closes
	Live, Long signal.Decayed // sums of signal weights
	Linked     bool           // a user, not a device
	Bot        bool
	Once       bool // a device of one event so far, which claims nothing that is proven
	Devices    int
	Values     []float64 // by session.Slot; those that nothing reads are 0
}

// AppendTo writes the record.
func (r *Record) AppendTo(w *codec.Writer) {
	r.appendBody(w)
	if r.Sent > 0 {
		w.Fixed(uint64(r.Sent))
	}
}

func (r *Record) appendBody(w *codec.Writer) {
	w.Byte(recordFormat)
	var flags byte
	for i, set := range [...]bool{r.User != "", r.Linked, r.Bot, r.Sent > 0, r.Once} {
		if set {
			flags |= 1 << i
		}
	}
	w.Byte(flags)
	w.Fixed(r.Version)
	w.Int(r.Decided)
	w.Int(r.Evaluated)
	if r.User != "" {
		w.String(r.User)
		return
	}
	w.String(r.Path)
	// Times lie near each other, and differences are short.
	w.Int(r.Since - r.Evaluated)
	w.Int(r.Last - r.Evaluated)
	w.Int(r.SessionEnd - r.Evaluated)
	w.Float(r.Live.Sum)
	w.Int(r.Live.Ref - r.Evaluated)
	w.Float(r.Long.Sum)
	w.Int(r.Long.Ref - r.Evaluated)
	w.Uint(uint64(r.Devices))
	w.Sparse(r.Values)
}

// Read reads what AppendTo wrote; Values keeps its memory. Strings are copies.
func (r *Record) Read(b []byte) error {
	in := codec.Reader{B: b}
	if v := in.Byte(); v != recordFormat {
		if in.Err() != nil {
			return in.Err()
		}
		return fmt.Errorf("reading a segment record: its format is %d and this binary reads %d; upgrade the serving nodes before the job", v, recordFormat)
	}
	flags := in.Byte()
	*r = Record{Version: in.Fixed(), Decided: in.Int(), Evaluated: in.Int(), Sent: sentOf(flags, b), Values: r.Values}
	if flags&flagPointer != 0 {
		r.User = in.String()
		if r.User == "" {
			in.Fail()
		}
		return in.Err()
	}
	r.Linked, r.Bot, r.Once = flags&flagLinked != 0, flags&flagBot != 0, flags&flagOnce != 0
	r.Path = in.String()
	r.Since, r.Last, r.SessionEnd = r.Evaluated+in.Int(), r.Evaluated+in.Int(), r.Evaluated+in.Int()
	r.Live = signal.Decayed{Sum: in.Float(), Ref: r.Evaluated + in.Int()}
	r.Long = signal.Decayed{Sum: in.Float(), Ref: r.Evaluated + in.Int()}
	r.Devices = int(in.Uint())
	r.Values = in.Sparse(r.Values)
	return in.Err()
}

// sentBytes is the length of what follows a record with flagSent.
const sentBytes = 8

// sentOf is Sent of a record with these flags. It is measurement: one that cannot be
// is left out.
func sentOf(flags byte, record []byte) int64 {
	if flags&flagSent == 0 || len(record) < sentBytes {
		return 0
	}
	return max(0, int64(binary.LittleEndian.Uint64(record[len(record)-sentBytes:])))
}

// Fit makes Values at least n long: the job may know of fewer features than the
// configuration here.
func (r *Record) Fit(n int) {
	for len(r.Values) < n {
		r.Values = append(r.Values, 0)
	}
}

// View is the record as predicates see it; it shares Values, which must have a
// value for each slot of the schema.
func (r *Record) View() View {
	return View{Live: r.Live, Long: r.Long, Last: r.Last, SessionEnd: r.SessionEnd, Linked: r.Linked, Devices: r.Devices, Values: r.Values}
}

// Active is the activation record: which nodes are served, as of a minute, and
// the counts of active persons that decided it.
type Active struct {
	Version uint64
	Minute  int64 // since the epoch
	Paths   []string
	Counted bool // the counts are there: older jobs did not tell them
	Total   int
	Members map[string]int // in the subtree of each path; 0 where it has none
	Held    string         // why nothing changes for some minutes; empty: it may
}

// ActiveKey is the key of the activation record.
const ActiveKey = "a:"

// AppendTo writes the record.
func (a *Active) AppendTo(w *codec.Writer) {
	w.Byte(recordFormat)
	w.Fixed(a.Version)
	w.Int(a.Minute)
	w.Uint(uint64(len(a.Paths)))
	for _, p := range a.Paths {
		w.String(p)
	}
	if !a.Counted {
		return
	}
	// Behind what older readers read, who leave it unread.
	w.Uint(uint64(a.Total))
	w.Uint(uint64(len(a.Members)))
	for _, p := range slices.Sorted(maps.Keys(a.Members)) {
		w.String(p)
		w.Uint(uint64(a.Members[p]))
	}
	w.String(a.Held)
}

// Read reads what AppendTo wrote.
func (a *Active) Read(b []byte) error {
	in := codec.Reader{B: b}
	if v := in.Byte(); v != recordFormat && in.Err() == nil {
		return fmt.Errorf("reading the activation record: its format is %d and this binary reads %d; upgrade the serving nodes before the job", v, recordFormat)
	}
	*a = Active{Version: in.Fixed(), Minute: in.Int()}
	for range in.Len() {
		a.Paths = append(a.Paths, in.String())
	}
	if a.Counted = len(in.B) > 0; a.Counted {
		a.Total, a.Members = int(in.Uint()), map[string]int{}
		for range in.Len() {
			path := in.String()
			a.Members[path] = int(in.Uint())
		}
		if len(in.B) > 0 {
			a.Held = in.String()
		}
	}
	return in.Err()
}

// Served is the deepest active node on the way to a node; active says which
// nodes are.
func (t *Tree) Served(node int, active []bool) int {
	for node > 0 && !active[node] {
		node = t.nodes[node].Parent
	}
	return max(node, 0)
}

// Stamp is what orders the records of a key.
type Stamp struct {
	Evaluated int64 // event time, ms
	Version   uint64
	Decided   int64 // wall clock, µs
	Sent      int64 // wall clock, ms; 0: not known. It orders nothing
	// Of who is let go where there is no room, and so order nothing either: when
	// something was last heard of the person, ms, and which kind it is.
	Heard int64
	Keep  Keep
}

// Keep says whom a node lets go before whom.
type Keep uint8

// Keeps, in the order in which they go.
const (
	KeepOnce   Keep = iota // devices of one event
	KeepDevice             // other devices
	KeepUser               // users, and the devices that point to them
	Keeps
)

// Before reports whether the record of s is older: of an earlier event time, or
// of the same and an earlier batch.
func (s Stamp) Before(o Stamp) bool {
	return s.Evaluated < o.Evaluated || s.Evaluated == o.Evaluated && s.Version < o.Version
}

// StampOf reads the front of a record.
func StampOf(b []byte) (Stamp, error) {
	in := codec.Reader{B: b}
	if v := in.Byte(); v != recordFormat && in.Err() == nil {
		return Stamp{}, fmt.Errorf("reading a segment record: its format is %d and this binary reads %d; upgrade the serving nodes before the job", v, recordFormat)
	}
	flags := in.Byte()
	s := Stamp{Sent: sentOf(flags, b), Version: in.Fixed(), Decided: in.Int(), Evaluated: in.Int()}
	if s.Heard = s.Evaluated; flags&flagPointer == 0 {
		in.Bytes() // its path
		in.Int()
		s.Heard = s.Evaluated + in.Int()
	}
	s.Heard = min(s.Heard, s.Decided/1000) // an event that is ahead of the clock is no excuse
	switch {
	case flags&(flagPointer|flagLinked) != 0:
		s.Keep = KeepUser
	case flags&flagOnce == 0:
		s.Keep = KeepDevice
	}
	return s, in.Err()
}
