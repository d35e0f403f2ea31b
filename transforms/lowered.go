package transforms

import (
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/transforms/wire"
)

// A job that died of memory comes back with a lower limit of devices (state.max_devices):
// the limit holds already for what is read of the snapshots, and for what is applied again
// behind them. That is an entry of the journal of its own, a mark, which is there before
// anything that follows from it: whoever goes on from the same snapshots, with whatever
// limit, lets the same devices go (docs/adr/0023).

// marked is the number that a mark has instead of one among batches to a person shard.
const marked = -1

// lowered is what the marks of a journal say.
type lowered struct {
	marks []wire.Header // up to which batch which limit holds
}

// markOf makes the entry of a limit that holds up to a batch.
func markOf(shard int, upTo int64, l identity.Limits) wire.Header {
	return wire.Header{Shard: shard, ID: upTo, Seq: marked, Limits: l}
}

// take takes an entry of the journal if it is a mark.
func (l *lowered) take(h *wire.Header) bool {
	if h.Seq != marked {
		return false
	}
	l.marks = append(l.marks, *h)
	return true
}

// upTo is the last batch for which a mark is, -1 where there is none.
func (l *lowered) upTo() int64 {
	last := int64(-1)
	for i := range l.marks {
		last = max(last, l.marks[i].ID)
	}
	return last
}

// of is the limit of a batch, of which its header says limit; 0: any number.
func (l *lowered) of(id, limit int64) int64 {
	for i := range l.marks {
		if m := &l.marks[i]; id <= m.ID {
			limit = lower(limit, m.Limits.Devices)
		}
	}
	return limit
}

// lower is the lower one of two limits.
func lower(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// lower adds a mark for this job's limit where it lets somebody go that the marks and the
// batches did not: as the snapshot was read, or in a batch that is applied again.
func (t *deviceTask) lower(b *Built, shard int, l *lowered) *wire.Header {
	limit := b.Spec.limits()
	due := t.state.shard.LetGoAsRead() > 0 && l.of(-1, 0) != lower(l.of(-1, 0), limit.Devices)
	for i := range t.batches {
		was := l.of(t.batches[i].ID, t.batches[i].Limits.Devices)
		due = due || t.batches[i].Semantics.Has(5) && was != lower(was, limit.Devices)
	}
	if !due {
		return nil
	}
	last := t.state.last
	if n := len(t.batches); n > 0 {
		last = t.batches[n-1].ID
	}
	h := markOf(shard, last, limit)
	l.take(&h)
	return &h
}

// owe makes the rest of the machine one of the limits that the marks say.
func (t *deviceTask) owe(l *lowered) {
	t.state.owes = l.upTo()
	for i := range t.batches {
		t.batches[i].Limits.Devices = l.of(t.batches[i].ID, t.batches[i].Limits.Devices)
	}
}

// tellAtOnce is how many persons' leaving is told with each record, and with a batch.
const (
	tellAtOnce = 64
	tellAtMost = 8192
)

// owed is told of a device that was let go of which nobody is told yet.
func (g *DeviceStage) owed(device string, p *session.Profile, t int64) {
	if p == nil {
		g.state.persons.OweUnknown(device, t)
	} else {
		g.state.persons.Owe(p, t, &g.effects.Effects)
	}
	if g.untold != nil {
		g.untold(session.PersonID(device, ""))
	}
}

// tell tells some of what is owed, once all is applied again.
func (g *DeviceStage) tell(s *DeviceState, h *wire.Header, b *identity.Batch) {
	if h.ID <= s.owes || s.persons.Owed() == 0 {
		return
	}
	at := identity.Place{Partition: -1, Offset: -1}
	if n := len(b.Events); n > 0 {
		at = placeOf(&b.Events[n-1])
	}
	s.persons.Tell(min(tellAtOnce*(len(b.Events)+1), tellAtMost), at.Offset, at.Partition, s.shard.Known, g.forget, &g.effects.Effects)
}
