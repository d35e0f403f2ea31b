package clickhouseio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/sinks/spillio"
)

// spill is where blocks wait in the log while the server cannot take them.
// While anything is there, everything goes there: so rows are inserted in the
// order in which they were added, and progress after what it promises.
type spill struct {
	log   *spillio.Log
	topic string
	known chan struct{} // closed when the log has said what waits
	more  chan struct{} // something waits

	mu      sync.Mutex
	from    int64 // of the oldest record that is not inserted
	end     int64
	waiting spillio.Totals
	oldest  time.Time     // appended; zero when nothing waits
	changed chan struct{} // closed and replaced when from rises
	trouble error         // why the last insert from here failed; nil: it did not
	blocked error         // why the last append failed; nil: it did not
}

func openSpill(cfg spillio.Config) (*spill, error) {
	if !cfg.Enabled() {
		return nil, nil
	}
	log, err := spillio.Open(cfg)
	if err != nil {
		return nil, err
	}
	return &spill{log: log, topic: cfg.Topic, known: make(chan struct{}), more: make(chan struct{}, 1), changed: make(chan struct{})}, nil
}

// learn asks the log, once, what an earlier process has left.
func (s *spill) learn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	r, err := s.log.Range(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.from, s.end, s.waiting, s.oldest = r.From, r.End, r.Waiting, r.Oldest
	s.mu.Unlock()
	close(s.known)
	if r.From < r.End {
		signal(s.more)
	}
	return nil
}

// logTimeout bounds one question to the log.
const logTimeout = 10 * time.Second

// holds reports whether something waits.
func (s *spill) holds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from < s.end
}

// append writes the blocks in their order; progress is sent when all before it
// is acknowledged.
func (s *spill) append(ctx context.Context, blocks []*block) error {
	group, size := []rows.Batch(nil), 0
	send := func() error {
		if len(group) == 0 {
			return nil
		}
		err := s.send(ctx, group)
		group, size = nil, 0
		return err
	}
	for _, b := range blocks {
		if b.table.Name == rows.TableProgress {
			if err := send(); err != nil {
				return err
			}
		}
		err := encode(b, func(batch rows.Batch) error {
			group, size = append(group, batch), size+len(batch.Data)
			if size < groupBytes {
				return nil
			}
			return send()
		})
		if err != nil {
			return err
		}
	}
	return send()
}

// errUnfit is for rows that the log will never take.
var errUnfit = errors.New("spilling to the log")

// groupBytes are sent at once.
const groupBytes = 2 << 20

func (s *spill) send(ctx context.Context, group []rows.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	end, err := s.log.Append(ctx, group)
	if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) {
		return fmt.Errorf("%w: %w; raise max.message.bytes of topic %q", errUnfit, err, s.topic)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.from == s.end {
		s.oldest = time.Now()
	}
	s.end, s.blocked = end, nil
	for _, b := range group {
		s.waiting.Rows += uint64(b.Rows)
		s.waiting.Bytes += uint64(len(b.Data))
	}
	signal(s.more)
	return nil
}

// encode turns a block's parts, several at a time, into batches of about
// spillio.RecordBytes.
func encode(b *block, emit func(rows.Batch) error) error {
	for first := 0; first < len(b.parts); {
		n, size := 0, 0
		for first+n < len(b.parts) && (n == 0 || size+b.parts[first+n].size <= spillio.RecordBytes) {
			size += b.parts[first+n].size
			n++
		}
		parts := b.parts[first : first+n]
		first += n
		rec, err := concat(b.table.Schema(), parts)
		if err != nil {
			return fmt.Errorf("%w: joining rows of %s: %w", errUnfit, b.table.Name, err)
		}
		decided := parts[0].decided
		for _, p := range parts {
			if p.decided.Before(decided) {
				decided = p.decided
			}
		}
		err = encodeRecord(b.table.Name, rec, decided.UnixMilli(), emit)
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// concat joins the rows of parts. Release the result.
func concat(schema *arrow.Schema, parts []part) (arrow.Record, error) {
	if len(parts) == 1 {
		parts[0].rec.Retain()
		return parts[0].rec, nil
	}
	cols := make([]arrow.Array, schema.NumFields())
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	var n int64
	for i := range cols {
		var all []arrow.Array
		for _, p := range parts {
			all = append(all, p.rec.Column(i))
		}
		col, err := array.Concatenate(all, memory.DefaultAllocator)
		if err != nil {
			return nil, err
		}
		cols[i], n = col, int64(col.Len())
	}
	return array.NewRecord(schema, cols, n), nil
}

// encodeRecord emits a record, in halves of halves when it is too large.
func encodeRecord(table string, rec arrow.Record, decided int64, emit func(rows.Batch) error) error {
	var buf bytes.Buffer
	w := ipc.NewWriter(&buf, ipc.WithSchema(rec.Schema()))
	err := w.Write(rec)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%w: encoding rows of %s: %w", errUnfit, table, err)
	}
	n := rec.NumRows()
	if buf.Len() <= spillio.RecordBytes || n == 1 {
		return emit(rows.Batch{Table: table, Rows: int(n), Decided: decided, Data: buf.Bytes()})
	}
	for _, half := range [][2]int64{{0, n / 2}, {n / 2, n}} {
		slice := rec.NewSlice(half[0], half[1])
		err := encodeRecord(table, slice, decided, emit)
		slice.Release()
		if err != nil {
			return err
		}
	}
	return nil
}
