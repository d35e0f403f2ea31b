package pipelines

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/transforms"
)

// Reload makes a running job of this process publish what other rules read at
// once, and judge the site's signal weight by another limit. Nothing that it
// decides changes; config.Unfit says what may differ.
func (j *Job) Reload(cfg *config.Config) error {
	b := transforms.BuiltOf(j.Engine())
	if b == nil {
		return errors.New("taking over another configuration: the job does not run")
	}
	rules, err := cfg.RuleSet(b.Segment.Tree)
	if err != nil {
		return err
	}
	b.Reload(rules, cfg.Health.SignalWeight)
	j.reloaded.Store(cfg)
	return j.retitle(cfg)
}

// retitle tells ClickHouse the titles of a configuration that was taken, without
// waiting for it: what is served does not depend on it.
func (j *Job) retitle(cfg *config.Config) error {
	tree, err := cfg.SegmentTree()
	if err != nil {
		return err
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := clickhouseio.DescribeTree(ctx, j.Sink.DSN, j.Site, tree, cfg.Activation(tree), clock.Now().UnixMilli()); err != nil {
			slog.Warn("titles in ClickHouse stay as they were until the next start", "err", err)
		}
	}()
	return nil
}
