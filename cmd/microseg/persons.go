package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/serving/privacy"
	"github.com/microseg/microseg/serving/token"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/sinks/clickhouseio/erasure"
	"github.com/microseg/microseg/sinks/redisio"
	"github.com/microseg/microseg/sources/kafkaio"
)

// persons exports and deletes persons.
type persons struct {
	*privacy.Server
	record *erasure.Store  // nil: none
	redis  *redisio.Writer // nil: none
}

// openPersons answers for persons beside a node; without a DSN not for their
// rows, and without Redis not for what is there.
func openPersons(ctx context.Context, cfg *config.Config, o node.Options, n *node.Node, dsn string, redis redisio.Config) (*persons, error) {
	tree, err := cfg.SegmentTree()
	if err != nil {
		return nil, err
	}
	keys, err := token.ParseKeys(o.Secrets.TokenKeys)
	if err != nil {
		return nil, err
	}
	c := privacy.Config{Brokers: o.Brokers, Events: o.Events, Inbox: o.Inbox, Segments: o.Segments, Store: n.Store, Tree: tree, Schema: segment.NewSchema(cfg.Elements),
		Params: cfg.SegmentParams(), Retention: cfg.Retention, Covered: func(ctx context.Context) (map[int32]int64, bool, error) {
			return changelogio.Covered(ctx, o.Brokers, changelogio.Topic(o.Events))
		}, Copied: func(ctx context.Context) error {
			if o.Inbox == "" || o.Inbox == o.Events {
				return nil
			}
			return kafkaio.Copied(ctx, o.Brokers, o.Inbox)
		}, AdminKey: o.Secrets.AdminKey, Clients: n.Clients(), Keys: keys, Site: o.Site, WriteKeys: cfg.Collector.WriteKeys,
		Explain: func(ctx context.Context, err error) error {
			return named(ctx, "node", o.Brokers, topicsOfJob{cmp.Or(o.Inbox, o.Events), o.Events}, err)
		}}
	p := &persons{}
	if dsn != "" {
		if p.record, err = erasure.Open(ctx, dsn, o.Site); err != nil {
			return nil, err
		}
		c.Record = p.record
	}
	if redis.Addr != "" {
		if p.redis, err = redisio.Open(redis); err != nil {
			return nil, errors.Join(err, p.closeStores())
		}
		c.Redis = p.redis
	}
	if p.Server, err = privacy.New(ctx, c); err != nil {
		return nil, errors.Join(err, p.closeStores())
	}
	return p, nil
}

// watchRedis looks whether Redis lets persons be forgotten there; nil: there is none.
func (p *persons) watchRedis(ctx context.Context) *locked {
	if p.redis == nil {
		return nil
	}
	return watchRedis(ctx, p.redis)
}

func (p *persons) close() error {
	p.Server.Close()
	return p.closeStores()
}

func (p *persons) closeStores() (err error) {
	if p.record != nil {
		err = p.record.Close()
	}
	if p.redis != nil {
		end, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		err = errors.Join(err, p.redis.Close(end))
	}
	return err
}
