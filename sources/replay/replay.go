// Package replay appends recorded Segment-spec events (JSON lines) to a topic
// of the Kafka protocol: as fast as it goes, at a fixed rate, or at a multiple
// of the pace at which they were recorded.
package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Options say what to replay, where to, and how fast.
type Options struct {
	Brokers  []string
	Topic    string    // must exist
	Path     string    // JSON lines, by name also .gz and .zst; "-" is standard input
	Reader   io.Reader // is read instead of Path when not nil (plain JSON lines)
	Rate     float64   // events/s; 0: no limit
	Speed    float64   // multiple of the recorded pace (1 = as recorded), used where Rate is 0; 0: no limit
	Sort     bool      // order by timestamp first, stably; holds the whole input in memory
	Progress io.Writer // a bar on a terminal, lines elsewhere; nil: silent
}

// Result says what the log has acknowledged.
type Result struct {
	Records int64
	Bytes   int64           // of the records' values
	Ends    map[int32]int64 // partition → offset after the last record appended to it
}

// maxLine bounds one line: the log refuses batches above 1 MiB, and one record
// is at least one batch.
const maxLine = 1_000_000

// LineTooLongError says that a line is longer than the log takes.
type LineTooLongError struct{ Line, Bytes int }

func (e *LineTooLongError) Error() string {
	return fmt.Sprintf("replaying line %d: it is %d bytes long, above the log's %d; shorten or remove it", e.Line, e.Bytes, maxLine)
}

// Run appends each non-blank line as one record: key anonymousId, else userId,
// else (or when the line is no JSON object) empty; value the line as it is;
// timestamp now. The partition is murmur2 of the key, as Kafka's own clients
// choose it. It returns when everything is acknowledged by all replicas; on an
// error the result counts what was.
func Run(ctx context.Context, o Options) (Result, error) {
	in, size, err := open(o)
	if err != nil {
		return Result{}, err
	}
	defer in.Close()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(o.Brokers...),
		kgo.DefaultProduceTopic(o.Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.MaxBufferedRecords(200_000),
		kgo.ProducerBatchMaxBytes(1<<20),
		kgo.ProducerLinger(0),
	)
	if err != nil {
		return Result{}, fmt.Errorf("connecting to the log at %v: %w", o.Brokers, err)
	}
	defer client.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	acks := &acks{ends: map[int32]int64{}, cancel: cancel}
	bar := newProgress(o.Progress, size, in.Read64)
	err = send(ctx, o, in, client, acks, bar)
	// What is under way is worth waiting for, unless nobody wants it any more.
	if flushErr := client.Flush(ctx); err == nil {
		err = flushErr
	}
	result, failed := acks.result()
	bar.finish(result.Records)
	if failed != nil {
		return result, fmt.Errorf("appending to topic %q: %w", o.Topic, failed)
	}
	if err != nil {
		return result, err
	}
	return result, nil
}

// send hands all lines to the client, in order and at their times.
func send(ctx context.Context, o Options, in io.Reader, client *kgo.Client, acks *acks, bar *progress) error {
	pace := newPacer(o.Rate, o.Speed)
	var slab slab
	produce := func(line []byte, id ident) error {
		if err := pace.wait(ctx, id.at); err != nil {
			return fmt.Errorf("replaying to topic %q: %w", o.Topic, err)
		}
		client.Produce(ctx, slab.record(line, id.key), acks.done)
		bar.add()
		return nil
	}
	timed := o.Sort || (o.Speed > 0 && o.Rate <= 0)
	if o.Sort {
		return sorted(in, produce)
	}
	return lines(in, func(line []byte) error { return produce(line, identify(line, timed)) })
}

// lines calls f with each non-blank line, without its line feed. The line is
// valid during the call only.
func lines(in io.Reader, f func([]byte) error) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 0, 256<<10), 64<<20)
	for n := 1; scanner.Scan(); n++ {
		line := trim(scanner.Bytes())
		if len(line) == 0 {
			continue
		}
		if len(line) > maxLine {
			return &LineTooLongError{Line: n, Bytes: len(line)}
		}
		if err := f(line); err != nil {
			return err
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("reading the events: %w", err)
	}
	return nil
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
