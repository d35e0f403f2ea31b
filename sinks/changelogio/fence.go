package changelogio

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// foreign is what others have written between this process's records.
type foreign struct {
	records int64         // so far
	looked  chan struct{} // closed when it is known that they are no claim
}

// arrived reports that the log has this process's record at an offset, as the
// want-th of the partition, and calls done when that counts: what others have
// written before it must not be a claim. An earlier owner that was paused writes
// once before it finds out; that is void, and no reason to stop.
func (l *Log) arrived(partition int32, want, offset int64, done func(error)) {
	l.mu.Lock()
	f := l.foreign[partition]
	known := int64(0)
	if f != nil {
		known = f.records
	}
	if offset != want+known {
		f = &foreign{records: offset - want, looked: make(chan struct{})}
		l.foreign[partition] = f
		go func() {
			defer close(f.looked)
			if err := l.look(partition, want+known, offset); err != nil {
				l.fail(err)
			}
		}()
	}
	l.mu.Unlock()
	if f == nil {
		done(nil)
		return
	}
	go func() {
		<-f.looked
		done(l.Err())
	}()
}

// look reads what others have written.
func (l *Log) look(partition int32, from, to int64) error {
	if from > to {
		return fmt.Errorf("%w: topic %q, partition %d: the log gave offset %d twice; was the topic made anew?", ErrDamaged, l.cfg.Topic, partition, to)
	}
	err := each(context.Background(), &l.cfg, partition, from, to, func(r *kgo.Record) error {
		if len(r.Value) > 0 && r.Value[0] == kindClaim {
			return fmt.Errorf("%w (topic %q, partition %d, offset %d)", ErrFenced, l.cfg.Topic, partition, r.Offset)
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrFenced) {
		err = fmt.Errorf("finding out who else writes to the changelog: %w", err)
	}
	return err
}
