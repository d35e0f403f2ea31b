package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/prometheus/client_golang/prometheus"
)

// job is a live job with what the command line does around it.
type job struct {
	*pipelines.Job
	running atomic.Pointer[config.Config] // what health is judged by now
	reload  *reloader                     // nil: nothing is taken while it runs
	lock    *locked                       // nil: the log is our own
}

// thresholds are those of the configuration that runs.
func (j *job) thresholds() query.Thresholds { return thresholds(j.running.Load(), j.Site) }

// watch makes the job take over what changes in the configuration file while the
// context lasts, and also what else of this process must; to is where it counts.
func (j *job) watch(ctx context.Context, path string, to prometheus.Registerer, also func(*config.Config) error) {
	j.reload = newReloader(path, j.Config, func(cfg *config.Config) error {
		if err := j.Reload(cfg); err != nil {
			return err
		}
		if also != nil {
			if err := also(cfg); err != nil {
				return err
			}
		}
		j.running.Store(cfg)
		return nil
	})
	j.reload.register(to)
	go j.reload.run(ctx)
}

// newJob makes a job, as soon as its log and its ClickHouse answer.
func newJob(ctx context.Context, cfg *config.Config, brokers []string, topic, site, dsn string) (*job, error) {
	var made *pipelines.Job
	err := pipelines.Await(ctx, func() (err error) {
		made, err = pipelines.NewJob(ctx, cfg, brokers, topic, site, dsn)
		return namedOfJob(ctx, brokers, topic, err)
	})
	if err != nil {
		return nil, err
	}
	j := &job{Job: made}
	j.running.Store(cfg)
	return j, nil
}

// namedOfJob is named for a job that may be about to copy the records by device: its login is for
// the topics of which it lacks least.
func namedOfJob(ctx context.Context, brokers []string, topic string, err error) error {
	told := named(ctx, "job", brokers, topicsOfJob{topic, topic}, err)
	copies := named(ctx, "job", brokers, topicsOfJob{topic, kafkaio.KeyedTopic(topic)}, err)
	var a, b *kafka.DeniedError
	if errors.As(copies, &b) && (!errors.As(told, &a) || len(b.Missing) < len(a.Missing)) {
		return copies
	}
	return told
}

// start starts the job, as soon as its log answers, and says where it goes on.
func (j *job) start(ctx context.Context, rebuild bool) error {
	j.Rebuild = rebuild
	if err := pipelines.Await(ctx, func() error { return named(ctx, "job", j.Source.Brokers, j.topics(), j.Start(ctx)) }); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, j.Recovery.String())
	return nil
}

// topics are the job's.
func (j *job) topics() topicsOfJob {
	t := topicsOfJob{j.Source.Topic, j.Source.Topic}
	if j.Rekeyer != nil {
		t.events = j.Rekeyer.Events
	}
	return t
}
