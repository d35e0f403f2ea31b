package identity

import (
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/session"
)

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

func readProof(r *codec.Reader) proof {
	p := proof(r.Byte())
	if p > takenBack {
		r.Fail()
	}
	return p
}
