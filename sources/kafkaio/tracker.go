package kafkaio

import (
	"fmt"
	"slices"
)

// Position is how far a partition has been read.
type Position struct {
	Partition int32
	Next      int64 // next offset to read
}

// Restriction is a shard's place in the log. It has no end: a topic is
// unbounded until its job is stopped.
type Restriction struct {
	Shard     int
	Positions []Position
	Batches   int64 // batches taken so far; numbers them
	Ended     bool
}

// claim moves the restriction behind a batch; nil ends it.
type claim struct {
	positions []Position
	batch     int64 // its number
}

// tracker is the sdf.RTracker of one shard. It only ever splits at its current
// position: a shard is read by one reader at a time.
type tracker struct {
	rest Restriction
	done bool
	err  error
}

// TryClaim implements sdf.RTracker; the position is a claim.
func (t *tracker) TryClaim(pos any) bool {
	c, ok := pos.(*claim)
	if !ok {
		t.err = fmt.Errorf("claiming a batch: the position is a %T", pos)
		return false
	}
	if t.done || t.rest.Ended {
		return false
	}
	if c == nil {
		t.rest.Ended, t.done = true, true
		return false
	}
	t.rest.Positions = slices.Clone(c.positions)
	t.rest.Batches = c.batch + 1
	return true
}

// GetError implements sdf.RTracker.
func (t *tracker) GetError() error { return t.err }

// TrySplit implements sdf.RTracker: everything after the current position is the residual.
func (t *tracker) TrySplit(fraction float64) (primary, residual any, err error) {
	if t.done || t.rest.Ended || fraction > 0 {
		return t.rest, nil, nil
	}
	res := t.rest
	res.Positions = slices.Clone(res.Positions)
	t.done = true
	p := t.rest
	p.Ended = true
	return p, res, nil
}

// GetProgress implements sdf.RTracker. The rest is unknown, and never less than one batch.
func (t *tracker) GetProgress() (done, remaining float64) {
	if t.IsDone() {
		return float64(t.rest.Batches), 0
	}
	return float64(t.rest.Batches), 1
}

// IsDone implements sdf.RTracker.
func (t *tracker) IsDone() bool { return t.done || t.rest.Ended }

// IsBounded implements sdf.BoundableRTracker.
func (t *tracker) IsBounded() bool { return t.rest.Ended }

// GetRestriction implements sdf.RTracker.
func (t *tracker) GetRestriction() any { return t.rest }
