package config

import (
	"fmt"
	"strings"

	"github.com/microseg/microseg/segment"
)

// Unproved lists the segments and rules whose conditions have too many cases to
// say whether anybody can be in them. They work; nobody vouches for them.
func (c *Config) Unproved() []Problem {
	tree, err := c.SegmentTree()
	if err != nil {
		return nil
	}
	_, segments := c.reach(tree)
	_, rules := c.checkRules(tree)
	return append(segments, rules...)
}

// reach proves which segments nobody can be in, and says for which it cannot tell.
func (c *Config) reach(tree *segment.Tree) (dead, open []Problem) {
	at := places("segments", c.Segments, []string{""})
	for _, f := range tree.Check(segment.DefaultSteps) {
		when := at[f.Node] + ".when"
		switch f.Kind {
		case segment.NeverHolds:
			dead = append(dead, c.problem(when, "this can never hold%s; change the condition or remove the segment", above(tree, f.Node)))
		case segment.Unreachable:
			dead = append(dead, c.problem(when, "unreachable: %s; move this segment up, or narrow what takes its visitors", winners(tree, f.By)))
		case segment.CannotBeProved:
			open = append(open, c.problem(when, "too many cases to prove that anybody can be here; split the condition over several levels"))
		}
	}
	return dead, open
}

// above says that a condition is judged together with those above it.
func above(tree *segment.Tree, node int) string {
	if tree.Node(node).Parent == 0 {
		return ""
	}
	return " within " + relative(tree.Path(tree.Node(node).Parent))
}

func winners(tree *segment.Tree, nodes []int) string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = relative(tree.Path(n))
	}
	if len(names) == 1 {
		return names[0] + " always wins"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " together always win"
}

// relative is a path without the root, as it is written in the file.
func relative(path string) string { return strings.TrimPrefix(path, "everyone/") }

// places are the paths in the file of the tree's nodes, in pre-order as they
// are numbered; out begins with the root's.
func places(path string, list []Segment, out []string) []string {
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		out = places(at+".children", s.Children, append(out, at))
	}
	return out
}
