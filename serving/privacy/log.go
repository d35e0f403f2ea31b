package privacy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/identity"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// retention is for how long a topic keeps records, at most: a record waits until
// its segment is full or segment.ms old, and then for retention.ms.
type retention struct {
	topic   string
	limited bool
	within  time.Duration
}

func (r retention) says() string {
	if !r.limited {
		return fmt.Sprintf("topic %q has no retention limit: the raw events stay in it; set its retention.ms", r.topic)
	}
	return fmt.Sprintf("topic %q drops raw events at the latest %v after they were written", r.topic, r.within)
}

// retention asks the log how long raw events are kept: in the topic that keeps them
// longest of the job's own and the one that is copied into it.
func (s *Server) retention(ctx context.Context) (r retention, err error) {
	if r, err = s.retentionOf(ctx, s.Events); err != nil || s.Inbox == "" || s.Inbox == s.Events {
		return r, err
	}
	inbox, err := s.retentionOf(ctx, s.Inbox)
	if err != nil || !r.limited || inbox.limited && inbox.within <= r.within {
		return r, err
	}
	return inbox, nil
}

func (s *Server) retentionOf(ctx context.Context, topic string) (r retention, err error) {
	r.topic = topic
	of, err := kafka.TopicSettings(ctx, s.cl, topic)
	if err != nil {
		return r, err
	}
	keep, err1 := strconv.ParseInt(of["retention.ms"], 10, 64)
	roll, err2 := strconv.ParseInt(of["segment.ms"], 10, 64)
	const forever = int64(100 * 365 * 24 * time.Hour / time.Millisecond)
	if of["cleanup.policy"] == "compact" || err1 != nil || err2 != nil || keep < 0 || keep+roll > forever {
		return r, nil
	}
	r.limited, r.within = true, time.Duration(keep+roll)*time.Millisecond
	return r, nil
}

// createTopic makes the topic of erasures. It keeps them for longer than the log
// keeps what they are about.
func (s *Server) createTopic(ctx context.Context) error {
	r, err := s.retention(ctx)
	if err != nil {
		return err
	}
	settings := map[string]string{"cleanup.policy": "compact"}
	if r.limited {
		settings["cleanup.policy"] = "compact,delete"
		settings["retention.ms"] = strconv.FormatInt((r.within + 24*time.Hour).Milliseconds(), 10)
	}
	_, err = kafka.CreateTopic(ctx, s.cl, identity.ErasedTopic(s.Events), 1, settings)
	return err
}

// bury writes the tombstones of a person's devices, keyed as their events are,
// and returns where they are. A device has one for each user that it is taken
// from, and one for each key that its events may have.
func (s *Server) bury(ctx context.Context, p *identity.Person, receipt string) (map[string]map[int32]int64, []Tombstone, error) {
	users := p.Users
	if p.User != "" {
		users = []string{p.User}
	} else if len(users) == 0 {
		users = []string{""}
	}
	at := map[string]map[int32]int64{}
	list := []Tombstone{}
	for _, device := range p.Devices {
		at[device] = map[int32]int64{}
		for _, user := range users {
			t := event.Deleted{Device: device, User: user, Receipt: receipt}
			value := t.Append(nil, clock.Now().UTC().Format(time.RFC3339Nano))
			for _, key := range t.Keys() {
				r, err := s.write(ctx, key, value)
				if err != nil {
					return nil, nil, fmt.Errorf("writing a tombstone to topic %q: %w", s.Events, err)
				}
				at[device][r.Partition] = r.Offset
				list = append(list, Tombstone{r.Partition, r.Offset})
			}
		}
	}
	for _, device := range p.Shared {
		t := event.DeletedUser{Device: device, User: p.User, Receipt: receipt}
		r, err := s.write(ctx, event.Key(device), t.Append(nil, clock.Now().UTC().Format(time.RFC3339Nano)))
		if err != nil {
			return nil, nil, fmt.Errorf("writing that a user is deleted to topic %q: %w", s.Events, err)
		}
		at[device] = map[int32]int64{r.Partition: r.Offset}
		list = append(list, Tombstone{r.Partition, r.Offset})
	}
	return at, list, nil
}

// write appends a record of ours to the log of events. Its trust is that of the site's
// servers: who reads a topic that others write to as well must know it from theirs.
func (s *Server) write(ctx context.Context, key string, value []byte) (*kgo.Record, error) {
	return s.cl.ProduceSync(ctx, &kgo.Record{Topic: s.Events, Key: []byte(key), Value: value,
		Headers: []kgo.RecordHeader{{Key: event.TrustHeader, Value: []byte(event.Server.String())}}}).First()
}

// disclaim takes the user's name from the devices that only claimed to be the user's, and
// returns where they stop, with those that others used, too, whose tombstones say so.
// What they did stays theirs.
func (s *Server) disclaim(ctx context.Context, p *identity.ErasedPerson, receipt string) (map[string]map[int32]int64, error) {
	at := map[string]map[int32]int64{}
	for _, device := range p.Shared {
		at[device] = p.Tombstones[device]
	}
	if p.User == "" || s.Record == nil {
		return at, nil
	}
	devices, err := s.Record.Claimers(ctx, p.User)
	if err != nil {
		return nil, err
	}
	for _, device := range devices {
		if slices.Contains(p.Devices, device) {
			continue // it goes as a whole
		}
		if at[device] != nil {
			continue
		}
		c := event.Disclaimed{Device: device, User: p.User, Receipt: receipt}
		r, err := s.write(ctx, event.Key(device), c.Append(nil, clock.Now().UTC().Format(time.RFC3339Nano)))
		if err != nil {
			return nil, fmt.Errorf("taking a user's name from a device, in topic %q: %w", s.Events, err)
		}
		at[device] = map[int32]int64{r.Partition: r.Offset}
	}
	return at, nil
}

// note adds to the topic of erasures.
func (s *Server) note(ctx context.Context, list []identity.Erasure) error {
	topic := identity.ErasedTopic(s.Events)
	records := make([]*kgo.Record, len(list))
	for i := range list {
		key, value := list[i].Record()
		records[i] = &kgo.Record{Topic: topic, Key: key, Value: value}
	}
	if err := s.cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("noting a deletion in topic %q: %w", topic, err)
	}
	return nil
}

// watch is a reader of the topic of segments from where it ended when made.
type watch struct {
	cl   *kgo.Client
	want map[string]bool
	seen map[int32]int64 // partition → offset of the last of the null records
}

// watch waits for null records of keys. Make it before what causes them.
func (s *Server) watch(ctx context.Context, keys []string) (*watch, error) {
	ends, err := kafka.Admin(s.cl).ListEndOffsets(ctx, s.Segments)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking where topic %q ends: %w", s.Segments, err)
	}
	at := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) { at[o.Partition] = kgo.NewOffset().At(o.Offset) })
	w := &watch{want: map[string]bool{}, seen: map[int32]int64{}}
	for _, k := range keys {
		w.want[k] = true
	}
	if w.cl, err = kafka.New(s.Brokers, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.Segments: at})); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *watch) close() { w.cl.Close() }

// all waits until each key had its null record.
func (w *watch) all(ctx context.Context) error {
	for len(w.want) > 0 {
		fs := w.cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the job to publish the deletion (is it running?): %w", ctx.Err())
		}
		// What the client can retry it does; the context bounds it.
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if len(r.Value) == 0 && w.want[string(r.Key)] {
				delete(w.want, string(r.Key))
				w.seen[r.Partition] = r.Offset
			}
		}
	}
	return nil
}
