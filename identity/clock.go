package identity

import (
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
)

// DataClock is the data clock of a partition: which of its events are late, what of its
// devices is folded away and what is forgotten, is judged by it. It never goes back.
//
// A clock that is ahead moves only its own events. What a collector has received raises
// the data clock at most to its receipt. Of other records (files, topics of others)
// nobody says when they were made, so that it takes two devices: the data clock is the
// newest time that two of them have reached. While there was one alone, it stands at 0,
// and nothing is late.
type DataClock struct {
	Time int64 // ms
	lead lead
}

// lead is the device that is furthest ahead of a data clock, of those whose receipts nobody knows.
type lead struct {
	device uint64 // event.Event.DeviceHash
	time   int64  // its newest event, ms; 0: there is none
}

// Take lets the clock go on by an accepted event.
func (c *DataClock) Take(e *event.Event, by event.Semantics) {
	t := e.Time
	switch {
	case !by.Has(7):
		c.Time = max(c.Time, t)
		return
	case e.Receipt > 0:
		c.Time = max(c.Time, min(t, e.Receipt))
		return
	case t <= c.Time:
		return
	}
	switch d := e.DeviceHash(); {
	case d == c.lead.device:
		c.lead.time = max(c.lead.time, t)
	case t > c.lead.time:
		c.Time = max(c.Time, c.lead.time)
		c.lead = lead{d, t}
	default:
		c.Time = t
	}
}

// newest is the clock, or the newest event where one device is alone.
func (c *DataClock) newest() int64 {
	if c.Time == 0 {
		return c.lead.time
	}
	return c.Time
}

func (l *lead) appendTo(w *codec.Writer) {
	w.Uint(l.device)
	w.Int(l.time)
}

func readLead(r *codec.Reader) lead { return lead{r.Uint(), r.Int()} }

func (c *DataClock) appendTo(w *codec.Writer) {
	w.Int(c.Time)
	c.lead.appendTo(w)
}

// readDataClock reads a clock; one of an older program knew of no device ahead of it.
func readDataClock(r *codec.Reader, led bool) DataClock {
	c := DataClock{Time: r.Int()}
	if led {
		c.lead = readLead(r)
	}
	return c
}

// take lets the data clock and the time of a partition go on by an accepted event.
func (s *Shard) take(q *Partition, e *event.Event) {
	c := DataClock{q.Clock, q.lead}
	c.Take(e, s.session.Semantics)
	q.Clock, q.lead = c.Time, c.lead
	q.Time = max(q.Time, q.Clock)
}

// Newest is the data clock or, where one device is alone in the partition, its newest
// event; 0 before the first.
func (q *Partition) Newest() int64 { return (&DataClock{q.Clock, q.lead}).newest() }

// holds is the time up to which a busy partition holds back that of its shard.
func (q *Partition) holds() int64 {
	if q.Clock == 0 {
		return max(q.Time, q.lead.time)
	}
	return q.Time
}

// heard is when a device was heard of by an accepted event. A sender whose clock is ahead
// would else be let go behind others; where nobody knows receipts the partition's clock may
// be far behind the event, and the device would seem silent as soon as another one came.
func (q *Partition) heard(e *event.Event) int64 {
	if e.Receipt > 0 {
		return min(e.Time, q.Clock)
	}
	return e.Time
}

// newest is the newest event of the device in any of its epochs, which its next record may
// be behind, or when a log-out opened one.
func (d *device) newest() (t int64) {
	if d == nil {
		return 0
	}
	if h := d.remembered(); h != nil {
		t = h.newest
	}
	return max(t, d.seen())
}

// Now is the data clock of a partition as one of its devices has it.
func (s *Shard) Now(partition int32, device string) int64 {
	return s.now(s.Partition(partition), s.devices[device], nil)
}

// now is the data clock as the device of a record has it, which may be ahead of that of
// its partition: its own days and the end of its sessions go by its own events, too. What is
// forgotten goes by the data clock alone: which of its events had come is known until then.
func (s *Shard) now(q *Partition, d *device, e *event.Event) int64 {
	t := q.Clock
	if !s.session.Semantics.Has(7) {
		return t
	}
	t = max(t, d.newest())
	if e != nil && !e.Kind.Control() {
		t = max(t, e.Time)
	}
	return t
}
