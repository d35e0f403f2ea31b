package identity

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/session"
)

// schemaVersion is the first byte of a snapshot; a newer one is refused. Version 9
// knew of no device that is ahead of the data clock; 8 knew nothing of when events were received, of the pace of clocks, of a limit of devices and of what was left out;
// 7 knew no proofs, so that all its links are legacy;
// 6 knew no copies; 5 has profiles of the first format; 4 counted no strays; 3 was
// written at once, its devices by partition; 2 knew no epochs without events and
// counted no users.
const (
	schemaVersion = 10
	unled         = 9
	unreceived    = 8
	unproven      = 7
	uncopied      = 6
	firstProfiles = 5
	keyedVersion  = 4
	wholeVersion  = 3
	oldestVersion = 2
)

// AppendTo writes the whole shard.
func (s *Shard) AppendTo(w *codec.Writer) {
	s.Save(w)
	for s.SaveSome(w, math.MaxInt) {
	}
}

// saving is a snapshot that is written while the shard goes on: the devices that
// are still to be written, by partition, and those that have changed since it
// began, as they were then.
type saving struct {
	parts  []unsaved
	kept   codec.Writer
	trails []trails
}

// trails are what a snapshot has still to write of events of devices that were let go.
type trails struct {
	of   int64 // partition
	long int64 // index in Partition.gone
	left []trail
}

type unsaved struct {
	id      int32
	devices []*device
}

// Save begins a snapshot of the shard as it is now and writes what is not of
// single devices. SaveSome writes these, whatever happens to them meanwhile.
func (s *Shard) Save(w *codec.Writer) {
	s.giveUp()
	s.round = !s.round
	w.Byte(schemaVersion)
	w.Uint(0) // older programs counted here whom the retention dropped
	w.Int(s.settled)
	w.Uint(uint64(len(s.parts)))
	devices := 0
	for id, q := range s.parts {
		w.Int(int64(id))
		w.Int(q.Offset)
		w.Int(q.Clock)
		w.Int(q.Time)
		w.Bool(q.idle)
		for _, c := range []uint64{q.Counts.Read, q.Counts.Good, q.Counts.Duplicate, q.Counts.Dead, q.Counts.Stray} {
			w.Uint(c)
		}
		appendCopied(w, q.copied)
		w.Int(q.older)
		w.Int(q.pace.clock)
		w.Int(q.pace.wall)
		for _, n := range q.LetGo {
			w.Uint(n)
		}
		for i := range q.gone {
			w.Int(q.gone[i].floor)
			if left := q.gone[i].order; len(left) > 0 {
				s.saving.trails = append(s.saving.trails, trails{int64(id), int64(i), left})
			}
		}
		appendOffsets(w, q.left)
		q.lead.appendTo(w)
		w.Int(q.ahead)
		// The agenda holds every device, also those whose newer epoch hides them.
		s.saving.parts = append(s.saving.parts, unsaved{id, slices.Clone(q.agenda)})
		devices += len(q.agenda)
	}
	s.appendDirty(w)
	w.Uint(uint64(devices))
	w.Uint(uint64(len(s.saving.trails)))
	for _, t := range s.saving.trails {
		w.Int(t.of)
		w.Int(t.long)
		w.Uint(uint64(len(t.left)))
	}
}

// SaveSome goes on with the snapshot that Save began and looks at up to n devices.
// It reports whether there is more to do.
func (s *Shard) SaveSome(w *codec.Writer, n int) bool {
	for ; n > 0 && len(s.saving.parts) > 0; n-- {
		p := &s.saving.parts[0]
		if len(p.devices) == 0 {
			s.saving.parts = s.saving.parts[1:]
			continue
		}
		d := p.devices[0]
		p.devices = p.devices[1:]
		if d.is(markSaved) != s.round {
			s.save(w, p.id, d)
		}
	}
	if len(s.saving.parts) > 0 {
		return true
	}
	w.B = append(w.B, s.saving.kept.B...)
	s.saving.kept = codec.Writer{}
	return s.saveTrails(w, n)
}

// saveTrails goes on with what is behind the devices.
func (s *Shard) saveTrails(w *codec.Writer, n int) bool {
	for ; n > 0 && len(s.saving.trails) > 0; n-- {
		t := &s.saving.trails[0]
		t.left[0].appendTo(w)
		if t.left = t.left[1:]; len(t.left) == 0 {
			s.saving.trails = s.saving.trails[1:]
		}
	}
	if len(s.saving.trails) > 0 {
		return true
	}
	s.saving = saving{}
	return false
}

// giveUp ends a snapshot that nobody goes on with.
func (s *Shard) giveUp() {
	for _, p := range s.saving.parts {
		for _, d := range p.devices {
			d.set(markSaved, s.round)
		}
	}
	s.saving = saving{}
}

// keep must be called before a device changes in any way that a snapshot shows.
func (s *Shard) keep(d *device) {
	if len(s.saving.parts) == 0 || d == nil || d.is(markSaved) == s.round {
		return
	}
	if id, q := s.homeOf(d); q != nil {
		s.save(&s.saving.kept, id, d)
	}
}

// keepAll keeps all epochs of a device.
func (s *Shard) keepAll(id string) {
	if len(s.saving.parts) == 0 {
		return
	}
	s.keep(s.devices[id])
	for _, d := range s.past[id] {
		s.keep(d)
	}
}

func (s *Shard) save(w *codec.Writer, partition int32, d *device) {
	d.set(markSaved, s.round)
	w.Int(int64(partition))
	d.appendTo(w)
	if d.past {
		return
	}
	users := s.former[d.id]
	w.Uint(uint64(len(users)))
	for _, f := range users {
		w.String(f.user)
		w.Byte(byte(f.proof))
	}
}

// appendDirty writes which rows wait, and since when: who takes over must make
// them at the same batch, or it may believe that they have left.
func (s *Shard) appendDirty(w *codec.Writer) {
	n := 0
	for _, y := range s.dirty {
		if y.device.dirty {
			n++
		}
	}
	w.Uint(uint64(n))
	for _, y := range s.dirty {
		if y.device.dirty {
			w.String(y.device.id)
			w.Int(y.device.epoch)
			w.Int(y.at)
		}
	}
}

// waiting is a row that waits, before its device is read.
type waiting struct {
	id        string
	epoch, at int64
}

func readDirty(r *codec.Reader) (all []waiting) {
	for range r.Len() {
		all = append(all, waiting{r.String(), r.Int(), r.Int()})
	}
	return all
}

func (s *Shard) setDirty(all []waiting) {
	for _, y := range all {
		d := s.devices[y.id]
		for _, p := range s.past[y.id] {
			if p.epoch == y.epoch {
				d = p
			}
		}
		if d == nil || d.epoch != y.epoch {
			continue // an epoch that has ended: its sessions have their last rows
		}
		d.dirty = true
		s.dirty = append(s.dirty, dirty{d, y.at})
	}
}

func (d *device) appendTo(w *codec.Writer) {
	w.String(d.id)
	name, p := d.named(), proofIn(d)
	if d.wasUsers() {
		name, p = d.link.left, takenBack
	}
	w.String(name)
	w.Int(d.epoch)
	w.Int(d.offset)
	w.Int(d.queued)
	w.Bool(d.closed)
	w.Bool(d.past)
	w.Bool(d.is(markHeld))
	w.Bool(d.isShared())
	w.Byte(byte(p))
	// Epochs share the history; the present one brings it.
	own := d.remembered() != nil && !d.past
	if w.Bool(own); own {
		d.link.history.appendTo(w)
	}
	w.Byte(byte(d.marks & marksOfDevice))
	w.Bool(d.Several)
	w.Int(d.heard - d.Last)
	d.Profile.AppendTo(w)
}

// ReadShard reads what AppendTo wrote, or an older version, and leaves what is behind
// it. It keeps at most so many devices of a partition, besides those that stay (see
// lower.go); 0: any number.
func ReadShard(r *codec.Reader, p *Params, limit int64) (*Shard, error) {
	s := NewShard(p)
	v := r.Byte()
	if v < oldestVersion || v > schemaVersion {
		return nil, &codec.VersionError{What: "device shard", Got: int(v), Want: schemaVersion}
	}
	r.Uint()
	s.settled = r.Int()
	for range r.Len() {
		q := s.Partition(int32(r.Int()))
		q.Offset, q.Clock, q.Time, q.idle = r.Int(), r.Int(), r.Int(), r.Bool()
		q.Counts = Counts{Read: r.Uint(), Good: r.Uint(), Duplicate: r.Uint(), Dead: r.Uint()}
		if v > keyedVersion {
			q.Counts.Stray = r.Uint()
		}
		if v > uncopied {
			q.copied = readCopied(r)
		}
		if q.older = q.Offset; v > unproven {
			q.older = r.Int()
		}
		if v > unreceived {
			q.pace = pace{clock: r.Int(), wall: r.Int()}
			q.readLimited(r)
			q.left = readOffsets(r)
		}
		if v > unled {
			q.lead, q.ahead = readLead(r), r.Int()
		}
		if v <= wholeVersion {
			for range r.Len() {
				if s.put(q, readDevice(r, p, v)); r.Err() != nil {
					return nil, r.Err()
				}
			}
		}
	}
	rows := readDirty(r)
	if v <= wholeVersion {
		for range r.Len() {
			s.readFormer(r, r.String(), v)
		}
	} else if err := s.readDevices(r, p, v, newReading(limit, rows)); err != nil {
		return nil, err
	}
	s.setDirty(rows)
	for id, epochs := range s.past { // vectors are made in their order
		slices.SortFunc(epochs, func(a, b *device) int { return cmp.Compare(a.epoch, b.epoch) })
		if d := s.devices[id]; d != nil && v <= unreceived {
			for _, o := range epochs {
				d.Inherit(&o.Profile)
			}
		}
	}
	for _, q := range s.parts {
		heap.Init(&q.agenda)
		s.rankAll(q)
	}
	return s, r.Err()
}

func (q *Partition) readLimited(r *codec.Reader) {
	for c := range q.LetGo {
		q.LetGo[c] = r.Uint()
	}
	for i := range q.gone {
		q.gone[i].floor = r.Int()
	}
}

// readTrails reads the events of devices that were let go, of which the counts came
// before the devices.
func (s *Shard) readTrails(r *codec.Reader, all []trailsAhead, most int) {
	for _, t := range all {
		for range t.n {
			x := readTrail(r)
			if r.Err() != nil {
				return
			}
			t.to.add(x, most)
		}
	}
}

// trailsAhead says how many trails come behind the devices.
type trailsAhead struct {
	to *learned
	n  uint64
}

func (s *Shard) readTrailsAhead(r *codec.Reader) (all []trailsAhead) {
	for range r.Len() {
		q, long, n := s.parts[int32(r.Int())], r.Int(), r.Uint()
		if q == nil || long < 0 || long >= int64(len(q.gone)) {
			r.Fail()
			return nil
		}
		all = append(all, trailsAhead{&q.gone[long], n})
	}
	return all
}

func (s *Shard) readDevices(r *codec.Reader, p *Params, v byte, within *reading) error {
	n := r.Len()
	var ahead []trailsAhead
	if v > unreceived {
		ahead = s.readTrailsAhead(r)
	}
	for range n {
		q := s.parts[int32(r.Int())]
		d := readDevice(r, p, v)
		if q == nil {
			r.Fail()
		}
		if r.Err() != nil {
			return r.Err()
		}
		if !d.past {
			s.unrank(q, s.devices[d.id]) // an older program's, elsewhere
		}
		if s.put(q, d); !d.past {
			s.readFormer(r, d.id, v)
		}
		within.take(s, q, d)
	}
	s.readTrails(r, ahead, within.traces())
	within.end(s)
	return nil
}

func (s *Shard) readFormer(r *codec.Reader, id string, version byte) {
	for range r.Len() {
		f := former{r.String(), legacy}
		if version > unproven {
			f.proof = readProof(r)
		}
		s.former[id] = append(s.former[id], f)
	}
}

func readProof(r *codec.Reader) proof {
	p := proof(r.Byte())
	if p > takenBack {
		r.Fail()
	}
	return p
}

// put takes a device that was read in; the agenda is put in order at the end.
func (s *Shard) put(q *Partition, d *device) {
	q.agenda.Push(d)
	if d.is(markHeld) {
		s.held = append(s.held, held{q, d})
	}
	if d.past {
		s.past[d.id] = append(s.past[d.id], d)
	} else {
		s.devices[d.id] = d
	}
}

func readDevice(r *codec.Reader, p *Params, version byte) *device {
	d := &device{id: r.String()}
	d.linkTo(r.String(), legacy)
	d.epoch, d.offset, d.queued, d.closed, d.past = r.Int(), r.Int(), r.Int(), r.Bool(), r.Bool()
	d.set(markHeld, r.Bool())
	if version > oldestVersion {
		shared := r.Bool()
		if version > unproven {
			if p := readProof(r); d.link != nil {
				d.setProof(p)
			}
		}
		own := r.Bool()
		if own {
			*d.told() = readHistory(r, version)
		}
		if shared {
			d.told()
			d.link.shared = true
		}
	}
	format := session.NewestFormat
	if version <= unreceived {
		format = session.SecondFormat
	}
	if version <= firstProfiles {
		format = session.FirstFormat
	}
	if version <= unreceived {
		d.set(markHeard, true)
		d.Profile.Read(r, format, &p.Session)
		f := d.State().Fold
		d.Several, d.heard = f == nil || f.Events > 1 || d.epoch != 0, d.seen() // as far as is known
		return d
	}
	d.marks |= marks(r.Byte()) & marksOfDevice
	several, heard := r.Bool(), r.Int()
	d.Profile.Read(r, format, &p.Session)
	d.Several, d.heard = several, d.Last+heard
	return d
}
