package transforms

import (
	"fmt"
	"slices"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/segment"
)

// retold gathers the records of batches that are applied again, so that of each
// key only the newest leaves, when all are. One after the other they would tell
// everybody's past once more. Readers know older from newer, but not where they
// were told to forget a key: a device that had logged out was its user's again
// for as long as a restart took (found by testing/faults).
type retold struct {
	keys  map[string]*lastTold
	order []string // of the first records
	err   error
}

// lastTold is what a reader of one key holds in the end.
type lastTold struct {
	forget bool // the key was forgotten before, or there is nothing else
	value  []byte
	stamp  segment.Stamp
}

// take gathers a batch of records.
func (r *retold) take(batch []byte) {
	if r.err == nil {
		r.err = segment.EachKeyed(batch, r.record)
	}
}

func (r *retold) record(key, value []byte) {
	k := r.keys[string(key)]
	if k == nil {
		if r.keys == nil {
			r.keys = map[string]*lastTold{}
		}
		k = &lastTold{}
		r.keys[string(key)] = k
		r.order = append(r.order, string(key))
	}
	if len(value) == 0 {
		*k = lastTold{forget: true}
		return
	}
	stamp, err := segment.StampOf(value)
	if err != nil {
		r.err = err
		return
	}
	if k.value == nil || !stamp.Before(k.stamp) {
		k.value, k.stamp = append(k.value[:0], value...), stamp
	}
}

// drop drops what there was of a key: that it is gone is told later.
func (r *retold) drop(key string) {
	if delete(r.keys, key); len(r.order) > 2*len(r.keys)+1024 { // lets go of a flood's memory
		r.order = slices.DeleteFunc(r.order, func(key string) bool { return r.keys[key] == nil })
	}
}

// leave lets the newest of each key go, as one batch.
func (r *retold) leave(out func([]byte)) error {
	if r.err != nil {
		return fmt.Errorf("gathering the records of what is applied again: %w", r.err)
	}
	var w codec.Writer
	for _, key := range r.order {
		k := r.keys[key]
		if k == nil { // it was dropped, or is told already
			continue
		}
		delete(r.keys, key)
		if k.forget {
			segment.AppendKeyed(&w, key, nil)
		}
		if k.value != nil {
			segment.AppendKeyed(&w, key, k.value)
		}
	}
	*r = retold{}
	if len(w.B) > 0 && out != nil {
		out(w.B)
	}
	return nil
}
