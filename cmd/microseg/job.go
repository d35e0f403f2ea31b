package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/pipelines"
)

// job is a live job with what the command line does around it.
type job struct{ *pipelines.Job }

// newJob makes a job, as soon as its log and its ClickHouse answer.
func newJob(ctx context.Context, cfg *config.Config, brokers []string, topic, site, dsn string) (*job, error) {
	var made *pipelines.Job
	err := pipelines.Await(ctx, func() (err error) {
		made, err = pipelines.NewJob(ctx, cfg, brokers, topic, site, dsn)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &job{made}, nil
}

// start starts the job, as soon as its log answers, and says where it goes on.
func (j *job) start(ctx context.Context, rebuild bool) error {
	j.Rebuild = rebuild
	if err := pipelines.Await(ctx, func() error { return j.Start(ctx) }); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, j.Recovery.String())
	return nil
}

// split cuts a comma-separated list.
func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
