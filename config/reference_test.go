package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/segment"
)

var rewrite = flag.Bool("rewrite", false, "rewrite docs/config.md")

// TestReference: docs/config.md is what the structs, the shipped file, the
// table of limits and the feature catalogue say. To renew it:
//
//	go test ./config -run Reference -rewrite
func TestReference(t *testing.T) {
	const path = "../docs/config.md"
	want := reference(t)
	if *rewrite {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is stale (%v); run go test ./config -run Reference -rewrite", path, err)
	}
}

const referenceHead = `# Configuration

Generated from package config; do not edit (go test ./config -run Reference -rewrite).

A file needs only what differs from the shipped one, [config/microseg.yaml](../config/microseg.yaml): a key that it leaves
out keeps its default, and a list or tree that it states replaces the shipped one. Unknown keys, values out of bounds and
conditions that do not compile are refused with file, line and column. ` + "`microseg check FILE`" + ` also finds segments that nobody
can be in, rules that conflict, never fire or never win, data that templates miss, and signals that never match; it says all that
is wrong at once, with the nearest name that is known, and notes segments that no rule names. Templates are added to the shipped
ones; a file with segments of its own has only the rules that it states.

Durations are numbers with their unit: 400ms, 30s, 10m, 2h, 30d.
`

const referenceConditions = `
## Conditions

` + "`when`" + ` is CEL over the features below, restricted to what has an exact answer to "when may this change without an event?":

- comparisons ` + "`< <= > >= == !=`" + `, ` + "`&& || !`" + `, ` + "`in`" + ` with a list of constants, parentheses, ` + "`true`, `false`" + `;
- arithmetic ` + "`+ - * /`" + ` on numbers. All numbers are doubles: ` + "`7 / 2`" + ` is 3.5;
- names as strings: ` + "`device.type == \"mobile\"`, `page.type in [\"cart\", \"checkout\"]`" + `;
- yes/no features as they are: ` + "`linked && !session.open`" + `.

Features marked *moves* change with time alone. A comparison of one with a constant flips at its exact millisecond;
` + "`==`, `!=` and `in`" + ` on them are refused. Arithmetic on them, or a comparison of two, is looked at every refresh_interval.
Features marked *session* are 0, or unknown, once the session is over; for several devices they are merged over the open
sessions. ` + "`signal_weight` and `stale_share`" + ` are undefined without events, and every comparison with them is false then.

Conditions of rules may also compare ` + "`segment`" + `, the served one, with names or ends of paths: ` + "`segment == \"high_intent\"`" + `
holds for it and everything below it, ` + "`segment in [\"low_intent\", \"high_intent/cart_abandoner\"]`" + ` for either. A name that
several segments have means all of them. ` + "`page.type` and `device.type`" + ` are those of the request there.

` + "`microseg check FILE`" + ` proves of rules that two of equal priority never fill a slot at once (what arithmetic makes
undecidable counts as a conflict), that each can fire, and that none always loses its slot to others; a public rule is
decided for visitors without a proof, too, so only public ones can take the slot from it for good.
`

func reference(t *testing.T) string {
	t.Helper()
	r := referencer{docs: structDocs(t), c: Default(), limits: map[string]string{}}
	for _, b := range r.c.bounds() {
		advice := b.advice[strings.LastIndex(b.advice, ";")+1:]
		advice = strings.TrimPrefix(strings.TrimSpace(advice), "choose ")
		if r.limits[b.path] != "" {
			advice = r.limits[b.path] + "; " + advice
		}
		r.limits[b.path] = advice
	}
	r.b.WriteString(referenceHead)
	r.section("", "General", reflect.ValueOf(*r.c))
	r.b.WriteString(referenceConditions)
	r.features()
	return r.b.String()
}

// structDocs are the comments of config.go: of types by name, and of fields by
// Type.Field.
func structDocs(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		name := g.Specs[0].(*ast.TypeSpec).Name.Name
		out[name] = strings.Join(strings.Fields(g.Doc.Text()), " ")
		for _, f := range g.Specs[0].(*ast.TypeSpec).Type.(*ast.StructType).Fields.List {
			out[name+"."+f.Names[0].Name] = strings.TrimSpace(f.Comment.Text())
		}
	}
	return out
}

type referencer struct {
	b      strings.Builder
	docs   map[string]string
	limits map[string]string
	c      *Config
}

// section writes the table of a struct, and then the sections of those in it.
func (r *referencer) section(path, title string, v reflect.Value) {
	fmt.Fprintf(&r.b, "\n## %s\n\n", title)
	if path != "" {
		// The comment of a type begins with its name.
		doc := strings.TrimPrefix(r.docs[v.Type().Name()], v.Type().Name()+" ")
		doc = strings.TrimPrefix(strings.TrimPrefix(doc, "is "), "are ")
		fmt.Fprintf(&r.b, "%s\n\n", strings.ToUpper(doc[:1])+doc[1:])
	}
	r.b.WriteString("| key | default | meaning | limits |\n|---|---|---|---|\n")
	var later []func()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		name, value := f.Tag.Get("yaml"), v.Field(i)
		at := strings.TrimPrefix(path+"."+name, ".")
		item, inner := f.Type, value
		if item.Kind() == reflect.Slice && item.Elem().Kind() == reflect.Struct {
			item, inner = item.Elem(), reflect.New(item.Elem()).Elem()
		}
		if item.Kind() == reflect.Struct && item != reflect.TypeFor[Bound]() && f.Name != "Children" {
			later = append(later, func() { r.section(at, r.title(at, f.Type), inner) })
			continue
		}
		fmt.Fprintf(&r.b, "| `%s` | %s | %s | %s |\n", name, shown(value, path, f), r.docs[v.Type().Name()+"."+f.Name], tidy(r.limits[at]))
	}
	for _, fn := range later {
		fn()
	}
}

func (r *referencer) title(path string, t reflect.Type) string {
	if t.Kind() == reflect.Slice {
		return path + " (a list)"
	}
	return path
}

var zeros = regexp.MustCompile(`([hm])0[ms](0s)?\b`)

// tidy writes 30m for 30m0s.
func tidy(s string) string { return zeros.ReplaceAllString(s, "$1") }

// shown is a default; items of a list have none.
func shown(v reflect.Value, path string, f reflect.StructField) string {
	item := slices.ContainsFunc([]string{"pages", "signals", "segments", "slots", "rules"}, func(list string) bool { return strings.HasPrefix(path, list) })
	switch x := v.Interface().(type) {
	case map[string]string:
		return strings.Join(slices.Sorted(maps.Keys(x)), ", ")
	case Bound:
		return "none"
	case time.Duration:
		if item {
			return ""
		}
		return tidy(x.String())
	case []string:
		if len(x) == 0 {
			return ""
		}
		return strings.Join(x, ", ")
	default:
		if item || f.Type.Kind() == reflect.Pointer {
			return ""
		}
		return fmt.Sprint(x)
	}
}

// features writes the catalogue that conditions use.
func (r *referencer) features() {
	fmt.Fprintf(&r.b, "\n## Features\n\n`hover.*` and `focus.*` are those of the shipped elements.\n\n| feature | unit or values | meaning | |\n|---|---|---|---|\n")
	for _, f := range segment.NewSchema(r.c.Elements).Features() {
		unit, marks := f.Unit, ""
		switch {
		case f.Enum != nil:
			unit = strings.Join(f.Enum, ", ")
		case f.Bool:
			unit = "true, false"
		}
		switch {
		case f.Varies():
			marks = "moves"
		case f.Session:
			marks = "session"
		}
		fmt.Fprintf(&r.b, "| `%s` | %s | %s | %s |\n", f.Name, unit, f.Doc, marks)
	}
}
