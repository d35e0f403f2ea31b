package clickhouseio

import (
	"sync"
	"time"

	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/rows"
)

// StageRecord is the latency stage that the writer measures: from the decision
// to its confirmation by ClickHouse.
const StageRecord = "record"

// recordShard is the shard of the writer's latency rows: no shard of the job,
// since a writer serves them all. The job id keeps writers apart.
const recordShard = 0xffff

// recorder counts how long decisions take to be confirmed, per minute of wall
// clock.
type recorder struct {
	site string
	job  uint64

	mu     sync.Mutex // flusher and drain use what follows
	minute int64      // ms; of hist
	hist   latency.Histogram
	dirty  bool // hist has counts that are not written
	rows   *rows.Builder[rows.Latency]
}

// measured are the tables whose rows are decisions about persons.
func measured(table string) bool {
	return table == rows.TableSegmentState || table == rows.TableSegmentEvents
}

// confirmed counts a block's waits. When a minute has ended its counts are
// emitted for the last time.
func (r *recorder) confirmed(b *block, now time.Time) {
	if r.site == "" || !measured(b.table.Name) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if minute := now.Truncate(time.Minute).UnixMilli(); minute != r.minute {
		r.emit(now)
		r.hist.Reset()
		r.minute = minute
	}
	for _, p := range b.parts {
		r.hist.Add(float64(now.Sub(p.decided))/float64(time.Millisecond), uint64(p.rec.NumRows()))
	}
	r.dirty = true
}

// emit appends the minute's absolute counts, when they have changed; the caller
// holds mu.
func (r *recorder) emit(now time.Time) {
	if !r.dirty {
		return
	}
	r.dirty = false
	version := uint64(now.UnixMicro())
	r.hist.Each(func(bucket uint16, count uint64, sum float64) {
		r.rows.Append(&rows.Latency{Site: r.site, Job: r.job, Shard: recordShard, Minute: r.minute,
			Stage: StageRecord, Bucket: bucket, Count: count, SumMS: sum, Version: version})
	})
}

// batch returns the rows to write, if any.
func (r *recorder) batch(now time.Time) (rows.Batch, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emit(now)
	if r.rows.Len() == 0 {
		return rows.Batch{}, false, nil
	}
	b, err := r.rows.Batch(0)
	return b, err == nil, err
}

func (r *recorder) pending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dirty || r.rows.Len() > 0
}
