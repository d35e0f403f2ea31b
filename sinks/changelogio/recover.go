package changelogio

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/event/codec"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// Recovery is what a process that is gone has left.
type Recovery struct {
	Manifest *Manifest // nil: nothing to go on from
	Reason   string    // why not
	Run      int64     // of the job that wrote last, whether or not this one goes on; 0: none did
	Machines []Machine
	// Partitions of the topic of events by which the states are grouped.
	Partitions int32
	Entries    int   // of the journal, of all machines
	Bytes      int64 // of snapshots and entries
	Took       time.Duration
}

// Machine is one machine's part of it.
type Machine struct {
	Snapshot []byte // nil: the state was empty, or Open brings it
	// Open brings the snapshot piece by piece, none at the end; nil: Snapshot is all.
	Open    func() (next func() ([]byte, error), stop func())
	Entries [][]byte
}

// recoverFrom reads the changelog up to the claims of the process that asks.
func recoverFrom(ctx context.Context, cfg *Config, claims []int64) (*Recovery, error) {
	start := time.Now()
	rec := &Recovery{Reason: "as asked for"}
	m, err := newestManifest(ctx, cfg, claims)
	if err != nil && !(cfg.Anew && errors.Is(err, ErrDamaged)) {
		return nil, err
	}
	if m != nil {
		rec.Run = m.Run
	}
	if cfg.Anew {
		return rec, nil
	}
	if rec.Reason, err = m.unfit(cfg); err != nil || rec.Reason != "" {
		return rec, err
	}
	rec.Manifest, rec.Machines, rec.Partitions = m, make([]Machine, len(m.Machines)), m.Partitions
	if rec.Partitions == 0 && cfg.Older != nil {
		_, _, rec.Partitions, _ = cfg.Older(m)
	}
	rec.Partitions = cmp.Or(rec.Partitions, cfg.Partitions)
	g, reading := errgroup.WithContext(ctx)
	for i := range rec.Machines {
		g.Go(func() (err error) {
			var large bool
			if rec.Machines[i], large, err = readMachine(reading, cfg, i, m, claims[i]); large {
				rec.Machines[i].Open = func() (func() ([]byte, error), func()) { return pieces(ctx, cfg, i, m, claims[i]) }
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, x := range rec.Machines {
		rec.Bytes += m.Machines[i].Bytes
		rec.Entries += len(x.Entries)
		for _, e := range x.Entries {
			rec.Bytes += int64(len(e))
		}
	}
	rec.Took = time.Since(start)
	if why := m.readsOtherwise(cfg); why != "" && rec.Entries > 0 {
		return &Recovery{Reason: "the job was killed, and how events are read has changed since: " + why + "; what it had done after its last snapshots would be done otherwise (stop it first, or start it once as it was)", Run: rec.Run}, nil
	}
	return rec, nil
}

// owner tells whose records count: a claim takes the partition over, and what an
// earlier owner still writes behind it is void.
type owner struct{ nonce uint64 }

// read takes a record apart; ok is false for one that does not count.
func (o *owner) read(value []byte) (kind byte, body []byte, ok bool) {
	r := codec.Reader{B: value}
	kind, nonce := r.Byte(), r.Fixed()
	if r.Err() != nil {
		return 0, nil, false
	}
	if kind == kindClaim || o.nonce == 0 {
		o.nonce = nonce
	}
	return kind, r.B, nonce == o.nonce
}

// unfit is why a job cannot go on from the manifest, empty if it can.
func (m *Manifest) unfit(cfg *Config) (reason string, err error) {
	switch {
	case m == nil:
		return "there is no changelog yet", nil
	case m.Schema > Schema:
		return "", fmt.Errorf("topic %q has schema %d and this program knows %d: %w; start that version, or rebuild the state from the log (--rebuild)", cfg.Topic, m.Schema, Schema, ErrSchema)
	}
	if why := m.decidesOtherwise(cfg); why != "" {
		return "the configuration of events, sessions or segments has changed: " + why, nil
	}
	return "", nil
}

// decidesOtherwise says what of a configuration decides and is not as it was.
func (m *Manifest) decidesOtherwise(cfg *Config) string {
	if m.Decides != nil {
		return changed(m.Decides, cfg.Decides)
	}
	if cfg.Older != nil {
		same, _, _, why := cfg.Older(m)
		if same {
			return ""
		}
		if why != "" {
			return why
		}
	}
	return "an older version wrote the changelog, which does not say what was otherwise"
}

// readsOtherwise says what of a configuration reads records and is not as it was.
func (m *Manifest) readsOtherwise(cfg *Config) string {
	if m.Decides != nil {
		return changed(m.Reads, cfg.Reading)
	}
	if cfg.Older != nil {
		if _, same, _, _ := cfg.Older(m); same {
			return ""
		}
	}
	return "an older version wrote the changelog, which does not say what was otherwise"
}

// newestManifest is that of the last partition that has any, before the ends: one
// that was added for more machines has none until a set of snapshots is complete.
func newestManifest(ctx context.Context, cfg *Config, ends []int64) (m *Manifest, err error) {
	for p := len(ends) - 1; p >= 0 && m == nil && err == nil; p-- {
		m, err = manifestOf(ctx, cfg, int32(p), ends[p])
	}
	return m, err
}

func manifestOf(ctx context.Context, cfg *Config, partition int32, end int64) (last *Manifest, err error) {
	var o owner
	err = each(ctx, cfg, partition, 0, end, func(r *kgo.Record) error {
		kind, body, ok := o.read(r.Value)
		if !ok || kind != kindManifest {
			return nil
		}
		m := &Manifest{}
		if err := json.Unmarshal(body, m); err != nil {
			return fmt.Errorf("%w: the manifest at offset %d of topic %q: %v", ErrDamaged, r.Offset, cfg.Topic, err)
		}
		last = m
		return nil
	})
	return last, err
}

// reader takes a machine's records apart.
type reader struct {
	owner
	part   Part
	round  uint64
	chunks int
	bytes  int64
	crc    uint32
	piece  func([]byte) error // is given those of the snapshot, in order
	more   []byte             // of an entry whose end is still to come
	out    Machine
}

// take reads one record; the machine keeps its bytes.
func (x *reader) take(r *kgo.Record) error {
	kind, body, ok := x.read(r.Value)
	switch {
	case !ok, kind == kindClaim:
		x.more = nil // the rest of the entry did not come
	case kind == kindMore:
		x.more = append(x.more, body...)
	case kind == kindEntry:
		x.out.Entries, x.more = append(x.out.Entries, append(x.more, body...)), nil
	case kind == kindChunk:
		b := codec.Reader{B: body}
		if b.Fixed() == x.round && x.chunks < x.part.Chunks {
			x.chunks, x.bytes, x.crc = x.chunks+1, x.bytes+int64(len(b.B)), crc32.Update(x.crc, table, b.B)
			return x.piece(b.B)
		}
	}
	return nil
}

// readerOf takes the records of a machine apart from where its snapshot begins.
func readerOf(machine int, m *Manifest) *reader {
	return &reader{owner: owner{nonce: m.Nonce}, part: m.Machines[machine], round: m.Round, piece: func([]byte) error { return nil }}
}

// readMachine reads a machine's snapshot and its journal behind it. A large snapshot of
// which pieces are enough is looked at only.
func readMachine(ctx context.Context, cfg *Config, machine int, m *Manifest, end int64) (out Machine, large bool, err error) {
	x := readerOf(machine, m)
	switch {
	case x.part.Chunks == 0:
	case cfg.Pieces != nil && x.part.Bytes > wholeBytes && cfg.Pieces(machine, len(m.Machines)):
		large = true
	default:
		x.out.Snapshot = make([]byte, 0, x.part.Bytes)
		x.piece = func(b []byte) error {
			x.out.Snapshot = append(x.out.Snapshot, b...)
			return nil
		}
	}
	if err := each(ctx, cfg, int32(machine), x.part.Begin, end, x.take); err != nil {
		return x.out, large, err
	}
	if x.chunks != x.part.Chunks || x.bytes != x.part.Bytes || x.crc != x.part.CRC {
		return x.out, large, fmt.Errorf("%w: the snapshot of machine %d in topic %q has %d of %d bytes, or another checksum; rebuild the state from the log (--rebuild)",
			ErrDamaged, machine, cfg.Topic, x.bytes, x.part.Bytes)
	}
	return x.out, large, nil
}

// each calls f for the records of a partition from an offset up to, and without, end.
func each(ctx context.Context, cfg *Config, partition int32, from, end int64, f func(*kgo.Record) error) error {
	cl, err := connect(cfg.Brokers)
	if err != nil {
		return err
	}
	defer cl.Close()
	starts, err := kafka.Admin(cl).ListStartOffsets(ctx, cfg.Topic)
	if err != nil {
		return fmt.Errorf("asking where topic %q begins: %w", cfg.Topic, err)
	}
	if s, ok := starts.Lookup(cfg.Topic, partition); ok {
		if from > 0 && s.Offset > from {
			return fmt.Errorf("%w: topic %q, partition %d begins at offset %d, behind what its manifest names; rebuild the state from the log (--rebuild)", ErrDamaged, cfg.Topic, partition, s.Offset)
		}
		from = max(from, s.Offset)
	}
	if from >= end {
		return nil
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{cfg.Topic: {partition: kgo.NewOffset().At(from)}})
	for {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			return fmt.Errorf("reading topic %q, partition %d: %w", cfg.Topic, partition, err)
		}
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset >= end {
				return nil
			}
			if err := f(r); err != nil {
				return err
			}
			if r.Offset == end-1 {
				return nil
			}
		}
	}
}

// Covered are the last offsets of the topic of events whose effects no restart
// makes again; ok is false while there is no changelog.
func Covered(ctx context.Context, brokers []string, topic string) (offsets map[int32]int64, ok bool, err error) {
	cl, err := connect(brokers)
	if err != nil {
		return nil, false, err
	}
	defer cl.Close()
	ts, err := kafka.Admin(cl).ListTopics(ctx, topic)
	if err != nil {
		return nil, false, fmt.Errorf("asking %v for topic %q: %w", brokers, topic, err)
	}
	if t, has := ts[topic]; !has || t.Err != nil {
		return nil, false, nil
	}
	ends, err := endsOf(ctx, cl, topic)
	if err != nil {
		return nil, false, err
	}
	m, err := newestManifest(ctx, &Config{Brokers: brokers, Topic: topic}, ends)
	if err != nil {
		return nil, false, err
	}
	if m == nil { // a young job: what it has applied is in the journal alone, and made again
		return nil, true, nil
	}
	return m.Offsets, true, nil
}

// endsOf are where the partitions of a changelog end.
func endsOf(ctx context.Context, cl *kgo.Client, topic string) ([]int64, error) {
	ends, err := kafka.Admin(cl).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking where topic %q ends (a job in a process of its own makes it): %w", topic, err)
	}
	at := ends.Offsets()[topic]
	out := make([]int64, len(at))
	for p, o := range at {
		if int(p) < len(out) {
			out[p] = o.At
		}
	}
	return out, nil
}

// State is what a changelog holds, without taking it over.
type State struct {
	Manifest Manifest
	Machines []MachineState
}

// MachineState is a machine's part of it.
type MachineState struct {
	Part
	Records int64 // journal and snapshots that are not complete, since the snapshot began
	Entries int   // of the journal since then; only when verified
}

// Inspect reads what the changelog holds. With verify it reads all of it and
// recomputes the checksums: the error is then the first that is not as its
// manifest says.
func Inspect(ctx context.Context, brokers []string, topic string, verify bool) (*State, error) {
	cl, err := connect(brokers)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends, err := endsOf(ctx, cl, topic)
	if err != nil {
		return nil, err
	}
	cfg := &Config{Brokers: brokers, Topic: topic}
	m, err := newestManifest(ctx, cfg, ends)
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return nil, fmt.Errorf("topic %q has no manifest: no job has begun there", topic)
	case m.Schema > Schema:
		return nil, fmt.Errorf("topic %q has schema %d and this program knows %d: %w", topic, m.Schema, Schema, ErrSchema)
	case len(m.Machines) >= len(ends):
		return nil, fmt.Errorf("%w: topic %q has %d partitions and its manifest names %d machines", ErrDamaged, topic, len(ends), len(m.Machines))
	}
	s := &State{Manifest: *m}
	for i, part := range m.Machines {
		x := MachineState{Part: part, Records: ends[i] - part.Begin}
		if verify {
			read, _, err := readMachine(ctx, cfg, i, m, ends[i])
			if err != nil {
				return nil, err
			}
			x.Entries = len(read.Entries)
		}
		s.Machines = append(s.Machines, x)
	}
	return s, nil
}
