package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
)

// bound is one row of the table of limits. A value that is not a number fails
// every comparison, so it is out of bounds too.
type bound struct {
	path   string
	ok     bool
	advice string
}

const year = 365 * 24 * time.Hour

func span(path string, v, lo, hi time.Duration) bound {
	return bound{path, v >= lo && v <= hi, fmt.Sprintf("%s is out of bounds; choose from %s to %s", v, lo, hi)}
}

func share(path string, v float64) bound {
	return bound{path, v >= 0 && v <= 1, fmt.Sprintf("%v is not a share; choose from 0 to 1%s", v, asShare(v))}
}

// asShare is a percentage as a share.
func asShare(v float64) string {
	if v > 1 && v <= 100 {
		return fmt.Sprintf(": %v %% is %v", v, v/100)
	}
	return ""
}

func count(path string, v, lo, hi int) bound {
	return bound{path, v >= lo && v <= hi, fmt.Sprintf("%d is out of bounds; choose from %d to %d", v, lo, hi)}
}

// limit is a rate of events, and burst what may come at once.
func limit(path string, v int) bound { return count(path, v, 0, 1<<30) }

func burst(path string, v int) bound {
	return count(path, v, 1, 1<<30)
}

// isNetwork reports whether s is an address or a network.
func isNetwork(s string) bool {
	_, err := netip.ParsePrefix(s)
	if err != nil {
		_, err = netip.ParseAddr(s)
	}
	return err == nil
}

// bounds is the table of limits of single values.
func (c *Config) bounds() []bound {
	a, src, h, col := c.Audience, c.Source, c.Health, c.Collector
	_, legacyOK := c.Identity.legacyUntil()
	return []bound{
		{"site", c.Site != "" && len(c.Site) <= 64, "name the site in 1 to 64 bytes"},
		span("half_lives.live", c.HalfLives.Live, time.Second, year),
		span("half_lives.long", c.HalfLives.Long, time.Second, year),
		{"half_lives.long", c.HalfLives.Long >= c.HalfLives.Live+c.HalfLives.Live/10, "the signal weight compares the two sums; make long at least a tenth longer than live"},
		{"intent.kappa", c.Intent.Kappa >= 1e-6 && c.Intent.Kappa <= 1e9, "choose from 1e-6 to 1e9: the live sum at which intent is 0.5"},
		span("session.gap", c.Session.Gap, time.Second, 24*time.Hour),
		span("session.dwell_cap", c.Session.DwellCap, time.Second, 24*time.Hour),
		{"session.dwell_cap", c.Session.DwellCap <= c.Session.Gap, "a longer pause ends the session; make dwell_cap at most session.gap"},
		span("lateness.short", c.Lateness.Short, 0, 7*24*time.Hour),
		span("lateness.long", c.Lateness.Long, 0, 30*24*time.Hour),
		{"lateness.long", c.Lateness.Long >= c.Lateness.Short || c.Lateness.Long == 24*time.Hour, "what is in time for sessions is in time for persons; make it at least lateness.short"},
		{"lateness.events", !slices.Contains(c.Lateness.Events, ""), "name the events as they are sent, such as \"Subscription Renewed\""},
		span("future_tolerance", c.Future, time.Millisecond, 7*24*time.Hour),
		count("max_event_bytes", c.MaxBytes, 256, 1<<24),
		span("refresh_interval", c.Refresh, time.Second, 24*time.Hour),
		span("retention", c.Retention, time.Minute, 10*year),
		{"retention", c.Retention > c.Session.Gap+c.Lateness.Short, "a visitor would be forgotten with a session open; make it longer than session.gap + lateness.short"},
		count("state.max_devices", c.State.MaxDevices, 1, 1<<30),
		span("state.single_event_retention", c.State.Single, 0, 10*year),
		span("audience.window", a.Window, time.Minute, 30*24*time.Hour),
		span("audience.min_span", a.MinSpan, 0, time.Hour),
		count("state.max_pending", c.State.MaxPending, 100, 1_000_000),
		{"identity.verification", slices.Contains([]string{"signed", "off"}, c.Identity.Verification), "choose signed or off"},
		{"identity.jwt.algorithm", slices.Contains([]string{"", "HS256", "RS256", "ES256", "EdDSA"}, c.Identity.JWT.Algorithm), "choose HS256, RS256, ES256 or EdDSA, or leave it out"},
		{"identity.jwt.audience", c.Identity.JWT.Algorithm == "" || c.Identity.JWT.Audience != "", "a token that was made for something else would be a proof; name what aud must be"},
		{"identity.jwt.key_file", (c.Identity.JWT.KeyFile != "") == (c.Identity.JWT.Algorithm != "" && c.Identity.JWT.Algorithm != "HS256"), "name the PEM file of the public key for RS256, ES256 and EdDSA, and none for HS256"},
		count("identity.max_devices", c.Identity.MaxDevices, 1, 1000),
		count("identity.max_persons_per_day", c.Identity.MaxPersons, 1, 1000),
		{"identity.legacy_until", legacyOK, "write a day or a time like 2026-12-31 or 2026-12-31T12:00:00Z, or leave it empty: without an end"},
		share("audience.activate", a.Activate),
		share("audience.hysteresis", a.Hysteresis),
		{"audience.hysteresis", a.Hysteresis <= a.Activate, "no share is below 0; make hysteresis at most audience.activate"},
		count("audience.min_sample", a.MinSample, 0, 1<<30),
		{"audience.jump_factor", a.JumpFactor == 0 || a.JumpFactor >= 1.5 && a.JumpFactor <= 1e6, "choose from 1.5 to 1e6, or 0 to hold nothing"},
		share("audience.stale_share", a.StaleShare),
		{"high_ticket.min_price", c.HighTicket.MinPrice >= 0 && c.HighTicket.MinPrice <= 1e12, "choose a price from 0 to 1e12"},
		{"collector.write_keys", len(col.WriteKeys) > 0 && !slices.Contains(col.WriteKeys, ""), "nobody could write; name at least one key, none of them empty"},
		{"collector.max_batch_bytes", col.MaxBatch >= c.MaxBytes && col.MaxBatch <= 1<<24, "choose from max_event_bytes to 16777216 (16 MiB): one event must fit"},
		{"collector.max_in_flight_bytes", col.MaxInFlight >= col.MaxBatch && col.MaxInFlight <= 1<<34, "choose from collector.max_batch_bytes to 17179869184 (16 GiB): one body must fit"},
		span("collector.acknowledge_within", col.AckTimeout, 10*time.Millisecond, time.Minute),
		{"collector.public_url", publicURL(col.PublicURL), "use an address like https://collect.example.com, or leave it out"},
		{"collector.consent.categories", len(col.Consent.Categories) <= 32 && !slices.Contains(col.Consent.Categories, ""), "choose at most 32 names, none of them empty"},
		{"collector.origins", !slices.ContainsFunc(c.Collector.Origins, func(o string) bool { return o != "*" && (o == "" || !publicURL(o)) }), "write origins like https://shop.example"},
		limit("collector.limits.address_per_second", col.Limits.AddressRate),
		burst("collector.limits.address_burst", col.Limits.AddressBurst),
		limit("collector.limits.device_per_second", col.Limits.DeviceRate),
		burst("collector.limits.device_burst", col.Limits.DeviceBurst),
		limit("collector.limits.server_key_per_second", col.Limits.ServerRate),
		burst("collector.limits.server_key_burst", col.Limits.ServerBurst),
		{"serving.trusted_proxies", !slices.ContainsFunc(c.Serving.Proxies, func(p string) bool { return !isNetwork(p) }), "write addresses or networks, such as 10.1.2.3 or 10.0.0.0/8"},
		{"serving.address_share", c.Serving.AddressShare > 0 && c.Serving.AddressShare <= 1, fmt.Sprintf("%v is out of bounds; choose a share above 0, up to 1", c.Serving.AddressShare)},
		{"serving.proxy_header", slices.Contains([]string{"X-Forwarded-For", "Forwarded"}, c.Serving.ProxyHeader), "choose X-Forwarded-For or Forwarded, the one that the proxies write themselves"},
		{"serving.origins", !slices.ContainsFunc(c.Serving.Origins, func(o string) bool { return o != "*" && (o == "" || !publicURL(o)) }), "write origins like https://shop.example"},
		span("serving.token_ttl", c.Serving.TokenTTL, time.Second, 24*time.Hour),
		count("serving.max_profiles", c.Serving.MaxProfiles, 1, 1<<30),
		count("serving.max_streams", c.Serving.MaxStreams, 1, 1<<20),
		count("source.shards", src.Shards, 0, 1024),
		span("source.linger", src.Linger, 0, time.Minute),
		count("source.max_batch", src.MaxBatch, 1, 1<<20),
		count("source.max_in_flight", src.MaxInFlight, 1, 1024),
		{"source.buffer_bytes", src.BufferBytes >= c.MaxBytes && src.BufferBytes <= 1<<34, "choose from max_event_bytes to 16 GiB: one event must fit"},
		span("source.heartbeat", src.Heartbeat, 10*time.Millisecond, time.Hour),
		span("source.idle_after", src.IdleAfter, 10*time.Millisecond, time.Hour),
		span("source.state_interval", src.StateInterval, 0, time.Hour),
		{"source.trust", slices.Contains([]string{"", "verified", "public"}, src.Trust), "choose verified or public, or leave it out"},
		{"source.rekey", slices.Contains([]string{"auto", "on", "off"}, src.Rekey), "choose auto, on or off"},
		span("source.snapshot_interval", src.SnapshotInterval, time.Second, time.Hour),
		span("sink.linger", c.Sink.Linger, 0, 10*time.Minute),
		count("sink.max_rows", c.Sink.MaxRows, 1, 1<<24),
		{"sink.max_pending_bytes", c.Sink.MaxPending >= 1<<20 && c.Sink.MaxPending <= 1<<36, "choose from 1048576 (1 MiB) to 68719476736 (64 GiB)"},
		span("sink.spill_after", c.Sink.SpillAfter, 100*time.Millisecond, 10*time.Minute),
		{"storage.min_free_bytes", c.Storage.MinFree >= 0 && c.Storage.MinFree <= 1<<40, "choose from 0 to 1099511627776 (1 TiB)"},
		span("health.refresh_latency", h.RefreshLatency, time.Millisecond, time.Hour),
		share("health.signal_weight", h.SignalWeight),
		span("health.watermark_lag", h.WatermarkLag, time.Millisecond, 30*24*time.Hour),
		span("health.sink_lag", h.SinkLag, time.Millisecond, 30*24*time.Hour),
		share("health.dead_letter_share", h.DeadShare),
		span("health.silence", h.Silence, time.Second, 30*24*time.Hour),
		span("health.window", h.Window, time.Minute, 24*time.Hour),
		span("health.budgets.ingest", h.Budgets.Ingest, time.Millisecond, time.Hour),
		span("health.budgets.compute", h.Budgets.Compute, time.Millisecond, time.Hour),
		span("health.budgets.deliver", h.Budgets.Deliver, time.Millisecond, time.Hour),
		span("health.budgets.whole", h.Budgets.Whole, time.Millisecond, time.Hour),
	}
}

// publicURL reports whether s is empty or an address that pages can send to.
func publicURL(s string) bool {
	u, err := url.Parse(s)
	return s == "" || err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.RawQuery == "" && u.Fragment == ""
}

// Validate reports every value that is out of bounds, as Problems that say
// what to do; nil if there is none. It does not compile conditions: see Check.
func (c *Config) Validate() error {
	if out := c.validate(); len(out) > 0 {
		return out
	}
	return nil
}

func (c *Config) validate() (out Problems) {
	for _, b := range c.bounds() {
		if !b.ok {
			out = append(out, c.problem(b.path, "%s", b.advice))
		}
	}
	out = append(out, c.validatePages()...)
	out = append(out, c.validateElements()...)
	_, p := c.rules()
	out = append(out, p...)
	if len(c.Signals) == 0 {
		out = append(out, c.problem("signals", "without signals intent is always 0; give one event a weight"))
	}
	seen := 0
	out = append(out, c.validateSegments("segments", c.Segments, 1, &seen)...)
	return append(out, c.validateRules()...)
}

func (c *Config) validatePages() (out Problems) {
	for i, p := range c.Pages {
		path := fmt.Sprintf("pages[%d]", i)
		t, ok := pageType(p.Type)
		if !ok || t == event.PageUnknown {
			out = append(out, c.problem(path+".type", "%q is not a page type; %s%s", p.Type, knownPages(1), segment.DidYouMean(p.Type, event.PageTypes[1:])))
			continue
		}
		rule := event.PageRule{Type: t, Path: p.Path, Name: p.Name}
		if _, err := event.NewDecoder(event.Config{Pages: []event.PageRule{rule}}); err != nil {
			out = append(out, c.problem(path, "%v; set a path glob like \"/product/**\" or a page name", err))
		}
	}
	return out
}

var elementName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,63}$`)

// notCEL are words that CEL keeps for itself: hover.in would not parse.
var notCEL = []string{"in", "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import",
	"let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while"}

func (c *Config) validateElements() (out Problems) {
	if len(c.Elements) > 255 {
		out = append(out, c.problem("elements", "%d names; at most 255 can be told apart, keep those that conditions use", len(c.Elements)))
	}
	for i, e := range c.Elements {
		path := fmt.Sprintf("elements[%d]", i)
		switch {
		case !elementName.MatchString(e) || slices.Contains(notCEL, e):
			out = append(out, c.problem(path, "%q cannot follow \"hover.\" in a condition; use lower-case letters, digits and _", e))
		case slices.Contains(c.Elements[:i], e):
			out = append(out, c.problem(path, "%q is listed twice; remove one", e))
		}
	}
	return out
}

// Limits on the tree: its paths are stored with every visitor.
const (
	maxDepth    = 8
	maxSegments = 1000
)

// maxExempt bounds a reason: it stands in reports, beside the verdict.
const maxExempt = 200

// validateExempt holds an exemption to its reason: people read it.
func (c *Config) validateExempt(at string, s Segment) (out Problems) {
	switch {
	case s.Exempt == "":
	case strings.TrimSpace(s.Exempt) != s.Exempt || len(s.Exempt) > maxExempt || strings.ContainsFunc(s.Exempt, unicode.IsControl):
		out = append(out, c.problem(at+".exempt", "write the reason in one line of 1 to %d bytes, such as \"answers a trigger\"", maxExempt))
	case s.MinAudience != nil && *s.MinAudience > 0:
		out = append(out, c.problem(at+".exempt", "the segment needs an audience of %v by min_audience, and none by exempt; remove one", *s.MinAudience))
	}
	return out
}

var segmentName = regexp.MustCompile(`^[a-z0-9_][a-z0-9_-]{0,63}$`)

func (c *Config) validateSegments(path string, list []Segment, depth int, seen *int) (out Problems) {
	names := map[string]bool{}
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case !segmentName.MatchString(s.Name):
			out = append(out, c.problem(at+".name", "%q cannot be part of a path; use 1 to 64 lower-case letters, digits, _ and -", s.Name))
		case names[s.Name]:
			out = append(out, c.problem(at+".name", "a sibling is called %q too; rename one", s.Name))
		}
		names[s.Name] = true
		if s.When == "" {
			out = append(out, c.problem(at+".when", "a segment needs a condition, such as intent > 0.5"))
		}
		if m := s.MinAudience; m != nil && !(*m >= 0 && *m <= 1) {
			out = append(out, c.problem(at+".min_audience", "%v is not a share; choose from 0 (always active) to 1%s", *m, asShare(*m)))
		}
		out = append(out, c.validateExempt(at, s)...)
		if *seen++; *seen == maxSegments+1 {
			out = append(out, c.problem(at, "more than %d segments; merge some", maxSegments))
		}
		if depth == maxDepth && len(s.Children) > 0 {
			out = append(out, c.problem(at+".children", "more than %d levels; flatten the tree", maxDepth))
			continue
		}
		out = append(out, c.validateSegments(at+".children", s.Children, depth+1, seen)...)
	}
	return out
}
