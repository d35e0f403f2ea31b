package kafkaio

import (
	"sync"

	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/engine/inflight"
	"github.com/microseg/microseg/identity"
)

// shards are what a job reads in this process.
type shards struct {
	windows *inflight.Windows

	mu      sync.Mutex
	readers map[int]*reader
	scripts map[int]*script
	closed  bool
}

func shardsOf(e *engine.Engine) *shards {
	windows := inflight.Of(e)
	return engine.Part(e, func() *shards {
		return &shards{windows: windows, readers: map[int]*reader{}, scripts: map[int]*script{}}
	})
}

// Resume tells the job's source in this process where a shard goes on; call it before the
// job starts.
func Resume(e *engine.Engine, shard int, r Resumption) {
	s := shardsOf(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[shard] = &script{Resumption: r, ahead: map[int32][]identity.Record{}}
}

// script is where the shard goes on, nil where it begins.
func (s *shards) script(shard int) *script {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scripts[shard]
}

func (s *shards) reader(shard int) *reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readers[shard]
}

// read makes the reader that of the shard; false: the job has ended.
func (s *shards) read(shard int, rd *reader) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.readers[shard] = rd
	return true
}

// end closes the shard's reader.
func (s *shards) end(shard int) {
	s.mu.Lock()
	rd := s.readers[shard]
	delete(s.readers, shard)
	s.mu.Unlock()
	if rd != nil {
		rd.f.close()
	}
}

// Close ends all readers: those of a job that failed have not been told to stop.
func (s *shards) Close() error {
	s.mu.Lock()
	s.closed = true
	var open []int
	for shard := range s.readers {
		open = append(open, shard)
	}
	s.mu.Unlock()
	for _, shard := range open {
		s.end(shard)
	}
	return nil
}

// Undecided is how many records before these offsets a job that runs in this process
// has not decided yet.
func Undecided(e *engine.Engine, ends map[int32]int64) (n int) {
	engine.Look[shards](e).each(func(shard int, rd *reader, w *inflight.Window) {
		n += int(rd.f.before(ends)) + w.Recent(patience)
	})
	return n
}

// StatsOf are those of a job's readers in this process.
func StatsOf(e *engine.Engine) (out []Stats) {
	engine.Look[shards](e).each(func(shard int, rd *reader, w *inflight.Window) {
		s := rd.f.stats(shard)
		s.Lag += int64(s.Records + w.Under().Records)
		out = append(out, s)
	})
	return out
}

// each calls f for each shard that is read.
func (s *shards) each(f func(shard int, rd *reader, w *inflight.Window)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for shard, rd := range s.readers {
		f(shard, rd, s.windows.Shard(shard))
	}
}
