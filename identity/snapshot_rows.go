package identity

import "github.com/microseg/microseg/event/codec"

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
