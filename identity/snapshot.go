package identity

import (
	"math"
	"slices"

	"github.com/microseg/microseg/event/codec"
)

// schemaVersion is the first byte of a snapshot; a newer one is refused. Version 9 knew of
// no device that is ahead of the data clock; 8 knew nothing of when events were received,
// of the pace of clocks, of a limit of devices and of what was left out; 7 knew no proofs,
// so that all its links are legacy; 6 knew no copies; 5 has profiles of the first format;
// 4 counted no strays; 3 was written at once, its devices by partition; 2 knew no epochs
// without events and counted no users.
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
