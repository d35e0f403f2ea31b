package transforms

import (
	"context"
	"fmt"
	"strconv"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms/logstate"
)

// runnerStore is the Store of states that the runner keeps. What it decodes is in a cache
// of the process, since a key may move between DoFns.
type runnerStore[S logstate.State] struct {
	stage stage[S]
	cache *logstate.Cache[S]
}

// Apply implements Store.
func (r *runnerStore[S]) Apply(ctx context.Context, kept Cells, e *Element, out Outputs) error {
	head, err := kept.Head()
	if err != nil {
		return err
	}
	entry, done, err := r.try(ctx, kept, head, e, out)
	for i := 0; err == nil && i < len(done); i++ {
		err = kept.Write(entry.Commit(done[i].delta, done[i].weight))
	}
	if err != nil {
		r.cache.Forget(key(e)) // it may hold half of the element
	}
	return err
}

// try applies the element, and again without the records of which the stage panicked, each
// time to the state before it.
func (r *runnerStore[S]) try(ctx context.Context, kept Cells, head []byte, e *Element, out Outputs) (*logstate.Entry[S], []applied, error) {
	var without []identity.Place
	for {
		entry, err := r.cache.Open(ctx, key(e), head, kept.Log)
		if err != nil {
			return nil, nil, err
		}
		done, leave, err := attempt(ctx, r.stage, entry.State, e, without, out)
		p := poisoned(err)
		if p == nil {
			if err == nil {
				err = leave(ctx)
			}
			return entry, done, err
		}
		n := len(without)
		if without = appendPlaces(without, p.Places); len(without) == n {
			return nil, nil, p
		}
		r.cache.Forget(key(e))
		if err := r.stage.renew(); err != nil {
			return nil, nil, err
		}
	}
}

func key(e *Element) string { return strconv.Itoa(e.Shard) }

// beamCells are cells as Beam has them.
type beamCells struct {
	p    state.Provider
	head state.Value[[]byte]
	log  state.Bag[[]byte]
}

// Head implements Cells.
func (c *beamCells) Head() ([]byte, error) {
	b, _, err := c.head.Read(c.p)
	if err != nil {
		return nil, fmt.Errorf("reading the head: %w", err)
	}
	return b, nil
}

// Log implements Cells.
func (c *beamCells) Log() ([][]byte, error) {
	b, _, err := c.log.Read(c.p)
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	return b, nil
}

// Write implements Cells.
func (c *beamCells) Write(change logstate.Change) error {
	if change.Clear {
		if err := c.log.Clear(c.p); err != nil {
			return fmt.Errorf("clearing the log: %w", err)
		}
	}
	for _, e := range change.Entries {
		if err := c.log.Add(c.p, e); err != nil {
			return fmt.Errorf("appending to the log: %w", err)
		}
	}
	if err := c.head.Write(c.p, change.Head); err != nil {
		return fmt.Errorf("writing the head: %w", err)
	}
	return nil
}
