package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/microseg/microseg/segment"
)

// fitter compares what a file states with the structs that it is read into, so
// that everything that does not fit is told at once, and the rest is read.
type fitter struct {
	file     string
	problems Problems
}

func (f *fitter) refuse(n ast.Node, path, format string, args ...any) {
	p := at(n, f.file, fmt.Sprintf(format, args...))
	p.Path = path
	f.problems = append(f.problems, p)
}

var (
	durations  = reflect.TypeFor[time.Duration]()
	ownReaders = []reflect.Type{reflect.TypeFor[yaml.BytesUnmarshaler](), reflect.TypeFor[yaml.InterfaceUnmarshaler](), reflect.TypeFor[yaml.NodeUnmarshaler]()}
)

// value reports whether n fits t; what does not is told, and must be left out.
func (f *fitter) value(n ast.Node, t reflect.Type, path string) bool {
	for _, r := range ownReaders {
		if reflect.PointerTo(t).Implements(r) {
			return true // it has words of its own
		}
	}
	if n == nil || n.Type() == ast.NullType {
		return true
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == durations:
		return f.scalar(n, path, durationAdvice)
	case t.Kind() == reflect.Struct:
		return f.mapping(n, t, path)
	case t.Kind() == reflect.Map:
		pairs, ok := pairsOf(n)
		if !ok {
			f.refuse(n, path, "this needs names with values below it, such as a: text")
		}
		return ok && f.pairs(n, pairs, func(key string, v *ast.MappingValueNode) bool { return f.value(v.Value, t.Elem(), within(path, key)) })
	case t.Kind() == reflect.Slice:
		return f.list(n, t.Elem(), path)
	case t.Kind() == reflect.Int:
		return f.scalar(n, path, wholeAdvice)
	case t.Kind() == reflect.Float64:
		return f.scalar(n, path, numberAdvice)
	case t.Kind() == reflect.Bool:
		return f.scalar(n, path, truthAdvice)
	}
	return f.scalar(n, path, func(ast.Node, string) string { return "" })
}

// scalar refuses lists and mappings, and what advise has a word about.
func (f *fitter) scalar(n ast.Node, path string, advise func(n ast.Node, text string) string) bool {
	text, is := scalarText(n)
	advice := "this is a list or a mapping; write one value"
	if is {
		advice = advise(n, text)
	}
	if advice != "" {
		f.refuse(n, path, "%s", advice)
	}
	return advice == ""
}

// scalarText is a scalar's text, without quotes.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		if n.Value == nil {
			return "", true
		}
		return n.Value.Value, true
	case ast.ScalarNode:
		if t := n.GetToken(); t != nil {
			return t.Value, true
		}
		return "", true
	}
	return "", false
}

func (f *fitter) list(n ast.Node, item reflect.Type, path string) bool {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		if text, is := scalarText(n); is {
			f.refuse(n, path, "this is a list; write [%s]", text)
		} else {
			f.refuse(n, path, "this is a list; begin each of its items with \"- \"")
		}
		return false
	}
	for i, v := range s.Values {
		if !f.value(v, item, fmt.Sprintf("%s[%d]", path, i)) && item.Kind() != reflect.Struct {
			ok = false
		} else if _, is := pairsOf(v); item.Kind() == reflect.Struct && !is {
			ok = false // the numbers of the others would not be theirs
		}
	}
	return ok
}

func (f *fitter) mapping(n ast.Node, t reflect.Type, path string) bool {
	fields := map[string]reflect.Type{}
	var keys []string
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); name != "" && name != "-" {
			fields[name], keys = t.Field(i).Type, append(keys, name)
		}
	}
	pairs, ok := pairsOf(n)
	if !ok {
		f.refuse(n, path, "this needs keys below it: %s", strings.Join(keys, ", "))
		return false
	}
	return f.pairs(n, pairs, func(key string, v *ast.MappingValueNode) bool {
		field, known := fields[key]
		if !known {
			f.refuse(v.Key.(ast.Node), "", "unknown key %q%s", within(path, key), hint(key, keys))
			return false
		}
		return f.value(v.Value, field, within(path, key))
	})
}

// pairs takes those that do not fit out of a mapping.
func (f *fitter) pairs(n ast.Node, pairs []*ast.MappingValueNode, fits func(key string, v *ast.MappingValueNode) bool) bool {
	var good []*ast.MappingValueNode
	for _, v := range pairs {
		if fits(keyOf(v), v) {
			good = append(good, v)
		}
	}
	if m, ok := n.(*ast.MappingNode); ok {
		m.Values = good
		return true
	}
	return len(good) == len(pairs) // a mapping of one pair, that of which cannot be taken out
}

func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func keyOf(v *ast.MappingValueNode) string {
	k, ok := v.Key.(ast.Node)
	if !ok {
		return ""
	}
	if t := k.GetToken(); t != nil {
		return t.Value
	}
	return k.String()
}

// hint says what an unknown key may have meant: a key of the same place, or one
// of another place.
func hint(key string, here []string) string {
	if s := segment.DidYouMean(key, here); s != "" {
		return s
	}
	for _, path := range allKeys(reflect.TypeFor[Config](), "") {
		if section, name, below := cutLast(path); below && name == key {
			return "; it belongs below " + section
		}
	}
	return "; known are " + strings.Join(here, ", ")
}

func cutLast(path string) (section, name string, below bool) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(0, i)], path[i+1:], i >= 0
}

// allKeys are the paths of all keys, in the order of the structs.
func allKeys(t reflect.Type, path string) (out []string) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		at, of := within(path, name), t.Field(i).Type
		out = append(out, at)
		if of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() == reflect.Struct && of != t { // a tree holds itself
			out = append(out, allKeys(of, at)...)
		}
	}
	return out
}

func durationAdvice(n ast.Node, text string) string {
	_, quoted := n.(*ast.StringNode)
	if _, err := parseDuration(text); err == nil && (quoted || text == "0") {
		return ""
	}
	const advice = "this is not a duration; write a number with its unit, like 400ms, 30s, 10m, 2h or 30d"
	if m := spelled.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%s: %s%s for %s", advice, m[1], unitOf(m[2]), text)
	}
	return advice
}

var spelled = regexp.MustCompile(`(?i)^\s*([0-9]+(?:\.[0-9]+)?)\s*(milliseconds?|millis|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|)\s*$`)

func unitOf(word string) string {
	switch w := strings.ToLower(word); {
	case w == "":
		return "s"
	case w == "ms" || strings.HasPrefix(w, "mill"):
		return "ms"
	default:
		return w[:1]
	}
}

func wholeAdvice(n ast.Node, text string) string {
	if _, ok := n.(*ast.IntegerNode); ok {
		return ""
	}
	return "this is not a whole number; write one without quotes or a fraction" + plainNumber(text)
}

func numberAdvice(n ast.Node, text string) string {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return ""
	}
	return "this is not a number" + plainNumber(text)
}

var (
	sizes  = regexp.MustCompile(`(?i)^\s*([0-9]+)\s*([kmg])(i?)b?\s*$`)
	digits = regexp.MustCompile(`[0-9]+(?:[.,][0-9]+)*`)
)

// plainNumber shows how a number with something around it is written.
func plainNumber(text string) string {
	if m := sizes.FindStringSubmatch(text); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 32)
		return fmt.Sprintf(": %d, not %s", n<<(10*(1+slices.Index([]string{"k", "m", "g"}, strings.ToLower(m[2])))), text)
	}
	number := digits.FindString(text)
	if number == "" {
		return ""
	}
	if strings.HasSuffix(strings.TrimSpace(text), "%") {
		if x, err := strconv.ParseFloat(strings.Replace(number, ",", ".", 1), 64); err == nil {
			return fmt.Sprintf(": %v, not %s", x/100, text)
		}
	}
	return fmt.Sprintf(": %s, not %s", strings.ReplaceAll(number, ",", ""), text)
}

func truthAdvice(n ast.Node, text string) string {
	if _, ok := n.(*ast.BoolNode); ok {
		return ""
	}
	switch strings.ToLower(text) {
	case "yes", "on", "1", "y":
		return "write true, not " + text
	case "no", "off", "0", "n":
		return "write false, not " + text
	}
	return "write true or false"
}
