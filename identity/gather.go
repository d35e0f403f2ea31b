package identity

import "github.com/microseg/microseg/event"

// Letter is what a dead letter was.
type Letter struct {
	Reason event.Reason
	Placed bool // a replay has taken it in its place
}

// Gatherer gathers what a log holds of some devices. It is given the records of
// each partition in the order of their offsets; one goroutine at a time.
type Gatherer struct {
	decoder *event.Decoder
	letters map[Place]Letter
	skipped map[Place]bool
	devices map[string]map[int32]*History // by device and partition
	parts   map[int32]*gathered
	event   event.Event
	bytes   int
}

// gathered is how far a partition was given.
type gathered struct {
	clock DataClock
	end   int64
}

// NewGatherer makes a gatherer for some devices. letters are the records that
// were dead letters; skipped those that stay so whatever they say now.
func NewGatherer(d *event.Decoder, devices map[string]bool, letters map[Place]Letter, skipped map[Place]bool) *Gatherer {
	g := &Gatherer{decoder: d, letters: letters, skipped: skipped, devices: map[string]map[int32]*History{}, parts: map[int32]*gathered{}}
	for id := range devices {
		g.devices[id] = map[int32]*History{}
	}
	return g
}

// Take takes a record, whose bytes it keeps if it is one of a device's.
func (g *Gatherer) Take(r *Record) {
	p := g.parts[r.Partition]
	if p == nil {
		p = &gathered{}
		g.parts[r.Partition] = p
	}
	p.end = r.Offset + 1
	if g.skipped[Place{r.Partition, r.Offset}] {
		return
	}
	e := &g.event
	if g.decoder.Decode(r.Value, r.Trust, r.Append, e) != nil || e.Kind == event.KindRebuild {
		return
	}
	l, letter := g.letters[Place{r.Partition, r.Offset}]
	if of := g.devices[e.Device]; of != nil {
		h := of[r.Partition]
		if h == nil {
			h = &History{}
			of[r.Partition] = h
		}
		if e.Kind == event.KindDelete { // what was deleted is not to be written again
			g.bytes -= h.size()
			h.Records = nil
		}
		h.Records = append(h.Records, Past{Record: *r, Clock: p.clock, Letter: letter && !l.Placed, Placed: l.Placed})
		g.bytes += len(r.Value)
	}
	if !letter || l.Reason == event.Identity { // what could not be read let no time pass
		p.clock.Take(e, event.NewestSemantics)
	}
}

func (h *History) size() (n int) {
	for i := range h.Records {
		n += len(h.Records[i].Value)
	}
	return n
}

// Bytes is how much is kept.
func (g *Gatherer) Bytes() int { return g.bytes }

// Histories are those of a device, by partition, as of what was taken so far.
func (g *Gatherer) Histories(device string) map[int32]*History {
	for partition, h := range g.devices[device] {
		h.End, h.Clock = g.parts[partition].end, g.parts[partition].clock
	}
	return g.devices[device]
}
