package transforms

import (
	"context"
	"strconv"

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
