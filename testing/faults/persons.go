package faults

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/testing/oracle"
)

func reasonOf(s string) event.Reason { return event.Reason(s) }

// state is a person in the record.
type state struct {
	path, served           string
	since, evaluated, last int64
	live, long, cart       float64
	devices                uint16
	transitions            uint32
}

// move is one change of a person's path in the record.
type move struct {
	transition uint32
	version    uint64 // of the batch that decided it
	at, offset int64
	from, to   string
	nodes      map[string]int // +1 for each node entered, -1 for each left
}

// record is what ClickHouse says of persons.
type record struct {
	persons map[string]*state
	moves   map[string][]*move // of each person, in the order of the batches
	passed  int64              // event time that has passed everywhere
}

func readRecord(ctx context.Context, conn driver.Conn) (*record, error) {
	r := &record{persons: map[string]*state{}, moves: map[string][]*move{}}
	err := conn.QueryRow(ctx, "SELECT toUnixTimestamp64Milli(min(watermark)) FROM progress_current WHERE site = ?", site).Scan(&r.passed)
	if err != nil {
		return nil, fmt.Errorf("reading the progress: %w", err)
	}
	if err := r.readPersons(ctx, conn); err != nil {
		return nil, fmt.Errorf("reading the persons: %w", err)
	}
	if err := r.readMoves(ctx, conn); err != nil {
		return nil, fmt.Errorf("reading the membership events: %w", err)
	}
	return r, nil
}

func (r *record) readPersons(ctx context.Context, conn driver.Conn) error {
	rows, err := conn.Query(ctx, `SELECT person, path, served, toUnixTimestamp64Milli(since), toUnixTimestamp64Milli(evaluated_at), toUnixTimestamp64Milli(last_event),
		live, long, cart_value, devices, transitions FROM segments_current WHERE site = ?`, site)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var person string
		s := &state{}
		if err := rows.Scan(&person, &s.path, &s.served, &s.since, &s.evaluated, &s.last, &s.live, &s.long, &s.cart, &s.devices, &s.transitions); err != nil {
			return err
		}
		r.persons[person] = s
	}
	return rows.Err()
}

func (r *record) readMoves(ctx context.Context, conn driver.Conn) error {
	rows, err := conn.Query(ctx, `SELECT person, transition, version, toUnixTimestamp64Milli(at), offset, from_path, to_path, node, action FROM segment_events_dedup WHERE site = ?
		ORDER BY person, version, at, transition, offset`, site)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var person, node, action string
		m := &move{nodes: map[string]int{}}
		if err := rows.Scan(&person, &m.transition, &m.version, &m.at, &m.offset, &m.from, &m.to, &node, &action); err != nil {
			return err
		}
		all := r.moves[person]
		if n := len(all); n > 0 && m.same(all[n-1]) {
			m = all[n-1]
		} else {
			r.moves[person] = append(all, m)
		}
		if action == "entered" {
			m.nodes[node]++
		} else {
			m.nodes[node]--
		}
	}
	return rows.Err()
}

// same reports whether two rows tell of one change.
func (m *move) same(o *move) bool {
	return m.transition == o.transition && m.at == o.at && m.offset == o.offset && m.from == o.from && m.to == o.to
}

// whole reports whether exactly the nodes between from and to are entered and left.
func (m *move) whole() bool {
	n := 0
	for _, side := range []struct {
		path, other string
		sign        int
	}{{m.to, m.from, 1}, {m.from, m.to, -1}} {
		for _, node := range nodesOf(side.path) {
			if side.other == node || strings.HasPrefix(side.other, node+"/") {
				continue
			}
			n++
			if m.nodes[node] != side.sign {
				return false
			}
		}
	}
	return n == len(m.nodes)
}

// nodesOf are the nodes on the way to a path, the root first.
func nodesOf(path string) (out []string) {
	for i, c := range path {
		if c == '/' {
			out = append(out, path[:i])
		}
	}
	if path != "" {
		out = append(out, path)
	}
	return out
}

// persons: those that there are stand where the oracle has them, at the moment
// at which each was last evaluated, and where time has brought them since.
func (c *comparison) persons(rec *record) error {
	ids := c.truth.want.Persons()
	c.report.Persons = len(ids)
	exists := map[string]bool{}
	for _, id := range ids {
		exists[id] = true
		s := rec.persons[id]
		if s == nil {
			c.differ.add("person", "%s is missing", id)
			continue
		}
		p, err := c.truth.want.Person(id)
		if err != nil {
			return err
		}
		c.person(id, s, p, rec.passed)
	}
	for id := range rec.persons {
		if !exists[id] {
			c.differ.add("person", "%s should not be", id)
		}
	}
	return nil
}

func (c *comparison) person(id string, s *state, p *oracle.Person, passed int64) {
	if s.last != p.Last || int(s.devices) != p.Devices {
		c.differ.add("person", "%s has %d devices, newest event %d; the oracle has %d, %d", id, s.devices, s.last, p.Devices, p.Last)
		return
	}
	if w := p.Path(s.evaluated); s.path != w && !onEdge(p, s.path, s.evaluated) {
		c.differ.add("path", "%s was in %s at %d, the oracle says %s", id, s.path, s.evaluated, w)
	} else if w := p.Path(passed); passed > s.evaluated && s.path != w && !onEdge(p, s.path, passed) {
		c.differ.add("path", "%s is in %s, evaluated at %d; at %d, which has passed, the oracle says %s", id, s.path, s.evaluated, passed, w)
	}
	live, long := p.Sums(s.evaluated)
	if cart := p.CartValue(s.evaluated); !near(s.live, live) || !near(s.long, long) || !near(s.cart, cart) {
		c.differ.add("features", "%s at %d: live %v, long %v, cart %v; the oracle has %v, %v, %v", id, s.evaluated, s.live, s.long, s.cart, live, long, cart)
	}
}

// onEdge: a decayed sum is folded in another order here, so a comparison may
// flip a millisecond earlier or later.
func onEdge(p *oracle.Person, path string, t int64) bool {
	return p.Path(t-1) == path || p.Path(t+1) == path
}

func near(a, b float64) bool {
	return math.Abs(a-b) <= 1e-9+1e-6*math.Max(math.Abs(a), math.Abs(b))
}
