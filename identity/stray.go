package identity

import (
	"fmt"

	"github.com/microseg/microseg/event"
)

// A device lives in one partition of the topic: the one in whose agenda it waits.
// Its data clock judges what is late, its offsets order what happens. Where nothing
// is known of a device that is the partition that Kafka's default partitioner gives
// its key, so that two shards, which know nothing of each other, cannot both have it.

// isHome reports whether the device lives in q.
func (q *Partition) isHome(d *device) bool {
	i := int(d.place)
	return d.queued != 0 && i < len(q.agenda) && q.agenda[i] == d
}

// homeOf is the partition in which the device lives.
func (s *Shard) homeOf(d *device) (id int32, q *Partition) {
	for id, q := range s.parts {
		if q.isHome(d) {
			return id, q
		}
	}
	return 0, nil
}

// where is the partition in which a device of the name lives or would live.
func (s *Shard) where(id string, stated int32) int32 {
	if d := s.devices[id]; d != nil {
		if q := s.parts[stated]; q != nil && q.isHome(d) {
			return stated
		}
		if home, q := s.homeOf(d); q != nil {
			return home
		}
	}
	if s.p.Partitions > 0 {
		return event.Home(id, s.p.Partitions)
	}
	return stated
}

// stray refuses a record that is in another partition than its device. It moves no
// clock: the partition's visitors have nothing to do with it.
func (s *Shard) stray(q *Partition, e *event.Event, out *Output) bool {
	switch {
	case e.Kind == event.KindDelete: // also of a device that is elsewhere nothing may be left
		return false
	case !s.session.Semantics.Has(2): // so it was decided
		return false
	}
	home := s.where(e.Device, e.Partition)
	if home == e.Partition {
		return false
	}
	q.Counts.Stray++
	s.dead(q, DeadLetter{Partition: e.Partition, Offset: e.Offset, Append: e.Append, Time: e.Time, Device: e.Device, Reason: event.Stray, Raw: e.Raw,
		Detail: fmt.Sprintf("its device's records belong into partition %d: key records by anonymousId, or by userId where an event states only that; or set source.rekey: on (docs/operations.md)", home)}, out)
	return true
}
