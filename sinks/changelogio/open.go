package changelogio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/event/clock"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// makeTopic makes the topic, or gives it the partitions that it lacks, and returns
// how many it has.
func makeTopic(ctx context.Context, cl *kgo.Client, cfg *Config) (int32, error) {
	want := cfg.Machines + 1
	n, err := partitions(ctx, cl, cfg)
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		err = createTopic(ctx, cl, cfg)
	case n < want:
		err = addPartitions(ctx, cl, cfg, want)
	}
	return int32(max(n, want)), err
}

// partitions is how many the topic has, 0 where it is not there.
func partitions(ctx context.Context, cl *kgo.Client, cfg *Config) (int, error) {
	ts, err := kafka.Admin(cl).ListTopics(ctx, cfg.Topic)
	if err != nil {
		return 0, fmt.Errorf("asking %v for topic %q: %w", cfg.Brokers, cfg.Topic, err)
	}
	if t, ok := ts[cfg.Topic]; ok && t.Err == nil {
		return len(t.Partitions), nil
	}
	return 0, nil
}

func addPartitions(ctx context.Context, cl *kgo.Client, cfg *Config, want int) error {
	rs, err := kafka.Admin(cl).UpdatePartitions(ctx, want, cfg.Topic)
	if err == nil {
		err = rs.Error()
	}
	if err != nil && !errors.Is(err, kerr.InvalidPartitions) { // another process was faster
		return fmt.Errorf("adding partitions to topic %q on %v, for more shards (its principal needs Alter on the topic): %w", cfg.Topic, cfg.Brokers, err)
	}
	for range 50 { // the brokers tell each other, and clients remember what they were told
		cl, err := connect(cfg.Brokers)
		if err != nil {
			return err
		}
		n, err := partitions(ctx, cl, cfg)
		cl.Close()
		if err != nil || n >= want {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("topic %q on %v has not got its %d partitions within five seconds", cfg.Topic, cfg.Brokers, want)
}

func createTopic(ctx context.Context, cl *kgo.Client, cfg *Config) error {
	settings := map[string]string{"retention.ms": "-1", "retention.bytes": "-1", "segment.bytes": strconv.Itoa(64 << 20), "segment.ms": strconv.Itoa(10 * 60 * 1000)}
	for range 50 {
		made, err := kafka.CreateTopic(ctx, cl, cfg.Topic, int32(cfg.Machines)+1, settings)
		if made || err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // it is still being deleted
	}
	return nil
}

// Open takes the changelog over and reads what is in it: nil machines when there
// is nothing to go on from, with the reason. It may be of another number of machines
// than this job has: then its first set of snapshots (Begin, Commit) must be of what
// was made of them, before anything is appended.
func Open(ctx context.Context, cfg Config) (*Log, *Recovery, error) {
	cl, err := connect(cfg.Brokers)
	if err != nil {
		return nil, nil, err
	}
	l := &Log{cfg: cfg, cl: cl, nonce: rand.Uint64() | 1, run: cfg.Run, begun: cfg.Ends, parts: make([]Part, cfg.Machines), failed: make(chan struct{})}
	l.ctx, l.end = context.WithCancel(context.WithoutCancel(ctx))
	rec, err := l.open(ctx)
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	return l, rec, nil
}

func (l *Log) open(ctx context.Context) (*Recovery, error) {
	var err error
	if l.all, err = makeTopic(ctx, l.cl, &l.cfg); err != nil {
		return nil, err
	}
	l.sent, l.foreign = make([]int64, l.all), make([]*foreign, l.all)
	claims, err := l.claim(ctx)
	if err != nil {
		return nil, err
	}
	rec, err := recoverFrom(ctx, &l.cfg, claims)
	if err != nil {
		return nil, err
	}
	for p, at := range claims {
		l.sent[p] = at + 1
	}
	if rec.Manifest == nil {
		// Versions of a later run win; a clock that is behind would make it an earlier one.
		l.run = max(l.run, rec.Run+1)
		return rec, l.begin(ctx)
	}
	m := rec.Manifest
	l.run, l.round, l.begun = m.Run, m.Round, m.Begun
	// What comes now is read so, and is written so: whoever goes on from these
	// snapshots must read it, too, and an older program must not.
	m.Partitions = rec.Partitions
	if m.Schema < Schema || m.Fingerprint != Fingerprint(l.cfg.Decides) || m.Reading != Fingerprint(l.cfg.Reading) {
		m.configured(&l.cfg)
		return rec, l.write(ctx, m)
	}
	return rec, nil
}

// claim makes this process the owner; control comes first, so that of two that
// start at once one has both.
func (l *Log) claim(ctx context.Context) ([]int64, error) {
	claims := make([]int64, l.all)
	for i := range claims {
		p := (l.control() + int32(i)) % int32(len(claims))
		r := l.record(kindClaim, p, []byte(time.Now().UTC().Format(time.RFC3339)))
		if err := l.cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			return nil, fmt.Errorf("claiming topic %q: %w", l.cfg.Topic, err)
		}
		claims[p] = r.Offset
	}
	return claims, nil
}

// begin writes the manifest of a job that has no past: empty states.
func (l *Log) begin(ctx context.Context) error {
	for i := range l.parts {
		l.parts[i] = Part{Begin: l.sent[i]}
	}
	return l.commit(ctx, nil, clock.Now())
}
