package spillio

import (
	"context"
	"fmt"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Limit bounds a Read; one record may exceed it.
type Limit struct {
	Rows  int
	Bytes int // of rows, unpacked
}

// Read returns records from offset from on, in order, at least one: it waits
// until there is one, or until ctx ends. It stops at end, which must be above
// from, or at the limit.
func (l *Log) Read(ctx context.Context, from, end int64, limit Limit) ([]Record, error) {
	if err := l.seek(from); err != nil {
		return nil, err
	}
	var out []Record
	rows, bytes := 0, 0
	for l.next < end && rows < limit.Rows && bytes < limit.Bytes {
		// One at a time: the rest of a fetch stays in the client.
		f := l.reader.PollRecords(ctx, 1)
		if err := f.Err(); err != nil {
			l.closeReader()
			if len(out) > 0 {
				return out, nil
			}
			return nil, l.wrap("reading the records", err)
		}
		for _, kr := range f.Records() {
			r, err := parse(kr)
			if err != nil {
				l.closeReader()
				return nil, fmt.Errorf("reading offset %d of topic %q: %w", kr.Offset, l.cfg.Topic, err)
			}
			out, l.next = append(out, r), kr.Offset+1
			rows, bytes = rows+r.Batch.Rows, bytes+len(r.Batch.Data)
		}
	}
	return out, nil
}

// seek has a reader that stands at the offset. Its fetches are small, since
// what they hold is packed, and unpacked it counts.
func (l *Log) seek(from int64) error {
	if l.reader != nil && l.next == from {
		return nil
	}
	l.closeReader()
	at := kgo.NewOffset().At(from)
	cl, err := kafka.New(l.brokers(), kgo.FetchMaxBytes(1<<20), kgo.FetchMaxPartitionBytes(1<<20), kgo.MaxConcurrentFetches(1),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.cfg.Topic: {0: at}}), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return l.wrap("reading the records", err)
	}
	l.reader, l.next = cl, from
	return nil
}

// Rest lets go of the reader while there is nothing to read.
func (l *Log) Rest() { l.closeReader() }

func (l *Log) closeReader() {
	if l.reader != nil {
		l.reader.Close()
		l.reader = nil
	}
}

// at reads one record.
func (l *Log) at(ctx context.Context, offset int64) (Record, error) {
	rs, err := l.Read(ctx, offset, offset+1, Limit{Rows: 1, Bytes: 1})
	l.closeReader()
	if err != nil {
		return Record{}, err
	}
	return rs[0], nil
}
