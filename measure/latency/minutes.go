package latency

import (
	"sync"
	"time"
)

// keptMinutes bounds what waits to be written: some 10 KB each.
const keptMinutes = 60

// Minutes counts latencies in total and by minute of wall clock, until the minutes
// are written somewhere. The counts of a minute never fall, so that whoever writes
// them may write them again. The zero value is empty; it is safe for concurrent use.
type Minutes struct {
	mu      sync.Mutex
	total   Histogram
	minutes []*minute // ascending
	lost    uint64
}

type minute struct {
	at      int64 // since the epoch
	h       Histogram
	written uint64 // of its latencies
}

// Minute is what a minute has counted so far.
type Minute struct {
	At int64 // minutes since the epoch
	Histogram
}

// Observe counts a latency that ended at now.
func (m *Minutes) Observe(now time.Time, d time.Duration) {
	ms, at := float64(d)/float64(time.Millisecond), now.Unix()/60
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total.Add(ms, 1)
	m.current(at).Add(ms, 1)
}

// current is the histogram of a minute. A clock that is set back goes on counting in
// the minute that it has reached: one before may be written and forgotten.
func (m *Minutes) current(at int64) *Histogram {
	n := len(m.minutes)
	if n > 0 && m.minutes[n-1].at >= at {
		return &m.minutes[n-1].h
	}
	m.forget()
	if n = len(m.minutes); n == keptMinutes {
		m.lost++
		m.minutes = append(m.minutes[:0], m.minutes[1:]...)
	}
	fresh := &minute{at: at}
	m.minutes = append(m.minutes, fresh)
	return &fresh.h
}

// forget lets go of the minutes that are over and written.
func (m *Minutes) forget() {
	kept := m.minutes[:0]
	for _, q := range m.minutes {
		if q.h.Count() > q.written {
			kept = append(kept, q)
		}
	}
	clear(m.minutes[len(kept):])
	m.minutes = kept
}

// Read returns a copy of what was counted in all.
func (m *Minutes) Read() *Histogram {
	out := &Histogram{}
	m.mu.Lock()
	defer m.mu.Unlock()
	out.Merge(&m.total)
	return out
}

// Unwritten returns the minutes with latencies that Written was not told of.
func (m *Minutes) Unwritten() (out []Minute) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.minutes {
		if q.h.Count() > q.written {
			c := Minute{At: q.at}
			c.Merge(&q.h)
			out = append(out, c)
		}
	}
	return out
}

// Written tells that minutes are written as Unwritten returned them.
func (m *Minutes) Written(minutes []Minute) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range minutes {
		for _, q := range m.minutes {
			if q.at == minutes[i].At {
				q.written = max(q.written, minutes[i].Count())
			}
		}
	}
}

// Lost is how many minutes were let go of without being written.
func (m *Minutes) Lost() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lost
}
