package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/privacy"
	"github.com/microseg/microseg/serving/store"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/sinks/redisio"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/microseg/microseg/sinks/spillio"
	"github.com/microseg/microseg/sources/deadletters"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/sources/replay"
	broker "github.com/microseg/microseg/testing/harness/kafka"
	"github.com/microseg/microseg/testing/harness/redis"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// work is what a role does with the log of a topic of events, with the functions that do it.
type work struct {
	role  string
	keyed bool // the job reads the copies by device
	made  func(*lockedLog, topicsOfJob)
	do    func(context.Context, *lockedLog, topicsOfJob) error
}

// works are those of all roles.
func (l *lockedLog) works(rds *redis.Server) []work {
	none := func(*lockedLog, topicsOfJob) {}
	follow := func(ctx context.Context, l *lockedLog, at topicsOfJob) error { return redisWork(ctx, l, at, rds) }
	return []work{
		{"job", false, none, func(ctx context.Context, l *lockedLog, at topicsOfJob) error {
			return jobWork(ctx, []string{l.SASL}, at.events, kafkaio.RekeyAuto)
		}},
		{"job", true, none, func(ctx context.Context, l *lockedLog, at topicsOfJob) error {
			if err := copierWork(ctx, l, at); err != nil {
				return err
			}
			return jobWork(ctx, []string{l.SASL}, at.source, kafkaio.RekeyOff)
		}},
		{"copier", true, none, copierWork},
		{"node", false, (*lockedLog).jobTopics, nodeWork},
		{"node", true, (*lockedLog).jobTopics, nodeWork},
		{"redis", false, (*lockedLog).jobTopics, follow},
		{"redis", true, (*lockedLog).jobTopics, follow},
		{"replay", false, none, replayWork},
		{"deadletters", false, none, lettersWork},
		{"state", false, (*lockedLog).changelog, stateWork},
		{"state", true, (*lockedLog).changelog, stateWork},
	}
}

// jobTopics makes what the job's are to a node: a topic of segments with a device in it, and a changelog.
func (l *lockedLog) jobTopics(at topicsOfJob) {
	l.t.Helper()
	if at.source != at.events {
		l.topic(at.source)
	}
	rs, err := kadm.NewClient(l.admin).CreateTopics(l.t.Context(), 1, 1, nil, segmentsio.Topic(at.source), changelogio.Topic(at.source))
	if err == nil {
		err = rs.Error()
	}
	if err == nil {
		var value codec.Writer
		(&segment.Record{Version: 1, Path: "everyone", Devices: 1}).AppendTo(&value)
		err = l.admin.ProduceSync(l.t.Context(), &kgo.Record{Topic: segmentsio.Topic(at.source), Key: []byte("d:a"), Value: value.B}).FirstErr()
	}
	if err == nil && at.source != at.events { // all is copied
		var copied kadm.ListedOffsets
		if copied, err = kadm.NewClient(l.admin).ListEndOffsets(l.t.Context(), at.events); err == nil {
			err = kadm.NewClient(l.admin).CommitAllOffsets(l.t.Context(), kafkaio.Copier(at.source), copied.Offsets())
		}
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// changelog makes one with the state of a job in it.
func (l *lockedLog) changelog(at topicsOfJob) {
	l.t.Helper()
	if at.source != at.events {
		l.topic(at.source)
	}
	all := on(kafka.Topic, changelogio.Topic(at.source), "Create", "Read", "Write", "Delete", "Alter")
	l.allow("job", all)
	await(l.t, "the broker to know of a right", func() bool {
		missing, err := kafka.Missing(l.t.Context(), []string{l.SASL}, all)
		return err == nil && len(missing) == 0
	})
	if err := changelogWork(l.t.Context(), []string{l.SASL}, at.source); err != nil {
		l.t.Fatal(err)
	}
	for _, r := range all {
		l.deny("job", r)
	}
}

func copierWork(ctx context.Context, l *lockedLog, at topicsOfJob) error {
	cfg := config.Demo().EventConfig()
	if _, _, err := kafkaio.OpenSource(ctx, []string{l.SASL}, at.events, kafkaio.RekeyOn, 0, cfg); err != nil {
		return err
	}
	k := &kafkaio.Rekeyer{Brokers: []string{l.SASL}, Events: at.events, Event: cfg}
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { k.Run(run); close(done) }()
	defer func() { stop(); <-done }()
	noted := make(chan error, 1)
	go func() { noted <- kafkaio.Copied(run, []string{l.SASL}, at.events) }()
	for k.Stats().Err == nil && len(noted) == 0 && beat(ctx) == nil {
	}
	err := k.Stats().Err
	stop()
	return errors.Join(err, <-noted)
}

func beat(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

// nodeWork is what a node does with the log, with a deletion.
func nodeWork(ctx context.Context, l *lockedLog, at topicsOfJob) error {
	brokers := []string{l.SASL}
	if at.source == at.events {
		if _, err := kafkaio.SourceTopic(ctx, brokers, at.events, kafkaio.RekeyAuto); err != nil {
			return err
		}
	}
	if _, _, err := changelogio.Covered(ctx, brokers, changelogio.Topic(at.source)); err != nil {
		return err
	}
	tree, err := config.Demo().SegmentTree()
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Config{Brokers: brokers, Topic: segmentsio.Topic(at.source), Tree: tree})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Wait(ctx); err != nil {
		return err
	}
	c, err := collect.New(collect.Config{Brokers: brokers, Topic: at.source, WriteKeys: []string{"demo"}})
	if err != nil {
		return err
	}
	if err := errors.Join(c.Ready(ctx), c.Close(ctx)); err != nil {
		return err
	}
	return l.deletes(ctx, privacy.Config{Brokers: brokers, Events: at.source, Inbox: at.events, Segments: segmentsio.Topic(at.source), Store: s, Tree: tree,
		Patience: 3 * time.Minute, AdminKey: strings.Repeat("admin", 8), Copied: func(ctx context.Context) error {
			if at.source == at.events {
				return nil
			}
			return kafkaio.Copied(ctx, brokers, at.events)
		}})
}

// deletes a device, for which the test is the job: it says that it has forgotten it. What
// interrupts a deletion is explained to the admin in the receipt.
func (l *lockedLog) deletes(ctx context.Context, c privacy.Config) error {
	why := make(chan error, 1)
	c.Explain = func(_ context.Context, err error) error {
		select {
		case why <- err:
		default: // one will do
		}
		return err
	}
	p, err := privacy.New(ctx, c)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	p.Register(mux)
	site := httptest.NewServer(mux)
	told, stop := context.WithCancel(ctx)
	var job sync.WaitGroup
	job.Go(func() {
		for beat(told) == nil {
			l.admin.ProduceSync(told, &kgo.Record{Topic: c.Segments, Key: []byte("d:a")})
		}
	})
	defer func() { stop(); job.Wait(); site.Close(); p.Close() }()
	method, url := http.MethodDelete, site.URL+"/v1/profiles/d:a?without=clickhouse"
	for {
		req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+c.AdminKey)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			return err
		case len(why) > 0:
			return <-why
		case resp.StatusCode >= http.StatusBadRequest:
			return fmt.Errorf("the deletion: %s %s", resp.Status, body)
		case strings.Contains(string(body), `"complete":true`):
			return nil
		case method == http.MethodDelete: // the receipt says how far it is
			method, url = http.MethodGet, site.URL+resp.Header.Get("Location")
		}
		if err := beat(ctx); err != nil {
			return fmt.Errorf("%w: %s", err, body)
		}
	}
}

func redisWork(ctx context.Context, l *lockedLog, at topicsOfJob, rds *redis.Server) error {
	if _, err := kafkaio.SourceTopic(ctx, []string{l.SASL}, at.events, kafkaio.RekeyAuto); err != nil {
		return err
	}
	w, err := redisio.Open(redisio.Config{Addr: rds.Addr(), Prefix: at.events})
	if err != nil {
		return err
	}
	f := redisio.NewFollower(redisio.Source{Brokers: []string{l.SASL}, Topic: segmentsio.Topic(at.source)}, w)
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.Run(run) }()
	for n := uint64(0); n == 0 && len(ended) == 0 && beat(ctx) == nil; n, _ = f.Copied() {
	}
	stop()
	return errors.Join(<-ended, w.Close(context.WithoutCancel(ctx)), ctx.Err())
}

func replayWork(ctx context.Context, l *lockedLog, at topicsOfJob) error {
	_, err := replay.Run(ctx, replay.Options{Brokers: []string{l.SASL}, Topic: at.events, Event: config.Demo().EventConfig(),
		Path: "-", Reader: strings.NewReader(onePage + "\n")})
	return err
}

func lettersWork(ctx context.Context, l *lockedLog, at topicsOfJob) error {
	if _, err := kafkaio.SourceTopic(ctx, []string{l.SASL}, at.events, kafkaio.RekeyAuto); err != nil {
		return err
	}
	var letters []deadletters.Letter // one of them is there
	for p := range int32(2) {
		letters = append(letters, deadletters.Letter{Place: identity.Place{Partition: p}, Letter: identity.Letter{Reason: event.Poison}})
	}
	r, err := deadletters.New(ctx, deadletters.Options{Brokers: []string{l.SASL}, Topic: at.events, Event: config.Demo().EventConfig(), Letters: letters})
	if err != nil {
		return err
	}
	defer r.Close()
	plan, err := r.Send(ctx)
	if err == nil && plan.Sent != 1 {
		err = fmt.Errorf("%+v", plan)
	}
	return err
}

func stateWork(ctx context.Context, l *lockedLog, at topicsOfJob) error {
	return runState(ctx, io.Discard, &folder{}, l.SASL, at.events, true, false)
}

// attempt is a role's work without one right, or with all of them.
type attempt struct {
	work
	at      topicsOfJob
	without kafka.Right
	made    bool // somebody else has made the topics, and there is no right to make any
}

func (a *attempt) given() []kafka.Right {
	return slices.DeleteFunc(rightsOf(a.role, a.at), func(r kafka.Right) bool { return r == a.without || a.made && r.Operation == "Create" })
}

// attempts are each role's whole, that with topics which others have made, and one without each right.
func attempts(works []work) (out []*attempt) {
	add := func(w work, name string, right int) {
		events := fmt.Sprintf("%s-%d-%s", w.role, len(out), name)
		a := &attempt{work: w, at: topicsOfJob{events, events}, made: name == "made"}
		if w.keyed {
			a.at.source = a.at.keyed()
		}
		if right >= 0 {
			a.without = rightsOf(w.role, a.at)[right]
		}
		out = append(out, a)
	}
	for _, w := range works {
		add(w, "whole", -1)
		if w.role == "job" || w.role == "copier" || w.role == "node" {
			add(w, "made", -1)
		}
		n := topicsOfJob{"x", "x"}
		if w.keyed {
			n.source = n.keyed()
		}
		for i := range rightsOf(w.role, n) {
			add(w, "less", i)
		}
	}
	return out
}

// prepare makes the topics and gives the rights.
func (l *lockedLog) prepare(tries []*attempt) {
	l.t.Helper()
	var names []string
	for _, a := range tries {
		names = append(names, a.at.events)
	}
	l.topic(names...)
	for _, a := range tries {
		a.work.made(l, a.at)
		if a.made {
			l.othersMade(a)
		}
		l.allow("job", a.given())
	}
	l.allow("job", []kafka.Right{{Operation: "Read", Resource: kafka.Topic, Name: "last"}})
	l.topic("last")
	await(l.t, "that the broker knows of all", func() bool {
		missing, err := kafka.Missing(l.t.Context(), []string{l.SASL}, []kafka.Right{{Operation: "Read", Resource: kafka.Topic, Name: "last"}})
		return err == nil && len(missing) == 0
	})
}

// othersMade makes the topics that a role would make itself.
func (l *lockedLog) othersMade(a *attempt) {
	l.t.Helper()
	adm := kadm.NewClient(l.admin)
	for _, r := range rightsOf(a.role, a.at) {
		if r.Operation != "Create" {
			continue
		}
		partitions, settings := int32(2), map[string]*string{}
		if r.Name == changelogio.Topic(a.at.source) {
			partitions = 3 // as of two machines
		} else if r.Name == spillio.Topic(a.at.source) {
			partitions = 1
		}
		if _, err := adm.CreateTopic(l.t.Context(), partitions, 1, settings, r.Name); err != nil {
			l.t.Fatal(r, err)
		}
	}
}

// tried does the work of an attempt: with all rights it goes well, without one of them something
// is refused, and the error names that right.
func (l *lockedLog) tried(ctx context.Context, a *attempt) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err := a.do(ctx, l, a.at)
	if a.without == (kafka.Right{}) {
		if err != nil {
			l.t.Errorf("%s with its rights (topics of others: %v; copies: %v): %v", a.role, a.made, a.keyed, err)
		}
		return
	}
	if !kafka.Refuses(err) {
		l.t.Errorf("%s without %v: %v", a.role, a.without, err)
		return
	}
	err = named(ctx, a.role, []string{l.SASL}, a.at, err)
	var denied *kafka.DeniedError
	if !errors.As(err, &denied) || !slices.Contains(denied.Missing, a.without) || len(denied.Missing) > 3 || !strings.Contains(err.Error(), `"job" lacks rights`) {
		l.t.Errorf("%s without %v: %v", a.role, a.without, err)
	}
}

// TestEachRightOfTheLogIsNeeded: with the rights of its list each role works on a real Kafka, and
// without any one of them something is refused, and the error names the right that is missing. Who
// finds its topics made needs no right to make them, which once was asked for all the same. The lists
// had rights that nobody used (the copier's Read on its copies), and lacked some (state's, to find the
// copies; and where there are copies, that of state and redis to find them).
func TestEachRightOfTheLogIsNeeded(t *testing.T) {
	rds, err := redis.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rds.Kill)
	l := startLocked(t, "job")
	setAll(t, l.login("SCRAM-SHA-512", "job", broker.Password))
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	tries := attempts(l.works(rds))
	l.prepare(tries)
	var wg sync.WaitGroup
	room := make(chan struct{}, 8)
	for _, a := range tries {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			l.tried(ctx, a)
		})
	}
	wg.Wait()
	t.Run("doors that open", l.doorsOpen)
	t.Run("doors that do not", l.doorsClosed)
	t.Run("a right that is taken away", l.taken)
	t.Run("redis of copies", func(t *testing.T) { l.redisOfCopies(t, rds) })
}

// redisOfCopies: `microseg redis` beside a job that reads copies by device was told that it lacks
// a right on the topic of segments of a job without them.
func (l *lockedLog) redisOfCopies(t *testing.T, rds *redis.Server) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	at := topicsOfJob{"copied", kafkaio.KeyedTopic("copied")}
	l.topic(at.events, at.source, segmentsio.Topic(at.source))
	found := at.finds()
	l.allow("job", found)
	await(t, "the broker to know of a right", func() bool {
		missing, err := kafka.Missing(ctx, []string{l.SASL}, found)
		return err == nil && len(missing) == 0
	})
	c := root()
	c.SetArgs([]string{"redis", "--brokers", l.SASL, "--topic", at.events, "--redis", rds.Addr(), "--admin-http", "127.0.0.1:0"})
	err := c.ExecuteContext(ctx)
	var denied *kafka.DeniedError
	if want := on(kafka.Topic, segmentsio.Topic(at.source), "Read"); !errors.As(err, &denied) || !slices.Equal(denied.Missing, want) {
		t.Errorf("%v; want a refusal that names %v", err, want)
	}
}
