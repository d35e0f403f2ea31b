package changelogio

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// Owned reports whether nobody had taken the changelog over when the log
// answered, and whoever does from then on comes after everything before the call.
func (l *Log) Owned(ctx context.Context) error {
	return l.put(l.record(kindAlive, l.control(), nil))(ctx)
}

// aliveEvery is how often an owner looks whether it still is. A process that came
// back as a zombie learns of it within that time also where no event comes.
const aliveEvery = time.Second

// Watch looks whether this process is still the owner, until the context ends or
// it is not; Failed tells of that.
func (l *Log) Watch(ctx context.Context) {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if l.Owned(ctx) != nil {
			return
		}
	}
}

// look reads what others have written.
func (l *Log) look(partition int32, from, to int64) error {
	if from > to {
		return fmt.Errorf("%w: topic %q, partition %d: the log gave offset %d twice; was the topic made anew?", ErrDamaged, l.cfg.Topic, partition, to)
	}
	err := each(l.ctx, &l.cfg, partition, from, to, func(r *kgo.Record) error {
		if len(r.Value) > 0 && r.Value[0] == kindClaim {
			return fmt.Errorf("%w (topic %q, partition %d, offset %d)", ErrFenced, l.cfg.Topic, partition, r.Offset)
		}
		return nil
	})
	if errors.Is(err, ErrDamaged) { // gone already: nobody but an owner drops records, and this process drops none behind its own
		err = fmt.Errorf("%w (topic %q, partition %d, before offset %d)", ErrFenced, l.cfg.Topic, partition, to)
	}
	if err != nil && !errors.Is(err, ErrFenced) {
		err = fmt.Errorf("finding out who else writes to the changelog: %w", err)
	}
	return err
}
