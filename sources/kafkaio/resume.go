package kafkaio

import (
	"context"
	"fmt"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/identity"
)

// Resumption is where a shard goes on that another process has read before.
type Resumption struct {
	Offsets map[int32]int64 // next one of each partition; those that are not here begin at 0
	Next    int64           // number of the next batch
	// Script are batches that the other process had cut from there on, without
	// their records: what was decided with them must be decided in the same way.
	Script []identity.RawBatch
	// Clock is the job's: it goes on from the other process's.
	Clock *clock.Forward
	// Last is when each partition had its last record, by event/clock: those that
	// were idle stay so, and their time goes on from where it was. Begun anew, the
	// time of a quiet site stood still after a restart for as long as it had been
	// quiet before.
	Last map[int32]time.Time
}

// committed is since when records of aborted transactions are none.
const committed event.Semantics = 7

// scriptAhead is how many batches of a script are read from the log at once.
const scriptAhead = 256

// script is what is left of a resumption.
type script struct {
	Resumption
	at    int // in Script
	read  int // so far records are read
	ahead map[int32][]identity.Record
}

// next is the next batch as it was cut; ok is false behind the last.
func (s *script) next(ctx context.Context, o *Options) (b identity.RawBatch, ok bool, err error) {
	if s.at == len(s.Script) {
		return b, false, nil
	}
	if s.at == s.read {
		if err := s.fill(ctx, o); err != nil {
			return b, false, err
		}
	}
	b = s.Script[s.at]
	s.at++
	for _, r := range b.Ranges {
		records, n := s.ahead[r.Partition], 0
		for n < len(records) && records[n].Offset <= r.Last {
			n++
		}
		if n > 0 {
			b.Chunks = append(b.Chunks, records[:n:n])
		}
		s.ahead[r.Partition] = records[n:]
	}
	return b, true, nil
}

// fill reads the records of some batches, each partition's in one go.
func (s *script) fill(ctx context.Context, o *Options) error {
	span := map[int32]*identity.Range{}
	records, older := int64(0), !s.Script[s.read].Semantics.Has(committed)
	for ; s.read < len(s.Script) && s.read-s.at < scriptAhead && records < int64(2*o.MaxBatch) && older == !s.Script[s.read].Semantics.Has(committed); s.read++ {
		for _, r := range s.Script[s.read].Ranges {
			if r.Last < r.First {
				continue
			}
			records += r.Last - r.First + 1
			if q := span[r.Partition]; q == nil {
				span[r.Partition] = &r
			} else {
				q.Last = max(q.Last, r.Last)
			}
		}
	}
	log := Log{Brokers: o.Brokers, Topic: o.Topic, Aborted: older}
	for p, r := range span {
		err := log.ReadRange(ctx, p, r.First, r.Last, func(rec identity.Record) error {
			s.ahead[p] = append(s.ahead[p], rec)
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading again what was decided before the restart: %w", err)
		}
	}
	return nil
}
