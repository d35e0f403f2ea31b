package identity

import "container/heap"

// agenda is a heap of devices by the event time at which something is due:
// folding events away, saying that a session is closed, retention. A device that
// is popped too early is put back, so that an event, which mostly moves things
// back, costs nothing here. One that had gone idle waits for its retention only;
// when it returns its place is moved forward.
type agenda []*device

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	d, o := a[i], a[j]
	if d.queued != o.queued {
		return d.queued < o.queued
	}
	// A shard that was read from a snapshot must take them in the same order.
	return d.id < o.id || d.id == o.id && d.epoch < o.epoch
}
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = int32(i), int32(j)
}

func (a *agenda) Push(x any) {
	d := x.(*device)
	d.place = int32(len(*a))
	*a = append(*a, d)
}

func (a *agenda) Pop() any {
	old := *a
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*a = old[:len(old)-1]
	return d
}

// refoldPause is how long a device waits for another look when its partition's
// data clock stands still while time passes: its list cannot be folded yet.
const refoldPause = 60_000

// due is when the device needs a look, in the event time of its partition.
func (s *Shard) due(q *Partition, d *device) int64 {
	t := s.dueToFold(q, d)
	if end, ok := s.endsLegacy(q, d); ok {
		t = min(t, end)
	}
	return t
}

// dueToFold is when something of the device is to be folded away, said or forgotten.
func (s *Shard) dueToFold(q *Partition, d *device) int64 {
	p := s.session
	t := d.seen() + s.p.Retention
	if t <= q.Time { // the shard's other partitions hold it back
		t = q.Time + refoldPause
	}
	if oldest, ok := d.Oldest(); ok {
		// Folding once in a quarter of the lateness keeps the cost per event
		// constant, and the list at most so much longer than it must be.
		fold := p.Lateness + p.Lateness/4
		t = min(t, max(oldest+fold, q.Time+1))
		if oldest < q.Time-fold {
			t = q.Time + refoldPause
		}
	}
	if oldest, ok := d.Remembered(); ok {
		t = min(t, max(oldest+p.Long+p.Long/4, q.Time+refoldPause))
	}
	if f := d.State().Fold; f != nil {
		end := f.End + p.Gap
		if !d.closed {
			return min(t, end)
		}
		return min(t, max(end+p.Lateness, q.Time+refoldPause))
	}
	if d.past && d.Pending() == 0 && !s.waits(d) {
		return q.Time
	}
	return max(t, q.Time+1)
}

func (s *Shard) schedule(q *Partition, d *device) {
	if d.queued != 0 && !q.isHome(d) {
		_, q = s.homeOf(d)
	}
	t := s.due(q, d)
	switch {
	case d.queued == 0:
		d.queued = t
		heap.Push(&q.agenda, d)
	case t < d.queued:
		d.queued = t
		heap.Fix(&q.agenda, int(d.place))
	}
}

// release lets the agenda look again at devices that waited for the shard's time.
func (s *Shard) release() {
	held := s.held
	s.held = nil
	for _, h := range held {
		s.keep(h.device)
		if h.device.set(markHeld, false); h.device.queued > h.part.Time {
			h.device.queued = h.part.Time
			heap.Fix(&h.part.agenda, int(h.device.place))
		}
	}
}

// held is a device that waits for the shard's time.
type held struct {
	part   *Partition
	device *device
}

func (s *Shard) hold(q *Partition, d *device) {
	if !d.is(markHeld) {
		d.set(markHeld, true)
		s.held = append(s.held, held{q, d})
	}
}

// tick does what is due at the partition's event time.
func (s *Shard) tick(id int32, q *Partition, out *Output) {
	for len(q.agenda) > 0 && q.agenda[0].queued <= q.Time {
		s.keep(q.agenda[0])
		d := heap.Pop(&q.agenda).(*device)
		d.queued = 0
		s.endLegacyIdly(id, q, d, out)
		if !s.visit(q, d, out) {
			d.queued = max(s.due(q, d), q.Time+1)
			heap.Push(&q.agenda, d)
		}
	}
}

// close says that the device's session is over, if it is at t and that was not said.
func (s *Shard) close(d *device, t int64, out *Output) {
	if f := d.State().Fold; f != nil && !d.closed && t >= f.End+s.session.Gap {
		out.Sessions = append(out.Sessions, s.row(d, cloneFold(f), false))
		d.closed, d.dirty = true, false
	}
}

// visit does what is due for one device; true means that it is gone.
func (s *Shard) visit(q *Partition, d *device, out *Output) bool {
	s.close(d, q.Time, out)
	d.FoldAway(q.Clock-s.session.Lateness, s.settled, s.session)
	if d.State().Fold != nil || d.Pending() > 0 {
		return false
	}
	if d.past {
		if s.waits(d) && q.Clock < d.seen()+s.p.Retention {
			return false // it may be proven yet
		}
		s.leave(d)
		return true
	}
	gone := d.seen() + s.p.Retention
	if q.Clock < gone {
		return false
	}
	if s.settled < gone { // the person that is this device is told first
		s.hold(q, d)
		return false
	}
	s.forget(q, d, out)
	return true
}
