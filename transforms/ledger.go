package transforms

import (
	"sync"
	"time"

	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/rows"
)

// ledger counts latencies per reporter and minute of wall clock, for the life of
// the job in this process. It is measurement, not state: a retried bundle counts twice.
type ledger struct {
	mu     sync.Mutex
	shards map[int]*shardLedger
	began  int64            // wall clock at which the process began, ms
	Total  minuteHistograms // since the start, for benchmarks
}

// shardLedger holds the current minute and those that were not written to their end.
type shardLedger struct {
	minutes []*minuteCounts
	written time.Time
}

type minuteCounts struct {
	minute int64 // of wall clock since the epoch
	h      minuteHistograms
}

// stamp is what the ledger reads of a vector.
type stamp struct{ appended, ingest int64 } // ms

// stages of the latency ledger, in the words of latency.stage.
const (
	stageIngest = iota
	stageQueue
	stageCompute
	stageRefresh
	numStages
)

var stageNames = [numStages]string{"ingest", "queue", "compute", "refresh"}

type minuteHistograms [numStages]latency.Histogram

func newLedger(life uint64) *ledger {
	return &ledger{shards: map[int]*shardLedger{}, began: int64(life / 1e6)}
}

// add counts the events that a reporter decided in a batch; emitted and decided are wall clock, µs.
func (l *ledger) add(shard int, emitted, decided int64, stamps []stamp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shards[shard]
	if s == nil {
		s = &shardLedger{}
		l.shards[shard] = s
	}
	minute := decided / 60_000_000
	if n := len(s.minutes); n == 0 || s.minutes[n-1].minute != minute {
		s.minutes = append(s.minutes, &minuteCounts{minute: minute})
	}
	now := s.minutes[len(s.minutes)-1]
	compute := float64(decided-emitted) / 1000
	for i := 0; i < len(stamps); {
		// Records of one produce request share their stamp: count them together.
		j, st := i, stamps[i]
		for j < len(stamps) && stamps[j] == st {
			j++
		}
		n := uint64(j - i)
		queue := max(0, float64(emitted)/1000-float64(st.appended))
		for _, h := range []*minuteHistograms{&now.h, &l.Total} {
			if st.ingest >= 0 {
				h[stageIngest].Add(float64(st.ingest), n)
			}
			h[stageCompute].Add(compute, n)
			// What waited in the log while no job ran, or is read anew, has waited
			// for that, and says nothing of how fast this one is.
			if h == &now.h && st.appended < l.began {
				continue
			}
			h[stageQueue].Add(queue, n)
			h[stageRefresh].Add(queue+compute, n)
		}
		i = j
	}
}

// sent is when the client sent an event, wall clock, ms, as serving nodes measure its
// whole way; 0 where that says nothing: it was recorded, it is applied again, or it
// waited in the log while no job ran.
func (s *Spec) sent(again bool, appended, ingest int64) int64 {
	if again || ingest < 0 || appended < int64(s.Life/1e6) {
		return 0
	}
	return appended - ingest
}

// writeEvery is how often a shard's counts are written.
const writeEvery = time.Second

// rows appends the shard's absolute counts of the minutes that may have changed,
// when it is time to, or at last.
func (l *ledger) rows(spec *Spec, shard int, version uint64, last bool, out *rows.Builder[rows.Latency]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shards[shard]
	if s == nil || !last && time.Since(s.written) < writeEvery {
		return
	}
	s.written = time.Now()
	for _, m := range s.minutes {
		for stage := range m.h {
			m.h[stage].Each(func(bucket uint16, count uint64, sum float64) {
				out.Append(&rows.Latency{Site: spec.Site, Job: spec.Life, Shard: uint16(shard), Minute: m.minute * 60_000,
					Stage: stageNames[stage], Bucket: bucket, Count: count, SumMS: sum, Version: version})
			})
		}
	}
	if n := len(s.minutes); n > 1 {
		s.minutes = s.minutes[n-1:]
	}
}

// total is all that was counted, by stage name.
func (l *ledger) total() map[string]latency.Histogram {
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

// forget begins the total anew.
func (l *ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.Total {
		l.Total[i].Reset()
	}
}
