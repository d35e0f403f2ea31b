package clickhouseio

import (
	"context"
	"fmt"

	"github.com/microseg/microseg/segment"
)

// DescribeTree records the segment tree of a site as a job begins with it, for
// people who ask what a node means, and for the views: nodes that need no
// audience are served before any was decided. version is wall clock, ms.
func DescribeTree(ctx context.Context, dsn, site string, tree *segment.Tree, a *segment.Activation, version int64) error {
	conn, err := Dial(dsn)
	if err != nil {
		return err
	}
	defer conn.Close()
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO segment_nodes (site, position, path, title, condition, exempt, why, activate, min_sample, version)")
	if err != nil {
		return fmt.Errorf("recording the segment tree: %w", err)
	}
	for i := range tree.Len() {
		n, condition, why, exempt := tree.Node(i), "", segment.WhyUndecided, uint8(0)
		if n.When != nil {
			condition = n.When.Source
		}
		if a.Exempt[i] {
			why, exempt = a.Why(tree, i, 0, 0), 1
		}
		if err := batch.Append(site, uint16(i), n.Path, n.Title, condition, exempt, why, a.Up[i], uint32(a.MinSample), uint64(version)); err != nil {
			return fmt.Errorf("recording the segment %s: %w", n.Path, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("recording the segment tree: %w", err)
	}
	return nil
}
