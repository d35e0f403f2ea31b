package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/microseg/microseg/sinks/redisio"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/microseg/microseg/sinks/spillio"
	"github.com/microseg/microseg/sources/kafkaio"
)

// role is what a process does with the log, and the least rights that it needs there.
// Read, Write, Delete and Alter bring Describe with them. docs/operations.md has the same list.
type role struct {
	name   string
	rights func(topicsOfJob) []kafka.Right
}

// topicsOfJob are that of events, and the one that the job reads: another one with source.rekey.
type topicsOfJob struct{ events, source string }

func (t topicsOfJob) keyed() string { return kafkaio.KeyedTopic(t.events) }

// finds is what it takes to find out whether the job reads the copies by device.
func (t topicsOfJob) finds() []kafka.Right { return on(kafka.Topic, t.keyed(), "Describe") }

// findsOnly is the same for roles that have a right on the job's topic, which brings it where
// that is the copies.
func (t topicsOfJob) findsOnly() []kafka.Right {
	if t.source != t.events {
		return nil
	}
	return t.finds()
}

func on(resource, name string, operations ...string) (out []kafka.Right) {
	for _, op := range operations {
		out = append(out, kafka.Right{Operation: op, Resource: resource, Name: name})
	}
	return out
}

// roles are those that a login may be for.
var roles = []role{
	{"job", func(t topicsOfJob) []kafka.Right {
		segments, spill := segmentsio.Topic(t.source), spillio.Topic(t.source)
		out := slices.Concat(on(kafka.Topic, t.source, "Read"), t.findsOnly(), on(kafka.Topic, identity.ErasedTopic(t.source), "Read"),
			on(kafka.Topic, segments, "Create", "Write"), on(kafka.TransactionalID, segmentsio.Fence(segments), "Write"),
			on(kafka.Topic, changelogio.Topic(t.source), "Create", "Read", "Write", "Delete", "Alter"),
			on(kafka.Topic, spill, "Create", "Read", "Write", "Delete"), on(kafka.Group, spill, "Read"))
		if t.source != t.events {
			out = append(out, copierRights(t)...)
		}
		return out
	}},
	{"copier", copierRights},
	{"node", func(t topicsOfJob) []kafka.Right {
		var copies []kafka.Right
		if t.source != t.events { // a deletion waits until what came before it is copied
			copies = slices.Concat(on(kafka.Topic, t.events, "Describe", "DescribeConfigs"), on(kafka.Group, kafkaio.Copier(t.keyed()), "Describe"))
		}
		return slices.Concat(on(kafka.Topic, t.source, "Write", "DescribeConfigs"), copies, t.findsOnly(), on(kafka.Topic, segmentsio.Topic(t.source), "Read"),
			on(kafka.Topic, identity.ErasedTopic(t.source), "Create", "Write"), on(kafka.Topic, changelogio.Topic(t.source), "Read"))
	}},
	{"redis", func(t topicsOfJob) []kafka.Right {
		return slices.Concat(t.finds(), on(kafka.Topic, segmentsio.Topic(t.source), "Read"))
	}},
	{"replay", func(t topicsOfJob) []kafka.Right { return on(kafka.Topic, t.events, "Write") }},
	{"deadletters", func(t topicsOfJob) []kafka.Right {
		return slices.Concat(on(kafka.Topic, t.source, "Read", "Write", "DescribeConfigs"), t.findsOnly())
	}},
	{"state", func(t topicsOfJob) []kafka.Right {
		return slices.Concat(t.finds(), on(kafka.Topic, changelogio.Topic(t.source), "Read"))
	}},
}

// copierRights are for the copies by device: the job's, too, with source.rekey.
func copierRights(t topicsOfJob) []kafka.Right {
	return slices.Concat(on(kafka.Topic, t.events, "Read", "DescribeConfigs"), on(kafka.Topic, t.keyed(), "Create", "Write"), on(kafka.Group, kafkaio.Copier(t.keyed()), "Read"))
}

// rightsOf is what a role needs.
func rightsOf(name string, t topicsOfJob) []kafka.Right {
	for _, r := range roles {
		if r.name == name {
			return r.rights(t)
		}
	}
	panic("no role " + name)
}

// named says which right it was that an error of the log's is about.
func named(ctx context.Context, role string, brokers []string, t topicsOfJob, err error) error {
	return kafka.Name(context.WithoutCancel(ctx), brokers, rightsOf(role, t), err)
}

// sourceOf are the topics of the job that reads a topic of events, as far as the log tells.
func sourceOf(ctx context.Context, brokers []string, events, rekey string) topicsOfJob {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	at := topicsOfJob{events, events}
	if source, err := kafkaio.SourceTopic(ctx, brokers, events, rekey); err == nil {
		at.source = source
	}
	return at
}

// checkLog asks the log whether it lets this login in, and what each role lacks.
func checkLog(ctx context.Context, w io.Writer, brokers []string, at topicsOfJob, as string) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	found, bad := false, false
	for _, r := range roles {
		if as != "" && r.name != as {
			continue
		}
		found = true
		missing, err := kafka.Missing(ctx, brokers, r.rights(at))
		if err != nil {
			fmt.Fprintf(w, "the log at %v: %v\n", brokers, err)
			return exitCode(1)
		}
		for _, m := range missing {
			fmt.Fprintf(w, "%s: lacks %v\n", r.name, m)
		}
		if len(missing) == 0 {
			fmt.Fprintf(w, "%s: has all its rights in the log\n", r.name)
		}
		bad = bad || len(missing) > 0 && as != ""
	}
	if !found {
		var names []string
		for _, r := range roles {
			names = append(names, r.name)
		}
		return fmt.Errorf("--as %s: there is no such role; choose one of %s", as, strings.Join(names, ", "))
	}
	if bad {
		return exitCode(1)
	}
	return nil
}

// locked watches whether the log, or Redis, lets a process in and do what it must.
type locked struct{ trouble atomic.Pointer[string] }

// watchLock looks at the log at once and then each minute, while the context lasts. What is
// wrong is told once, and stays in the health until it is right.
func watchLock(ctx context.Context, role string, brokers []string, t topicsOfJob) *locked {
	l := &locked{}
	l.watch(ctx, func() { l.look(ctx, role, brokers, t) })
	return l
}

// watchRedis is the same of a Redis that a node forgets persons in.
func watchRedis(ctx context.Context, w *redisio.Writer) *locked {
	l := &locked{}
	l.watch(ctx, func() { l.tell(ctx, "persons are not forgotten there", w.Try(ctx)) })
	return l
}

func (l *locked) watch(ctx context.Context, look func()) {
	look()
	go func() {
		for {
			wait := lockEvery
			if l.note() != "" {
				wait = lockAgain
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
				look()
			}
		}
	}()
}

const (
	lockEvery = time.Minute
	lockAgain = 5 * time.Second
)

func (l *locked) look(ctx context.Context, role string, brokers []string, t topicsOfJob) {
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	missing, err := kafka.Missing(asking, brokers, rightsOf(role, t))
	if err == nil && len(missing) > 0 {
		err = &kafka.DeniedError{Missing: missing}
	}
	l.tell(ctx, "what this "+role+" needs of the log", err)
}

// tell keeps what is wrong, and logs it where it is news.
func (l *locked) tell(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	text := ""
	if err != nil {
		text = "degraded: " + err.Error()
	}
	if was := l.note(); text != was && text != "" {
		slog.Error(what, "err", err)
	}
	l.trouble.Store(&text)
}

// note is a line of the health; empty: all is well.
func (l *locked) note() string {
	if l == nil {
		return ""
	}
	if s := l.trouble.Load(); s != nil {
		return *s
	}
	return ""
}

// check is the same as a check of the health.
func (l *locked) check() query.Check {
	note := strings.TrimPrefix(l.note(), "degraded: ")
	return query.Check{Kind: "log_login", OK: note == "", Message: note}
}
