package segment

import (
	"github.com/microseg/microseg/session"
)

// maxEpochs is how many epochs of one device a user tells apart. A device that logs in
// and out in turn has another one each time, and a user is decided from all of them.
const maxEpochs = 64

// limitEpochs makes the two oldest epochs of a device one where there are too many:
// their sums, orders and carts stay, their sessions are over.
func (u *user) limitEpochs(device string, s *Shard) {
	i, _ := u.find(device, 0)
	n := 0
	for i+n < len(u.devices) && u.devices[i+n].device == device {
		n++
	}
	if n <= maxEpochs || !s.Semantics.Has(5) {
		return
	}
	old, d := &u.devices[i], &u.devices[i+1]
	d.live, d.long = d.live.Merge(old.live, s.p.HalfLives.Live), d.long.Merge(old.long, s.p.HalfLives.Long)
	d.carts, d.seen, d.folded = d.carts.And(old.carts), d.seen.With(old.seen), true
	for k, slot := range s.slots {
		f := &s.catalog[slot]
		switch {
		case f.Session:
		case f.Merge == session.MergeSum:
			d.values[k] += old.values[k]
		case f.Merge == session.MergeDevice && old.values[k] != 0 && (d.values[k] == 0 || old.said > d.said):
			d.values[k] = old.values[k]
		}
	}
	if old.said > d.said {
		d.said, d.bot = old.said, old.bot
	}
	d.last = max(d.last, old.last)
	u.devices = append(u.devices[:i], u.devices[i+1:]...)
	u.settle()
}

// hasFolded reports whether the vector is of an epoch that is a part of a later one.
func (u *user) hasFolded(v *session.Vector) bool {
	i, found := u.find(v.Device, v.Epoch)
	return !found && i < len(u.devices) && u.devices[i].device == v.Device && u.devices[i].folded
}
