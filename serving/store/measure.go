package store

import (
	"time"

	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/segment"
)

// measure counts how long a record took. What was decided before the node was ready
// waited for the node's start.
func (s *Store) measure(stamp *segment.Stamp, now time.Time) {
	if since := s.since.Load(); since == 0 || stamp.Decided < since {
		return
	}
	s.deliver.Observe(now, time.Duration(now.UnixMicro()-stamp.Decided)*time.Microsecond)
	if stamp.Sent > 0 {
		s.whole.Observe(now, time.Duration(now.UnixMilli()-stamp.Sent)*time.Millisecond)
	}
}

// Deliver is the time from a decision to this node's memory.
func (s *Store) Deliver() *latency.Minutes { return &s.deliver }

// Whole is the time from a client's send to this node's memory, of the events that
// changed what is known of a person.
func (s *Store) Whole() *latency.Minutes { return &s.whole }
