package identity

import (
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
)

// A record that a stage cannot take is left out of the device's state for good, and who
// folds the device anew from the log must leave it out, too: the log has it like any
// other, and a history may have been gathered before the verdict.

// maxLeft bounds how many offsets a partition remembers. A device with an older one is
// not made anew: the log then does not explain its state.
const maxLeft = 10_000

// leaveOut notes which records of the batch are left out.
func (s *Shard) leaveOut(b *Batch, skip map[int32]int64) {
	for i := range b.Dead {
		d := &b.Dead[i]
		if d.Reason != event.Poison || d.Offset <= skip[d.Partition] {
			continue
		}
		q := s.parts[d.Partition]
		if at, found := slices.BinarySearch(q.left, d.Offset); !found {
			q.left = slices.Insert(q.left, at, d.Offset)
		}
		if len(q.left) > maxLeft {
			q.left = slices.Delete(q.left, 0, len(q.left)-maxLeft)
		}
	}
}

// leftOut reports whether a record was left out; older programs did not look.
func (s *Shard) leftOut(q *Partition, offset int64) bool {
	_, left := slices.BinarySearch(q.left, offset)
	return left && s.session.Semantics.Has(5)
}

// LeftOut are the offsets of the partition's records that were left out, up to the last
// batch, sorted.
func (s *Shard) LeftOut(partition int32) []int64 {
	if q := s.parts[partition]; q != nil {
		return q.left
	}
	return nil
}

// placed forgets that letters were left out which a replay has put in their place.
func (s *Shard) placed(q *Partition, with *refolded) {
	q.left = slices.DeleteFunc(q.left, func(offset int64) bool {
		outcome := with.letters[offset]
		return outcome == ReplayedGood || outcome == ReplayedDuplicate
	})
}

func appendOffsets(w *codec.Writer, list []int64) {
	w.Uint(uint64(len(list)))
	for _, o := range list {
		w.Int(o)
	}
}

func readOffsets(r *codec.Reader) (list []int64) {
	for range r.Len() {
		list = append(list, r.Int())
	}
	return list
}
