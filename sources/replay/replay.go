// Package replay appends recorded Segment-spec events (JSON lines, arrays, or
// bodies of batches) to a topic of the Kafka protocol: as fast as it goes, at a
// fixed rate, or at a multiple of the pace at which they were recorded. It reads
// them with the job's decoder: whose they are, when they were, and what is wrong
// with them.
package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/event"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options say what to replay, where to, and how fast.
type Options struct {
	Brokers  []string
	Topic    string       // must exist
	Path     string       // "-" is standard input
	Reader   io.Reader    // is read instead of Path when not nil
	Event    event.Config // how the job reads events
	Rate     float64      // events/s; 0: no limit
	Speed    float64      // multiple of the recorded pace (1 = as recorded), used where Rate is 0; 0: no limit
	Sort     bool         // order by timestamp first, stably; holds the whole input in memory
	Progress io.Writer    // a bar on a terminal, lines elsewhere; nil: silent
}

// Result says what the log has acknowledged.
type Result struct {
	Records int64
	Bytes   int64                  // of the records' values
	Ends    map[int32]int64        // partition → offset after the last record appended to it
	Good    int64                  // records that are events
	Bad     map[event.Reason]int64 // those that are none, appended or not
	First   []Bad                  // the first of them
}

// Run appends each record of the input: key event.Key of its device, or empty
// where it has none; value as it is (an event of a batch with what the batch
// says for all); timestamp now. The partition is murmur2 of the key, as Kafka's
// own clients choose it. What is no event is appended, too, for the job to make
// a dead letter of it, counted, and the first ones are named. Run returns when
// everything is acknowledged by all replicas; on an error the result counts what
// was. A *NothingReadError says that no record was good, a *FormatError that the
// input is something else; of that nothing is appended.
func Run(ctx context.Context, o Options) (Result, error) {
	judge, err := newJudge(o.Event)
	if err != nil {
		return Result{}, err
	}
	in, size, err := open(o)
	if err != nil {
		return Result{}, err
	}
	defer in.Close()
	client, err := kafka.New(o.Brokers, kgo.DefaultProduceTopic(o.Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.MaxBufferedRecords(200_000),
		kgo.ProducerBatchMaxBytes(1<<20),
		kgo.ProducerLinger(0),
	)
	if err != nil {
		return Result{}, err
	}
	defer client.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &sender{o: o, in: in, judge: judge, client: client, bar: newProgress(o.Progress, size, in.Read64),
		acks: &acks{ends: map[int32]int64{}, cancel: cancel}}
	err = s.run(ctx)
	// What is under way is worth waiting for, unless nobody wants it any more.
	if flushErr := client.Flush(ctx); err == nil {
		err = flushErr
	}
	result, failed := s.acks.result()
	result.Good, result.Bad, result.First = judge.good, judge.reasons, judge.bad
	s.bar.finish(result.Records)
	s.report()
	switch {
	case failed != nil:
		return result, fmt.Errorf("appending to topic %q: %w", o.Topic, failed)
	case err != nil:
		return result, err
	}
	return result, judge.verdict(in.name)
}

// sender hands all records to the client, in order and at their times.
type sender struct {
	o      Options
	in     *input
	judge  *judge
	client *kgo.Client
	acks   *acks
	bar    *progress
	slab   slab
	notes  int // of the pace
}

func (s *sender) run(ctx context.Context) error {
	pace := newPacer(s.o.Rate, s.o.Speed, s.note)
	produce := func(it item, id ident, next int64) error {
		if it.broken != "" {
			return nil // there is nothing to append
		}
		if err := pace.wait(ctx, id.at, next); err != nil {
			return fmt.Errorf("replaying to topic %q: %w", s.o.Topic, err)
		}
		s.client.Produce(ctx, s.slab.record(it.raw, id.key), s.acks.done)
		s.bar.add()
		return nil
	}
	each := s.each
	if s.o.Sort {
		each = func(f func(item, ident) error) error { return sorted(s.each, f) }
	}
	if pace.timed() {
		return ahead(each, produce)
	}
	return each(func(it item, id ident) error { return produce(it, id, 0) })
}

// ahead calls f with every record and the time of the next one that has a time.
func ahead(each func(func(item, ident) error) error, f func(it item, id ident, next int64) error) error {
	type waiting struct {
		item
		ident
	}
	var held []waiting // one with a time, and those without that followed it
	give := func(next int64) error {
		for _, w := range held {
			if err := f(w.item, w.ident, next); err != nil {
				return err
			}
		}
		held = held[:0]
		return nil
	}
	err := each(func(it item, id ident) error {
		if id.at > 0 || len(held) >= 1024 {
			if err := give(id.at); err != nil {
				return err
			}
		}
		it.raw = bytes.Clone(it.raw)
		held = append(held, waiting{it, id})
		return nil
	})
	if err != nil {
		return err
	}
	return give(0)
}

// each calls f with every record and what the decoder says of it.
func (s *sender) each(f func(item, ident) error) error {
	return s.in.split(func(it item) error {
		return eachOf(it, func(it item) error {
			if it.broken == "" && len(it.raw) > maxLine {
				it.broken = fmt.Sprintf("%d bytes, the log takes at most %d", len(it.raw), maxLine)
			}
			return f(it, s.judge.look(it))
		})
	})
}

// note says at once what the pace does: who watches wonders where the time goes.
func (s *sender) note(format string, args ...any) {
	if s.notes++; s.notes <= listed {
		s.bar.say(s.in.name + ": " + fmt.Sprintf(format, args...))
	}
}

// report says what was no event, and how much was not said of the pace.
func (s *sender) report() {
	s.judge.report(s.o.Progress, s.in.name)
	if s.notes > listed {
		s.bar.say(fmt.Sprintf("%s: and %d more stamps that stood out, or long waits", s.in.name, s.notes-listed))
	}
}

// acks collects what the log says of the records.
type acks struct {
	mu     sync.Mutex
	sum    Result
	ends   map[int32]int64
	first  error
	cancel context.CancelCauseFunc
}

// done is a promise of kgo. A first error stops the replay: what follows could
// otherwise be appended with a hole before it.
func (a *acks) done(r *kgo.Record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		if a.first == nil {
			a.first = err
			a.cancel(err)
		}
		return
	}
	a.sum.Records++
	a.sum.Bytes += int64(len(r.Value))
	a.ends[r.Partition] = max(a.ends[r.Partition], r.Offset+1)
}

// result is called when no record is under way. A record that failed only
// because the caller gave up is the caller's error.
func (a *acks) result() (Result, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sum.Ends = a.ends
	if errors.Is(a.first, context.Canceled) {
		return a.sum, context.Canceled
	}
	return a.sum, a.first
}
