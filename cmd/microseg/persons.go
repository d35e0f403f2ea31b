package main

import (
	"context"
	"errors"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/serving/privacy"
	"github.com/microseg/microseg/sinks/clickhouseio/erasure"
)

// persons exports and deletes persons.
type persons struct {
	*privacy.Server
	record *erasure.Store // nil: none
}

// openPersons answers for persons beside a node; without a DSN not for their rows.
func openPersons(ctx context.Context, cfg *config.Config, o node.Options, n *node.Node, dsn string) (*persons, error) {
	tree, err := cfg.SegmentTree()
	if err != nil {
		return nil, err
	}
	c := privacy.Config{Brokers: o.Brokers, Events: o.Events, Segments: o.Segments, Store: n.Store, Tree: tree, Schema: segment.NewSchema(cfg.Elements),
		Params: cfg.SegmentParams(), AdminKey: o.Secrets.AdminKey, WriteKeys: cfg.Collector.WriteKeys}
	p := &persons{}
	if dsn != "" {
		if p.record, err = erasure.Open(ctx, dsn, o.Site); err != nil {
			return nil, err
		}
		c.Record = p.record
	}
	if p.Server, err = privacy.New(ctx, c); err != nil {
		return nil, errors.Join(err, p.closeRecord())
	}
	return p, nil
}

func (p *persons) close() error {
	p.Server.Close()
	return p.closeRecord()
}

func (p *persons) closeRecord() error {
	if p.record == nil {
		return nil
	}
	return p.record.Close()
}
