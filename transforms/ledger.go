package transforms

import (
	"sync"

	"github.com/microseg/microseg/transforms/latency"
	"github.com/microseg/microseg/transforms/rows"
)

// ledger counts latencies per shard and minute of wall clock, for the life of
// the process. It is measurement, not state: a retried bundle counts twice.
type ledger struct {
	mu     sync.Mutex
	shards map[int]*shardLedger
	Total  minuteHistograms // since the start, for benchmarks
}

type shardLedger struct {
	minute int64 // of wall clock since the epoch
	h      minuteHistograms
}

type ledgerSet struct {
	mu sync.Mutex
	m  map[string]*ledger
}

var ledgers ledgerSet

func (l *ledgerSet) of(job string) *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = map[string]*ledger{}
	}
	if l.m[job] == nil {
		l.m[job] = &ledger{shards: map[int]*shardLedger{}}
	}
	return l.m[job]
}

// add counts the events of a batch; emitted and decided are wall clock, µs.
func (l *ledger) add(shard int, emitted, decided int64, stamps []stamp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shards[shard]
	minute := decided / 60_000_000
	if s == nil || s.minute != minute {
		s = &shardLedger{minute: minute}
		l.shards[shard] = s
	}
	compute := float64(decided-emitted) / 1000
	for i := 0; i < len(stamps); {
		// Records of one produce request share their stamp: count them together.
		j, st := i, stamps[i]
		for j < len(stamps) && stamps[j] == st {
			j++
		}
		n := uint64(j - i)
		queue := max(0, float64(emitted)/1000-float64(st.appended))
		for _, h := range []*minuteHistograms{&s.h, &l.Total} {
			if st.ingest >= 0 {
				h[stageIngest].Add(float64(st.ingest), n)
			}
			h[stageQueue].Add(queue, n)
			h[stageCompute].Add(compute, n)
			h[stageRefresh].Add(queue+compute, n)
		}
		i = j
	}
}

// rows appends the shard's absolute counts of the current minute.
func (l *ledger) rows(spec *Spec, shard int, version uint64, out *rows.Builder[rows.Latency]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shards[shard]
	if s == nil {
		return
	}
	for stage := range s.h {
		s.h[stage].Each(func(bucket uint16, count uint64, sum float64) {
			out.Append(&rows.Latency{Site: spec.Site, Job: uint64(spec.Run), Shard: uint16(shard), Minute: s.minute * 60_000,
				Stage: stageNames[stage], Bucket: bucket, Count: count, SumMS: sum, Version: version})
		})
	}
}

// Latencies are a job's latency histograms in this process, by stage name.
func Latencies(job string) map[string]latency.Histogram {
	l := ledgers.of(job)
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]latency.Histogram{}
	for i, name := range stageNames {
		var h latency.Histogram
		h.Merge(&l.Total[i])
		out[name] = h
	}
	return out
}
