package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/microseg/microseg/identity"
)

// deletion is one under way, or done, in this process.
type deletion struct {
	s       *Server
	subject string
	person  identity.ErasedPerson
	keys    []string // whose null records say that the job has applied the tombstones
	done    chan struct{}

	mu      sync.Mutex
	receipt Receipt
}

// pollEvery is how often what others do is looked at.
const pollEvery = 200 * time.Millisecond

// poll waits until f is true; an f that fails may work the next time.
func poll(ctx context.Context, f func() (bool, error)) error {
	for {
		ok, err := f()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pollEvery):
		}
	}
}

func (d *deletion) mark(store string, rows *uint64, note string) {
	now := time.Now().UTC()
	d.update(func(r *Receipt) {
		e := r.store(store)
		e.DoneAt, e.Rows, e.Note = &now, rows, note
	})
}

func (d *deletion) skip(store, why string) {
	d.update(func(r *Receipt) { r.store(store).Note = why })
}

func (d *deletion) update(f func(*Receipt)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.receipt)
	d.receipt.UpdatedAt = time.Now().UTC()
}

func (d *deletion) copy() Receipt {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.receipt
	r.Stores, r.Tombstones = slices.Clone(r.Stores), slices.Clone(r.Tombstones)
	return r
}

// save keeps the receipt where every node finds it.
func (d *deletion) save(ctx context.Context) error {
	if d.s.Record == nil {
		return nil
	}
	r := d.copy()
	doc, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var done time.Time
	if r.Complete {
		done = r.UpdatedAt
	}
	return d.s.Record.Save(ctx, r.ID, d.subject, r.RequestedAt, done, doc)
}
