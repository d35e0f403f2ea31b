// Package changelogio keeps a job's journal and snapshots in a topic of the log,
// so that a job that was killed goes on where it was, on any machine.
//
// The topic has a partition for each machine of the job (transforms.Local) and a
// last one for control. A topic that was made for fewer machines gets more
// partitions, and so another last one; of one that was made for more some are
// unused. What is gone on from is the newest manifest of the last partition that
// has any. A machine's partition holds, in order, its journal's
// entries and now and then a snapshot in chunks; control holds who owns the
// changelog and which set of snapshots is complete. A process that starts claims
// all partitions. From then on entries of an earlier owner do not count, and an
// earlier owner finds out by itself: whoever is alone sees its own offsets only.
package changelogio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/event/codec"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Schema is the version of what the topic holds; a newer one is refused. Version 1
// had hashes alone of the configuration, and no semantics in its entries.
const Schema = 2

// Topic is the name of the changelog of a topic of events.
func Topic(events string) string { return events + "-changelog" }

// Config says where the changelog is and what it is of.
type Config struct {
	Brokers  []string
	Topic    string
	Machines int
	// Decides are the settings that decide: a job with other ones does not continue,
	// it begins a changelog of its own.
	Decides map[string]string
	// Reading are those that say how records are read: a job with other ones goes on
	// from snapshots, but cannot apply again what was applied behind them.
	Reading map[string]string
	// Older compares both with the fingerprints of version 1; why is what is
	// different, where that is known. It tells how many partitions the topic of events
	// had when they were made. Nil: there are none.
	Older func(*Manifest) (same, sameReading bool, partitions int32, why string)
	// Partitions of the topic of events.
	Partitions int32
	// Pieces says whose snapshot of so many machines is read piece by piece where it is
	// large; nil: nobody's.
	Pieces func(machine, machines int) bool
	Run    int64 // of the job, should it begin one; it is later than those before
	Anew   bool  // begin one, whatever is there
	// Ends are where the topic of events ends when a job begins a changelog, by
	// partition.
	Ends map[int32]int64
}

// kinds of records, their first byte.
const (
	kindEntry    = 'e' // nonce, entry
	kindMore     = 'p' // nonce, the first part of an entry that is too long for one record
	kindClaim    = 'c' // nonce, text
	kindBegin    = 'b' // nonce, round: the journal from here on is not in the snapshot
	kindChunk    = 's' // nonce, round, bytes
	kindManifest = 'm' // nonce, JSON
	kindAlive    = 'a' // nonce: the owner looks whether it still is
)

// chunkSize is how much of a snapshot a record holds, bytes.
const chunkSize = 512 << 10

// Manifest names a complete set of snapshots.
type Manifest struct {
	Schema      int
	Fingerprint string            // of Decides
	Reading     string            // of Reads
	Decides     map[string]string `json:",omitempty"` // none: of version 1
	Reads       map[string]string `json:",omitempty"`
	Run         int64
	Nonce       uint64 // of the process that wrote it
	Round       uint64
	At          int64           // the job's clock, ms
	Begun       map[int32]int64 // Config.Ends of the process that began the changelog
	Offsets     map[int32]int64 // of the topic of events: the last ones in the snapshots
	Partitions  int32           `json:",omitempty"` // of the topic of events; 0: of schema 1
	Machines    []Part
}

// Part is a machine's snapshot.
type Part struct {
	Begin  int64 // offset of the partition at which it begins
	Chunks int   // 0: the state was empty
	Bytes  int64
	CRC    uint32 // Castagnoli, of the bytes
}

// Errors of a changelog.
var (
	// ErrFenced says that another process has taken the job over.
	ErrFenced = errors.New("another process has taken over this job's changelog; stop one of them (a process that was paused or cut off stops here by itself)")
	// ErrSchema says that a newer version of microseg wrote the changelog.
	ErrSchema = errors.New("a newer version of microseg wrote the changelog")
	// ErrDamaged says that a snapshot is not what its manifest says.
	ErrDamaged = errors.New("the changelog is damaged")
)

// Log is a changelog that this process owns.
type Log struct {
	cfg   Config
	all   int32 // partitions of the topic
	cl    *kgo.Client
	nonce uint64
	run   int64
	begun map[int32]int64

	ctx context.Context // of what it looks up by itself; ends with Close
	end context.CancelFunc

	mu       sync.Mutex
	sent     []int64 // offset of the next record that is sent, by partition
	foreign  []*foreign
	parts    []Part // the snapshots that were begun last
	manifest int64  // offset of the last manifest
	round    uint64
	err      error
	failed   chan struct{} // closed with err
	stats    Stats
}

// Stats is what a changelog has done.
type Stats struct {
	Entries, EntryBytes uint64
	Rounds              uint64 // sets of snapshots
	SnapshotBytes       int64  // of the last set
	Last                time.Time
}

var table = crc32.MakeTable(crc32.Castagnoli)

// control is the number of the control partition.
func (l *Log) control() int32 { return l.all - 1 }

// Run is the job's: versions go on from an earlier process's.
func (l *Log) Run() int64 { return l.run }

// Stats returns the counts so far.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Err is why the changelog does not take anything any more; nil while it does.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Failed is closed when Err is set.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Close disconnects.
func (l *Log) Close() {
	l.end()
	l.cl.Close()
}

// connect makes a client that writes each partition in order.
func connect(brokers []string) (*kgo.Client, error) {
	cl, err := kafka.New(brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.FetchMaxBytes(64<<20), kgo.FetchMaxPartitionBytes(16<<20))
	if err != nil {
		return nil, err
	}
	return cl, nil
}

// record frames a body.
func (l *Log) record(kind byte, partition int32, body []byte) *kgo.Record {
	w := codec.Writer{B: make([]byte, 0, len(body)+9)}
	w.Byte(kind)
	w.Fixed(l.nonce)
	w.B = append(w.B, body...)
	return &kgo.Record{Topic: l.cfg.Topic, Partition: partition, Value: w.B}
}

// Append implements transforms.Journal.
func (l *Log) Append(machine int, entry []byte) (sure func(context.Context) error) {
	l.mu.Lock()
	l.stats.Entries++
	l.stats.EntryBytes += uint64(len(entry))
	l.mu.Unlock()
	for len(entry) > chunkSize {
		l.put(l.record(kindMore, int32(machine), entry[:chunkSize]))
		entry = entry[chunkSize:]
	}
	return l.put(l.record(kindEntry, int32(machine), entry))
}

// put sends a record; sure waits for the log.
func (l *Log) put(r *kgo.Record) (sure func(context.Context) error) {
	done := make(chan error, 1)
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return func(context.Context) error { return l.err }
	}
	want := l.sent[r.Partition]
	l.sent[r.Partition]++
	// Under the lock: what is counted first must be sent first.
	l.cl.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		if err != nil {
			done <- l.fail(fmt.Errorf("writing to topic %q: %w", l.cfg.Topic, err))
			return
		}
		l.arrived(r.Partition, want, r.Offset, func(err error) { done <- err })
	})
	l.mu.Unlock()
	return func(ctx context.Context) error {
		select {
		case err := <-done:
			done <- err
			return err
		case <-l.failed:
			return l.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fail sets the error, once, and returns it.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		close(l.failed)
	}
	return l.err
}

// Commit makes the snapshots that were begun last the place from which a job
// goes on, and lets the log forget what is before them. Call it when everything
// that the job made before them is where it belongs. offsets are the last ones of
// the topic of events that the snapshots have, at is the job's clock.
func (l *Log) Commit(ctx context.Context, offsets map[int32]int64, at time.Time) error {
	if err := l.commit(ctx, offsets, at); err != nil {
		return err
	}
	l.mu.Lock()
	drop := kadm.Offsets{}
	for p, part := range l.parts {
		drop.AddOffset(l.cfg.Topic, int32(p), part.Begin, -1)
	}
	for p := int32(len(l.parts)); p < l.control(); p++ { // of another number of machines
		drop.AddOffset(l.cfg.Topic, p, l.sent[p], -1)
	}
	drop.AddOffset(l.cfg.Topic, l.control(), l.manifest, -1)
	l.stats.Rounds++
	l.stats.Last = time.Now()
	l.stats.SnapshotBytes = 0
	for _, part := range l.parts {
		l.stats.SnapshotBytes += part.Bytes
	}
	l.mu.Unlock()
	dropped, err := kafka.Admin(l.cl).DeleteRecords(ctx, drop)
	if err == nil {
		err = dropped.Error() // as without the right to: the topic would grow for ever, and nobody be told
	}
	if err != nil {
		return fmt.Errorf("dropping what is before the snapshots from topic %q: %w", l.cfg.Topic, err)
	}
	return nil
}

func (l *Log) commit(ctx context.Context, offsets map[int32]int64, at time.Time) error {
	l.mu.Lock()
	l.round++
	m := &Manifest{Schema: Schema, Run: l.run, Nonce: l.nonce, Round: l.round, At: at.UnixMilli(), Begun: l.begun, Offsets: offsets, Partitions: l.cfg.Partitions,
		Machines: append([]Part(nil), l.parts...)}
	l.mu.Unlock()
	m.configured(&l.cfg)
	return l.write(ctx, m)
}

// configured makes the manifest one of the configuration.
func (m *Manifest) configured(cfg *Config) {
	m.Schema, m.Fingerprint, m.Reading = Schema, Fingerprint(cfg.Decides), Fingerprint(cfg.Reading)
	m.Decides, m.Reads = cfg.Decides, cfg.Reading
}

// write makes a manifest the one to go on from.
func (l *Log) write(ctx context.Context, m *Manifest) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding a manifest: %w", err)
	}
	r := l.record(kindManifest, l.control(), b)
	if err := l.put(r)(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	l.manifest = r.Offset
	l.mu.Unlock()
	return nil
}
