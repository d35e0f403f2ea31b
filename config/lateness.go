package config

import (
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
	"github.com/microseg/microseg/event"
)

// Keys of the lateness: the section, an older spelling of its short class, and that.
const (
	nowLateness   = "lateness"
	olderLateness = "allowed_lateness"
	shortLateness = "short"
)

// spellLateness writes one duration alone, under the older key, too, as the short
// class of the section, in its place.
func spellLateness(body ast.Node) {
	pairs, _ := pairsOf(body)
	stated := slices.ContainsFunc(pairs, func(v *ast.MappingValueNode) bool { return keyOf(v) == nowLateness })
	for _, v := range pairs {
		key, isKey := v.Key.(*ast.StringNode)
		if !isKey || key.Value != nowLateness && (key.Value != olderLateness || stated) {
			continue
		}
		if _, is := scalarText(v.Value); !is || v.Value.Type() == ast.NullType {
			continue
		}
		key.Value, key.Token.Value = nowLateness, nowLateness
		at := v.Value.GetToken().Position
		short := ast.String(token.New(shortLateness, shortLateness, at))
		v.Value = ast.Mapping(token.MappingStart("{", at), true, ast.MappingValue(token.MappingValue(at), short, v.Value))
	}
}

// Patient are the kinds of the events that lateness.events names.
func (c *Config) Patient() (out []event.Kind) {
	custom := c.custom()
	for _, name := range c.Lateness.Events {
		kind, ok := event.KindOf(name)
		if i := slices.Index(custom, name); !ok && i >= 0 && i < maxCustom {
			kind, ok = event.FirstCustom+event.Kind(i), true
		}
		if ok && !slices.Contains(out, kind) {
			out = append(out, kind)
		}
	}
	return out
}
