// Package store keeps what the job published of every person: the newest
// record of each key of the topic `segments`, in memory. A node reads the topic
// from its beginning at start and then follows it.
package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says what to hold.
type Config struct {
	Brokers     []string
	Topic       string
	MaxProfiles int // records held; beyond it those of one event go first, users' last, the longest silent of each
	Tree        *segment.Tree
	Activation  *segment.Activation // before the first decision; nil: nothing but the root is served then
}

// DefaultMaxProfiles bounds a node whose configuration does not say.
const DefaultMaxProfiles = 2_000_000

// Store is safe for concurrent use.
type Store struct {
	cfg     Config
	cl      *kgo.Client
	cancel  context.CancelFunc
	done    chan struct{}
	records *held
	active  atomic.Pointer[activation]
	subs    subscribers
	ready   chan struct{}
	since   atomic.Int64    // when the node became ready, µs; 0: not yet
	deliver latency.Minutes // from a decision to here
	whole   latency.Minutes // from the client to here

	mu        sync.Mutex
	behind    map[int32]*position
	missing   int // partitions that are not yet read to where they ended at start
	progress  time.Time
	err       error
	consumed  atomic.Uint64
	corrupted atomic.Uint64
}

// position is how far a partition is read.
type position struct {
	next, end int64
	goal      int64 // the end when the node started
	reached   bool
}

// activation is which nodes are served.
type activation struct {
	segment.Active
	state *segment.Activation // by the configuration's tree
}

// Open connects to the log and starts to read. Wait tells when everything that
// was there is in memory.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.MaxProfiles <= 0 {
		cfg.MaxProfiles = DefaultMaxProfiles
	}
	s := &Store{cfg: cfg, done: make(chan struct{}), ready: make(chan struct{}), behind: map[int32]*position{}, progress: time.Now()}
	s.subs.init()
	if s.cfg.Activation == nil {
		s.cfg.Activation = segment.NewActivation(cfg.Tree, 1, 0, 1)
	}
	s.active.Store(&activation{state: s.cfg.Activation.Told(cfg.Tree, nil, "")})
	s.records = newHeld(cfg.MaxProfiles)
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go s.run(run)
	return s, nil
}

func (s *Store) connect(ctx context.Context) (err error) {
	s.cl, err = kafka.New(s.cfg.Brokers, kgo.ConsumeTopics(s.cfg.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMinBytes(1), kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMaxPartitionBytes(4<<20), kgo.KeepRetryableFetchErrors(), kgo.WithHooks(answered{s}),
		kgo.KeepControlRecords()) // a partition may end with the end of a transaction
	if err != nil {
		return err
	}
	adm := kafka.Admin(s.cl)
	ends, err := adm.ListEndOffsets(ctx, s.cfg.Topic)
	if err == nil {
		err = ends.Error()
	}
	var starts kadm.ListedOffsets
	if err == nil {
		if starts, err = adm.ListStartOffsets(ctx, s.cfg.Topic); err == nil {
			err = starts.Error()
		}
	}
	if err != nil {
		s.cl.Close()
		return fmt.Errorf("asking %v for topic %q (the job makes it; is it running?): %w", s.cfg.Brokers, s.cfg.Topic, err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		at, _ := starts.Lookup(o.Topic, o.Partition)
		p := &position{next: at.Offset, end: o.Offset, goal: o.Offset, reached: at.Offset >= o.Offset}
		s.behind[o.Partition] = p
		if !p.reached {
			s.missing++
		}
	})
	if s.missing == 0 {
		s.becomeReady()
	}
	return nil
}

// fetchKey is the Kafka protocol's number of Fetch.
const fetchKey = 1

// answered notes each answer of the log to a fetch: one that brings nothing is
// not handed out, and tells all the same that the node is not cut off.
type answered struct{ s *Store }

// OnBrokerRead implements kgo.HookBrokerRead.
func (a answered) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == fetchKey && err == nil {
		a.s.mu.Lock()
		a.s.progress = time.Now()
		a.s.mu.Unlock()
	}
}

// Close stops reading.
func (s *Store) Close() {
	s.cancel()
	<-s.done
	s.cl.Close()
}

// Wait waits until everything that the topic held at start is in memory.
func (s *Store) Wait(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("reading the segments: %w", ctx.Err())
	}
}

func (s *Store) run(ctx context.Context) {
	defer close(s.done)
	for {
		fs := s.cl.PollFetches(ctx)
		if ctx.Err() != nil || fs.IsClientClosed() {
			return
		}
		now := time.Now()
		fs.EachPartition(func(p kgo.FetchTopicPartition) {
			if p.Err != nil {
				slog.Warn("reading segments", "topic", p.Topic, "partition", p.Partition, "err", p.Err)
			}
			records := 0
			for _, r := range p.Records {
				if !r.Attrs.IsControl() {
					s.take(r, now)
					records++
				}
			}
			s.consumed.Add(uint64(records))
			s.moved(&p)
		})
	}
}

// moved notes how far a partition was read.
func (s *Store) moved(p *kgo.FetchTopicPartition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.behind[p.Partition]
	if q == nil { // the topic has grown
		q = &position{reached: true}
		s.behind[p.Partition] = q
	}
	if s.err = p.Err; p.Err != nil {
		return
	}
	q.end = max(q.end, p.HighWatermark)
	if n := len(p.Records); n > 0 {
		q.next = p.Records[n-1].Offset + 1
	}
	if !q.reached && q.next >= q.goal {
		q.reached = true
		if s.missing--; s.missing == 0 {
			s.becomeReady()
		}
	}
}

func (s *Store) becomeReady() {
	s.since.Store(time.Now().UnixMicro())
	close(s.ready)
}

// take puts one record of the topic in.
func (s *Store) take(r *kgo.Record, now time.Time) {
	key := string(r.Key)
	switch {
	case key == segment.ActiveKey:
		s.activate(r.Value)
	case len(r.Value) == 0:
		s.records.forget(key)
		s.subs.changed(key)
	default:
		stamp, fresh, err := s.newer(key, r.Value)
		if err != nil {
			if s.corrupted.Add(1) == 1 {
				slog.Error("a segment record cannot be read", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "err", err)
			}
			return
		}
		if !fresh {
			return
		}
		s.records.put(key, string(r.Value), stamp.Keep, stamp.Heard)
		s.measure(&stamp, now)
		s.subs.changed(key)
	}
}

// newer reports whether the value is newer than what is held. A job that
// starts again from the log publishes its old decisions again: those are of an
// earlier event time.
func (s *Store) newer(key string, value []byte) (stamp segment.Stamp, fresh bool, err error) {
	stamp, err = segment.StampOf(value)
	if err != nil {
		return stamp, false, err
	}
	if value, ok := s.records.get(key); ok {
		old, err := segment.StampOf([]byte(value))
		if err == nil && stamp.Before(old) {
			return stamp, false, nil
		}
	}
	return stamp, true, nil
}

func (s *Store) activate(value []byte) {
	a := &activation{}
	if err := a.Read(value); err != nil {
		s.corrupted.Add(1)
		slog.Error("the activation record cannot be read", "topic", s.cfg.Topic, "err", err)
		return
	}
	old := s.active.Load()
	if a.Minute < old.Minute || a.Minute == old.Minute && a.Version < old.Version {
		return
	}
	a.state = s.cfg.Activation.Told(s.cfg.Tree, a.Paths, a.Held)
	s.active.Store(a)
	s.subs.all()
}

// Active says which nodes of the tree are served; not to be changed. Before
// the first decision none is but the root and those that need no audience.
func (s *Store) Active() []bool { return s.active.Load().state.Active }

// Why says in words why a node is active, or is not.
func (s *Store) Why(node int) string {
	a := s.active.Load()
	if !a.Counted && !a.state.Exempt[node] {
		if a.Minute > 0 {
			return segment.WhyUncounted
		}
		return segment.WhyUndecided
	}
	return a.state.Why(s.cfg.Tree, node, a.Members[s.cfg.Tree.Path(node)], a.Total)
}

// Get reads a person's record into r, which keeps the memory of its values.
func (s *Store) Get(person string, r *segment.Record) (bool, error) {
	value, ok := s.records.get(person)
	if !ok {
		return false, nil
	}
	if err := r.Read([]byte(value)); err != nil {
		return false, fmt.Errorf("reading the record of a person: %w", err)
	}
	return true, nil
}

// Find reads the record of the person that a device belongs to: itself, or the
// user that it is linked to. person is then the person's id.
func (s *Store) Find(device string, r *segment.Record) (person string, ok bool, err error) {
	person = session.PersonID(device, "")
	ok, err = s.Get(person, r)
	if !ok || err != nil || r.User == "" {
		return person, ok, err
	}
	person = session.PersonID("", r.User)
	ok, err = s.Get(person, r)
	return person, ok, err
}

// Devices are the devices that point to a user. It looks at everything held;
// it is for the rare export and deletion.
func (s *Store) Devices(user string) (out []string) {
	var r segment.Record
	s.records.each(func(key, value string) {
		if len(key) > 2 && key[:2] == "d:" && r.Read([]byte(value)) == nil && r.User == user {
			out = append(out, key[2:])
		}
	})
	return out
}

// Forget drops a person at once, before the log says so.
func (s *Store) Forget(person string) {
	s.records.forget(person)
	s.subs.changed(person)
}

// Stats is how a node is doing.
type Stats struct {
	Ready     bool
	Profiles  int
	Lag       int64         // records behind the end of the topic
	Quiet     time.Duration // since the log last answered
	Evicted   uint64
	Consumed  uint64
	Corrupted uint64
	Err       error // of the last fetch
}

// Stats reports how the node is doing.
func (s *Store) Stats() Stats {
	n, gone := s.records.counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Ready: s.missing == 0, Profiles: n, Quiet: time.Since(s.progress), Evicted: gone,
		Consumed: s.consumed.Load(), Corrupted: s.corrupted.Load(), Err: s.err}
	for _, p := range s.behind {
		out.Lag += max(0, p.end-p.next)
	}
	return out
}

// Quiet is the time since the log last answered.
func (s *Store) Quiet() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.progress)
}
