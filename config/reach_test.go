package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCheckReach(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"never": {"segments:\n  - name: a\n    when: intent > 0.5 && intent < 0.4\n",
			"f.yaml:3:11: segments[0].when: this can never hold; change"},
		"never within": {"segments:\n  - {name: z, when: linked}\n  - name: a\n    when: intent > 0.5\n    children:\n      - name: b\n        when: live < 1\n",
			"f.yaml:7:15: segments[1].children[0].when: this can never hold within a; change"},
		"session features after the session": {"segments:\n  - name: a\n    when: dwell.comparison >= 90 && !session.open\n", "this can never hold"},
		"idle for longer than a session":     {"session: {gap: 10m}\nsegments:\n  - name: a\n    when: dwell.cart > 0 && idle_s >= 600\n", "f.yaml:4:11: segments[0].when: this can never hold"},
		"unreachable": {"segments:\n  - {name: a, when: intent > 0.4}\n  - {name: b, when: intent > 0.7}\n",
			"f.yaml:3:21: segments[1].when: unreachable: a always wins; move"},
		"unreachable child": {"segments:\n  - name: a\n    when: intent > 0.4\n    children:\n      - {name: b, when: cart.items > 0}\n      - {name: c, when: cart.items > 2 && linked}\n",
			"f.yaml:6:25: segments[0].children[1].when: unreachable: a/b always wins"},
		"unreachable by two": {"segments:\n  - {name: a, when: linked}\n  - {name: b, when: intent > 0.1}\n  - {name: c, when: 'devices < 2 && !linked'}\n  - {name: d, when: intent > 0.7}\n  - {name: e, when: 'devices < 2'}\n",
			"segments[4].when: unreachable: a and c together always win"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := Parse([]byte(c.in), "f.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if p := cfg.Check(); len(p) == 0 || !strings.Contains(Problems(p).Error(), c.want) {
				t.Errorf("got  %v\nwant %v", Problems(p), c.want)
			}
		})
	}
}

// TestNotes: a condition with too many cases is no problem, and is said to
// be open. Eight pigeons in seven holes are such a condition.
func TestNotes(t *testing.T) {
	var elements, when []string
	sits := func(pigeon, hole int) string { return fmt.Sprintf("e%d_%d", pigeon, hole) }
	for i := range 8 {
		var one []string
		for h := range 7 {
			elements = append(elements, sits(i, h))
			one = append(one, "hover."+sits(i, h)+" > 0")
			for j := range i {
				when = append(when, fmt.Sprintf("(hover.%s <= 0 || hover.%s <= 0)", sits(i, h), sits(j, h)))
			}
		}
		when = append(when, "("+strings.Join(one, " || ")+")")
	}
	cfg, err := Parse([]byte("elements: ["+strings.Join(elements, ", ")+"]\nsegments:\n  - name: a\n    when: "+strings.Join(when, " && ")+"\n"), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if p := cfg.Check(); len(p) > 0 {
		t.Errorf("problems: %v", p)
	}
	if p := cfg.Notes(); len(p) != 2 || p[0].Line != 4 {
		t.Errorf("unproved: %v", p)
	}
	if p := Default().Notes(); p != nil {
		t.Errorf("the shipped segments are not proved: %v", p)
	}
}

func TestSegmentTree(t *testing.T) {
	tree, err := Default().SegmentTree()
	if err != nil || tree.Len() != 1+len(places("", Default().Segments, nil)) {
		t.Fatal(tree, err)
	}
	cfg, err := Parse([]byte("segments:\n  - {name: a, when: intend > 1}\n  - {name: b, when: live >}\n"), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = cfg.SegmentTree()
	if p, ok := err.(Problems); !ok || len(p) != 2 || p[0].CELColumn != 1 || !strings.Contains(p[0].Message, "did you mean intent?") {
		t.Errorf("got %v", err)
	}
}

// TestPlaces: the order of the file is the order in which nodes are numbered.
func TestPlaces(t *testing.T) {
	c := Default()
	tree, err := c.SegmentTree()
	if err != nil {
		t.Fatal(err)
	}
	at, lines := places("segments", c.Segments, []string{""}), strings.Split(string(Shipped), "\n")
	for id := 1; id < tree.Len(); id++ {
		m := c.marks[at[id]+".name"]
		if text := lines[m.line-1][m.column-1:]; !strings.HasPrefix(text, tree.Node(id).Name) {
			t.Errorf("node %d is %s, at %s stands %s", id, tree.Path(id), at[id], text)
		}
	}
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{"400ms": 400 * time.Millisecond, "30d": 720 * time.Hour, "1.5d": 36 * time.Hour, "1d12h30m": 36*time.Hour + 30*time.Minute, "-5s": -5 * time.Second} {
		if got, err := parseDuration(in); err != nil || got != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "d", "5", "1d-2h", "-1d", "1d2d", "999999999d", "106751d25h", "1dx"} {
		if got, err := parseDuration(in); err == nil {
			t.Errorf("%q is %v", in, got)
		}
	}
	c, err := Parse([]byte("retention: 14d # two weeks\nsession: {gap: \"20m\"}\n"), "f.yaml")
	if err != nil || c.Retention != 14*24*time.Hour || c.Session.Gap != 20*time.Minute {
		t.Errorf("%v, %v", c, err)
	}
}
