package identity

import "time"

// ReadToEnd is the Idle of a range that ends where the log does, with a record that is
// not so old that the partition is idle, which it is after so long: -after, in ms.
// Programs of semantics before 5 wrote -1, whatever it was.
func ReadToEnd(after time.Duration) int64 { return -max(1, after.Milliseconds()) }

// pace is the last place at which a partition's data clock had kept pace with the wall
// clock of the batches. Whoever may send records would else hold the time of everybody
// with what moves no clock (garbage, what is late, duplicates) or moves it by a
// millisecond: a partition is busy for as long as its clock goes on, not its records.
type pace struct {
	clock int64 // data clock, ms
	wall  int64 // of the batch, ms; 0: unknown
}

// keep takes the clock as it is behind a batch. It has kept pace if it went nine tenths
// as far as the wall clock: a replay that paused makes up for it, whose clock goes as
// fast as the wall clock from then on. It goes back where a device was alone until now.
func (p *pace) keep(clock, wall int64) {
	if clock > 0 && (p.wall == 0 || clock < p.clock || clock > p.clock && 10*(clock-p.clock) >= 9*(wall-p.wall)) {
		*p = pace{clock, wall}
	}
}

// behind is by how much (ms) the clock has fallen behind the wall clock since then.
func (p *pace) behind(clock, wall int64) int64 {
	if p.wall == 0 {
		return 0
	}
	return max(0, wall-p.wall-(clock-p.clock))
}

// quiet reports whether the partition holds no time back behind the range, and how much
// time (ms) has passed since its data clock. One that never had an event has no time to
// hold back: once nothing is left to read it is idle at once, as if the log held nothing
// of it, or whoever sends garbage there every few seconds would hold the shard's time
// at 1970.
func (s *Shard) quiet(q *Partition, r *Range) (idle bool, since int64) {
	idle, since = r.Idle > 0, max(0, r.Idle)
	never := q.Newest() == 0
	if r.Idle == 0 || !s.session.Semantics.Has(5) {
		return idle || r.Idle < 0 && never, since
	}
	since = max(since, q.pace.behind(q.Newest(), s.emitted/1000))
	if !idle && !never && since < -r.Idle {
		return false, 0
	}
	return true, since
}
