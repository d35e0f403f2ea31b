package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/microseg/microseg/segment"
)

// Notes lists what is no mistake and may surprise: segments and rules whose
// conditions have too many cases to say whether anybody can be in them, and
// segments whose visitors no rule shows anything.
func (c *Config) Notes() []Problem {
	tree, err := c.SegmentTree()
	if err != nil {
		return nil
	}
	_, out := c.reach(tree)
	_, rules := c.checkRules(tree)
	out = append(out, rules...)
	return append(out, c.unserved(tree)...)
}

// unserved finds segments that no rule names, neither themselves nor a layer above
// them. Rules that name no segment are shown to their visitors, too.
func (c *Config) unserved(tree *segment.Tree) (out []Problem) {
	named := map[int]bool{}
	name := func(text string) {
		for _, id := range tree.Within(text) {
			named[id] = true
		}
	}
	for _, r := range c.Rules {
		for _, s := range r.Source.Segments {
			name(s)
		}
		for _, m := range quoted.FindAllStringSubmatch(r.When, -1) {
			name(m[1])
		}
	}
	at := places("segments", c.Segments, []string{""})
	for id := 1; id < tree.Len(); id++ {
		if !named[id] {
			out = append(out, c.problem(at[id]+".name", "no rule names %s or a segment above it; add it to a rule's source.segments, or leave it to reports", relative(tree.Path(id))))
		}
	}
	return out
}

// quoted are the texts of a condition: names of segments among them.
var quoted = regexp.MustCompile(`["']([a-z0-9_/-]+)["']`)

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
