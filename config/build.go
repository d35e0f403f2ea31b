package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/signal"
)

// EventConfig is what the decoder needs. Page rules of unknown types, which
// Validate reports, are left out.
func (c *Config) EventConfig() event.Config {
	out := event.Config{
		HashRoutes:           c.HashRoutes,
		HighTicketCategories: slices.Clone(c.HighTicket.Categories),
		HighTicketMinPrice:   c.HighTicket.MinPrice,
		Elements:             slices.Clone(c.Elements),
		Custom:               c.custom(),
		MaxBytes:             c.MaxBytes + event.Overhead,
		FutureMS:             c.Future.Milliseconds(),
		Consent:              event.Consent{Categories: slices.Clone(c.Collector.Consent.Categories), Required: c.Collector.Consent.Required},
	}
	for _, p := range c.Pages {
		if t, ok := pageType(p.Type); ok {
			out.Pages = append(out.Pages, event.PageRule{Type: t, Path: p.Path, Name: p.Name})
		}
	}
	return out
}

// custom lists the event names that have no kind of their own, in the order
// in which signals first mention them, and then lateness.events.
func (c *Config) custom() (out []string) {
	add := func(name string) {
		if _, known := event.KindOf(name); !known && name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, s := range c.Signals {
		add(s.Match.Event)
	}
	for _, name := range c.Lateness.Events {
		add(name)
	}
	return out
}

// SignalRules are the rules that weigh events. Errors are Problems.
func (c *Config) SignalRules() ([]signal.Rule, error) {
	out, problems := c.rules()
	if len(problems) > 0 {
		return nil, problems
	}
	return out, nil
}

const maxCustom = 256 - int(event.FirstCustom)

// rules builds the rules that can be built and says what is wrong with the others.
func (c *Config) rules() (out []signal.Rule, problems Problems) {
	custom := c.custom()
	if len(custom) > maxCustom {
		problems = append(problems, c.problem("signals", "%d event names without a meaning of their own; at most %d have room", len(custom), maxCustom))
		custom = custom[:maxCustom]
	}
	names := map[string]bool{}
	for i, s := range c.Signals {
		path := fmt.Sprintf("signals[%d]", i)
		if s.Name == "" || names[s.Name] {
			problems = append(problems, c.problem(path+".name", "%q is empty or taken; name each signal once", s.Name))
		}
		names[s.Name] = true
		if !(s.Weight > 0 && s.Weight <= 1e6) {
			problems = append(problems, c.problem(path+".weight", "%v is out of bounds; choose above 0 and up to 1e6, or remove the signal", s.Weight))
		}
		kind, ok := event.KindOf(s.Match.Event)
		if n := slices.Index(custom, s.Match.Event); !ok && n >= 0 {
			kind, ok = event.FirstCustom+event.Kind(n), true
		}
		if s.Match.Event == "" {
			problems = append(problems, c.problem(path+".match.event", "name the event, such as page or \"Product Viewed\""))
		}
		r := signal.Rule{Name: s.Name, Kind: kind, Weight: s.Weight}
		for j, name := range s.Match.PageType {
			t, known := pageType(name)
			if !known {
				problems = append(problems, c.problem(fmt.Sprintf("%s.match.page_type[%d]", path, j), "%q is not a page type; %s%s", name, knownPages(0), segment.DidYouMean(name, event.PageTypes[:])))
				continue
			}
			r.Pages = append(r.Pages, t)
		}
		x, p := c.measure(path+".match", s.Match, kind)
		problems = append(problems, p...)
		if r.X = x; ok {
			out = append(out, r)
		}
	}
	return out, problems
}

// measurement is a measurement that signals may limit, and the events with it.
type measurement struct {
	key    string
	bound  func(SignalMatch) Bound
	kinds  []event.Kind
	events string
}

var measurements = []measurement{
	{"depth", func(m SignalMatch) Bound { return m.Depth }, []event.Kind{event.KindScroll}, "Page Scrolled has"},
	{"duration", func(m SignalMatch) Bound { return m.Duration }, []event.Kind{event.KindHover, event.KindFocus}, "Element Hovered and Element Focused have"},
	{"price", func(m SignalMatch) Bound { return m.Price }, []event.Kind{event.KindProductView, event.KindCartAdd, event.KindCartRemove},
		"Product Viewed, Product Added and Product Removed have"},
}

// measure is the limit on Event.X, nil for none. A limit on something that
// the event does not measure is a problem: ignored, it would match too much.
func (c *Config) measure(path string, m SignalMatch, kind event.Kind) (x *signal.Bound, problems Problems) {
	for _, q := range measurements {
		b := q.bound(m)
		if b.Above == nil && b.Below == nil {
			continue
		}
		if !slices.Contains(q.kinds, kind) {
			problems = append(problems, c.problem(path+"."+q.key, "%q has no %s, only %s; remove the limit", m.Event, q.key, q.events))
			continue
		}
		for _, end := range []*float64{b.Above, b.Below} {
			if end != nil && !(*end >= -1e12 && *end <= 1e12) {
				problems = append(problems, c.problem(path+"."+q.key, "%v is out of bounds; choose up to 1e12", *end))
			}
		}
		x = &signal.Bound{Above: b.Above, Below: b.Below}
	}
	return x, problems
}

func pageType(name string) (event.PageType, bool) {
	i := slices.Index(event.PageTypes[:], name)
	return event.PageType(max(0, i)), i >= 0
}

func knownPages(from int) string {
	return "choose one of " + strings.Join(event.PageTypes[from:], ", ")
}

// Unchecked reports whether every userId is believed.
func (c *Config) Unchecked() bool { return c.Identity.Verification == "off" }

// Trust is that of records of which no collector has judged.
func (c *Config) Trust() event.Trust {
	if c.Unchecked() || c.Source.Trust == "verified" {
		return event.Unstated
	}
	return event.Public
}

// SegmentSpecs is the tree for segment.NewTree, in the order of the file.
func (c *Config) SegmentSpecs() []segment.Spec { return specs(c.Segments) }

// Activation is the state of the tree's nodes before any audience was decided.
func (c *Config) Activation(tree *segment.Tree) *segment.Activation {
	return segment.NewActivation(tree, c.Audience.Activate, c.Audience.Hysteresis, c.Audience.MinSample)
}

func specs(list []Segment) []segment.Spec {
	out := make([]segment.Spec, len(list))
	for i, s := range list {
		if s.Exempt != "" {
			s.MinAudience = new(float64) // the exemption decides, its reason does not
		}
		out[i] = segment.Spec{Name: s.Name, Title: s.Title, When: s.When, MinAudience: s.MinAudience, Exempt: s.Exempt, Children: specs(s.Children)}
	}
	return out
}

// SegmentParams are the constants with which conditions are evaluated.
func (c *Config) SegmentParams() segment.Params {
	return segment.Params{
		HalfLives: signal.HalfLives{Live: float64(c.HalfLives.Live.Milliseconds()), Long: float64(c.HalfLives.Long.Milliseconds())},
		Kappa:     c.Intent.Kappa,
		RefreshMS: c.Refresh.Milliseconds(),
		GapMS:     c.Session.Gap.Milliseconds(),
	}
}
