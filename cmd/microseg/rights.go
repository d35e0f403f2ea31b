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
		return slices.Concat(on(kafka.Topic, t.source, "Read"), on(kafka.Topic, t.keyed(), "Describe"), on(kafka.Topic, identity.ErasedTopic(t.source), "Read"),
			on(kafka.Topic, segments, "Create", "Write"), on(kafka.TransactionalID, segmentsio.Fence(segments), "Write"),
			on(kafka.Topic, changelogio.Topic(t.source), "Create", "Read", "Write", "Delete", "Alter"),
			on(kafka.Topic, spill, "Create", "Read", "Write", "Delete"), on(kafka.Group, spill, "Read"))
	}},
	{"copier", func(t topicsOfJob) []kafka.Right { // the job's, too, with source.rekey
		return slices.Concat(on(kafka.Topic, t.events, "Read", "DescribeConfigs"), on(kafka.Topic, t.keyed(), "Create", "Read", "Write"), on(kafka.Group, kafkaio.Copier(t.keyed()), "Read"))
	}},
	{"node", func(t topicsOfJob) []kafka.Right {
		out := slices.Concat(on(kafka.Topic, t.events, "Write", "DescribeConfigs"), on(kafka.Topic, t.keyed(), "Describe"),
			on(kafka.Topic, segmentsio.Topic(t.source), "Read"), on(kafka.Topic, identity.ErasedTopic(t.source), "Create", "Write"), on(kafka.Topic, changelogio.Topic(t.source), "Read"))
		if t.source != t.events {
			out = slices.Concat(out, on(kafka.Topic, t.source, "Write", "DescribeConfigs"), on(kafka.Group, kafkaio.Copier(t.keyed()), "Describe"))
		}
		return out
	}},
	{"redis", func(t topicsOfJob) []kafka.Right {
		return slices.Concat(on(kafka.Topic, t.keyed(), "Describe"), on(kafka.Topic, segmentsio.Topic(t.source), "Read"))
	}},
	{"replay", func(t topicsOfJob) []kafka.Right { return on(kafka.Topic, t.events, "Write") }},
	{"deadletters", func(t topicsOfJob) []kafka.Right {
		return slices.Concat(on(kafka.Topic, t.source, "Read", "Write", "DescribeConfigs"), on(kafka.Topic, t.keyed(), "Describe"), on(kafka.Topic, changelogio.Topic(t.source), "Read"))
	}},
	{"state", func(t topicsOfJob) []kafka.Right { return on(kafka.Topic, changelogio.Topic(t.source), "Read") }},
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

// checkLog asks the log whether it lets this login in, and what each role lacks.
func checkLog(ctx context.Context, w io.Writer, brokers []string, events, as string) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	found, bad := false, false
	for _, r := range roles {
		if as != "" && r.name != as {
			continue
		}
		found = true
		missing, err := kafka.Missing(ctx, brokers, r.rights(topicsOfJob{events, events}))
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

// locked watches whether the log lets a process in and do what it must.
type locked struct{ trouble atomic.Pointer[string] }

// watchLock looks at once and then each minute, while the context lasts. What is wrong is told
// once, and stays in the health until it is right.
func watchLock(ctx context.Context, role string, brokers []string, t topicsOfJob) *locked {
	l := &locked{}
	l.look(ctx, role, brokers, t)
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
				l.look(ctx, role, brokers, t)
			}
		}
	}()
	return l
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
	if ctx.Err() != nil {
		return
	}
	text := ""
	if err != nil {
		text = "degraded: " + err.Error()
	}
	if was := l.note(); text != was && text != "" {
		slog.Error("the log", "role", role, "err", err)
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
