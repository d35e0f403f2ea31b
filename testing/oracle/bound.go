package oracle

import (
	"slices"

	"github.com/microseg/microseg/event"
)

// bound is what a device keeps for late events, and from when on it takes them.
type bound struct {
	kept, ids    []int64 // times of its events, and of those of them that may come late
	folded, lost int64
}

func (o *Oracle) boundOf(device string) *bound {
	b := o.bounds[device]
	if b == nil {
		b = &bound{}
		o.bounds[device] = b
	}
	return b
}

// patient reports whether the event's kind may come later than others.
func (o *Oracle) patient(k event.Kind) bool {
	return o.allowed(k) > o.res.cfg.Lateness.Short.Milliseconds()
}

// forgotten reports whether it is not known any more what came of the event's time.
func (o *Oracle) forgotten(e *event.Event) bool {
	b := o.boundOf(e.Device)
	if o.patient(e.Kind) {
		return e.Time < b.lost
	}
	return e.Time < b.folded
}

// keep counts an event among those that its device keeps, and reports whether it is
// none of a session: too late for one, or of a time of which the events were folded.
func (o *Oracle) keep(e *event.Event, late bool) bool {
	b, clock := o.boundOf(e.Device), o.now(e.Partition)
	if late = late || e.Time < b.folded; !late {
		b.kept = o.cut(append(b.kept, e.Time), clock-o.res.cfg.Lateness.Short.Milliseconds(), &b.folded)
	}
	if o.patient(e.Kind) {
		b.ids = o.cut(append(b.ids, e.Time), clock-o.allowed(e.Kind), &b.lost)
	}
	return late
}

// cut leaves out what is too old, and of more than the limit what is too many and an
// eighth of it.
func (o *Oracle) cut(times []int64, horizon int64, before *int64) []int64 {
	most := o.res.cfg.State.MaxPending
	if len(times) <= most {
		return times
	}
	if times = slices.DeleteFunc(times, func(t int64) bool { return t < horizon }); len(times) > most {
		slices.Sort(times)
		*before = max(*before, times[len(times)-most+most/8-1]+1)
		times = slices.DeleteFunc(times, func(t int64) bool { return t < *before })
	}
	return times
}
