package segment

import "math"

// RefreshTick is the last refresh tick up to t: a multiple of the refresh interval,
// in whole minutes, so that sums are those of a minute's end.
func (p *ShardParams) RefreshTick(t int64) int64 { return t - t%p.TickMS() }

// TickMS is the distance of refresh ticks.
func (p *ShardParams) TickMS() int64 {
	return max(1, (p.RefreshMS+minuteMS-1)/minuteMS) * minuteMS
}

// faded is how many long half-lives after an event nothing is left to weigh of it.
const faded = 8

// ticks takes the shard through the refresh ticks up to w. A batch may cover
// hours: with one look at its end, a segment that went stale early in it was flagged
// 85 minutes later than it had been live.
func (s *Shard) ticks(w int64, out *Effects) {
	if s.Now == 0 {
		return // time begins to pass
	}
	every := s.p.TickMS()
	first, newest := s.p.RefreshTick(s.Now)+every, int64(0)
	if first <= w {
		newest = s.lastHeard()
	}
	for t := first; t <= w; t += every {
		if s.quiet(t, newest) {
			t = max(t, s.p.RefreshTick(w)) // a gap of days is one tick
		}
		s.fire(t, out)
		s.Now = t
		heard, ahead := s.weigh(t, out)
		out.Counts = s.audience.until(t, out.Counts)
		if s.quiet(t, heard) { // and so is most of one with an event behind it: a clock may be wrong by a century
			t = max(t, s.p.RefreshTick(min(ahead-int64(faded*s.p.HalfLives.Long), w))-every)
		}
	}
}

// lastHeard is the newest event of those who are there. Whoever was newer and has
// left does not count, since a snapshot does not know of them either.
func (s *Shard) lastHeard() (t int64) {
	for _, q := range s.all {
		t = max(t, q.last())
	}
	return t
}

// quiet reports whether nothing is left to weigh at t where the newest event was at last.
func (s *Shard) quiet(t, last int64) bool { return float64(t-last) > faded*s.p.HalfLives.Long }

// weigh sums the members' decayed sums per subtree at w, by summing what is
// there, never by subtracting, and evaluates the members of flagged segments again.
// heard is when the last of them was heard of up to w, ahead when the next one is
// heard of after it.
func (s *Shard) weigh(w int64, out *Effects) (heard, ahead int64) {
	n := s.p.Tree.Len()
	ahead = math.MaxInt64
	live, long := make([]float64, n), make([]float64, n)
	ticks := s.Semantics.Has(2)
	for _, q := range s.all {
		if q.node == nowhere || q.bot() || ticks && s.outlived(q, w) {
			continue
		}
		if last := q.last(); last <= w {
			heard = max(heard, last)
		} else {
			ahead = min(ahead, last)
		}
		l, g := q.sums(&s.p.Params, max(w, q.evaluated))
		for _, a := range s.p.Tree.Ancestors(int(q.node)) {
			live[a] += l
			long[a] += g
		}
	}
	due := s.audience.weigh(w, live, long, s.p.HalfLives, s.p.StaleShare, ticks)
	switch {
	case len(due) == 0:
	case ticks:
		s.reevaluate(w, due, out)
	default:
		for _, q := range s.all {
			if q.counted && q.evaluated < w && anyOf(s.p.Tree.Ancestors(int(q.node)), due) {
				s.evaluate(q, w, CauseStale, -1, -1, out)
			}
		}
	}
	return heard, ahead
}

// reevaluate evaluates all members of the flagged segments at the tick t, whether
// or not they are still counted in the audience: who left it has a path, too. It
// happens at the tick that flags a segment and once more at the next one, because
// the members of another shard may carry the site's flag over its limit a tick later.
func (s *Shard) reevaluate(t int64, due map[int]bool, out *Effects) {
	n := s.p.Tree.Len()
	evaluated, moved := make([]int32, n), make([]int32, n)
	for _, q := range s.all {
		if q.node == nowhere || q.bot() || s.outlived(q, t) {
			continue
		}
		path, before := s.p.Tree.Ancestors(int(q.node)), q.node
		if !anyOf(path, due) {
			continue
		}
		if q.evaluated < t { // else a wake-up or an event behind the tick has just done it
			s.look(q, t, out)
		}
		for _, a := range path {
			if due[a] {
				evaluated[a]++
				if q.node != before {
					moved[a]++
				}
			}
		}
	}
	s.audience.evaluated, s.audience.moved = evaluated, moved
}

// look evaluates a person at t. Where nobody moves it leaves no trace but the time
// in the person's row: what a late event decides must not depend on it, since
// which members are flagged at a tick may depend on how far partitions were read.
func (s *Shard) look(q *person, t int64, out *Effects) {
	if q.devices() > 0 {
		if node, _ := s.p.Tree.Decide(s.view(q, t), t); node == int(q.node) {
			s.keep(q)
			q.looked = t
			s.touch(q)
			return
		}
	}
	s.evaluate(q, t, CauseStale, -1, -1, out)
}

// outlived reports whether the retention is over for a person, who is dropped as of
// then when its device's shard gets there.
func (s *Shard) outlived(q *person, t int64) bool { return t >= q.last()+s.p.Retention }

func anyOf(path []int, set map[int]bool) bool {
	for _, n := range path {
		if set[n] {
			return true
		}
	}
	return false
}
