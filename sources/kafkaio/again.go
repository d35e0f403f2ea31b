package kafkaio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Log reads ranges of the topic again; it is what a stage uses when a batch is missing.
type Log struct {
	Brokers []string
	Topic   string
	// Aborted are read, too: records of transactions that were aborted, or are under way. Programs
	// before semantics 7 took them.
	Aborted bool
}

// LostError says that the log has lost records that the job has read: it ends before them.
type LostError struct {
	Topic     string
	Partition int32
	End, Last int64 // where the log ends now, and the last record that was there
}

func (e *LostError) Error() string {
	return fmt.Sprintf("partition %d of topic %q ends at offset %d now, but was read up to offset %d before: the log has lost records (a broker that was behind became the leader, or the topic was made anew); bring the log back, or start with --rebuild to make the state from what it still holds",
		e.Partition, e.Topic, e.End, e.Last)
}

// ReadRange calls f for the records of a partition from offset first to last. Those that
// retention or compaction took are left out; a log that ends before last is a *LostError.
func (l Log) ReadRange(ctx context.Context, partition int32, first, last int64, f func(identity.Record) error) error {
	isolation := kgo.ReadCommitted()
	if l.Aborted {
		isolation = kgo.ReadUncommitted()
	}
	cl, err := kafka.New(l.Brokers, kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.Topic: {partition: kgo.NewOffset().At(first)}}))
	if err != nil {
		return fmt.Errorf("re-reading %s/%d: %w", l.Topic, partition, err)
	}
	defer cl.Close()
	asked := 0
	for {
		fs, err := poll(ctx, cl)
		switch {
		case err != nil:
			return fmt.Errorf("re-reading %s/%d from offset %d: %w", l.Topic, partition, first, err)
		case fs.NumRecords() > 0:
			asked = 0
		default: // the log gives nothing and would for ever, if the last records of the range are gone
			asked++
			if gone, err := l.gone(ctx, cl, partition, last, asked); gone || err != nil {
				return err
			}
		}
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset <= last && !r.Attrs.IsControl() {
				if err := f(RecordOf(r)); err != nil {
					return err
				}
			}
			if r.Offset >= last {
				return nil
			}
		}
	}
}

// poll waits for records for as long as a broker may be silent about a partition.
func poll(ctx context.Context, cl *kgo.Client) (kgo.Fetches, error) {
	short, cancel := context.WithTimeout(ctx, askAfter)
	defer cancel()
	fs := cl.PollFetches(short)
	err := fs.Err()
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, nil
	}
	return fs, err
}

// gone reports whether nothing of the partition up to last is left to read; asked counts
// the answers in a row after which nothing came.
func (l Log) gone(ctx context.Context, cl *kgo.Client, partition int32, last int64, asked int) (bool, error) {
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	starts, ends, err := bounds(short, kafka.Admin(cl).ListStartOffsets, kafka.Admin(cl).ListEndOffsets, l.Topic)
	if err != nil {
		if ctx.Err() == nil {
			err = nil // the log is away: it is waited for, as by the source
		}
		return false, err
	}
	switch end, known := ends[partition]; {
	case !known:
		return false, nil
	case starts[partition] > last:
		return true, nil
	case asked < holeAsks:
		return false, nil
	case end <= last:
		return false, &LostError{l.Topic, partition, end, last}
	default:
		return asked >= holeRereads, nil
	}
}

// holeRereads is holeAsks for what is read again: a broker that is slow must not seem to
// have lost what was decided about.
const holeRereads = 10 * holeAsks

// originHeader is the header of a copy: which record it is of.
const originHeader = "microseg-origin"

// RecordOf is a record of the log as the stages take it.
func RecordOf(r *kgo.Record) identity.Record {
	out := identity.Record{Partition: r.Partition, Offset: r.Offset, Append: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
	for i := range r.Headers {
		if r.Headers[i].Key == originHeader {
			out.Origin = identity.ReadOrigin(r.Headers[i].Value)
		}
	}
	out.Trust = TrustOf(r)
	return out
}

// TrustOf is the trust that the collector has given a record.
func TrustOf(r *kgo.Record) (t event.Trust) {
	for i := range r.Headers {
		if r.Headers[i].Key == event.TrustHeader {
			t = event.ReadTrust(r.Headers[i].Value)
		}
	}
	return t
}
