package changelogio

import (
	"context"
	"hash/crc32"
	"io"

	"github.com/microseg/microseg/event/codec"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Begin implements transforms.Archive.
func (l *Log) Begin(ctx context.Context, machine int) io.WriteCloser {
	l.mu.Lock()
	round := l.round + 1
	l.mu.Unlock()
	var w codec.Writer
	w.Fixed(round)
	s := &snapshot{ctx: ctx, log: l, machine: machine, round: round, begin: l.record(kindBegin, int32(machine), w.B)}
	s.sure = l.put(s.begin)
	return s
}

// snapshot is one that is being written.
type snapshot struct {
	ctx     context.Context // of whoever writes it
	log     *Log
	machine int
	round   uint64
	part    Part
	begin   *kgo.Record
	sure    func(context.Context) error // of the last record
}

// Write adds bytes to the snapshot, in records of their own.
func (s *snapshot) Write(b []byte) (int, error) {
	n := len(b)
	s.part.Bytes += int64(n)
	s.part.CRC = crc32.Update(s.part.CRC, table, b)
	for len(b) > 0 {
		k := min(len(b), chunkSize)
		w := codec.Writer{B: make([]byte, 0, k+8)}
		w.Fixed(s.round)
		w.B = append(w.B, b[:k]...)
		s.sure = s.log.put(s.log.record(kindChunk, int32(s.machine), w.B))
		s.part.Chunks++
		b = b[k:]
	}
	return n, s.log.Err()
}

// Close waits until the log has the snapshot.
func (s *snapshot) Close() error {
	if err := s.sure(s.ctx); err != nil {
		return err
	}
	s.part.Begin = s.begin.Offset // the log has said so before it was sure of the last one
	s.log.mu.Lock()
	s.log.parts[s.machine] = s.part
	s.log.mu.Unlock()
	return nil
}
