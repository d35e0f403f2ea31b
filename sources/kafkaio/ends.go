package kafkaio

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
)

const (
	askEvery = time.Second // how often the broker is asked about partitions of which it is not known whether there is more
	askAfter = time.Second // and how long after the last record of one
	// holeAsks is how many answers in a row must say that there is more, while
	// nothing comes, until that is a hole: offsets of records that are gone.
	holeAsks = 3
)

// extent is what is known of a partition beyond the records that came from it. A
// client hands out no fetch that holds no record, so that it does not say of an
// empty partition that it is one.
type extent struct {
	start   int64     // first offset that the log holds; -1: not known yet
	end     int64     // offset after the last one that the log has given out, of no transaction under way; -1: not known yet
	seen    int64     // offset after the last one that was fetched, or that holds nothing
	waiting int       // records that were fetched and not taken
	heard   time.Time // of the last fetch that held something, or failed
	asked   int       // answers in a row that say there is more, without any since
}

// drained reports whether everything that the log holds of the partition was
// taken. Before the broker has answered nobody knows, and the answer is no.
func (e *extent) drained() bool { return e.end >= 0 && e.waiting == 0 && e.seen >= e.end }

// blank reports whether the log holds no record of the partition: it never had
// one, or its records were deleted.
func (e *extent) blank() bool { return e.start >= 0 && e.start >= e.end && e.waiting == 0 }

// unsure reports whether the broker must be asked about the partition.
func (e *extent) unsure(now time.Time) bool {
	return e.end < 0 || e.waiting == 0 && !e.drained() && now.Sub(e.heard) >= askAfter
}

// told takes the broker's answer to a question that was asked after heard.
func (e *extent) told(start, end int64, heard time.Time) {
	e.start, e.end = max(e.start, start), max(e.end, end)
	e.seen = max(e.seen, start)
	if e.waiting > 0 || e.drained() || e.heard != heard {
		e.asked = 0
		return
	}
	if e.asked++; e.asked >= holeAsks {
		e.seen = e.end // compaction or a transaction has left nothing there
	}
}

// watch asks the broker where partitions begin and end: at the start, and about
// those that are quiet although there seems to be more.
func (f *fetcher) watch(ctx context.Context, topic string) {
	adm := kafka.Admin(f.cl)
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	warned := false
	for {
		if f.unsure() {
			err := f.ask(ctx, adm, topic)
			if err != nil && !warned && ctx.Err() == nil {
				slog.Warn("asking where the log ends; until it answers, partitions without records may hold time back", "topic", topic, "err", err)
			}
			warned = err != nil
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *fetcher) unsure() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for _, e := range f.extents {
		if e.unsure(now) {
			return true
		}
	}
	return false
}

func (f *fetcher) ask(ctx context.Context, adm *kadm.Client, topic string) error {
	heard := map[int32]time.Time{}
	f.mu.Lock()
	for p, e := range f.extents {
		heard[p] = e.heard
	}
	full := f.bytes > f.limit // nothing is fetched, which says nothing about the log
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	starts, ends, err := bounds(ctx, adm.ListStartOffsets, adm.ListCommittedOffsets, topic)
	if err != nil {
		return err
	}
	f.mu.Lock()
	for p, e := range f.extents {
		start, held := starts[p]
		if end, ok := ends[p]; ok && held {
			e.told(start, end, heard[p])
		}
		if full {
			e.asked = 0
		}
	}
	f.mu.Unlock()
	wake(f.arrived) // an idle shard can say so
	return nil
}

// lister is ListStartOffsets, ListEndOffsets, or ListCommittedOffsets: the ends for who reads no
// transaction that is under way.
type lister func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)

// bounds are the offsets at which the topic's partitions begin and end.
func bounds(ctx context.Context, begin, end lister, topic string) (starts, ends map[int32]int64, err error) {
	listed := func(l kadm.ListedOffsets, err error) (map[int32]int64, error) {
		if err == nil {
			err = l.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("asking where topic %q begins and ends: %w", topic, err)
		}
		out := map[int32]int64{}
		l.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
		return out, nil
	}
	if starts, err = listed(begin(ctx, topic)); err != nil {
		return nil, nil, err
	}
	ends, err = listed(end(ctx, topic))
	return starts, ends, err
}
