package rule

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"text/template/parse"
)

// need is a name of .Data that a template shows.
type need struct {
	name string
	when []string // names of .Data within whose if or with it stands: not needed without them
}

// Missing are the names of .Data that the template shows and the data lacks:
// there would be a hole in the page. What stands within an if or a with about it
// is not missed.
func (t *Templates) Missing(name string, data map[string]string) (out []string) {
	one := t.byName[name]
	if one == nil {
		return nil
	}
	has := func(name string) bool { return data[name] != "" }
	for _, n := range needs(one) {
		if !has(n.name) && !slices.ContainsFunc(n.when, func(w string) bool { return !has(w) }) && !slices.Contains(out, n.name) {
			out = append(out, n.name)
		}
	}
	return out
}

func needs(t *template.Template) (out []need) {
	var walk func(n parse.Node, when []string)
	branch := func(b *parse.BranchNode, when []string) {
		names := namesOf(b.Pipe)
		walk(b.List, append(slices.Clone(when), names...))
		if b.ElseList != nil {
			walk(b.ElseList, when)
		}
	}
	walk = func(n parse.Node, when []string) {
		switch n := n.(type) {
		case *parse.ListNode:
			for _, c := range n.Nodes {
				walk(c, when)
			}
		case *parse.ActionNode:
			for _, name := range namesOf(n.Pipe) {
				out = append(out, need{name, when})
			}
		case *parse.IfNode:
			branch(&n.BranchNode, when)
		case *parse.WithNode:
			branch(&n.BranchNode, when)
		case *parse.RangeNode:
			branch(&n.BranchNode, when)
		}
	}
	if t.Tree != nil && t.Tree.Root != nil {
		walk(t.Tree.Root, nil)
	}
	return out
}

// namesOf are the names of .Data or $.Data that a pipeline reads.
func namesOf(p *parse.PipeNode) (out []string) {
	if p == nil {
		return nil
	}
	for _, c := range p.Cmds {
		for _, a := range c.Args {
			switch a := a.(type) {
			case *parse.FieldNode:
				if len(a.Ident) == 2 && a.Ident[0] == "Data" {
					out = append(out, a.Ident[1])
				}
			case *parse.VariableNode:
				if len(a.Ident) == 3 && a.Ident[0] == "$" && a.Ident[1] == "Data" {
					out = append(out, a.Ident[2])
				}
			case *parse.PipeNode:
				out = append(out, namesOf(a)...)
			}
		}
	}
	return out
}

// templateMistake rewrites what html/template says of fields that there are not.
func templateMistake(err error) error {
	const no = "can't evaluate field "
	_, rest, is := strings.Cut(err.Error(), no)
	if !is {
		return err
	}
	field, _, _ := strings.Cut(rest, " ")
	return fmt.Errorf("there is no .%s; templates have .Data.<name>, .Segment, .Page, .Device, .DeadlineMS, .CountdownS, .Category and .Product", field)
}
