package transforms

import (
	"context"
	"fmt"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
)

// rebuilds readies what the batch's records say that tell to make a device anew:
// the histories that they bring, and what came between their reading and here,
// which is read from the log again. A record that cannot be read is a dead letter.
func (g *DeviceStage) rebuilds(ctx context.Context, s *DeviceState, b *identity.Batch) error {
	b.Rebuilds = nil
	bad := map[identity.Place]error{}
	last := map[int32][]lastPart{}
	for i := range b.Events {
		e := &b.Events[i]
		if e.Kind != event.KindRebuild || e.Offset <= s.shard.Offset(e.Partition) {
			continue
		}
		switch p, err := identity.ReadPart(e.Raw); {
		case err != nil:
			bad[placeOf(e)] = err
		case p.Number == p.Of-1:
			last[e.Partition] = append(last[e.Partition], lastPart{e, p})
		}
	}
	for partition, parts := range last {
		if err := g.rebuildsOf(ctx, s, partition, parts, b, bad); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		b.Events = slices.DeleteFunc(b.Events, func(e event.Event) bool {
			err := bad[placeOf(&e)]
			if err != nil {
				b.Dead = append(b.Dead, identity.DeadLetter{Partition: e.Partition, Offset: e.Offset, Append: e.Append, Device: e.Device,
					Reason: event.Malformed, Detail: "making a device anew: " + err.Error(), Raw: []byte{}})
			}
			return err != nil
		})
	}
	return nil
}

// semantics are those by which a record of a partition was read, where a batch of now
// makes its device anew: what an older program had applied had no trust.
func (s *DeviceState) semantics(partition int32, offset int64, now event.Semantics) event.Semantics {
	if now.Has(3) && offset <= s.shard.Older(partition) {
		return 2
	}
	return now
}

// leftOut are the offsets of the partition's records that are left out, those of the
// batch included; an older program did not look.
func (s *DeviceState) leftOut(partition int32, b *identity.Batch) map[int64]bool {
	left := map[int64]bool{}
	if !b.Semantics.Has(5) {
		return left
	}
	for _, offset := range s.shard.LeftOut(partition) {
		left[offset] = true
	}
	for i := range b.Dead {
		if d := &b.Dead[i]; d.Partition == partition && d.Reason == event.Poison {
			left[d.Offset] = true
		}
	}
	return left
}

func placeOf(e *event.Event) identity.Place {
	return identity.Place{Partition: e.Partition, Offset: e.Offset}
}

// lastPart is the last part of a history, and the record that brings it: the one
// that makes the device anew.
type lastPart struct {
	event *event.Event
	identity.Part
}

// rebuildsOf reads the histories of one partition.
func (g *DeviceStage) rebuildsOf(ctx context.Context, s *DeviceState, partition int32, parts []lastPart, b *identity.Batch, bad map[identity.Place]error) error {
	first, to := &parts[0].Part, int64(0)
	devices := map[string]bool{}
	for i := range parts {
		p := &parts[i]
		if p.End < first.End {
			first = &p.Part
		}
		to = max(to, p.event.Offset)
		devices[p.event.Device] = true
	}
	read := func(offset int64) event.Semantics { return s.semantics(partition, offset, b.Semantics) }
	m, err := g.meanwhile(ctx, partition, first, to, devices, read, s.leftOut(partition, b))
	if err != nil {
		return err
	}
	if b.Rebuilds == nil {
		b.Rebuilds = map[identity.Place]*identity.Rebuild{}
	}
	for _, p := range parts {
		r, err := m.rebuild(g.decoder, p.event, &p.Part, read)
		if err != nil {
			bad[placeOf(p.event)] = err
			continue
		}
		b.Rebuilds[placeOf(p.event)] = r
	}
	return nil
}

// meanwhile is a part of a partition: the events of some devices, with the time
// that those of all let pass, and the parts of histories.
type meanwhile struct {
	events map[string][]identity.Step // by device
	parts  map[string][]identity.Part // by device and receipt
	at     map[string][]int64         // offsets of the parts
}

func partKey(e *event.Event) string { return fmt.Sprintf("%x/%s", e.ID, e.Device) }

func (g *DeviceStage) meanwhile(ctx context.Context, partition int32, first *identity.Part, to int64, devices map[string]bool, read func(offset int64) event.Semantics, left map[int64]bool) (*meanwhile, error) {
	w := &meanwhile{events: map[string][]identity.Step{}, parts: map[string][]identity.Part{}, at: map[string][]int64{}}
	if g.log == nil {
		return nil, fmt.Errorf("making devices of partition %d anew: %w", partition, errNoLog)
	}
	clock := first.Clock
	err := g.log.ReadRange(ctx, partition, first.End, to, func(rec identity.Record) error {
		if left[rec.Offset] {
			return nil // it let no time pass
		}
		_, b := g.decoder.Decode(&identity.RawBatch{Chunks: [][]identity.Record{{rec}}, Semantics: read(rec.Offset)})
		for i := range b.Events {
			e := &b.Events[i]
			switch {
			case e.Kind == event.KindRebuild:
				if p, err := identity.ReadPart(e.Raw); err == nil {
					w.parts[partKey(e)] = append(w.parts[partKey(e)], p)
					w.at[partKey(e)] = append(w.at[partKey(e)], e.Offset)
				}
			case devices[e.Device]:
				w.events[e.Device] = append(w.events[e.Device], identity.Step{Event: *e, Clock: clock})
			}
			clock.Take(e, read(rec.Offset))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("re-reading the log to make devices anew: %w", err)
	}
	return w, nil
}

// rebuild puts together what the device of event e, whose last part is p, is made from.
func (w *meanwhile) rebuild(d *BatchDecoder, e *event.Event, p *identity.Part, read func(offset int64) event.Semantics) (*identity.Rebuild, error) {
	all, key := w.parts[partKey(e)], partKey(e)
	n, _ := slices.BinarySearch(w.at[key], e.Offset)
	h, err := identity.ReadHistory(e.Partition, all[max(0, n+1-p.Of):min(n+1, len(all))])
	if err != nil {
		return nil, err
	}
	r := &identity.Rebuild{Receipt: h.Receipt, Cut: h.Cut}
	for i := range h.Records {
		past := &h.Records[i]
		r.Steps = append(r.Steps, d.step(past, read(past.Offset)))
	}
	for _, s := range w.events[e.Device] {
		if s.Event.Offset >= h.End && s.Event.Offset < e.Offset {
			s.Clock.Time = max(s.Clock.Time, h.Clock.Time)
			r.Steps = append(r.Steps, s)
		}
	}
	return r, nil
}

// step reads a record of a history.
func (d *BatchDecoder) step(p *identity.Past, by event.Semantics) identity.Step {
	s := identity.Step{Clock: p.Clock, Letter: p.Letter, Placed: p.Placed}
	_, b := d.Decode(&identity.RawBatch{Chunks: [][]identity.Record{{p.Record}}, Semantics: by})
	switch {
	case len(b.Events) == 1:
		s.Event = b.Events[0]
	case len(b.Dead) == 1:
		s.Refused = b.Dead[0].Reason
	}
	s.Event.Partition, s.Event.Offset = p.Partition, p.Offset
	return s
}
