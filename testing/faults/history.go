package faults

import "strings"

// chains: of each person the changes of path are numbered without a gap, each
// begins where the one before ended, in the order of time, tells of each node
// once, and the last one leads to where the person is. Who left (a device that
// was linked) and comes again (unlinked, or logged out) begins anew.
//
// Which changes there are is not compared with the oracle: it depends on how far
// time had passed when an event that is out of order came, and for users on how
// partitions interleaved. Only where they end is the log's alone.
func (c *comparison) chains(rec *record) {
	for person, moves := range rec.moves {
		c.report.Moves += len(moves)
		for _, m := range moves {
			if !m.whole() {
				c.moved.add("membership", "%s, change %d from %q to %q: nodes %v", person, m.transition, m.from, m.to, m.nodes)
			}
		}
		c.chain(person, moves, rec.persons[person])
	}
	for person := range rec.persons {
		if len(rec.moves[person]) == 0 {
			c.differ.add("chain", "%s never came in", person)
		}
	}
}

func (c *comparison) chain(person string, moves []*move, s *state) {
	inOrder(moves, &move{})
	at, where, number := int64(0), "", 0
	for i, m := range moves {
		if where == "" {
			at, number = 0, 0
		}
		if number++; int(m.transition) != number || m.from != where || m.at < at {
			c.moved.add("chain", "%s: change %d is number %d, from %q to %q at %d; before it: %q since %d", person, i+1, m.transition, m.from, m.to, m.at, where, at)
			return
		}
		at, where = m.at, m.to
	}
	switch {
	case s == nil && where != "":
		c.moved.add("chain", "%s is gone, and ends in %q", person, where)
	case s != nil && (s.path != where || s.since != at || int(s.transitions) != number):
		c.moved.add("chain", "%s is in %q since %d after %d changes; the changes are %d, to %q at %d", person, s.path, s.since, s.transitions, number, where, at)
	}
}

// inOrder puts what one batch decided for a person behind each other: by number
// and time, and who begins anew after leaving behind that, at any time: an event
// that is out of order may begin a person anew before the time at which it left.
// It reports whether moves, behind last, are one chain.
func inOrder(moves []*move, last *move) bool {
	if len(moves) == 0 {
		return true
	}
	for j := 0; j < len(moves) && moves[j].version == moves[0].version; j++ {
		m := moves[j]
		anew := last.to == "" && m.transition == 1
		if m.from != last.to || !anew && (m.transition != last.transition+1 || m.at < last.at) {
			continue
		}
		copy(moves[1:j+1], moves[:j])
		moves[0] = m
		if inOrder(moves[1:], m) {
			return true
		}
		copy(moves[:j], moves[1:j+1])
		moves[j] = m
	}
	return false
}

// published: the newest record of each key says what ClickHouse says, and what
// a reader was ever shown is in the history.
func (c *comparison) published(rec *record, w *watcher) {
	c.report.Published = w.writes
	for key, k := range w.told {
		s := rec.persons[key]
		user := c.truth.want.User(strings.TrimPrefix(key, "d:"))
		switch {
		case k.gone && s == nil && !(strings.HasPrefix(key, "d:") && user != ""):
		case k.gone:
			c.differ.add("published", "%s was forgotten, and is there", key)
		case strings.HasPrefix(key, "d:") && k.pointer != user:
			c.differ.add("published", "%s points to %q; the oracle has %q", key, k.pointer, user)
		case k.pointer != "":
		case s == nil:
			c.differ.add("published", "%s is not in ClickHouse", key)
		case k.visible[len(k.visible)-1] != place{s.since, s.path}:
			c.differ.add("published", "%s is %+v; ClickHouse has %q since %d", key, k.visible[len(k.visible)-1], s.path, s.since)
		}
		c.shown(key, k, rec.moves[key])
	}
	for person := range rec.persons {
		if w.told[person] == nil {
			c.differ.add("published", "%s was never published", person)
		}
	}
}

// shown: what a reader saw are places of the chain, in its order.
func (c *comparison) shown(key string, k *told, moves []*move) {
	i := 0
	for _, p := range k.visible {
		j := i
		for j < len(moves) && (place{moves[j].at, moves[j].to}) != p {
			j++
		}
		if j == len(moves) {
			c.moved.add("shown", "%s was shown in %q since %d, which is not in its history after change %d", key, p.path, p.since, i)
			return
		}
		i = j
	}
}
